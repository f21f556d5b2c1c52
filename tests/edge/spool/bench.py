"""What the spool tests share: a data directory, a recorder in it, and rows that can be told apart."""

from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import oracle, workload
from tests.crash.workload import BOOKS, FIRST_DUE_MS, LEDGER, MARKET, RUN, WORKER, WRITER
from workers.core.archive.manifests import SegmentManifest
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder
from workers.edge.spool.recovery import Finding, Salvager

WALL_NS = FIRST_DUE_MS * 1_000_000
LIMITS = Limits(
    flush_interval_s=1,
    sync_interval_s=2,
    retry_pause_s=5,
    max_segment_bytes=1 << 20,
    deflate_level=9,
)
MARKETS = {MARKET.condition_id: MARKET}


@dataclass
class Bench:
    """A worker's corner of a data directory, with a clock that is moved by hand."""

    data: DataDir
    limits: Limits = LIMITS
    mono_ns: int = 0
    recorder: Recorder = field(init=False)

    def __post_init__(self) -> None:
        self.data.prepare()
        self.folder.mkdir(exist_ok=True)
        self.recorder = Recorder(self.data, WRITER, self.limits)

    @property
    def folder(self) -> Path:
        return self.data.open_folder(WORKER)

    def put(self, *ticks: int) -> None:
        """The two books rows and the ledger row of each tick."""
        for tick in ticks:
            due_ms = FIRST_DUE_MS + tick * 1000
            when = {"due_ms": due_ms, "wall_ns": due_ms * 1_000_000 + 31_000_000}
            request = f"{WORKER}.{RUN}.{tick + 1}"
            for token in MARKET.tokens:
                segment = self.recorder.append(BOOKS, workload.book_row(tick, token), **when)
                segment.story.saw_request(request, 200)
                segment.story.saw_book(token, due_ms, "verified", [])
            segment = self.recorder.append(LEDGER, workload.ledger_row(tick), **when)
            segment.story.saw_request(request, 200)

    def tend(self, seconds: float = 1) -> None:
        """Move the clock, then let the recorder look after its segments."""
        self.mono_ns += int(seconds * 1_000_000_000)
        self.recorder.tend(wall_ns=WALL_NS, mono_ns=self.mono_ns)

    def close(self) -> None:
        """Seal and publish everything."""
        self.recorder.close("stop", wall_ns=WALL_NS, mono_ns=self.mono_ns)

    def let_go(self) -> None:
        """Close the files of a writer that is taken for dead."""
        for _, segment in self.recorder._open.values():
            segment.abandon()

    def die(self, *ticks: int) -> dict[str, Path]:
        """Leave flushed files behind, as a killed process does; returns them by kind."""
        self.put(*ticks)
        self.tend(10)
        return {path.name.split("--")[1]: path for path in self.folder.glob("*.open")}

    def recover(self) -> list[Finding]:
        """One recovery."""
        return Salvager(self.data, WRITER, 9).recover(MARKETS, WALL_NS)

    def manifests(self) -> list[SegmentManifest]:
        """Everything published, oldest link first."""
        found = [each for _, each in reader.manifests(self.data)]
        assert all(isinstance(each, SegmentManifest) for each in found), found
        return sorted(found, key=lambda each: each.chain.seq)

    def rows(self, kind: str = "books") -> list[str]:
        """The identities of all published rows of a kind, in the order of the chain."""
        paths = [self.data.root / each.path for each in self.manifests() if each.kind == kind]
        return [row for path in paths for row in oracle.row_ids(oracle.inflate(path.read_bytes()))]

    def faults(self) -> list[str]:
        """Everything that is wrong with the directory after another recovery."""
        return oracle.judge(self.data.root, None)

    def quarantined(self) -> list[str]:
        """The names in quarantine."""
        return sorted(path.name for path in self.data.quarantine.iterdir())


def books_of(*ticks: int) -> list[str]:
    """The identities of the books rows of these ticks."""
    return [f"{WORKER}.{RUN}.{tick + 1}/{token}" for tick in ticks for token in MARKET.tokens]
