"""Who may write where: one owner for each directory, one shard count for each kind of worker.

Promises  two live processes never own one directory, and two live workers of one kind never
          disagree about the number of shards, so that no market is recorded twice.
Fails     Temporary while the other owner lives: it is waited for, not fought.
"""

import fcntl
import os
from pathlib import Path

from workers.core.errors import Temporary
from workers.edge import durable

_held: dict[Path, int] = {}


def own(folder: Path) -> int:
    """Hold a directory for the life of this process.

    Returns:
        The descriptor of the lock: a child that inherits it holds the directory as well.

    Raises:
        Temporary: another process holds it.
    """
    path = folder / ".lock"
    if path in _held:
        return _held[path]
    fd = durable.try_lock(path)
    if fd is None:
        raise Temporary(
            f"own {folder}: process {path.read_text().strip() or '?'} holds it",
            hint="it is released when that process ends; two fleets cannot share a data_dir",
        )
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    _held[path] = fd
    return fd


def is_owned(folder: Path) -> bool:
    """True when some process, this one included, holds the directory now."""
    path = folder / ".lock"
    if not path.exists():
        return False
    fd = durable.try_lock(path)
    if fd is None:
        return True
    durable.close(fd)
    return False


def agree_on_shards(open_root: Path, shards: int, kind: str = "collector") -> None:
    """Join the live workers of a kind, or wait until all that count differently are gone.

    All that agree share the lock; whoever finds another number must first get it alone.

    Raises:
        Temporary: such workers with another shard count are alive.
    """
    path = open_root / f".shards-{kind}"
    if path in _held:
        return
    alone = durable.try_lock(path)
    if alone is not None:
        os.ftruncate(alone, 0)
        os.pwrite(alone, f"{shards}\n".encode(), 0)
        durable.close(alone)
    shared = durable.try_lock(path, fcntl.LOCK_SH)
    if shared is None:
        raise Temporary(f"join the live {kind}s: {path} is being changed")
    found = path.read_text().strip()
    if found != str(shards):
        durable.close(shared)
        raise Temporary(
            f"record as one of {shards} shards: live {kind}s count {found or '?'}",
            hint="after a change of numprocs every one of them restarts: supervisorctl update",
        )
    _held[path] = shared


def release_all() -> None:
    """Let go of everything this process holds (tests; the kernel does it at exit)."""
    while _held:
        durable.close(_held.popitem()[1])
