#!/bin/sh
# The listing of markets comes empty; the last good universe stands and is recorded.
# Practises docs/OPERATIONS.md#universe_stale on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills stale-universe "$@"
