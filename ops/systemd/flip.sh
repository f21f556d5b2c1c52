#!/bin/sh
# Makes a release and its unit the current ones, restarts the service, waits until it is well.
#
#   ops/systemd/flip.sh RELEASE
#
# Well: for half a minute on end every process that runs is RUNNING (those that were down before may
# be), none has crashed since, and the watchdog that looked is the new one. What is wrong outside,
# the venue or the remote, is no reason to go back.
# `ln` and `mv -T`: at every moment /opt/orderbooks/current points at a whole release.
set -eu
release=$1
archive=/var/lib/orderbooks

orderbooks() {
    ORDERBOOKS_CONFIG=/etc/orderbooks/orderbooks.yaml \
        runuser -u orderbooks -- /opt/orderbooks/current/.venv/bin/orderbooks "$@"
}
down() { orderbooks ctl status 2>/dev/null | awk '$2 != "RUNNING" && $2 != "STOPPED" { print $1 }'; }

mark=$(mktemp)
trap 'rm -f "$mark"' EXIT
down >"$mark"
is_well() {
    systemctl is-active --quiet orderbooks.service || return 1
    [ "$archive/manifests/health/latest.json" -nt "$mark" ] || return 1
    [ -z "$(find "$archive/spool/heartbeat" -name '*.crash.json' -newer "$mark")" ] || return 1
    ! down | grep -qvxFf "$mark"
}

ln -sfn "$release" /opt/orderbooks/current.new
mv -T /opt/orderbooks/current.new /opt/orderbooks/current
install -m 0644 "$release/ops/systemd/orderbooks.service" /etc/systemd/system/orderbooks.service
install -m 0755 "$release/ops/systemd/orderbooks.sh" /usr/local/bin/orderbooks
systemctl daemon-reload
systemctl restart orderbooks.service || exit 1
# What the old life still wrote while it stopped is none of the new one's.
touch "$mark"
began=$(date +%s)
well_since=
until [ $(($(date +%s) - began)) -ge 120 ]; do
    now=$(date +%s)
    if is_well; then
        well_since=${well_since:-$now}
        if [ $((now - well_since)) -ge 30 ]; then
            echo "$release runs"
            exit 0
        fi
    else
        well_since=
    fi
    sleep 2
done
echo "flip: $release is not well after two minutes:" >&2
orderbooks ctl status >&2 || true
exit 1
