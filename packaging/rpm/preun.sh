# SPDX-License-Identifier: MIT
# shellcheck shell=sh
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
  systemctl disable --now eps-client.service eps-server.service >/dev/null 2>&1 || :
  systemctl stop 'eps-client@*.service' || :
fi
