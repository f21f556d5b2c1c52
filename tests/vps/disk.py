"""A disk with a volatile cache: whatever a power cut may leave of it is made from a log of blocks.

    raw file ─ qemu-storage-daemon (blklogwrites) ┬ a file that FUSE shows ─ loop ─ file system
                                                  └ vhost-user ─ /dev/vda of a virtual machine

Reads     the log: every write and flush in the order the disk took them (the format of the
          kernel's dm-log-writes)
Writes    <folder>/{raw, base, log, shown, socket}, images of states, loop devices and mounts
Promises  a state has every write that a flush followed before the cut; of the others what the
          caller's chance chose, whole, torn at 4 KiB, or not at all. A mount and its loop device
          end with their `with`
Fails     RuntimeError: qemu-storage-daemon did not show the disk; CalledProcessError: a mount
Never     mounts an image twice: a loop device that still hangs on a file would show old blocks
"""

import os
import random
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

MAGIC = 0x6A736677736872
HEADER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
TEAR_BYTES = 4096
"""What today's disks write whole; finer tears break ext4's own superblock."""
NOTHING, EVERYTHING, SOME = "nothing", "everything", "some"
"""What the cache had written of its own accord when the power went."""
LOST, TORN = 0.5, 0.2
SHOWN_LIMIT_S = 20
TOOLS = {
    "qemu-storage-daemon": "qemu-system-common",
    "fusermount3": "fuse3",
    "losetup": "mount",
    "mkfs.ext4": "e2fsprogs",
}


def lacking() -> str:
    """Why no disk can be logged here, or ""."""
    missing = sorted({package for tool, package in TOOLS.items() if not shutil.which(tool)})
    if missing:
        return f"needs {', '.join(missing)} (Debian: apt install)"
    if os.geteuid() != 0:
        return "needs root: it mounts"
    absent = [each for each in ("/dev/fuse", "/dev/loop-control") if not Path(each).exists()]
    return f"there is no {absent[0]} here" if absent else ""


@dataclass(frozen=True)
class Entry:
    """One write or flush; `at` is where its bytes stand in the log, `end` where it ends there."""

    flags: int
    offset: int
    length: int
    at: int
    end: int


def entries(log: Path) -> list[Entry]:
    """The log's entries up to its torn end.

    Raises:
        ValueError: not such a log.
    """
    found, size = [], log.stat().st_size
    with log.open("rb") as file:
        magic, _, _, sector = HEADER.unpack(file.read(HEADER.size))
        if magic != MAGIC:
            raise ValueError(f"not a log of writes: {magic:#x}")
        at = sector
        while at + ENTRY.size <= size:
            file.seek(at)
            start, count, flags, marked = ENTRY.unpack(file.read(ENTRY.size))
            kept = 0 if flags & (DISCARD | MARK) else count * sector
            if not (flags or count or marked) or at + sector + kept > size:
                break
            end = at + sector + kept
            found.append(Entry(flags, start * sector, count * sector, at + sector, end))
            at = end
    return found


@dataclass(frozen=True)
class Cut:
    """A power cut in front of entry `before`, and what of the cache the disk had by then."""

    before: int
    kept: str
    seed: int = 0


def write_state(image: Path, base: Path, log: Path, found: Sequence[Entry], cut: Cut) -> None:
    """Make the image of the disk as it was found after a cut."""
    subprocess.run(["cp", "--sparse=always", str(base), str(image)], check=True)
    dice = random.Random(cut.seed)
    flushed = max((at for at in range(cut.before) if found[at].flags & FLUSH), default=-1)
    with image.open("r+b") as out, log.open("rb") as data:
        for at, entry in enumerate(found[: cut.before]):
            if entry.flags & (DISCARD | MARK) or not entry.length:
                continue
            is_safe = at <= flushed or bool(entry.flags & FUA)
            data.seek(entry.at)
            for start, piece in _survivors(data.read(entry.length), cut.kept, is_safe, dice):
                out.seek(entry.offset + start)
                out.write(piece)


def _survivors(
    data: bytes, kept: str, is_safe: bool, dice: random.Random
) -> Iterator[tuple[int, bytes]]:
    if is_safe or kept == EVERYTHING:
        yield 0, data
    elif kept == SOME and dice.random() >= LOST:
        is_torn = dice.random() < TORN
        for start in range(0, len(data), TEAR_BYTES):
            if not is_torn or dice.random() < 0.5:
                yield start, data[start : start + TEAR_BYTES]


class LoggedDisk:
    """A raw image whose writes are logged between `show` or `serve` and `hide`."""

    def __init__(self, folder: Path) -> None:
        self.raw, self.base = folder / "raw", folder / "base"
        self.log, self.shown = folder / "log", folder / "shown"
        self.socket = folder / "socket"
        self._daemon: subprocess.Popen[bytes] | None = None

    def make(self, size_bytes: int, *options: str) -> None:
        """An empty ext4 whose tables are all written: the log has no late initialisation."""
        with self.raw.open("wb") as file:
            file.truncate(size_bytes)
        eager = "lazy_itable_init=0,lazy_journal_init=0"
        subprocess.run(["mkfs.ext4", "-q", "-E", eager, *options, str(self.raw)], check=True)

    def show(self) -> Path:
        """Keep the disk as it is now as the base, and log from here; the file to use."""
        self.shown.write_bytes(b"")
        self._start(f"type=fuse,id=out,node-name=logged,mountpoint={self.shown},writable=on")
        self._wait(lambda: self.shown.stat().st_size > 0)
        return self.shown

    def serve(self) -> Path:
        """As `show`, for a virtual machine; the socket to give to it."""
        self.socket.unlink(missing_ok=True)
        address = f"addr.type=unix,addr.path={self.socket}"
        self._start(f"type=vhost-user-blk,id=out,node-name=logged,{address},writable=on")
        self._wait(self.socket.exists)
        return self.socket

    def _start(self, export: str) -> None:
        subprocess.run(["cp", "--sparse=always", str(self.raw), str(self.base)], check=True)
        self.log.write_bytes(b"")
        blocks = (
            f"driver=file,node-name=raw-file,filename={self.raw}",
            "driver=raw,node-name=raw,file=raw-file",
            f"driver=file,node-name=log-file,filename={self.log}",
            "driver=blklogwrites,node-name=logged,file=raw,log=log-file,log-sector-size=512",
        )
        words = ["qemu-storage-daemon", *(word for each in blocks for word in ("--blockdev", each))]
        self._daemon = subprocess.Popen([*words, "--export", export], stdin=subprocess.DEVNULL)

    def _wait(self, is_there: Callable[[], bool]) -> None:
        until = time.monotonic() + SHOWN_LIMIT_S
        while not is_there():
            if self._daemon is None or self._daemon.poll() is not None or time.monotonic() > until:
                raise RuntimeError("qemu-storage-daemon does not show the disk")
            time.sleep(0.02)

    def hide(self) -> None:
        """Log no more; `raw` has everything that was written."""
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(30)
            self._daemon = None


@contextmanager
def mounted(image: Path, place: Path, options: str = "noatime") -> Iterator[Path]:
    """An image's file system, mounted through a loop device of its own."""
    place.mkdir(exist_ok=True)
    told = subprocess.run(
        ["losetup", "--find", "--show", str(image)], check=True, stdout=subprocess.PIPE, text=True
    )
    device = told.stdout.strip()
    try:
        subprocess.run(["mount", "-t", "ext4", "-o", options, device, str(place)], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", str(place)], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
