# bash completion of eps, eps-client, eps-server and eps-configure.sh. It reads what they offer from their --help.
# shellcheck shell=bash disable=SC2207

# The description of option $2 of program $1, in one line.
_eps_description() {
  "$1" --help 2>/dev/null | awk -v option="$2" '
    /^ *--/ {
      taken = $1 == option
      sub(/^ *--[^ ]+( arg| [A-Z]+| \[=arg[^ ]*)?( \(=[^)]*\))?/, "")
      if (taken) text = $0
      next
    }
    /^[^ ]|^$/ { taken = 0 }
    taken { sub(/^ +/, " "); text = text $0 }
    END { print text }'
}

# The values that the description lists behind a colon: "least important messages to log: trace, debug or info".
_eps_values() {
  _eps_description "$1" "$2" | sed -nE 's/.*: ([a-z0-9-]+((, | or )[a-z0-9-]+)+)$/\1/p' | sed -E 's/, | or /\n/g'
}

# The next words of the commands of "eps" that go on from the words given.
_eps_words() {
  local typed="$*" line
  "$program" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z][^ ]*\( [^ ]\+\)*\)  .*/\1/p' |
    while read -r line; do
      [ -z "$typed" ] || case $line in "$typed "*) line=${line#"$typed "} ;; *) continue ;; esac
      line=${line%% *}
      case $line in
        [[A-Z]*) "$program" --json "$([ "${1:-}" = members ] && echo members || echo peers)" 2>/dev/null |
          sed -nE 's/^ {4}"name": "(.*)",?$/\1/p' ;;
        *) printf '%s\n' "$line" ;;
      esac
    done | sort -u
}

_eps() {
  local program=$1 word=$2 option=$3 values i words=()
  # "--log=/tmp" is three words.
  if [ "$word" = = ]; then
    word=
  elif [ "$option" = = ]; then
    option=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  COMPREPLY=()
  case $option in
    --conf | --log | --scorecard | --graphviz | --socket | --into | --png | --svg)
      [[ $word == -* ]] || { compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")); return; } ;;
    --state) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word")); return ;;
    --*)
      values=$(_eps_values "$program" "$option")
      [ -z "$values" ] || { COMPREPLY=($(compgen -W "$values" -- "$word")); return; } ;;
  esac
  if [[ $word == -* ]] || [[ ${program##*/} != eps ]]; then
    COMPREPLY=($(compgen -W "$("$program" --help 2>/dev/null | grep -oE '^ +--[a-z-]+')" -- "$word"))
    return
  fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case ${COMP_WORDS[i]} in
      --json | --approve | --help | --version) ;;
      -*) ((++i)) ;;
      *) words+=("${COMP_WORDS[i]}") ;;
    esac
  done
  COMPREPLY=($(compgen -W "$(_eps_words "${words[@]}")" -- "$word"))
}

complete -F _eps eps eps-client eps-server eps-configure.sh
