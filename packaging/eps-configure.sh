#!/bin/bash
# SPDX-License-Identifier: MIT
# Sets up this computer as a server or a client of an EPS network; see eps-configure.sh(8).
set -euo pipefail

usage() {
  cat <<'END'
eps-configure.sh                                                 asks what it needs
eps-configure.sh --server [--network NETWORK] [--port PORT] [--sequential]
eps-configure.sh --client HOST KEY [--port PORT] [--name NAME]

  --client [HOST [KEY]]
                    make this computer a client, of that server, with that network key
  --server [HOST]   with a HOST: the client's server; without: make this computer the server
  --key KEY         the network key, or - to read it from standard input
  --name NAME       name of this member
  --network NETWORK network that the server creates
  --sequential      the server gives new clients the lowest free address
  --port PORT       TCP/UDP port of the server
  --conf FILE       write that file instead of /etc/eps.conf, and leave the units alone
  --no-start        write the file only
  --help            show this help message
END
}

die() {  # [status] sentence
  local status=1
  case $1 in [0-9]) status=$1; shift ;; esac
  printf 'eps-configure.sh: %s\n' "$*" >&2
  exit "$status"
}

conf=/etc/eps.conf
start=1
client=''
server=''
interactive=1
declare -A given=()  # the options' values: server, key, name, network, sequential, port

need() {
  [ "$2" -gt 1 ] || die 2 "$1 needs a value; see --help"
}

while [ "$#" -gt 0 ]; do
  option=$1
  # --key=VALUE is --key VALUE
  case $option in --*=*) set -- "${option%%=*}" "${option#*=}" "${@:2}"; option=$1 ;; esac
  case $option in
    --help) usage; exit ;;
    --client)
      client=1
      case ${2:-} in '' | --*) ;; *) given[server]=$2; shift ;; esac
      if [ -n "${given[server]+x}" ]; then
        case ${2:-} in '' | --*) ;; *) given[key]=$2; shift ;; esac
      fi ;;
    --server)
      case ${2:-} in
        '' | --*) server=1 ;;
        *) given[server]=$2; shift ;;
      esac ;;
    --sequential) given[sequential]=true ;;
    --no-start) start='' ;;
    --conf) need "$option" "$#"; conf=$2; start=''; shift ;;
    --key | --name | --network | --port) need "$option" "$#"; given[${option#--}]=$2; shift ;;
    *) die 2 "unknown option \"$option\"; see --help" ;;
  esac
  shift
done
[ -z "$client$server" ] || interactive=''
[ -n "$client" ] || [ -z "${given[server]+x}" ] || die 2 'a HOST behind --server is for a client: add --client'
if [ -n "$interactive" ] && [ "${#given[@]}" -gt 0 ]; then
  die 2 'say --client, or --server without a value, as well; see --help'
fi

# Is the answer possible? Each prints what is wrong with it.

check_server() {
  local host
  [ -n "$1" ] || { echo 'the server is missing: its name or IP address'; return; }
  for host in $1; do
    [[ $host =~ ^[A-Za-z0-9_][A-Za-z0-9._-]*$ || $host =~ ^[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?$ ]] ||
      { echo "\"$host\" is neither a name nor an IP address"; return; }
  done
}
check_port() {
  [[ $1 =~ ^[1-9][0-9]{0,4}$ && $1 -le 65535 ]] ||
    echo "\"$1\" is not a valid port: give a number from 1 to 65535"
}
check_key() {
  [ -n "$1" ] || { echo 'the network key is missing: --key KEY, as "sudo eps key" prints it on the server'; return; }
  # A join key also has its number, and a pinned one the id of the network lock.
  [[ $1 =~ ^[Ee][Pp][Ss]1-[A-Za-z2-7]{85,}$ ]] ||
    { echo 'this is not a network key: eps1- and at least 85 letters and digits, as "sudo eps key" prints it on the server'
      return; }
  judged client $'server = 127.0.0.1\n'"key = $1"$'\n' | sed -n 's/^key: //p'
}
# What "eps check" has against a configuration, without the name of the file; nothing where eps is not installed.
judged() {  # client|server text
  local draft
  command -v eps >/dev/null || return 0
  draft=$(mktemp) || return 0
  printf '%s' "$2" >"$draft"
  eps check "$1" --conf "$draft" 2>/dev/null | sed -n "s|^problem  \\(eps-$1: \\)\\{0,1\\}$draft:[0-9]*: ||p"
  rm -f -- "$draft"
}
check_name() {
  [[ $1 =~ ^[A-Za-z0-9._-]{1,63}$ ]] ||
    echo "\"$1\" is not a valid name: use letters, digits, '-', '_' and '.', 63 at most"
}
check_network() {
  local example='a network looks like 192.168.99.0/24' byte value=0
  local part='(0|[1-9][0-9]{0,2})'
  # An IPv6 prefix may follow the IPv4 network.
  [[ $1 =~ ^$part\.$part\.$part\.$part/([1-9][0-9]?)(,[0-9A-Fa-f:]+/64)?$ ]] ||
    { echo "\"$1\" is not a network: $example"; return; }
  local bytes=("${BASH_REMATCH[@]:1:4}") prefix=${BASH_REMATCH[5]}
  for byte in "${bytes[@]}"; do
    [ "$byte" -le 255 ] || { echo "\"$1\" is not a network: $example"; return; }
    value=$((value * 256 + byte))
  done
  if [ "$prefix" -lt 8 ] || [ "$prefix" -gt 30 ]; then echo "\"$1\": the mask must be from /8 to /30"; return; fi
  [ "$((value & ((1 << (32 - prefix)) - 1)))" = 0 ] || echo "\"$1\" has bits set beyond its mask: $example"
}
check_sequential() { :; }

# The value of option $2 in section $1 ("" is what stands before the sections) of the file; nothing where it is not set.
in_section() {
  [ -f "$conf" ] || return 0
  awk -v section="$1" -v name="$2" '
    { sub(/\r$/, "") }
    /^[ \t]*\[/ { now = $0; gsub(/^[ \t]*\[|\].*$/, "", now); next }
    now == section && $0 ~ "^[ \t]*" name "[ \t]*(=|$)" {
      sub(/^[^=]*=?[ \t]*/, ""); sub(/[ \t]+#.*$/, ""); sub(/[ \t]+$/, ""); gsub(/^"|"$/, "")
      value = value == "" ? $0 : value " " $0
    }
    END { print value }' "$conf"
}
# As the program whose section it is sees it.
in_file() {
  local value
  value=$(in_section "$1" "$2")
  [ -n "$value" ] || value=$(in_section '' "$2")
  printf '%s\n' "$value"
}

# The file's text with that one value changed: in place where it is set, else at the end of its section.
with_value() {
  awk -v section="$1" -v name="$2" -v value="$3" '
    function put() { if (!done) print name " = " value; done = 1 }
    # Blank lines, and comments behind them, belong to what follows.
    function flush() { printf "%s", ahead; ahead = "" }
    /^[ \t\r]*$/ || (ahead != "" && /^[ \t]*#/) { ahead = ahead $0 "\n"; next }
    /^[ \t]*\[/ {
      if (now == section) put()
      flush()
      now = $0
      gsub(/^[ \t]*\[|\].*$/, "", now)
      print
      next
    }
    now == section && $0 ~ "^[ \t]*" name "[ \t\r]*(=|$)" { flush(); put(); next }
    { flush(); print }
    END {
      if (now == section) put()
      flush()
      if (!done) { print "\n[" section "]"; put() }
    }'
}

text=
changed=
set_value() {  # section name value
  [ "$(in_file "$1" "$2")" != "$3" ] || return 0
  # The end of the text is kept too.
  text=$(printf '%s' "$text" | with_value "$1" "$2" "$3" && echo .)
  text=${text%.}
  changed=1
}

# What holds for option $2 of section $1: given, in the file, or $3.
current() {
  local value=${given[$2]-}
  [ -n "$value" ] || value=$(in_file "$1" "$2")
  printf '%s\n' "${value:-$3}"
}

ask() {  # question default; the answer is in $answer
  local shown=$2
  [ "${3:-}" != secret ] || shown=${2:+keep the present one}
  printf '%s%s: ' "$1" "${shown:+ [$shown]}"
  IFS= read -r answer || { echo; die 'no answer: nothing was changed'; }
  answer=${answer#"${answer%%[![:space:]]*}"}
  answer=${answer%"${answer##*[![:space:]]}"}
  answer=${answer:-$2}
}

# Option $2 of section $1, by default $3; interactively $4 is asked until the answer is possible. Sets $value.
settle() {
  local wrong
  value=$(current "$1" "$2" "$3")
  while :; do
    if [ -n "$interactive" ] && [ -n "${4:-}" ]; then
      ask "$4" "$value" "${5:-}"
      value=$answer
    fi
    [ -n "$value" ] || [ -n "${4:-}" ] || return 0
    wrong=$("check_$2" "$value")
    [ -n "$wrong" ] || break
    [ -n "$interactive" ] || die 2 "$wrong"
    printf '  %s\n' "$wrong"
    value=$(current "$1" "$2" "$3")
  done
  # What is the default anyway, and not set, need not stand in the file.
  [ "$value" = "$3" ] && [ -z "$(in_file "$1" "$2")" ] && [ -z "${given[$2]-}" ] && [ "$2" != server ] && return
  set_value "$(section_for "$1" "$2")" "$2" "$value"
}

# The key is for both programs, unless somebody put it into the client's section.
section_for() {
  if [ "$2" = key ] && [ -z "$server" ] && [ -z "$(in_section client key)" ]; then echo ''; else echo "$1"; fi
}

# The /24 that a new network gets: one of 65,536 in 10.0.0.0/8, so that no LAN, hotspot or container is likely to have the
# same; of the addresses between providers and their customers (100.64.0.0/10) where this computer uses 10.0.0.0/8.
draw_network() {
  local routes first second
  routes=$(ip -4 route show table all 2>/dev/null) || true
  if grep -qE '(^| )10\.[0-9]' <<<"$routes"; then
    first=100 second=$((64 + RANDOM % 64))
  else
    first=10 second=$((RANDOM % 256))
  fi
  echo "$first.$second.$((RANDOM % 256)).0/24"
}

# Not where there is a network already, nor where somebody chose one.
is_new_network() {
  [ -z "${given[network]-}" ] && [ -z "$(in_file server network)" ] &&
    [ ! -e "$(current server state /var/lib/eps)/server/server.db" ]
}

# Where clients may reach this computer: what its router forwards, then its own addresses.
addresses() {
  eps status 2>/dev/null | sed -n 's/^router  *TCP \(.*\):[0-9]* forwarded .*/\1/p'
  ip -o address show scope global 2>/dev/null |
    awk '$2 !~ /^(eps|docker|br-|veth|virbr|tun|tap|wg)/ && !/temporary|deprecated/ { sub("/.*", "", $4); print $4 }'
}

# The package repository that this computer installed EPS Conduits from, if that can be reached from elsewhere.
repository() {
  sed -nE 's|^URIs: *(https?://.*[^/])/*$|\1|p' /etc/apt/sources.list.d/eps-conduits.sources 2>/dev/null || true
}

enabled() { systemctl is-enabled --quiet "eps-$1.service" 2>/dev/null; }

ask_role() {
  local role=client
  ! enabled server || role=server
  ! { enabled client && enabled server; } || role=both
  while :; do
    ask 'Should this computer be a client, the server, or both?' "$role"
    case ${answer,,} in
      c | client) client=1; return ;;
      s | server) server=1; return ;;
      b | both) client=1; server=1; return ;;
      *) echo '  client, server or both' ;;
    esac
  done
}

write_conf() {
  local target temporary
  target=$(readlink -f -- "$conf") || die "$conf: its directory does not exist"
  temporary=$(mktemp -- "$target.XXXXXX") || die "cannot write $conf"
  # mktemp made it for its owner only.
  # shellcheck disable=SC2064
  trap "rm -f -- '${temporary//\'/\'\\\'\'}'" EXIT
  printf '%s' "$text" >"$temporary"
  if [ -e "$target" ]; then chown --reference="$target" -- "$temporary" 2>/dev/null || true; fi
  sync -- "$temporary"
  mv -f -- "$temporary" "$target"
  trap - EXIT
  sync -- "$(dirname -- "$target")"
  echo "$conf is written."
}

run_unit() {
  local unit=eps-$1.service action=start
  systemctl enable --quiet "$unit"
  [ -z "$changed" ] || action=restart
  systemctl reset-failed "$unit" 2>/dev/null || true
  if ! systemctl "$action" "$unit"; then
    journalctl --unit "$unit" --identifier "eps-$1" --lines 3 --no-pager --output cat >&2 || true
    die "$unit does not start; see above, and /var/log/eps_$1.log"
  fi
}

[ -z "$start" ] || [ "$(id -u)" = 0 ] || die 'it writes /etc/eps.conf and starts services: run it with sudo'
if [ "${given[key]-}" = - ]; then
  [ ! -t 0 ] || printf 'Network key, as "sudo eps key" prints it on the server: '
  IFS= read -r 'given[key]' || true
  [ -n "${given[key]}" ] || die 2 'standard input holds no key'
fi

umask 077
if [ -e "$conf" ]; then
  [ -f "$conf" ] || die "$conf is not a regular file"
  text=$(cat -- "$conf" && echo .) || die "cannot read $conf"
  text=${text%.}
  case $text in '' | *$'\n') ;; *) text+=$'\n' ;; esac
else
  text=$'# EPS Conduits: configuration of eps-server and eps-client, see eps.conf(5).\n'
fi

[ -z "$interactive" ] || ask_role
if [ -n "$server" ]; then
  ! is_new_network || given[network]=$(draw_network)
  settle server network 192.168.43.0/24 'Network to create, unused on every client'
  settle server port 43439 'TCP and UDP port to listen on'
  port=$value
  settle server sequential ''
fi
if [ -n "$client" ]; then
  settle client server "${server:+127.0.0.1}" 'Name or IP address of the server'
  # On a computer that is both, the server's answers hold for its client.
  if [ -n "$server" ]; then
    [ "$port" = "$(current client port 43439)" ] || set_value client port "$port"
    # A client of another network than this server's.
    [ -z "${given[key]-}" ] || settle client key '' key
  else
    settle client port 43439 'TCP and UDP port of the server'
    # A person who left the key out can still give it, where others do not see it.
    if [ -z "$interactive" ] && [ -t 0 ] && [ -z "$(current client key '')" ]; then
      ask 'Network key, as "sudo eps key" prints it on the server' '' secret
      given[key]=$answer
    fi
    settle client key '' 'Network key, as "sudo eps key" prints it on the server' secret
  fi
  settle client name ''
fi
# The programs' own judgement, before anything is written.
for role in ${server:+server} ${client:+client}; do
  # A client beside its new server gets the key once that has made it.
  wrong=$(judged "$role" "$text" | head -n 1)
  [ -z "$wrong" ] || die 2 "eps-$role would not start with this: $wrong"
done
# Readable for root only even where nothing is to be changed.
if [ -n "$changed" ] || [ ! -e "$conf" ]; then
  write_conf
else
  chmod go= -- "$conf"
  echo "$conf stays as it is."
fi

[ -n "$start" ] || exit 0
if [ ! -d /run/systemd/system ]; then
  echo 'systemd does not run here: start the programs by hand, see eps-server(8) and eps-client(8).'
  exit 0
fi
[ -z "$server" ] || run_unit server
[ -z "$client" ] || run_unit client
# Whether the client is admitted; the unit goes on trying, but who set it up wants to know.
connected() {
  local tries=20
  while :; do
    eps --json --socket /run/eps/client.sock status 2>/dev/null | grep -q '"connected": true' && return
    [ "$((tries -= 1))" -gt 0 ] || return 1
    sleep 1
  done
}

reached=1
if [ -n "$client" ]; then connected || reached=''; fi
eps status
if [ -n "$server" ]; then
  hosts=$(addresses)
  host=${hosts%%$'\n'*}
  line="--client ${host:-HOST} $(eps key)"
  [ "$port" = 43439 ] || line+=" --port $port"
  from=$(repository)
  printf '\nOn every client:\n\n'
  [ -z "$from" ] || printf '    wget -qO- %s/install.sh | sudo sh -s -- %s\n\nor, if EPS Conduits is installed there:\n\n' "$from" "$line"
  printf '    sudo eps-configure.sh %s\n\n' "$line"
  if [ "$(printf '%s\n' "$hosts" | wc -l)" -gt 1 ]; then
    printf 'or with another of the addresses of this computer, as the client reaches it:\n'
    printf '%s\n' "$hosts" | sed 's/^/    /'
  fi
  printf 'From outside this LAN, clients need TCP and UDP port %s forwarded to this computer.\n' "$port"
fi
[ -n "$reached" ] || {
  note=$(eps --socket /run/eps/client.sock status 2>/dev/null | sed -n 's/^server  *//p')
  die "the client runs, but the server cannot be reached yet (${note:-no answer}); it goes on trying, see: eps doctor"
}
