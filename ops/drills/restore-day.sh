#!/bin/sh
# Retention lets an hour go; it comes back byte for byte; the remote's damage is named.
# Practises docs/OPERATIONS.md#offload on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills restore-day "$@"
