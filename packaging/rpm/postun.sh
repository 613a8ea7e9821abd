# shellcheck shell=sh
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  # An upgrade: those that run go on with the new program.
  [ "$1" = 0 ] || systemctl try-restart eps-server.service eps-client.service || :
fi
if [ "$1" = 0 ]; then
  rm -rf /run/eps
  for name in client.log server.log client.stats server.stats; do
    [ ! -L "/var/log/eps_$name" ] || rm -f "/var/log/eps_$name"
  done
  [ ! -L /var/log/eps.gv ] || rm -f /var/log/eps.gv
  # The network's keys and members outlive the package; without any of them nothing of it does.
  rmdir /var/lib/eps /var/log/eps 2>/dev/null || :
  if [ ! -e /var/lib/eps ]; then
    userdel eps 2>/dev/null || :
    ! getent group eps >/dev/null || groupdel eps || :
  fi
fi
