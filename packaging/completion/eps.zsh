#compdef eps eps-client eps-server eps-configure.sh
# SPDX-License-Identifier: MIT
# zsh completion of eps, eps-client, eps-server and eps-configure.sh.

_eps() {
  local candidates=${EPS_CANDIDATES:-/usr/share/eps-conduits/candidates.sh} current=${words[CURRENT]} line
  local -a before found described
  before=("${(@)words[2,CURRENT-1]}")
  if [[ $current == --*=* ]]; then
    before+=("${current%%=*}")
    current=${current#*=}
    compset -P '*='
  fi
  found=("${(@f)$(sh $candidates "${(Q)words[1]}" "${before[@]}" "$current")}")
  case ${found[1]} in
    '<file>') _files ;;
    '<directory>') _files -/ ;;
    ?*)
      for line in "${found[@]}"; do
        if [[ $line == *$'\t'?* ]]; then
          described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
          described+=("${${line%%$'\t'*}//:/\\:}")
        fi
      done
      _describe 'EPS Conduits' described ;;
  esac
}

_eps "$@"
