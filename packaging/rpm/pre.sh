# SPDX-License-Identifier: MIT
# shellcheck shell=sh
getent group eps >/dev/null || groupadd -r eps
getent passwd eps >/dev/null ||
  useradd -r -g eps -M -d /var/lib/eps -s /usr/sbin/nologin -c 'EPS Conduits' eps
