"""Commands as a person types them, run and written down: words, times, exit code, output.

Reads     nothing
Writes    the output of the command, in files without a name
Promises  what it printed is kept whole, with its SHA-256; one that takes too long is killed, and
          that is said; no shell
Fails     a program that is not there has exit code 127
"""

import contextlib
import hashlib
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

NOT_THERE, KILLED = 127, 137
#: Where `workers` lies: a release or a checkout need not be installed.
_HERE = str(Path(__file__).resolve().parents[2])


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """One command that ended; `said` is what stood on stderr, its last lines."""

    command: list[str]
    began_wall_ns: int
    ended_wall_ns: int
    code: int
    out: bytes
    said: str

    @property
    def sha256(self) -> str:
        """Of its output."""
        return hashlib.sha256(self.out).hexdigest()


def orderbooks(words: Sequence[str], limit_s: float = 7200) -> Ran:
    """Run one verb of this program, by this Python; written down as a person types it."""
    command = [sys.executable, "-m", "workers.tools", *words]
    found = ran(command, limit_s, {**os.environ, "PYTHONPATH": _HERE})
    return msgspec.structs.replace(found, command=["orderbooks", *words])


def ran(
    command: Sequence[str], limit_s: float = 60, environment: Mapping[str, str] = os.environ
) -> Ran:
    """Run a command to its end."""
    began_ns = time.time_ns()
    program = shutil.which(command[0])
    if program is None:
        now_ns = time.time_ns()
        return Ran(
            command=list(command),
            began_wall_ns=began_ns,
            ended_wall_ns=now_ns,
            code=NOT_THERE,
            out=b"",
            said=f"{command[0]}: no such program",
        )
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        files = [(os.POSIX_SPAWN_DUP2, file.fileno(), at) for at, file in ((1, out), (2, err))]
        pid = os.posix_spawn(program, list(command), environment, file_actions=files)
        code = _waited(pid, limit_s)
        out.seek(0)
        err.seek(0)
        said = err.read().decode(errors="replace").splitlines()[-5:]
        return Ran(
            command=list(command),
            began_wall_ns=began_ns,
            ended_wall_ns=time.time_ns(),
            code=code,
            out=out.read(),
            said="\n".join(said),
        )


def _waited(pid: int, limit_s: float) -> int:
    """Its exit code; 128 + the number of the signal that ended it."""
    ear = os.pidfd_open(pid)
    try:
        is_over, _, _ = select.select([ear], [], [], limit_s)
    finally:
        os.close(ear)
    if not is_over:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code
