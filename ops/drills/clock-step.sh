#!/bin/sh
# The wall clock of a watchdog jumps. The machine's own clock is left alone.
# Practises docs/OPERATIONS.md#clock_stepped on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills clock-step "$@"
