#!/bin/sh
# SIGSTOP a collector; it is told as silent; `ctl restart` ends it and starts another.
# Practises docs/OPERATIONS.md#worker_silent on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills hang-worker "$@"
