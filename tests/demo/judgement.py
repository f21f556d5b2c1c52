"""The archive against the venue's own ledger of what it sent: nothing lost, nothing invented.

Reads     the venue's answers.jsonl (an independent witness) and the archive
Promises  every difference is counted; two are allowed: what a SIGKILL took, bounded by
          flush_interval_s, and what the venue answered when its request had already waited for
          request_timeout_s and is a timeout in the ledger
"""

from collections import Counter
from dataclasses import dataclass, field

from tests.venue import Truth
from tests.venue.truth import AnswerRow
from workers.core.archive.ledger import Request, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.story import read_row as read_any
from workers.core.settings.settings import Settings
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

#: No stage sets another one.
REQUEST_TIMEOUT_NS = int(Settings().collector.request_timeout_s * 1e9)


@dataclass
class Judgement:
    """What the comparison found; `problems` empty = the archive tells the truth."""

    sent_books: int = 0
    kept_books: int = 0
    lost_to_kill: int = 0
    lost_to_kill_s: float = 0.0
    came_too_late: int = 0
    answers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
    misnamed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Archive:
    """The rows of an archive that the venue can be asked about."""

    def __init__(self, data: DataDir) -> None:
        self.requests: dict[str, Request] = {}
        self.books: set[tuple[str, str]] = set()
        for _, manifest in reader.manifests(data, kinds=frozenset({"books", "ledger"})):
            if isinstance(manifest, SegmentManifest):
                self._take(data, manifest)

    def _take(self, data: DataDir, manifest: SegmentManifest) -> None:
        for line in reader.read_stream(data.root / manifest.path).data.split(b"\n")[:-1]:
            if manifest.kind == "books":
                row = read_any(line)
                self.books.add((row.request, row.token_id))
            else:
                found = read_row(line)
                if isinstance(found, Request):
                    self.requests[found.id] = found


@dataclass(frozen=True)
class Kill:
    """A SIGKILL: until when which run of a worker ran, and how old a row it took may have been."""

    wall_ns: int
    worker: str
    run: str
    allowed_s: float

    def explains(self, row: AnswerRow) -> bool:
        """True when a lost answer was within the allowance of this run's death."""
        is_its_own = row.request_id.startswith(f"{self.worker}.{self.run}.")
        return is_its_own and self.age_s(row) <= self.allowed_s

    def age_s(self, row: AnswerRow) -> float:
        """How old the answer was then, in seconds; negative: it was still on its way."""
        return (self.wall_ns - row.at_wall_ns) / 1e9


def judge(data: DataDir, truth: Truth, kill: Kill | None) -> Judgement:
    """Compare an archive of a stopped fleet with the venue that it recorded."""
    archive = Archive(data)
    found = Judgement(kept_books=len(archive.books))
    sent: set[tuple[str, str]] = set()
    for row in truth.answers():
        if row.route != "books" or not row.request_id:
            continue
        found.answers += 1
        found.faults.update(row.faults)
        _check_name(found, archive.requests.get(row.request_id), row, kill)
        if row.delivered and row.status == 200:
            sent |= {(row.request_id, book.token_id) for book in row.books}
            _compare(found, archive, row, kill)
    found.sent_books = len(sent)
    found.causes.update(request.cause for request in archive.requests.values())
    invented = archive.books - sent
    if invented:
        found.problems.append(f"{len(invented)} books are in the archive that were never sent")
    return found


def _check_name(
    found: Judgement, request: Request | None, row: AnswerRow, kill: Kill | None
) -> None:
    """Each fault has its own name in the ledger, and nothing else has it."""
    if request is None and kill is not None and kill.explains(row):
        return
    if _gave_up(request):
        return
    name = "timeout" if "hang" in row.faults else f"http_{row.status}"
    told = request.cause if request is not None else "nothing"
    if told != name and (row.faults or told.startswith("http_")):
        found.misnamed.append(f"{row.request_id}: {name} is {told} in the ledger")


def _gave_up(request: Request | None) -> bool:
    """True when the collector had waited for as long as it may, whatever the venue answered then."""
    if request is None or request.cause != "timeout":
        return False
    return request.recv_mono_ns - request.send_mono_ns >= REQUEST_TIMEOUT_NS


def _compare(found: Judgement, archive: Archive, row: AnswerRow, kill: Kill | None) -> None:
    missing = [each for each in row.books if (row.request_id, each.token_id) not in archive.books]
    request = archive.requests.get(row.request_id)
    if request is not None and request.cause == "ok" and request.sha256 != row.sha256:
        found.problems.append(f"{row.request_id}: another SHA-256 than the venue sent")
    if not missing:
        return
    if kill is not None and kill.explains(row):
        found.lost_to_kill += len(missing)
        found.lost_to_kill_s = max(found.lost_to_kill_s, kill.age_s(row))
    elif _gave_up(request):
        found.came_too_late += len(missing)
    elif request is None or request.cause == "ok":
        found.problems.append(f"{row.request_id}: {len(missing)} books were sent and are not kept")
