"""The archive against the venue's own ledger of what it sent: nothing lost, nothing invented.

Reads     the venue's answers.jsonl (an independent witness) and the archive
Promises  every difference is counted; the only one that is allowed is what a SIGKILL took, and
          that is bounded by flush_interval_s
"""

from collections import Counter
from dataclasses import dataclass, field

from tests.venue import Truth
from tests.venue.truth import AnswerRow
from workers.core.ledger import Request, read_row
from workers.core.manifests import SegmentManifest
from workers.core.story import read_row as read_any
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir


@dataclass
class Judgement:
    """What the comparison found; `problems` empty = the archive tells the truth."""

    sent_books: int = 0
    kept_books: int = 0
    lost_to_kill: int = 0
    lost_to_kill_s: float = 0.0
    answers: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    causes: Counter[str] = field(default_factory=Counter)
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


def judge(
    data: DataDir, truth: Truth, *, kill_wall_ns: int | None, killed: str, allowed_s: float
) -> Judgement:
    """Compare an archive of a stopped fleet with the venue that it recorded.

    Args:
        data: the archive.
        truth: the venue's ledger.
        kill_wall_ns: when the worker `killed` was SIGKILLed; None when none was.
        killed: its name.
        allowed_s: how old a lost row may have been at the kill (flush_interval_s and one tick).
    """
    archive = Archive(data)
    found = Judgement(kept_books=len(archive.books))
    sent: set[tuple[str, str]] = set()
    for row in truth.answers():
        if row.route != "books" or not row.request_id:
            continue
        found.answers += 1
        found.faults.update(row.faults)
        if row.delivered and row.status == 200:
            sent |= {(row.request_id, book.token_id) for book in row.books}
            _compare(found, archive, row, kill_wall_ns, killed, allowed_s)
    found.sent_books = len(sent)
    found.causes.update(request.cause for request in archive.requests.values())
    invented = archive.books - sent
    if invented:
        found.problems.append(f"{len(invented)} books are in the archive that were never sent")
    return found


def _compare(
    found: Judgement,
    archive: Archive,
    row: AnswerRow,
    kill_wall_ns: int | None,
    killed: str,
    allowed_s: float,
) -> None:
    missing = [each for each in row.books if (row.request_id, each.token_id) not in archive.books]
    request = archive.requests.get(row.request_id)
    if request is not None and request.cause == "ok" and request.sha256 != row.sha256:
        found.problems.append(f"{row.request_id}: another SHA-256 than the venue sent")
    if not missing:
        return
    is_killed = kill_wall_ns is not None and row.request_id.startswith(f"{killed}.")
    age_s = ((kill_wall_ns or 0) - row.at_wall_ns) / 1e9
    if is_killed and 0 <= age_s <= allowed_s:
        found.lost_to_kill += len(missing)
        found.lost_to_kill_s = max(found.lost_to_kill_s, age_s)
    elif request is None or request.cause == "ok":
        found.problems.append(f"{row.request_id}: {len(missing)} books were sent and are not kept")
