#!/bin/sh
# A remote that rclone does not know; files wait here until it is mended.
# Practises docs/OPERATIONS.md#remote_refused on a loopback fleet of its own; ends with PASS or FAIL.
set -eu
cd "$(dirname "$0")/../.."
exec .venv/bin/python -m tests.drills break-remote "$@"
