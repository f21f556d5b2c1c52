"""The disk: the only module that syncs, renames or creates exclusively.

Promises  a file replaced here is whole under its name after any crash; a published name is
          never overwritten; what is hashed before a commit was read back from the disk.
Fails     OSError as the system gave it; the caller decides what kind of error it is.
Never     retries an fsync: after a failed one the kernel marks the pages clean and the next
          one lies ("fsyncgate"; seen on Linux 6.18: EIO, then success, and the old bytes on disk).
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from pathlib import Path

_PIECE_BYTES = 1 << 20


def sync_directory(folder: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_directories(folder: Path) -> None:
    """Create a directory and its missing parents, each name synced into its parent."""
    if folder.is_dir():
        return
    make_directories(folder.parent)
    folder.mkdir(exist_ok=True)
    sync_directory(folder.parent)


def write_all(fd: int, data: bytes) -> int:
    """Write until done or an error; returns the bytes written before the error, by exception.

    Raises:
        PartialWrite: carries the count that reached the file and the error behind it.
    """
    view = memoryview(data)
    done = 0
    while done < len(data):
        try:
            done += os.write(fd, view[done:])
        except OSError as error:
            raise PartialWrite(done, error) from error
    return done


class PartialWrite(Exception):
    """A write that stopped: `done` bytes are in the file, the rest is not."""

    def __init__(self, done: int, error: OSError) -> None:
        super().__init__(f"{done} bytes written, then {error}")
        self.done = done
        self.error = error


def create_exclusively(path: Path) -> int:
    """A new file for appending; fails if the name exists in any form, even as a dead link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o644)


def sync_data(fd: int) -> None:
    """fdatasync: the bytes and the size are on the disk when this returns."""
    os.fdatasync(fd)


def close(fd: int) -> None:
    """Close a descriptor."""
    os.close(fd)


def write_new(path: Path, data: bytes) -> None:
    """A whole new file, synced, under a name that may exist only as our own earlier draft."""
    path.unlink(missing_ok=True)
    close(create_exclusively(path))
    append(path, data)


def append(path: Path, data: bytes) -> None:
    """Add bytes to an existing file of ours and sync them."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        write_all(fd, data)
        os.fsync(fd)
    except PartialWrite as partial:
        raise partial.error from partial
    finally:
        os.close(fd)


def replace(path: Path, data: bytes) -> None:
    """Replace a file whole: a reader sees the old bytes or the new ones, after any crash."""
    _replace(path, path.with_name(f".{path.name}.{os.getpid()}.tmp"), data)


def replace_own(path: Path, data: bytes) -> None:
    """The same of a file that nobody else writes: the next draft takes the place of a lost one."""
    _replace(path, _own_draft(path), data)


def replace_unsynced(path: Path, data: bytes) -> None:
    """Replace a file that nobody else writes, without waiting for the disk (heartbeats)."""
    draft = _own_draft(path)
    draft.write_bytes(data)
    draft.replace(path)


def _replace(path: Path, draft: Path, data: bytes) -> None:
    write_new(draft, data)
    draft.replace(path)
    sync_directory(path.parent)


def _own_draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def move(source: Path, target: Path) -> None:
    """Rename within the filesystem and sync both directories; refuses an existing target.

    The check is safe because each directory has one writer, held by its flock.
    """
    if os.path.lexists(target):
        raise FileExistsError(f"{target} exists; a published name is never overwritten")
    source.rename(target)
    sync_directory(target.parent)
    if source.parent != target.parent:
        sync_directory(source.parent)


def remove(path: Path) -> None:
    """Take a name away for good, or find it gone already; the directory is synced.

    Only for what is proven elsewhere or made anew: published files go by retention alone.
    """
    try:
        path.unlink()
    except FileNotFoundError:
        return
    sync_directory(path.parent)


def read_regular(path: Path, limit_bytes: int) -> bytes:
    """A regular file of bounded size, without following a link or waiting for a pipe.

    Raises:
        OSError: as the system gave it.
        ValueError: not a regular file, or too large.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    fd = os.open(path, flags)
    with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("not a regular file")
        if found.st_size > limit_bytes:
            raise ValueError(f"{found.st_size} bytes, at most {limit_bytes} are read")
        return file.read(limit_bytes)


def read_back(path: Path) -> Iterator[bytes]:
    """The bytes that are on the disk, in pieces: sync, drop the clean page cache, read.

    After a failed write-back the cache shows data that the disk does not have; believing it
    publishes corrupt files (the bug `trust_cache` that tests/crash/plants.py plants).
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := os.read(fd, _PIECE_BYTES):
            yield piece
    finally:
        os.close(fd)


def try_lock(path: Path, mode: int = fcntl.LOCK_EX) -> int | None:
    """An flock on a file, held until the descriptor closes; None when another holds it.

    The file is never unlinked: a second owner must meet the same inode.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd
