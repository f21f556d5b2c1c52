#!/bin/sh
# SIGKILL a collector; it comes back, and the venue's own ledger says what that cost.
# Practises docs/OPERATIONS.md#every-day on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills kill-worker "$@"
