#!/bin/sh
# A file that nobody can read lies in quarantine until a person takes it away.
# Practises docs/OPERATIONS.md#quarantine_grew on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills quarantine "$@"
