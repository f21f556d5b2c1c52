"""A data directory that fills while its uploader is killed: what was published is known apart.

Used by the offload campaign only. See `tests.processes.shipyard`, of which this is a busier one.
"""

import hashlib
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.processes.shipyard import Shipyard
from tests.remotes.remote import Remote
from workers.core.archive.manifests import SegmentManifest
from workers.edge.spool import tickets

KEEP_DAYS = 1
OLD_HOURS = 24 * KEEP_DAYS + 48
BACKLOG_MAX = 20
#: They come in bursts, so that the uploader finds time for retention and drills as well.
PAUSES_S = (0.05, 0.2, 2.5)
PAUSE_WEIGHTS = (4, 4, 1)
SIZES_BYTES = (200, 2_000, 30_000, 300_000, 1_500_000)
SIZE_WEIGHTS = (4, 4, 3, 2, 1)


@dataclass(frozen=True)
class File:
    """One published file as it left its writer."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Published:
    """One segment; `is_old` when retention has to let its data file go."""

    name: str
    data: File
    manifest: File
    is_old: bool

    @property
    def files(self) -> tuple[File, File]:
        """Both of its files."""
        return (self.data, self.manifest)


class Port(Shipyard):
    """A shipyard with short pauses, retention and drills, whose uploader may have a bug."""

    def __init__(self, folder: Path, remote: Remote, *, plant: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # A batch, then retention, then a drill, a second apart: every life has a bit of each.
        super().__init__(folder, remote, interval_s=3, drill_interval_s=0.5)
        self.retention = {"keep_days": KEEP_DAYS, "interval_s": 5}
        # rclone has the folder in its own configuration, the rest of the family in this.
        self.environment = {"ORDERBOOKS_TEST_PORT": str(folder), "ORDERBOOKS_TEST_PLANT": plant}
        if plant:
            self.module = "tests.crash.offload_plants"
        self.published: list[Published] = []

    def ship(self, *sizes: int, hours_ago: int) -> list[Published]:
        """Publish segments and remember their files."""
        made = [self._known(each, hours_ago) for each in self.publish(*sizes, hours_ago=hours_ago)]
        self.published += made
        return made

    def _known(self, segment: SegmentManifest, hours_ago: int) -> Published:
        path = self.manifest_path(segment)
        raw = (self.data.root / path).read_bytes()
        return Published(
            segment.name,
            File(segment.path, segment.bytes, segment.sha256),
            File(path, len(raw), hashlib.sha256(raw).hexdigest()),
            hours_ago >= OLD_HOURS,
        )

    def hurry(self) -> None:
        """From the next start on: batches and retention without pauses, and no drills."""
        quick: dict[str, object] = {"interval_s": 0.2, "drill_interval_s": 0}
        self.offload |= quick | {"bandwidth_bytes_per_s": 0}
        self.retention["interval_s"] = 0.2

    def process_environment(self) -> dict[str, str]:
        """For a command beside the uploader, which reaches the remote by the straight way."""
        return {**os.environ, **self.remote.environment}

    def backlog(self) -> int:
        """How many tickets wait."""
        return len(tickets.waiting(self.data, "upload"))


class Arrivals:
    """A thread that publishes segments until it is ended; a context manager."""

    def __init__(self, port: Port, seed: int) -> None:
        self._port, self._dice = port, random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            while not self._over.wait(self._dice.choices(PAUSES_S, PAUSE_WEIGHTS)[0]):
                if self._port.backlog() < BACKLOG_MAX:
                    sizes = self._dice.choices(
                        SIZES_BYTES, SIZE_WEIGHTS, k=self._dice.randint(1, 3)
                    )
                    hours_ago = self._dice.choice((0, 3, OLD_HOURS, OLD_HOURS + 5))
                    self._port.ship(*sizes, hours_ago=hours_ago)
        except Exception as error:  # noqa: BLE001 - told by __exit__, in the thread of the campaign
            self._error = error
