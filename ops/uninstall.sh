#!/bin/sh
# Removes the service and the code. The archive, the directory that is a remote, the settings and the
# credentials stay. Needs root.
#
#   ops/uninstall.sh
set -eu

[ "$(id -u)" -eq 0 ] || {
    echo "uninstall: needs root: sudo ops/uninstall.sh" >&2
    exit 1
}
if [ -e /etc/systemd/system/orderbooks.service ]; then
    systemctl disable --now orderbooks.service
fi
rm -f /etc/systemd/system/orderbooks.service /usr/local/bin/orderbooks
rm -f /etc/sysusers.d/orderbooks.conf /etc/tmpfiles.d/orderbooks.conf
rm -rf /opt/orderbooks
systemctl daemon-reload
echo "gone; /var/lib/orderbooks (the archive), /var/lib/orderbooks.remote, /etc/orderbooks and the user stay"
