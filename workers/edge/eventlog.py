"""The log: one JSON line per catalogued event on stdout, without ever blocking the worker.

Writes    stdout, which supervisord keeps in log/<process>.log
Promises  a line is whole or absent; a stalled supervisord costs log lines, never ticks: the pipe
          is made non-blocking, and what did not fit is counted and told later (with a full
          64 KiB pipe a blocking worker froze; tests/edge/test_eventlog.py stops the reader).
Never     an event that core/events.py does not know; message bodies; secrets
"""

import json
import os
import stat
import sys
from typing import Any

import msgspec

from workers.core.events import EVENTS
from workers.core.instants import utc_text

#: POSIX: a pipe takes up to this much whole or not at all.
PIPE_BUF_BYTES = 4096


class EventLog:
    """The log of one worker."""

    def __init__(self, worker: str, shard: int | None = None, *, fd: int | None = None) -> None:
        self._common = {"worker": worker, "shard": shard, "pid": os.getpid()}
        self._fd = sys.stdout.fileno() if fd is None else fd
        self._dropped = 0
        if stat.S_ISFIFO(os.fstat(self._fd).st_mode):
            os.set_blocking(self._fd, False)

    def write(self, event: str, wall_ns: int, **fields: Any) -> None:  # noqa: ANN401
        """Write one event; KeyError when the catalogue does not have it."""
        level = EVENTS[event].level
        if self._dropped and self._put("log_lines_dropped", wall_ns, {"count": self._dropped}):
            self._dropped = 0
        if not self._put(event, wall_ns, fields, level):
            self._dropped += 1

    def _put(
        self, event: str, wall_ns: int, fields: dict[str, Any], level: str = "warning"
    ) -> bool:
        row = {"at": utc_text(wall_ns), "level": level, "event": event, **self._common, **fields}
        line = _line(row)
        try:
            return os.write(self._fd, line) == len(line)
        except OSError:
            # A full pipe or a full log disk: the worker goes on, the count is told later.
            return False


def _line(row: dict[str, Any]) -> bytes:
    """One JSON line that a pipe takes whole: texts are cut, and odd file names escaped, to fit."""
    texts_max = PIPE_BUF_BYTES
    line = _encoded(row)
    while len(line) >= PIPE_BUF_BYTES and texts_max > 1:
        texts_max //= 2
        line = _encoded({key: _cut(value, texts_max) for key, value in row.items()})
    return line + b"\n"


def _cut(value: object, texts_max: int) -> object:
    is_long = isinstance(value, str) and len(value) > texts_max
    return f"{str(value)[:texts_max]}…" if is_long else value


def _encoded(row: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(row)
    except UnicodeEncodeError:
        return json.dumps(row).encode()
