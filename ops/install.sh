#!/bin/sh
# Installs orderbooks on this machine as a systemd service. Needs root and systemd 250 or newer.
#
#   ops/install.sh            release, user, directories, settings, unit; starts recording
#   ops/install.sh --no-start the same, and does not start
#
#   /opt/orderbooks/releases/<version>-<commit>   the code, with its own environment
#   /opt/orderbooks/current                       the release that runs
#   /etc/orderbooks/orderbooks.yaml               the settings; written once, never overwritten
#   /etc/orderbooks/credentials/                  sentry_dsn and rclone.conf, for root's eyes
#   /var/lib/orderbooks                           the archive
#   /usr/local/bin/orderbooks                     the command, as the service's user
#
# Safe to run twice: what is right stays. Upgrades are ops/upgrade.sh's.
set -eu

fail() {
    echo "install: $1" >&2
    exit 1
}

start=yes
case ${1:-} in
    '') ;;
    --no-start) start=no ;;
    *) fail "usage: ops/install.sh [--no-start]" ;;
esac
[ "$(id -u)" -eq 0 ] || fail "needs root: sudo ops/install.sh"
command -v systemctl >/dev/null || fail "no systemd here; docs/OPERATIONS.md runs a checkout without it"
systemd=$(systemctl --version | awk 'NR == 1 { print $2 }')
[ "$systemd" -ge 250 ] || fail "systemd is $systemd, the unit needs 250 or newer (Debian 12, Ubuntu 24.04)"
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)

release=$("$root/ops/release.sh")

install -D -m 0644 "$release/ops/systemd/sysusers.conf" /etc/sysusers.d/orderbooks.conf
systemd-sysusers /etc/sysusers.d/orderbooks.conf
install -D -m 0644 "$release/ops/systemd/tmpfiles.conf" /etc/tmpfiles.d/orderbooks.conf
systemd-tmpfiles --create /etc/tmpfiles.d/orderbooks.conf

settings=/etc/orderbooks/orderbooks.yaml
if [ ! -e "$settings" ]; then
    sed -e 's|^data_dir: .*|data_dir: "/var/lib/orderbooks"|' \
        -e 's|^  remote: "./var.remote"|  remote: "/var/lib/orderbooks.remote"|' \
        "$release/config/orderbooks.yaml" >"$settings.new"
    grep -q '^data_dir: "/var/lib/orderbooks"$' "$settings.new" || fail "config/orderbooks.yaml has no data_dir"
    chmod 0644 "$settings.new"
    mv "$settings.new" "$settings"
fi
"$release/.venv/bin/orderbooks" config check "$settings" || fail "$settings has mistakes; nothing was started"

if [ ! -L /opt/orderbooks/current ]; then
    ln -s "$release" /opt/orderbooks/current
fi
units=/opt/orderbooks/current/ops/systemd
install -m 0644 "$units/orderbooks.service" /etc/systemd/system/orderbooks.service
install -D -m 0755 "$units/orderbooks.sh" /usr/local/bin/orderbooks
systemctl daemon-reload
systemctl enable --quiet orderbooks.service
running=$(readlink -f /opt/orderbooks/current)
[ "$running" = "$release" ] ||
    echo "install: $running runs; ops/upgrade.sh changes to $release" >&2
if [ "$start" = yes ]; then
    systemctl start orderbooks.service
    echo "orderbooks records into /var/lib/orderbooks; look with: orderbooks status"
else
    echo "installed; start with: systemctl start orderbooks"
fi
