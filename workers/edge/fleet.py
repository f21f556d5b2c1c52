"""supervisord: asking it over its unix socket, and becoming it. The owner of supervisor.

Reads     run/supervisor.sock
Promises  an answer or a named problem within timeout_s for each call, also when supervisord is
          stopped, gone, or answers nonsense; one fleet for one data directory
Never     imports supervisor's code: its client would cost 2 MB and has no timeout
"""

import http.client
import os
import socket
import sys
import xmlrpc.client
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Never
from xml.parsers.expat import ExpatError

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.health.looks import FleetSeen, ProcessSeen
from workers.edge import durable

#: supervisord closes every descriptor from 5 up at its start, and its children all from 3 up: a
#: lock held here lives exactly as long as supervisord.
_LOCK_FD = 3
#: The process table, at the top of the checkout.
CONF = Path(__file__).resolve().parents[2] / "supervisord.conf"
_HEADERS = {"Content-Type": "text/xml"}
#: A process takes 1.2 KB of answer.
_ANSWER_MAX_BYTES = 1 << 20
_QUOTED = frozenset('"\\\n\r')


class _Connection(http.client.HTTPConnection):
    """HTTP over a unix socket, with a deadline for each read."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Open the socket; OSError when nobody listens or the path is too long."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Info(msgspec.Struct, frozen=True):
    """What getProcessInfo tells; the members used here."""

    name: str
    group: str
    statename: str
    pid: int
    start: int
    now: int
    exitstatus: int
    spawnerr: str
    description: str


_PROBLEMS = (
    OSError,
    ValueError,
    LookupError,
    http.client.HTTPException,
    xmlrpc.client.Error,
    ExpatError,
    msgspec.MsgspecError,
)


def look(socket_path: Path, timeout_s: float) -> FleetSeen:
    """Supervisord's table of processes, or why it could not be read."""
    try:
        pid = msgspec.convert(_asked(socket_path, timeout_s, "supervisor.getPID"), int)
        rows = _asked(socket_path, timeout_s, "supervisor.getAllProcessInfo")
        processes = [_seen(row) for row in msgspec.convert(rows, list[_Info])]
    except _PROBLEMS as error:
        return FleetSeen(problem=_said(error)[:200])
    return FleetSeen(pid=pid, processes=processes)


def _asked(socket_path: Path, timeout_s: float, method: str) -> object:
    connection = _Connection(socket_path, timeout_s)
    try:
        connection.request("POST", "/RPC2", xmlrpc.client.dumps((), method), _HEADERS)
        answer = connection.getresponse()
        body = answer.read(_ANSWER_MAX_BYTES)
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise ValueError(f"HTTP status {answer.status}")
    return xmlrpc.client.loads(body)[0][0]


def _said(error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no supervisord (no socket)"
    if isinstance(error, ConnectionRefusedError):
        return "supervisord is gone (nobody listens)"
    if isinstance(error, TimeoutError):
        return "supervisord does not answer in time"
    return f"{type(error).__name__}: {error}"


def _seen(row: _Info) -> ProcessSeen:
    return ProcessSeen(
        worker=row.name,
        group=row.group,
        state=row.statename,
        pid=row.pid,
        since_s=row.start,
        now_s=row.now,
        exit_status=row.exitstatus,
        reason=(row.spawnerr or row.description)[:200],
    )


def environment(base: Mapping[str, str], *, data: Path, config: Path) -> dict[str, str]:
    """The environment that supervisord.conf expands, absolute paths and the Python of this process.

    Raises:
        NeedsAPerson: a path that cannot stand in a quoted command of the conf.
    """
    ours = {
        "ORDERBOOKS_DATA": str(data.absolute()),
        "ORDERBOOKS_CONFIG": str(config.absolute()),
        "ORDERBOOKS_PYTHON": sys.executable,
    }
    for name, path in ours.items():
        if _QUOTED & set(path):
            raise NeedsAPerson(
                f"use {path!r} as {name}: it has a quote, backslash or line break",
                hint="supervisord cannot be told such a path; use another directory",
            )
    return {**base, **ours}


def claim(run_folder: Path) -> None:
    """Hold the data directory for the supervisord that this process becomes.

    Raises:
        NeedsAPerson: a fleet is already running on it.
    """
    path = run_folder / ".lock"
    fd = durable.try_lock(path)
    if fd is None:
        raise NeedsAPerson(
            f"start a fleet on {run_folder.parent}: supervisord "
            f"{path.read_text().strip() or '?'} already runs one there",
            hint="`orderbooks ctl status` shows it, `orderbooks ctl shutdown` ends it",
        )
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    if fd == _LOCK_FD:
        os.set_inheritable(fd, True)  # noqa: FBT003 - the call takes no keyword
    else:
        os.dup2(fd, _LOCK_FD, inheritable=True)


def become_supervisord(conf: Path, env: Mapping[str, str]) -> Never:
    """Replace this process by supervisord in the foreground."""
    _exec("supervisor.supervisord", ["-n", "-c", str(conf)], env)


def become_supervisorctl(conf: Path, env: Mapping[str, str], arguments: Iterable[str]) -> Never:
    """Replace this process by supervisorctl."""
    _exec("supervisor.supervisorctl", ["-c", str(conf), *arguments], env)


def _exec(module: str, arguments: list[str], env: Mapping[str, str]) -> Never:
    try:
        import supervisor  # noqa: F401, PLC0415 - empty; asks only whether it is installed
    except ImportError:
        raise NeedsAPerson(
            f"run supervisor: {sys.executable} does not have it",
            hint="`make env` installs what requirements.lock names",
        ) from None
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], dict(env))  # noqa: S606
