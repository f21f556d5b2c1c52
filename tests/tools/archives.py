"""A small real archive, made by the code that makes the big one: recorder, diary and catch.

Used by tests only. Times are Unix ms; the first hour is 2026-04-16T08:00Z.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.venue.bookhash import render
from workers.core.archive.ledger import Loaded
from workers.core.archive.manifests import Writer
from workers.core.health.heartbeats import Heartbeat
from workers.core.instants import ms_text
from workers.core.polling.answers import Answer
from workers.core.polling.batches import batches, due_markets, mine
from workers.core.polling.cadence import Phase
from workers.core.universe.markets import Market, Token
from workers.core.universe.pages import universe_row
from workers.core.universe.universe import Universe
from workers.edge.spool import locks, state
from workers.edge.spool.catch import Catch
from workers.edge.spool.diary import Diary
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder, Stream
from workers.edge.spool.recovery import Salvager
from workers.tools.__main__ import main

HOUR_MS = 1_776_326_400_000
S = 1000
#: The monotonic clock began then.
BOOT_MS = 1_700_000_000_000
LIMITS = Limits(
    flush_interval_s=2,
    sync_interval_s=5,
    retry_pause_s=1,
    max_segment_bytes=1 << 26,
    deflate_level=6,
)
Bodies = Callable[[bytes], bytes]


def market(number: int, from_ms: int = HOUR_MS, seconds: int = 60) -> Market:
    """A market that is due every second of a minute."""
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    until_ms = from_ms + seconds * S
    start, end = ms_text(from_ms), ms_text(until_ms)
    return Market(
        slug=f"btc-updown-5m-{number}",
        question="Up or Down?",
        condition_id=f"0x{digest}",
        tokens=(
            Token(token_id=f"{number}01", outcome="Up"),
            Token(token_id=f"{number}02", outcome="Down"),
        ),
        series="btc-5m",
        event_slug=f"btc-updown-5m-{number}",
        listed_at_utc=None,
        window_start_utc=start,
        window_end_utc=end,
        tick_size="0.01",
        status="open",
        source="keyset",
        fetched_at_utc=start,
        record_from_utc=start,
        record_until_utc=end,
        tier="hot",
        phases=(Phase("hot", from_ms, until_ms, S),),
    )


def book(condition_id: str, token_id: str, timestamp_ms: int) -> bytes:
    """A book as the venue sends it, with a right hash."""
    head = (
        f'{{"market":"{condition_id}","asset_id":"{token_id}","timestamp":"{timestamp_ms}","hash":"'
    )
    bids = f'[{{"price":"0.4{timestamp_ms // S % 10}","size":"100.5"}}]'
    asks = '[{"price":"0.55","size":"7"}]'
    tail = (
        f'","bids":{bids},"asks":{asks},"min_order_size":"5","tick_size":"0.01",'
        '"neg_risk":false,"last_trade_price":"0.480"}'
    )
    return render(head, tail).raw


def body_of(asked: dict[str, str], due_ms: int) -> bytes:
    """A `POST /books` answer; the books stand in reverse order of the question."""
    books = [book(owner, token, due_ms - 400) for token, owner in reversed(asked.items())]
    return b"[" + b",".join(books) + b"]"


class Worker:
    """One run of one worker."""

    def __init__(self, data: DataDir, name: str, at_ms: int, shard: int | None, shards: int | None):
        self.name, self.data = name, data
        folder = data.open_folder(name)
        folder.mkdir(exist_ok=True)
        self.writer = Writer(
            worker=name,
            run=str(at_ms),
            versions={"orderbooks": "0", "python": "3"},
            shard=shard,
            shards=shards,
        )
        Salvager(data, self.writer, 6).recover({}, at_ms * 1_000_000)
        self.recorder = Recorder(data, self.writer, LIMITS)
        self.diary = Diary(self.recorder, self.writer)
        self.catch = Catch(
            self.recorder, self.diary, version="0", kept_bytes=1 << 16, big_bytes=14_000
        )
        self.diary.started(at_ms * 1_000_000, 0, pid=1, boot_id="b", config_sha256="c")
        self.markets: Sequence[Market] = ()

    def load(self, universe: Universe, at_ms: int) -> None:
        """Follow a universe."""
        shard, shards = self.writer.shard or 0, self.writer.shards or 1
        self.markets = mine(universe.markets, shard=shard, shards=shards)
        ids = [each.condition_id for each in self.markets]
        wall_ns = at_ms * 1_000_000
        self.diary.write(Loaded(at_wall_ns=wall_ns, seq=universe.seq, markets=ids), wall_ns)

    def tick(self, due_ms: int, *, cause: str = "ok", status: int = 200, change: Bodies = bytes):
        """Ask for everything that is due; `change` spoils the body on its way."""
        for batch in batches(due_markets(self.markets, due_ms), 250):
            body = change(body_of(batch.asked, due_ms))
            answer = Answer(
                cause=cause,
                status=status,
                body=body,
                wire_bytes=len(body),
                send_wall_ns=(due_ms + 2) * 1_000_000,
                recv_wall_ns=(due_ms + 52) * 1_000_000,
                send_mono_ns=(due_ms + 2 - BOOT_MS) * 1_000_000,
                recv_mono_ns=(due_ms + 52 - BOOT_MS) * 1_000_000,
            )
            request_id = self.diary.next_request_id()
            self.catch.take(batch, answer, request_id=request_id, due_ms=due_ms)

    def ticks(self, from_ms: int, until_ms: int) -> None:
        """A good tick each second."""
        for due_ms in range(from_ms, until_ms, S):
            self.tick(due_ms)

    def flush(self, at_ms: int) -> None:
        """What was recorded is in the open files."""
        self.recorder.flush_now(wall_ns=at_ms * 1_000_000, mono_ns=at_ms)

    def publish(self, at_ms: int, ended: str = "hour") -> None:
        """Seal and publish everything so far, and go on."""
        self.recorder.close(ended, wall_ns=at_ms * 1_000_000, mono_ns=at_ms)

    def stop(self, at_ms: int) -> None:
        """End as asked, everything published."""
        self.diary.stopped(at_ms * 1_000_000, 0)
        self.publish(at_ms, "stop")


class Fleet:
    """A data directory and its workers."""

    def __init__(self, root: Path) -> None:
        self.data = DataDir(root)
        self.data.prepare()
        self.universe = Universe()

    def publish_universe(self, at_ms: int, *markets: Market) -> Universe:
        """One publication, with its segment row."""
        self.universe = Universe(
            seq=self.universe.seq + 1,
            published_at_utc=ms_text(at_ms),
            published_ms=at_ms,
            fetched_at_utc=ms_text(at_ms),
            markets=markets,
        )
        discovery = Worker(self.data, "discovery", at_ms, None, None)
        wall_ns = at_ms * 1_000_000
        row = universe_row(self.universe, wall_ns)
        stream = Stream(subject="discovery", kind="universe")
        discovery.recorder.append(stream, row, due_ms=at_ms, wall_ns=wall_ns)
        discovery.stop(at_ms + 1)
        state.write(self.data.universe, self.universe)
        return self.universe

    def collector(self, at_ms: int, shard: int = 0, shards: int = 1) -> Worker:
        """A collector that starts and loads the universe as it is."""
        worker = Worker(self.data, f"collector-{shard:02d}", at_ms, shard, shards)
        worker.load(self.universe, at_ms + 5)
        return worker

    def beat(self, worker: Worker, **fields: object) -> None:
        """A heartbeat of a worker."""
        beat = {
            "worker": worker.name,
            "shard": worker.writer.shard,
            "shards": worker.writer.shards,
            "pid": 1,
            "run": worker.writer.run,
            "version": "0",
            "boot_id": "b",
            "started_wall_ns": int(worker.writer.run) * 1_000_000,
            "at_wall_ns": int(worker.writer.run) * 1_000_000,
            "at_mono_ns": 0,
            **fields,
        }
        state.beat(self.data, Heartbeat(**beat))  # type: ignore[arg-type]

    def orderbooks(self, *words: str) -> int:
        """Run the command on this directory; returns its exit code."""
        return main([words[0], "--data", str(self.data.root), *words[1:]])

    def manifests(self, kind: str) -> list[Path]:
        """The manifest files of one kind, oldest first."""
        return [path for path in self.data.manifest_paths() if f"--{kind}--" in path.name]

    def segments(self, kind: str) -> list[Path]:
        """The data files of one kind, oldest first."""
        suffix = ".manifest.json"
        return [
            path.with_name(path.name.removesuffix(suffix) + ".jsonl.gz")
            for path in self.manifests(kind)
        ]


def whole_minute(root: Path) -> Fleet:
    """Two markets recorded for a minute by one collector that stopped: nothing is wrong."""
    fleet = Fleet(root)
    fleet.publish_universe(HOUR_MS - 10 * S, market(1), market(2))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 30 * S)
    collector.publish(HOUR_MS + 30 * S, "size")
    collector.ticks(HOUR_MS + 30 * S, HOUR_MS + 60 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    return fleet
