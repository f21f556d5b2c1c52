#!/bin/sh
# A bit of a published file rots; verify names it; the remote's copy takes its place.
# Practises docs/OPERATIONS.md#every-day on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills flip-byte "$@"
