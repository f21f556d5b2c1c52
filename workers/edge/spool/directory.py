"""The data directory: where everything lies. Nobody else builds one of these paths.

Fails  NeedsAPerson when the directory cannot hold the protocol (not writable,
       spread over filesystems, a socket path that is too long).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX, ROOTS, segment_folder
from workers.core.errors import NeedsAPerson
from workers.core.tables.manifests import DATA_SUFFIX as TABLE_SUFFIX
from workers.edge import durable

QUEUES = ("normalize", "upload")
#: sun_path of a unix socket holds 108 bytes with its final NUL; supervisord adds `.<pid>` while
#: it binds.
SOCKET_PATH_MAX_BYTES = 96


class DataDir:
    """Paths below `data_dir`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.universe = root / "spool/universe/universe.json"
        self.guard = root / "spool/guard/disk.json"
        self.heartbeats = root / "spool/heartbeat"
        self.quarantine = root / "spool/quarantine"
        self.open_root = root / "spool/open"
        self.snapshots = root / "spool/snapshot"
        self.labels = root / "labels"
        self.manifests = root / "manifests"
        self.run = root / "run"
        self.log = root / "log"
        self.metrics = root / "metrics/orderbooks.prom"
        self.socket = root / "run/supervisor.sock"

    def open_folder(self, worker: str) -> Path:
        """Segments being written by one worker, private to it."""
        return self.open_root / worker

    def queue(self, name: str) -> Path:
        """The tickets of one consumer."""
        return self.root / "spool" / name

    def heartbeat(self, worker: str) -> Path:
        """The worker's own account of itself, replaced whole."""
        return self.heartbeats / f"{worker}.json"

    def crash(self, worker: str) -> Path:
        """The traceback of the worker's last unexpected death."""
        return self.heartbeats / f"{worker}.crash.json"

    def latest(self, kind: str) -> Path:
        """The newest manifest of `discovery`, `health`, `disk` or `alerts`, replaced whole."""
        return self.manifests / kind / "latest.json"

    def segment_folder(self, kind: str, due_ms: int) -> Path:
        """Where a segment of this kind and hour is published."""
        return self.root / segment_folder(kind, due_ms)

    def relative(self, path: Path) -> str:
        """A path as manifests write it: relative to the data directory, with slashes."""
        return path.relative_to(self.root).as_posix()

    def manifest_paths(self) -> Iterator[Path]:
        """Every published segment manifest, by root, then by time."""
        for folder in sorted(set(ROOTS.values())):
            yield from sorted((self.root / folder).glob(f"date=*/hour=*/*{MANIFEST_SUFFIX}"))

    def chosen_manifests(self, chosen: Sequence[Path]) -> Iterator[Path]:
        """The manifests of what a person names: data files, manifests or directories; none = all.

        Raises:
            NeedsAPerson: it does not lie here.
        """
        if not chosen:
            yield from self.manifest_paths()
        for path in chosen:
            found = path.absolute()
            if not found.is_relative_to(self.root) or not found.exists():
                raise NeedsAPerson(
                    f"read {path}: not in the data directory {self.root}",
                    hint="name files or directories below it, or another --data DIR",
                )
            if found.is_dir():
                yield from sorted(found.rglob(f"*{MANIFEST_SUFFIX}"))
            else:
                name = found.name.removesuffix(DATA_SUFFIX).removesuffix(TABLE_SUFFIX)
                yield found.with_name(f"{name.removesuffix(MANIFEST_SUFFIX)}{MANIFEST_SUFFIX}")

    def prepare(self) -> None:
        """Make the directories that every process relies on; safe to run again."""
        try:
            for folder in self._folders():
                durable.make_directories(folder)
        except (PermissionError, FileExistsError, NotADirectoryError) as error:
            raise NeedsAPerson(
                f"prepare the data directory {self.root}: {error}",
                hint="make it a directory this user can write, or set data_dir to one that is",
            ) from error
        self._check_filesystem()

    def _folders(self) -> list[Path]:
        spool = ["universe", "guard", "heartbeat", "quarantine", "open", "snapshot", *QUEUES]
        roots = [self.root / root for root in sorted(set(ROOTS.values()))]
        rest = [self.labels, self.run, self.log, self.metrics.parent]
        return [*(self.root / "spool" / name for name in spool), *roots, *rest]

    def _check_filesystem(self) -> None:
        devices = {folder.stat().st_dev for folder in self._folders()}
        if len(devices) != 1:
            raise NeedsAPerson(
                f"open the data directory {self.root}: its folders lie on {len(devices)} "
                "filesystems, expected one",
                hint="rename(2) is atomic only within one filesystem; move data_dir as a whole",
            )

    def check_socket(self) -> None:
        """Refuse a data directory whose supervisor socket path the kernel cannot hold."""
        length = len(os.fsencode(self.socket.absolute()))
        if length > SOCKET_PATH_MAX_BYTES:
            raise NeedsAPerson(
                f"use {self.socket}: {length} bytes, a unix socket path holds "
                f"{SOCKET_PATH_MAX_BYTES}",
                hint="set data_dir to a shorter path",
            )
