# SPDX-License-Identifier: MIT
# shellcheck shell=sh
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload || :
  # An upgrade: those that run go on with the new program.
  [ "$1" = 0 ] || systemctl try-restart eps-server.service eps-client.service 'eps-client@*.service' || :
fi
if [ "$1" = 0 ]; then
  rm -rf /run/eps
  for name in eps_client.log eps_server.log eps_client_0.log eps_server_0.log eps_client.stats eps_server.stats \
    eps.stats eps.gv eps_network.gv; do
    [ ! -L "/var/log/$name" ] || rm -f "/var/log/$name"
  done
  # The network's keys and members outlive the package; without any of them nothing of it does.
  rmdir /var/lib/eps /var/log/eps 2>/dev/null || :
  if [ ! -e /var/lib/eps ]; then
    userdel eps 2>/dev/null || :
    ! getent group eps >/dev/null || groupdel eps || :
  fi
fi
