#!/bin/sh
# What the service runs: secrets from systemd's credentials into the environment, then the fleet.
# The fleet's processes see SENTRY_DSN only where supervisord.conf lets them (the watchdog).
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
if [ -s "${CREDENTIALS_DIRECTORY:-/nowhere}/sentry_dsn" ]; then
    SENTRY_DSN=$(cat "$CREDENTIALS_DIRECTORY/sentry_dsn")
    export SENTRY_DSN
fi
exec "$here/.venv/bin/orderbooks" up
