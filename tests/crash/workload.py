"""One life of a writer, for the crash harness to end early.

    python -m tests.crash.workload ROOT ACKS [LOG]

Writes    what a collector would: a books stream and a ledger, rotated by hour and by size, sealed
          at the end of the market, published at the stop; in ACKS which rows the disk was said to
          have, and how many segments were said to be published
Promises  the same system calls in every run; acknowledgements go through shared memory, so that
          no injected fault and no kill can touch them.
"""

import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.crash import plants
from workers.core.archive.manifests import Writer
from workers.core.archive.story import ManifestMarket
from workers.core.errors import Temporary, is_disk_trouble
from workers.edge import durable
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder, Stream
from workers.edge.spool.recovery import Finding, Salvager
from workers.edge.spool.segment import OpenSegment

WORKER = "collector-00"
RUN = "1776329990000"
FIRST_DUE_MS = 1_776_329_998_000  # two seconds before 09:00 UTC
WALL_NS = FIRST_DUE_MS * 1_000_000
LEVEL = 9
TICKS = 6
ACKS_BYTES = 8192
TRIES = 60
GAVE_UP = 3
MARKET = ManifestMarket(
    slug="btc-updown-5m-1776330000",
    condition_id="0xabc",
    series="btc-5m",
    tokens={"1": "Up", "2": "Down"},
)
BOOKS = Stream(subject=MARKET.slug, kind="books", market=MARKET)
LEDGER = Stream(subject=WORKER, kind="ledger")
WRITER = Writer(worker=WORKER, run=RUN, versions={"orderbooks": "0"}, shard=0, shards=1)
LIMITS = Limits(
    flush_interval_s=0.9,
    sync_interval_s=1.9,
    retry_pause_s=5,
    max_segment_bytes=900,
    deflate_level=LEVEL,
)


def book_row(tick: int, token: str) -> bytes:
    """One books row; its identity is (request, token_id)."""
    due_ms = FIRST_DUE_MS + tick * 1000
    return (
        f'{{"due_ms":{due_ms},"recv_wall_ns":{due_ms * 1_000_000 + 31_000_000},'
        f'"request":"{WORKER}.{RUN}.{tick + 1}","status":200,"token_id":"{token}",'
        f'"hash":"verified","flags":[],"book":{{"market":"0xabc","asset_id":"{token}",'
        f'"bids":[{{"price":"0.{tick + 10}","size":"{tick * 37}"}}]}}}}\n'
    ).encode()


def ledger_row(tick: int) -> bytes:
    """One ledger row; its identity is its id."""
    due_ms = FIRST_DUE_MS + tick * 1000
    return (
        f'{{"kind":"request","id":"{WORKER}.{RUN}.{tick + 1}","due_ms":{due_ms},'
        f'"recv_wall_ns":{due_ms * 1_000_000 + 31_000_000},"status":200}}\n'
    ).encode()


class Acks:
    """What the harness may hold against the archive, outside of every faulty disk."""

    def __init__(self, path: Path, log: Path | None) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), ACKS_BYTES)
        self._end, self._log = 0, log

    def kept(self, segment: OpenSegment) -> int:
        """How many rows the death that is to come must leave: of a process, or of the power."""
        return max(0, segment.synced_rows) if self._log else segment.flushed_rows

    def say(self, text: str) -> None:
        """Add one line; it ends with how much the disk's log had by then, when there is one."""
        logged = f" {self._log.stat().st_size}" if self._log else ""
        line = f"{text}{logged}\n".encode()
        self._map[self._end : self._end + len(line)] = line
        self._end += len(line)


class Life:
    """The writer, its clock, and what it told of each row."""

    def __init__(self, data: DataDir, acks: Acks) -> None:
        self.recorder = Recorder(data, WRITER, LIMITS)
        self._acks, self._mono_ns = acks, 10_000_000_000
        self._rows: list[tuple[OpenSegment, list[str]]] = []
        self._told: set[str] = set()
        self._published = 0

    def put(self, tick: int) -> None:
        """The rows of one tick."""
        due_ms = FIRST_DUE_MS + tick * 1000
        wall_ns = due_ms * 1_000_000 + 31_000_000
        request = f"{WORKER}.{RUN}.{tick + 1}"
        for token in MARKET.tokens:
            line = book_row(tick, token)
            segment = self.recorder.append(BOOKS, line, due_ms=due_ms, wall_ns=wall_ns)
            segment.story.saw_request(request, 200)
            segment.story.saw_book(token, due_ms, "verified", [])
            self._remember(segment, f"{request}/{token}")
        line = ledger_row(tick)
        segment = self.recorder.append(LEDGER, line, due_ms=due_ms, wall_ns=wall_ns)
        segment.story.saw_request(request, 200)
        self._remember(segment, request)

    def _remember(self, segment: OpenSegment, row: str) -> None:
        if not self._rows or all(segment is not each for each, _ in self._rows):
            self._rows.append((segment, []))
        next(rows for each, rows in self._rows if each is segment).append(row)

    def tend(self) -> None:
        """One look after the segments, one second later; then say what the disk has."""
        self._mono_ns += 1_000_000_000
        self.recorder.tend(wall_ns=WALL_NS, mono_ns=self._mono_ns)
        for segment, rows in self._rows:
            if not segment.pending_bytes:
                self._tell(rows[: self._acks.kept(segment)])
        if self.recorder.published != self._published:
            self._published = self.recorder.published
            self._acks.say(f"published {self._published}")

    def _tell(self, rows: list[str]) -> None:
        for row in rows:
            if row not in self._told:
                self._acks.say(f"row {row}")
                self._told.add(row)

    def settle(self) -> None:
        """Tend until the disk takes everything; give up after many tries."""
        for _ in range(TRIES):
            self.tend()
            if not (self.recorder.trouble or self.recorder.has_unpublished()):
                return
        sys.exit(GAVE_UP)


def patiently(attempt: Callable[[], None]) -> None:
    """Start as the lifecycle does: a disk that refuses is asked again."""
    for _ in range(TRIES):
        try:
            return attempt()
        except (Temporary, OSError) as error:
            if isinstance(error, OSError) and not is_disk_trouble(error):
                raise
    sys.exit(GAVE_UP)


def take_over(data: DataDir) -> list[Finding]:
    """Own the directory and recover what lies in it."""
    data.prepare()
    durable.make_directories(data.open_folder(WORKER))
    locks.own(data.open_folder(WORKER))
    return Salvager(data, WRITER, LEVEL).recover({MARKET.condition_id: MARKET}, WALL_NS)


def live(root: Path, acks: Path, log: Path | None = None) -> None:
    """The whole life."""
    data, told = DataDir(root), Acks(acks, log)
    patiently(lambda: take_over(data) and None)
    life = Life(data, told)
    for tick in range(TICKS):
        life.put(tick)
        life.settle()
    life.recorder.seal(BOOKS, "market_end")
    life.settle()
    life.put(TICKS)
    life.recorder.seal_all("stop")
    life.settle()


if __name__ == "__main__":
    plants.plant(os.environ.get("ORDERBOOKS_TEST_PLANT", ""))
    live(*map(Path, sys.argv[1:]))
