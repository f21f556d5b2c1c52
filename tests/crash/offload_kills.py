"""Deaths of an uploader and of its rclone: aimed at a moment, told by what was going on then.

    any      somewhere within four seconds       judged   a listing has just ended
    start    while the process starts           written  the ledger has just got a row
    copy     rclone copies                      settled  a ticket has just been finished
    list     rclone lists (batch or retention)  listed   retention has just written what it lets go
    ask      rclone is asked what it can do     gone     a data file has just left
    drill    a file is fetched back or examined

Promises  only processes that the given uploader started are killed; an aim that does not come
          within its limit becomes a death all the same, counted by what it met
"""

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.crash.offload_port import Port
from workers.core.health.heartbeats import Heartbeat
from workers.core.offload.offload import RetentionManifest
from workers.edge.spool import state, tickets

AIMS = (
    *("any", "start", "copy", "list", "ask", "drill"),
    *("judged", "written", "settled", "listed", "gone"),
)
TARGETS = ("uploader", "rclone", "both")
TARGET_WEIGHTS = (4, 3, 3)
AIM_LIMIT_S = 5.0
LOOK_S = 0.001
#: From the moment that was aimed at to the death, at most.
SPREAD_S = {
    "any": 4.0,
    "start": 0.8,
    "copy": 0.06,
    "list": 0.06,
    "ask": 0.03,
    "drill": 0.2,
    "judged": 0.06,
    "written": 0.006,
    "settled": 0.003,
    "listed": 0.004,
    "gone": 0.002,
}


def children(pid: int) -> dict[int, list[str]]:
    """The command lines of what a process started, by process id."""
    try:
        pids = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return {}
    found = {int(each): command_of(int(each)) for each in pids}
    return {each: words for each, words in found.items() if words}


def command_of(pid: int) -> list[str]:
    """The command line of a process; [] when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def rclone_of(pid: int) -> int | None:
    """The process id of an uploader's rclone, if one runs."""
    found = (each for each, words in children(pid).items() if words[0].endswith("/rclone"))
    return next(found, None)


class Hunter:
    """Kills one uploader after the other, as its dice say."""

    def __init__(self, port: Port, dice: random.Random, aim_limit_s: float = AIM_LIMIT_S) -> None:
        self._port, self._dice, self._aim_limit_s = port, dice, aim_limit_s

    def kill(self, process: subprocess.Popen[bytes], aim: str, target: str) -> tuple[str, str]:
        """Wait for the moment, then SIGKILL; returns what was going on and who died."""
        self._await(process.pid, aim)
        if target == "rclone":
            self._until(lambda: rclone_of(process.pid))
        doing, rclone = self._doing(process.pid), rclone_of(process.pid)
        killed = "uploader"
        if target != "uploader" and rclone is not None:
            _kill(rclone)
            # A busy machine takes long to end it, and nobody can die twice.
            self._until(lambda: not command_of(rclone))
            killed = target
        if killed != "rclone":
            process.kill()
            process.wait()
        return doing, killed

    def _await(self, pid: int, aim: str) -> None:
        data = self._port.data
        if aim == "copy":
            self._until(lambda: self._doing(pid) == "copy")
        elif aim == "list":
            self._until(lambda: self._doing(pid).startswith("list"))
        elif aim == "ask":
            self._until(lambda: self._doing(pid) == "ask")
        elif aim == "drill":
            self._until(lambda: self._doing(pid) in {"fetch", "examine"})
        elif aim == "judged":
            self._until(lambda: self._doing(pid).startswith("list"))
            self._until(lambda: not self._doing(pid).startswith("list"))
        elif aim == "written":
            self._until_other(lambda: _stamp(data.latest("upload")))
        elif aim == "settled":
            self._until_other(lambda: len(tickets.waiting(data, "upload", tickets.DONE)))
        elif aim == "listed":
            self._until_other(self._listed)
        elif aim == "gone":
            self._until_other(self._gone)
        time.sleep(self._dice.uniform(0, SPREAD_S[aim]))

    def _listed(self) -> str:
        last = state.read(self._port.data.latest("retention"), RetentionManifest)
        return last.batch if last else ""

    def _gone(self) -> int:
        port = self._port
        old = [port.data.root / each.data.path for each in list(port.published) if each.is_old]
        return sum(not path.exists() for path in old)

    def _until(self, condition: Callable[[], object]) -> None:
        until = time.monotonic() + self._aim_limit_s
        while time.monotonic() < until and not condition():
            time.sleep(LOOK_S)

    def _until_other(self, value: Callable[[], object]) -> None:
        before = value()
        self._until(lambda: value() != before)

    def _doing(self, pid: int) -> str:
        """What an uploader is about, as one word."""
        running = children(pid)
        for words in running.values():
            if words[0].endswith("/rclone") and len(words) > 2:
                return self._verb(words)
        if any("spawn_main" in word for words in running.values() for word in words):
            return "examine"
        beat = state.read(self._port.data.heartbeat("uploader"), Heartbeat)
        return "between" if beat and beat.pid == pid else "starting"

    def _verb(self, words: list[str]) -> str:
        if words[1] == "copy":
            return "copy" if words[2] == str(self._port.data.root) else "fetch"
        if words[1] == "lsjson":
            return "list for retention" if self._asks_for_proven() else "list"
        return {"backend": "ask", "hashsum": "read back"}.get(words[1], words[1])

    def _asks_for_proven(self) -> bool:
        """True when the list that rclone was given begins with a file whose ticket is done."""
        try:
            first = (self._port.data.run / "offload/paths").read_text().partition("\n")[0]
        except OSError:
            return False
        name = first.rpartition("/")[2].partition(".")[0]
        return (self._port.data.queue("upload") / f"{name}{tickets.DONE}").exists()


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _kill(pid: int) -> None:
    if command_of(pid)[:1] and command_of(pid)[0].endswith("/rclone"):
        os.kill(pid, signal.SIGKILL)


def family(folder: Path) -> list[str]:
    """Every process whose command line or environment names a folder, but this one."""
    mark, found = str(folder).encode(), []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:
            continue
        if int(place.name) != os.getpid() and (mark in environment or mark in words):
            found.append(f"{place.name}: {words[:300].replace(bytes(1), b' ').decode()}")
    return found
