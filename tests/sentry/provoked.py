"""One way to provoke each alert of the catalogue, and who it is told of.

Reads     the catalogue
Writes    a data directory: what lies there when each condition holds, with secrets in every text
          that a stranger may fill; and afterwards, what lies there when it is over
"""

import json
import os
import secrets
import shutil
import time
from pathlib import Path

import msgspec

from tests.rig import Rig, market_of
from tests.venue import Venue
from workers.core.archive.manifests import Ticket, Writer, encode
from workers.core.health.heartbeats import Condition, Crash, Heartbeat, MarketBeat
from workers.core.polling.cadence import Phase
from workers.edge.spool import state
from workers.edge.spool.recorder import Limits, Recorder, Stream

NS_PER_S = 1_000_000_000
HEARTBEAT_LATE_S = 600
HISTORY_H = 5
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
#: What a worker states of itself in its heartbeat, by the worker that does.
SAID = {
    "collector-00": ("venue_failing", "disk_full"),
    "collector-02": ("venue_failing",),
    "streamer-00": ("stream_failing", "market_isolated", "stream_stale"),
    "discovery": (
        "gamma_unreachable",
        "universe_stale",
        "mapping_refused",
        "discovery_disagrees",
    ),
    "uploader": (
        "remote_unreachable",
        "remote_refused",
        "remote_limited",
        "remote_full",
        "remote_failing",
        "remote_unproven",
        "remote_changed",
        "drill_failed",
    ),
    "normalizer": ("derive_failing",),
}
#: What the watchdog finds by itself, and how it is made true here.
FOUND = {
    ("supervisord_unreachable", "watchdog"): "no supervisord is started at first",
    ("worker_fatal", "discovery"): "a real supervisord, a program that exits with 100",
    ("worker_backoff", "normalizer"): "a real supervisord, a program that exits at once",
    ("worker_silent", "collector-01"): "a heartbeat that stopped eleven minutes ago",
    ("worker_crashed", "collector-00"): "a crash file",
    ("rows_late", "collector-00"): "a market with ticks due, a heartbeat without a book",
    ("hash_failed", "collector-00"): "a heartbeat: 5 of 10 hashes wrong",
    ("disk_low_warn", "watchdog"): "the real free bytes below the setting",
    ("disk_low_stop", "watchdog"): "the real free bytes below the setting",
    ("disk_low_pause", "watchdog"): "the real free bytes below the setting",
    ("disk_fills", "watchdog"): "a published history with three times the room five hours ago",
    ("backlog_old", "watchdog"): "a ticket of an hour ago, and a consumer's lock",
    ("tickets_failed", "watchdog"): "a ticket set aside",
    ("quarantine_grew", "watchdog"): "a file in quarantine",
    ("clock_offset", "watchdog"): "a GET /time that is five seconds behind",
    ("clock_stepped", "watchdog"): "the process's wall clock jumps by 90 s",
    ("state_unreadable", "watchdog"): "a heartbeat that speaks for another worker",
    ("condition_unknown", "streamer-00"): "a heartbeat with a condition of another version",
}
HOW = {
    **FOUND,
    **{(alert, worker): "a heartbeat says so" for worker, said in SAID.items() for alert in said},
}
#: It cannot be told: there is nobody to tell. It must stand in manifests/alerts.
UNTOLD = "sentry_refused"
SHARDS = {"collector-00": 0, "collector-01": 1, "collector-02": 2, "streamer-00": 0}


class Plants:
    """The data directory in which everything is wrong at once, and can be put right."""

    def __init__(self, rig: Rig, dsn: str) -> None:
        self.rig, self.data = rig, rig.data
        self.token = secrets.token_hex(12)
        self.password = secrets.token_hex(12)
        self._key = dsn.split("/")[2].split("@", maxsplit=1)[0]
        self.leaky = f"{dsn} {self.token} {self._key}:{self.password}"

    @property
    def environment(self) -> dict[str, str]:
        """What the watchdog's environment holds beside the DSN."""
        return {"REMOTE_TOKEN": self.token, "RCLONE_FTP_PASSWORD": self.password}

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no stored event may contain."""
        return (self._key, self.token, self.password)

    def place(self, venue: Venue) -> None:
        """Make every condition true that a file makes true."""
        self._universe(venue)
        self._beats()
        self._history()
        crash = Crash(
            worker="collector-00",
            pid=7,
            at_wall_ns=time.time_ns(),
            kind="KeyError",
            message=self.leaky,
            traceback=f"Traceback: {self.leaky}",
        )
        state.write(self.data.crash("collector-00"), crash)
        state.write(self.stranger, self._beat(self._key))
        ticket = Ticket(
            name="a",
            kind="books",
            path="x",
            manifest="x",
            bytes=0,
            sha256="",
            reason=f"conflict: {self.leaky}",
        )
        (self.data.queue("upload") / "a.failed").write_bytes(encode(ticket))
        waiting = self.data.queue("normalize") / "b.ready"
        waiting.touch()
        hour_ago_s = time.time() - 3600
        os.utime(waiting, (hour_ago_s, hour_ago_s))
        (self.data.queue("normalize") / ".lock").touch()
        self.quarantined.touch()

    @property
    def stranger(self) -> Path:
        """A heartbeat that speaks for another."""
        return self.data.heartbeat("collector-09")

    @property
    def quarantined(self) -> Path:
        """A file in quarantine."""
        return self.data.quarantine / "x"

    def mend(self) -> None:
        """Make every condition untrue that a file made true; the crash is old by itself."""
        self._beats(are_well=True)
        for path in (self.stranger, self.quarantined, self.data.universe):
            path.unlink()
        for queue in ("upload", "normalize"):
            shutil.rmtree(self.data.queue(queue))
            self.data.queue(queue).mkdir()

    def _universe(self, venue: Venue) -> None:
        """One market that is due each second, from now on for a day."""
        market = market_of(venue.open_markets()[0])
        now_ms = time.time_ns() // 1_000_000
        span = msgspec.structs.replace(
            market.phases[0], from_ms=now_ms, until_ms=now_ms + 86_400_000, interval_ms=1000
        )
        assert isinstance(span, Phase)
        self.rig.publish_universe([msgspec.structs.replace(market, phases=(span,))])

    def _beats(self, *, are_well: bool = False) -> None:
        said = {**SAID, "streamer-00": (*SAID["streamer-00"], "of_another_version")}
        for worker, alerts in said.items():
            conditions = [Condition(alert=each, detail=self.leaky) for each in alerts]
            state.beat(self.data, self._beat(worker, [] if are_well else conditions))
        late_s = 0 if are_well else HEARTBEAT_LATE_S + 60
        state.beat(self.data, self._beat("collector-01", late_s=late_s))
        hashes = (10, 0) if are_well else (5, 5)
        market = MarketBeat(
            slug="x", condition_id="x", tier="hot", verified=hashes[0], hash_failed=hashes[1]
        )
        beat = state.read(self.data.heartbeat("collector-00"), Heartbeat)
        assert beat is not None
        blind = {"markets": [market], "shards": 1, "last_error": self.leaky}
        state.beat(self.data, msgspec.structs.replace(beat, **blind))

    def _beat(
        self, worker: str, conditions: list[Condition] | None = None, *, late_s: int = 0
    ) -> Heartbeat:
        started_wall_ns = time.time_ns() - 3600 * NS_PER_S
        return Heartbeat(
            worker=worker,
            shard=SHARDS.get(worker),
            pid=os.getpid(),
            run="1",
            version="0",
            boot_id=BOOT_ID,
            started_wall_ns=started_wall_ns,
            at_wall_ns=time.time_ns() - late_s * NS_PER_S,
            at_mono_ns=time.monotonic_ns() - late_s * NS_PER_S,
            conditions=conditions or [],
        )

    def _history(self) -> None:
        """A row of the disk history, published as the watchdog publishes it."""
        at_wall_ns = time.time_ns() - HISTORY_H * 3600 * NS_PER_S
        due_ms = at_wall_ns // 1_000_000
        free_bytes = shutil.disk_usage(self.data.root).free
        seen = {"free_bytes": 3 * free_bytes, "total_bytes": 4 * free_bytes}
        seen |= {"free_inodes": 1, "total_inodes": 2}
        row = {"at_wall_ns": at_wall_ns, "disk": {**seen, "directories": {}}}
        writer = Writer(worker="watchdog", run=str(due_ms), versions={"orderbooks": "0"})
        self.data.open_folder(writer.worker).mkdir(parents=True, exist_ok=True)
        limits = Limits(
            flush_interval_s=60,
            sync_interval_s=60,
            retry_pause_s=1,
            max_segment_bytes=1 << 20,
            deflate_level=1,
        )
        recorder = Recorder(self.data, writer, limits)
        line = json.dumps(row).encode() + b"\n"
        stream = Stream(subject="watchdog", kind="disk")
        recorder.append(stream, line, due_ms=due_ms, wall_ns=at_wall_ns)
        recorder.close("stop", wall_ns=at_wall_ns, mono_ns=0)
