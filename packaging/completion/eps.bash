# SPDX-License-Identifier: MIT

# bash completion of eps, eps-client, eps-server and eps-configure.sh.
# shellcheck shell=bash disable=SC2207

_eps() {
  local word=$2 words=() found i
  # "--log=/tmp" is three words.
  [ "$word" != = ] || word=
  for ((i = 1; i < COMP_CWORD; ++i)); do
    [ "${COMP_WORDS[i]}" = = ] || words+=("${COMP_WORDS[i]}")
  done
  found=$(sh "${EPS_CANDIDATES:-/usr/share/eps-conduits/candidates.sh}" "$1" "${words[@]}" "$word")
  case $found in
    '<file>') compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$word")) ;;
    '<directory>') compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$word")) ;;
    *) COMPREPLY=($(compgen -W "$(cut -f 1 <<<"$found")" -- "$word")) ;;
  esac
}

complete -F _eps eps eps-client eps-server eps-configure.sh
