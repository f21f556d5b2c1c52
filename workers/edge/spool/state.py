"""Small files that are replaced whole: heartbeats, the guard, the universe, latest manifests.

Promises  a reader sees one whole version; a file that is missing, torn by hand or of another
          shape reads as None, and the caller says what that means.
"""

from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.archive.manifests import encode
from workers.core.health.heartbeats import Crash, Guard, Heartbeat
from workers.edge import durable
from workers.edge.spool.directory import DataDir

Shape = TypeVar("Shape")
#: A heartbeat takes 300 bytes and 300 for each market; a universe 2 KB for each.
STATE_MAX_BYTES = 4 << 20
UNIVERSE_MAX_BYTES = 64 << 20


def read(path: Path, shape: type[Shape]) -> Shape | None:
    """A JSON file as `shape`, or None when there is none that can be believed."""
    try:
        data = durable.read_regular(path, STATE_MAX_BYTES)
        return msgspec.json.decode(data, type=shape)
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError):
        return None


def write(path: Path, value: msgspec.Struct) -> None:
    """Replace a state file that must survive a power cut."""
    durable.replace_own(path, encode(value))


def beat(data: DataDir, heartbeat: Heartbeat) -> None:
    """Replace a heartbeat; not synced, because after a power cut it is worth nothing."""
    path = data.heartbeat(heartbeat.worker)
    durable.replace_unsynced(path, msgspec.json.encode(heartbeat) + b"\n")


def heartbeats(data: DataDir) -> list[Heartbeat]:
    """Every worker's last heartbeat, by name."""
    paths = sorted(data.heartbeats.glob("*.json"))
    found = [read(path, Heartbeat) for path in paths if not path.name.endswith(".crash.json")]
    return [heartbeat for heartbeat in found if heartbeat is not None]


def running(data: DataDir) -> dict[str, str]:
    """The run of each worker whose process is alive: its newest rows may not be on the disk yet."""
    beats = heartbeats(data)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip() if beats else ""
    return {
        beat.worker: beat.run
        for beat in beats
        if beat.state != "stopped"
        and beat.boot_id == boot_id
        and Path(f"/proc/{beat.pid}").exists()
    }


def crashes(data: DataDir) -> list[Crash]:
    """The last unexpected death of each worker that had one."""
    found = [read(path, Crash) for path in sorted(data.heartbeats.glob("*.crash.json"))]
    return [crash for crash in found if crash is not None]


def guard(data: DataDir) -> Guard:
    """The disk guard; "ok" when the watchdog has not written one."""
    return read(data.guard, Guard) or Guard()
