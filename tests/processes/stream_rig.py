"""A streamer that runs against a loopback venue, for process tests. Used by tests only."""

import contextlib
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.processes.stream_oracle import Archive, Judgement, judge
from tests.rig import Rig, market_of, wait_for
from tests.venue import Venue
from tests.venue.events import Tempo
from tests.venue.faults import CHANNEL
from workers.core.health.heartbeats import Heartbeat, StreamBeat
from workers.core.instants import ms_text
from workers.core.stream.rows import Closed
from workers.core.universe.markets import Market
from workers.edge.spool import state
from workers.tools import __main__ as tools

#: Fast in what costs nothing. How long silence, a book or REST's lead are borne is as long as a busy
#: machine may be late, and shorter only where a test is about it.
FAST = {
    "lead_s": 86_400,
    "freeze_after_s": 1.0,
    "confirm_s": 30.0,
    "missing_book_s": 30.0,
    "snapshot_interval_s": 1.0,
    "verify_interval_s": 0.2,
    "stable_after_s": 0.5,
    "backoff_base_s": 0.05,
    "backoff_cap_s": 0.4,
    "ping_interval_s": 0.2,
    "pong_timeout_s": 30.0,
    "rotation_s": 0,
}
NOTHING = Heartbeat(
    worker="",
    pid=0,
    run="",
    version="",
    boot_id="",
    started_wall_ns=0,
    at_wall_ns=0,
    at_mono_ns=0,
)
LASTING_MS = 120_000


@dataclass
class Run:
    """A streamer that ran, or runs, against a venue."""

    venue: Venue
    rig: Rig
    markets: list[Market]
    stopped_ns: int = 0

    def start(self, **streamer: object) -> None:
        """Start it, and wait until it knows every book."""
        self.start_only(**streamer)
        wait_for(self.is_synced, what="every book")

    def start_only(self, *, segments: dict[str, object] | None = None, **streamer: object) -> None:
        """Start it with settings of its own."""
        self.rig.write_config(
            venue={"ws_url": self.venue.ws_url},
            streamer={**FAST, **streamer},
            segments=segments or {},
        )
        self.rig.publish_universe(self.markets)
        self.start_again()

    def start_again(self) -> None:
        """Start it with the settings there are."""
        self.rig.start("streamer", "--shard=0", "--shards=1")

    def beat(self) -> Heartbeat:
        """Its newest heartbeat; empty when there is none."""
        return state.read(self.rig.data.heartbeat("streamer-00"), Heartbeat) or NOTHING

    def is_synced(self) -> bool:
        """True when it knows the book of every market."""
        streams = self.beat().streams
        return len(streams) == len(self.markets) and {e.state for e in streams} == {"SYNCED"}

    def stream(self, market: Market) -> StreamBeat:
        """What its newest heartbeat says of one market."""
        (seen,) = [e for e in self.beat().streams if e.condition_id == market.condition_id]
        return seen

    def has_thawed(self, market: Market) -> bool:
        """True when a market was found frozen, and its books are known again."""
        return self.beat().counters["freezes"] > 0 and self.stream(market).state == "SYNCED"

    def has_lost(self, connections: int) -> bool:
        """True when so many connections were lost."""
        return self.beat().counters.get("closed", 0) >= connections

    def ends(self) -> list[str]:
        """Why connections ended, as far as the ledger's file tells."""
        return [row.cause for row in self.rig.ledger() if isinstance(row, Closed)]

    def hears(self, frames: int) -> None:
        """Let the venue go on until so many more messages were heard."""
        until = self.beat().counters["frames"] + frames
        wait_for(lambda: self.beat().counters["frames"] >= until, what=f"{frames} messages")

    def rests(self, seconds: float) -> None:
        """Let the venue go on for so long."""
        until = time.monotonic() + seconds
        wait_for(lambda: time.monotonic() > until)

    def spoil(self, kind: str, market: Market | None = None, **fields: object) -> int:
        """Add a fault, of one market or of all."""
        named = {} if market is None else {"market": market.condition_id}
        return self.venue.faults.add(kind, CHANNEL, **named, **fields)

    def stop(self) -> Archive:
        """Stop it; what it has archived."""
        self.stopped_ns = time.time_ns()
        assert 0 == self.rig.stop(self.rig.processes[-1]), self.rig.log_text()
        return Archive(self.rig)

    def judged(self, archive: Archive, *markets: Market) -> Judgement:
        """The archive of some markets, or of all, held against the venue's truth."""
        ids = [token.token_id for each in markets or self.markets for token in each.tokens]
        return judge(archive, self.venue, ids, until_ns=self.stopped_ns)

    def orderbooks(self, *words: str) -> tuple[int, str]:
        """The exit code of a command and what it wrote to stdout."""
        raw = io.BytesIO()
        said = io.TextIOWrapper(raw, write_through=True)
        with contextlib.redirect_stdout(said):
            code = tools.main([*words, "--data", str(self.rig.data.root)])
        return code, raw.getvalue().decode()


@contextmanager
def running(
    folder: Path,
    markets: int,
    *,
    changes_per_s: float = 20,
    lines: Sequence[str] = ("btc-5m",),
    disk: Path | None = None,
) -> Iterator[Run]:
    """A venue, and a place for a streamer of some of its markets that last for a while.

    Args:
        folder: of everything.
        markets: how many of them.
        changes_per_s: of each market.
        lines: the venue's series; those of long windows come first.
        disk: where the data goes, if elsewhere.
    """
    tempo = Tempo(changes_per_s=changes_per_s)
    with Venue(folder / "venue", lines=lines, tempo=tempo) as venue:
        place = disk or folder / "r"
        place.mkdir(exist_ok=True)
        with Rig(place, venue.url) as rig:
            lasting = [e for e in venue.open_markets() if e.end_ms > venue.now_ms() + LASTING_MS]
            lasting.sort(key=lambda each: each.start_ms)
            chosen = [market_of(each) for each in lasting[:markets]]
            assert len(chosen) == markets
            yield Run(venue, rig, chosen)


@contextmanager
def two_hundred(folder: Path) -> Iterator[Run]:
    """A place for a streamer of 200 calm markets, the first of them in its window."""
    with running(folder, 200, changes_per_s=1, lines=("btc-5m", "btc-1d")) as run:
        # Whatever the time of day is: near the end of all windows none is.
        run.markets[0] = msgspec.structs.replace(run.markets[0], window_start_utc=ms_text(0))
        yield run
