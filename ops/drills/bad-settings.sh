#!/bin/sh
# A mistake in the settings; the next start of a worker needs a person.
# Practises docs/OPERATIONS.md#worker_fatal on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills bad-settings "$@"
