#!/bin/sh
# Changes the installed service to this checkout's release. Needs root.
#
#   ops/upgrade.sh
#
# The new code must accept the settings in force before anything is stopped. Recording pauses for
# the restart: some seconds, which coverage shows as DOWN. If the new release does not come up within
# two minutes the old one is started again, and this ends with 1.
set -eu

fail() {
    echo "upgrade: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root: sudo ops/upgrade.sh"
[ -L /opt/orderbooks/current ] || fail "nothing is installed; ops/install.sh does that"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
before=$(readlink -f /opt/orderbooks/current)
release=$("$root/ops/release.sh")
if [ "$release" = "$before" ]; then
    echo "$release runs already"
    exit 0
fi
"$release/.venv/bin/orderbooks" config check /etc/orderbooks/orderbooks.yaml ||
    fail "$release does not take the settings in force; nothing was changed"

if "$release/ops/systemd/flip.sh" "$release"; then
    ln -sfn "$before" /opt/orderbooks/previous
    exit 0
fi
echo "upgrade: $release does not come up; going back to $before" >&2
"$before/ops/systemd/flip.sh" "$before" || fail "$before does not come up either: journalctl -u orderbooks"
exit 1
