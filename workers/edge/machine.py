"""The machine: room on the disk, who uses it, what a process takes. The owner of psutil.

Promises  a walk over the archive costs one stat for each directory that did not change: files
          are replaced by rename and never grow, but for segments being written and logs
Fails     OSError when the filesystem itself does not answer; one unreadable directory counts as
          empty and is named in `problems`
"""

import ipaddress
import os
import socket
import stat
from pathlib import Path

import msgspec
import psutil

from workers.core.health.disk import DiskSeen
from workers.core.health.reports import Usage

#: Parts of the data directory that can grow.
DIRECTORIES = ("raw", "derived", "spool", "manifests", "labels", "log")
NS_PER_S = 1_000_000_000
#: A directory changed this short before a walk may change again under the same mtime.
_SETTLED_NS = 2 * NS_PER_S
_BLOCK_BYTES = 512
#: A directory tree deeper than ours is not ours; and no recursion may end a worker.
_DEPTH_MAX = 12


class _Folder(msgspec.Struct, frozen=True):
    """One directory's own files and its subdirectories, valid while its mtime stands."""

    mtime_ns: int
    own_bytes: int
    folders: tuple[str, ...]


class Machine:
    """The filesystem of one data directory, and processes by pid."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, _Folder] = {}
        self._growing = (f"{root}/spool/open", f"{root}/log")
        self.problems: list[str] = []

    def room(self) -> DiskSeen:
        """Free and total bytes and inodes, as this user may use them.

        Raises:
            OSError: the filesystem does not answer.
        """
        usage = psutil.disk_usage(str(self._root))
        inodes = os.statvfs(self._root)
        return DiskSeen(
            free_bytes=usage.free,
            total_bytes=usage.total,
            free_inodes=inodes.f_favail,
            total_inodes=inodes.f_files,
        )

    def sizes(self, wall_ns: int) -> dict[str, int]:
        """Bytes on disk below each directory of the data directory, as `du` counts them."""
        self.problems = []
        known, self._known = self._known, {}
        return {name: self._below(f"{self._root}/{name}", known, wall_ns) for name in DIRECTORIES}

    def _below(self, top: str, known: dict[str, _Folder], wall_ns: int) -> int:
        total, waiting = 0, [(top, 0)]
        while waiting:
            path, depth = waiting.pop()
            folder = self._folder(path, known.get(path), wall_ns)
            total += folder.own_bytes
            if depth < _DEPTH_MAX:
                waiting += [(f"{path}/{name}", depth + 1) for name in folder.folders]
        return total

    def _folder(self, path: str, known: _Folder | None, wall_ns: int) -> _Folder:
        try:
            mtime_ns = os.lstat(path).st_mtime_ns
            if known is None or known.mtime_ns != mtime_ns:
                known = _listed(path, mtime_ns)
        except FileNotFoundError:
            return _Folder(0, 0, ())
        except OSError as error:
            self.problems.append(str(error)[:200])
            return _Folder(0, 0, ())
        is_settled = wall_ns - mtime_ns > _SETTLED_NS
        if is_settled and not path.startswith(self._growing):
            self._known[path] = known
        return known

    def usage(self, pids: list[int]) -> dict[int, Usage]:
        """Memory (PSS, what the process costs beside the others) and descriptors by pid."""
        return {pid: _usage(pid) for pid in pids if pid > 0}


def _listed(path: str, mtime_ns: int) -> _Folder:
    own_bytes, folders = 0, []
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            own_bytes += found.st_blocks * _BLOCK_BYTES
            if stat.S_ISDIR(found.st_mode):
                folders.append(entry.name)
    return _Folder(mtime_ns, own_bytes, tuple(folders))


def _usage(pid: int) -> Usage:
    try:
        process = psutil.Process(pid)
        return Usage(process.memory_full_info().pss, process.num_fds())
    except (psutil.Error, OSError):
        return Usage(None, None)


def is_here(host: str) -> bool | None:
    """Whether a host, by name or address, is this machine; None when its name leads nowhere."""
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return None
    own = {
        each.address.partition("%")[0] for some in psutil.net_if_addrs().values() for each in some
    }
    return any(each in own or _is_loopback(each) for each in found)


def _is_loopback(address: str) -> bool:
    known = ipaddress.ip_address(address)
    known = getattr(known, "ipv4_mapped", None) or known
    return known.is_loopback or known.is_unspecified
