#!/bin/sh
# SIGSTOP supervisord, end it as its page says, start the fleet anew.
# Practises docs/OPERATIONS.md#supervisord_unreachable on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills hang-supervisord "$@"
