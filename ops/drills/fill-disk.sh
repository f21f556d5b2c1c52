#!/bin/sh
# Fill a small disk of the fleet's own; where none may be mounted, raise the thresholds.
# Practises docs/OPERATIONS.md#the-disk-is-full on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills fill-disk "$@"
