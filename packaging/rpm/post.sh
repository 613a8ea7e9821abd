# SPDX-License-Identifier: MIT
# shellcheck shell=sh
if [ -d /run/systemd/system ]; then
  systemd-tmpfiles --create eps-conduits.conf || :
  systemctl daemon-reload || :
fi
