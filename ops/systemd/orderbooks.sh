#!/bin/sh
# /usr/local/bin/orderbooks: the command of the installed release, with the service's settings, as
# the service's user: what it writes must stay the service's, and the socket is for that user alone.
set -eu
ORDERBOOKS_CONFIG=${ORDERBOOKS_CONFIG:-/etc/orderbooks/orderbooks.yaml}
export ORDERBOOKS_CONFIG
# What asks the remote needs rclone.conf; systemd has it there while the service runs.
credentials=/run/credentials/orderbooks.service
if [ -r "$credentials" ]; then
    CREDENTIALS_DIRECTORY=$credentials
    export CREDENTIALS_DIRECTORY
fi
command=/opt/orderbooks/current/.venv/bin/orderbooks
[ "$(id -u)" -eq 0 ] || exec "$command" "$@"
exec runuser -u orderbooks -- "$command" "$@"
