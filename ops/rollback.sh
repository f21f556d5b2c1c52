#!/bin/sh
# Goes back to the release that ran before the last upgrade. Needs root.
#
#   ops/rollback.sh [RELEASE]      default: /opt/orderbooks/previous
#
# Files keep their formats: an older release reads what it knows, and refuses a newer schema by name.
set -eu

fail() {
    echo "rollback: $1" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "needs root: sudo ops/rollback.sh"
release=$(readlink -f "${1:-/opt/orderbooks/previous}") || fail "there is no release before this one"
[ -f "$release/.whole" ] || fail "$release is not a whole release; ls /opt/orderbooks/releases"
before=$(readlink -f /opt/orderbooks/current)
[ "$release" != "$before" ] || fail "$release runs already"
"$release/.venv/bin/orderbooks" config check /etc/orderbooks/orderbooks.yaml ||
    fail "$release does not take the settings in force; nothing was changed"

"$release/ops/systemd/flip.sh" "$release"
ln -sfn "$before" /opt/orderbooks/previous
