#!/bin/sh
# Nobody listens at the venue's address for a while; then somebody does again.
# Practises docs/OPERATIONS.md#rows_late on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills cut-network "$@"
