"""A small real setting for process tests: a config, a data directory, a universe, a process.

Used by tests only. Nothing here is a mock: the processes are `python -m workers.…`, the venue is
the loopback venue, files are files.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import msgspec
import psutil

from workers.core.archive.ledger import Row, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.instants import ms_text
from workers.core.settings.settings import Schedule
from workers.core.universe.markets import Market, Token
from workers.core.universe.phases import phases_of
from workers.core.universe.slugs import Window
from workers.core.universe.universe import Universe
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

ROOT = Path(__file__).parent.parent
SCHEDULE = Schedule(
    warm_lead_s=20,
    hot_lead_s=2,
    hot_tail_s=2,
    warm_tail_s=6,
    hot_interval_ms=200,
    warm_interval_ms=1000,
)


def wait_for(condition: Callable[[], object], *, limit_s: float = 60, what: str = "") -> object:
    """Wait until a condition gives something true; fails loudly at the limit."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {limit_s} s in vain for {what or condition}")


def halt(process: subprocess.Popen[bytes]) -> None:
    """Stop a process, and wait until the kernel has: a busy one takes tens of milliseconds."""
    process.send_signal(signal.SIGSTOP)
    halted = psutil.Process(process.pid)
    wait_for(lambda: halted.status() == psutil.STATUS_STOPPED, what="a stopped process")


class Rig:
    """One data directory with its config and the processes a test starts in it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.data = DataDir(folder / "var")
        self.data.prepare()
        self.config = folder / "orderbooks.yaml"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.write_config()

    def write_config(self, **sections: dict[str, object]) -> None:
        """Write a config for fast tests; `sections` override single settings."""
        settings: dict[str, dict[str, object]] = {
            "venue": {"gamma_url": self.url, "clob_url": self.url},
            "schedule": msgspec.structs.asdict(SCHEDULE),
            "collector": {
                "request_timeout_s": 0.9,
                "late_tolerance_ms": 150,
                "backoff_base_s": 0.05,
                "backoff_cap_s": 0.4,
                "blocked_backoff_s": 0.3,
                "retry_after_cap_s": 2,
                "requests_per_10s": 400,
            },
            "segments": {"flush_interval_s": 0.3, "sync_interval_s": 0.6, "retry_pause_s": 0.2},
            "offload": {"remote": str(self.folder / "remote")},
        }
        for name, values in sections.items():
            settings[name] = {**settings.get(name, {}), **values}
        self.config.write_text(json.dumps({"data_dir": str(self.data.root), **settings}))

    def publish_universe(self, markets: list[Market], seq: int = 1) -> Universe:
        """Put a universe.json in place as discovery does."""
        now_ms = time.time_ns() // 1_000_000
        universe = Universe(
            seq=seq,
            published_at_utc=ms_text(now_ms),
            published_ms=now_ms,
            fetched_at_utc=ms_text(now_ms),
            markets=tuple(markets),
        )
        draft = self.data.universe.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(universe))
        draft.replace(self.data.universe)
        return universe

    def start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a worker process; it ends with the test."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "ORDERBOOKS_CONFIG": str(self.config)}
        name = f"{module}{''.join(arguments)}".replace("-", "")
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"workers.{module}", *arguments],
                env=environment,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def collector(self, shard: int = 0, shards: int = 1) -> subprocess.Popen[bytes]:
        """Start one collector."""
        return self.start("collector", f"--shard={shard}", f"--shards={shards}")

    def stop(self, process: subprocess.Popen[bytes], *, limit_s: float = 60) -> int:
        """Ask a process to stop and return its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(limit_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End whatever is still running."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)

    def log_text(self) -> str:
        """Everything the processes printed."""
        return "".join(path.read_text() for path in sorted(self.folder.glob("*.log")))

    def manifests(self, kind: str) -> list[SegmentManifest]:
        """The readable published manifests of one kind."""
        found = reader.manifests(self.data, kinds=frozenset({kind}))
        return [each for _, each in found if isinstance(each, SegmentManifest)]

    def published_rows(self, kind: str) -> Iterator[bytes]:
        """Every line of the published segments of one kind."""
        for manifest in self.manifests(kind):
            yield from reader.read_stream(self.data.root / manifest.path).data.splitlines()

    def open_rows(self, kind: str) -> Iterator[bytes]:
        """Every whole flushed line of the open segments of one kind."""
        for stream in reader.open_streams(self.data, kinds=frozenset({kind})):
            yield from stream.rows.splitlines()

    def ledger(self) -> list[Row]:
        """Every ledger row, published or open."""
        # The open ones first: what is published meanwhile is then seen twice, and not never.
        opened = list(self.open_rows("ledger"))
        lines = dict.fromkeys([*self.published_rows("ledger"), *opened])
        return [read_row(line) for line in lines]


def market_of(venue_market: object) -> Market:
    """A universe record of a loopback venue market."""
    start_ms, end_ms = venue_market.start_ms, venue_market.end_ms  # type: ignore[attr-defined]
    up, down = venue_market.token_ids  # type: ignore[attr-defined]
    phases = phases_of(Window(start_ms, end_ms), SCHEDULE)
    return Market(
        slug=venue_market.slug,  # type: ignore[attr-defined]
        question="Up or Down?",
        condition_id=venue_market.condition_id,  # type: ignore[attr-defined]
        tokens=(Token(token_id=up, outcome="Up"), Token(token_id=down, outcome="Down")),
        series="btc-5m",
        event_slug=venue_market.slug,  # type: ignore[attr-defined]
        listed_at_utc=None,
        window_start_utc=ms_text(start_ms),
        window_end_utc=ms_text(end_ms),
        tick_size="0.01",
        status="open",
        source="keyset",
        fetched_at_utc=ms_text(start_ms),
        record_from_utc=ms_text(phases[0].from_ms),
        record_until_utc=ms_text(phases[-1].until_ms),
        tier="hot",
        phases=phases,
    )
