"""Discovery in this process, against the loopback venue, on a clock that never waits."""

import os
import time
from pathlib import Path
from typing import Any

import msgspec

from tests.venue import Venue
from workers.core.archive.ledger import Request, read_row
from workers.core.archive.manifests import Writer
from workers.core.health.heartbeats import Condition
from workers.core.settings.scope import DEFAULT_SERIES
from workers.core.settings.settings import Collector, Selection, Settings
from workers.core.settings.settings import Discovery as DiscoverySettings
from workers.core.settings.settings import Venue as Addresses
from workers.core.universe.universe import Universe, read_universe
from workers.discovery import Discovery
from workers.edge import durable
from workers.edge.eventlog import EventLog
from workers.edge.lifecycle import Bench
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder
from workers.edge.world import World

#: Two minutes into a 5-minute window, so that no test meets a roll-over it did not ask for.
MIDDLE_MS = 1_795_228_320_000


class SkippingWorld(World):
    """Real clocks, set to a known moment; waiting moves them on instead of taking time."""

    def __init__(self) -> None:
        super().__init__()
        self._wall_before_ns = MIDDLE_MS * 1_000_000 - time.monotonic_ns()
        self._skipped_ns = 0

    def mono_ns(self) -> int:
        return time.monotonic_ns() + self._skipped_ns

    def wall_ns(self) -> int:
        return self._wall_before_ns + self.mono_ns()

    def wait_until(self, mono_ns: int) -> None:
        self._skipped_ns += max(0, mono_ns - self.mono_ns())

    def skip(self, seconds: float) -> None:
        self._skipped_ns += int(seconds * 1e9)


class Finder:
    """One discovery with its directory, venue and clock."""

    def __init__(self, folder: Path, **discovery: Any) -> None:
        self.folder = folder
        self.world = SkippingWorld()
        self.venue = Venue(folder / "venue", lines=("btc-5m",), clock_ns=self.world.wall_ns)
        self.venue.start()
        self.data = DataDir(folder / "var")
        self.data.prepare()
        self.settings = Settings(
            venue=Addresses(gamma_url=self.venue.url, clob_url=self.venue.url),
            selection=Selection(series=DEFAULT_SERIES[:1]),
            discovery=DiscoverySettings(
                **{"horizon_s": 900, "request_timeout_s": 25.0, "requests_per_10s": 100} | discovery
            ),
            collector=Collector(kept_body_bytes=100),
        )
        self._log_fd = os.open(folder / "log", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.start()

    def start(self) -> None:
        """A new run, as after a restart."""
        writer = Writer(
            worker="discovery",
            run=str(self.world.wall_ns() // 1_000_000),
            versions={"orderbooks": "0"},
        )
        limits = Limits(
            flush_interval_s=2,
            sync_interval_s=5,
            retry_pause_s=1,
            max_segment_bytes=1 << 25,
            deflate_level=6,
        )
        durable.make_directories(self.data.open_folder("discovery"))
        self.recorder = Recorder(self.data, writer, limits)
        self.discovery = Discovery(
            Bench(
                settings=self.settings,
                config_sha256="0" * 64,
                remote="",
                data=self.data,
                writer=writer,
                world=self.world,
                log=EventLog("discovery", fd=self._log_fd),
                recorder=self.recorder,
                boot_id="boot",
            )
        )

    def stop(self) -> None:
        """End the run as the lifecycle does."""
        self.discovery.close()
        self.recorder.close("stop", wall_ns=self.world.wall_ns(), mono_ns=self.world.mono_ns())

    def round(self) -> Universe:
        """One whole round; the universe as collectors read it afterwards."""
        done = self.rounds
        for _ in range(2000):
            again_ns = self.discovery.step()
            if self.rounds > done:
                return self.universe()
            self.world.wait_until(again_ns)
        raise AssertionError("no round came to its end in 2000 steps")

    @property
    def rounds(self) -> int:
        return int(self.discovery.beat()["counters"]["rounds"])

    def universe(self) -> Universe:
        return read_universe(self.data.universe.read_bytes())

    def conditions(self) -> dict[str, str]:
        found: list[Condition] = self.discovery.beat()["conditions"]
        return {each.alert: each.detail for each in found}

    def events(self, name: str) -> list[dict[str, Any]]:
        lines = (self.folder / "log").read_bytes().splitlines()
        rows = [msgspec.json.decode(line) for line in lines]
        return [row for row in rows if row["event"] == name]

    def rows(self, kind: str) -> list[bytes]:
        """Every whole row on the disk: published segments, then the open one."""
        self.recorder.flush_now(wall_ns=self.world.wall_ns(), mono_ns=self.world.mono_ns())
        lines = []
        for path in sorted((self.data.root).glob(f"*/**/*--{kind}--*.jsonl.gz")):
            lines += reader.read_stream(path).data.split(b"\n")[:-1]
        for stream in reader.open_streams(self.data, kinds=frozenset({kind})):
            lines += stream.rows.split(b"\n")[:-1]
        return lines

    def requests(self) -> list[Request]:
        rows = [read_row(line) for line in self.rows("ledger")]
        return [row for row in rows if isinstance(row, Request)]

    def end(self) -> None:
        self.venue.stop()
        self.venue.ledger.close()
        self.venue.channel_ledger.close()
        os.close(self._log_fd)
