#!/bin/sh
# SPDX-License-Identifier: MIT
# candidates.sh PROGRAM [WORD]... CURRENT
#
# What the word CURRENT on the command line of eps, eps-client, eps-server or eps-configure.sh can become, for the
# completions of all shells: one candidate per line, with its description after a tab. "<file>" and "<directory>" mean the
# names of all files and directories. Everything comes from the program's --help.

program=$1
shift
help=$("$program" --help 2>/dev/null) || exit 0

typed='' previous='' current='' takes_value='' first=1
for word do
  if [ -z "$first" ]; then
    previous=$current
    if [ -n "$takes_value" ]; then
      takes_value=''
    else
      case $current in
        --json | --policy | --qr | --approve | --ephemeral | --all | --again | --help | --version | --*=*) ;;
        -*) takes_value=1 ;;
        *) typed=$typed${typed:+ }$current ;;
      esac
    fi
  fi
  first='' current=$word
done

# "  --option arg (=default)  description", whose description may go on, or begin, in the next lines. That of "eps" begins
# with the commands that the option belongs to, "ping, watch: ", unless it belongs to all.
options() {
  printf '%s\n' "$help" | awk -v typed="$typed" '
    function fits(  list, count, i) {
      if (typed == "" || !match(text, /^[a-z]+( [a-z]+)*(, [a-z]+( [a-z]+)*)*: /)) return 1
      count = split(substr(text, 1, RLENGTH - 2), list, ", ")
      for (i = 1; i <= count; ++i) if (index(typed " ", list[i] " ") == 1) return 1
      return 0
    }
    function flush() { if (option != "" && fits()) print option "\t" text; option = "" }
    /^ +--/ {
      flush()
      option = $1
      sub(/^ +/, "")
      text = match($0, /  +/) ? substr($0, RSTART + RLENGTH) : ""
      next
    }
    /^[^ ]|^$/ { flush() }
    option != "" { sub(/^ +/, ""); text = text (text == "" ? "" : " ") $0 }
    END { flush() }'
}

# The values that the description lists after a colon: "lowest level to log: trace, debug or info".
values() {
  options | awk -F '\t' -v option="$previous" '$1 == option { print $2 }' |
    sed -nE 's/.*: ([a-z0-9-]+((, | or )[a-z0-9-]+)+)$/\1/p' | sed -E 's/, | or /\n/g'
}

# The next words of the commands of "eps" that go on from the words typed; NAME is any member. Behind "help" too, but for
# arguments.
words() {
  about=${typed#help}
  printf '%s\n' "$help" | awk -v typed="${about# }" '
    /^Commands:/ { inside = 1; next }
    /^$/ { inside = 0 }
    !inside || !/^  [a-z]/ { next }
    {
      sub(/^ +/, "")
      match($0, /  +/)
      description = substr($0, RSTART + RLENGTH)
      count = split(substr($0, 1, RSTART - 1), word, " ")
      given = split(typed, before, " ")
      for (i = 1; i <= given; ++i) if (word[i] != before[i]) next
      if (count <= given) next
      offer = word[given + 1]
      if (!(offer in seen)) order[++offers] = offer
      whole = 1  # but for arguments
      for (i = given + 2; i <= count; ++i) if (word[i] ~ /[a-z]/) whole = 0
      if (!(offer in seen) || (whole && seen[offer] == "")) seen[offer] = whole ? description : ""
    }
    END { for (i = 1; i <= offers; ++i) print order[i] "\t" seen[order[i]] }' |
    while IFS= read -r line; do
      case $line in
        [A-Z]*) [ "$about" = "$typed" ] || continue ;;
      esac
      case $line in
        FILE*) echo '<file>' ;;
        NAME*)
          case $typed in members*) list=members ;; *) list=peers ;; esac
          "$program" --json "$list" 2>/dev/null | sed -nE 's/^ {4}"name": "(.*)",?$/\1/p' ;;
        [a-z]*) printf '%s\n' "$line" ;;
      esac
    done
}

case $previous in
  --conf | --log | --scorecard | --graphviz | --socket | --into | --lock-key | --file | --png | --svg)
    case $current in -*) ;; *) echo '<file>'; exit ;; esac ;;
  --state) echo '<directory>'; exit ;;
  --*)
    found=$(values)
    if [ -n "$found" ]; then printf '%s\n' "$found"; exit; fi ;;
esac
case $current in -*) options; exit ;; esac
if [ "${program##*/}" = eps ]; then words; else options; fi
