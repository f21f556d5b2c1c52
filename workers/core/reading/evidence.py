"""An answer of the archive: what was seen last, how old it is, and what it rests on.

| state    | of one token at one moment                                                      |
|----------|---------------------------------------------------------------------------------|
| LABELLED | a person called the segment invalid, or a file that was read for it is damaged   |
| GAP      | a tick between the book and the moment was due and not captured, or none was due |
| SUSPECT  | the last due tick is here, but its hash did not verify, it has a flag, or is late |
| SYNCED   | the last due tick is here, and no older than two intervals                       |

Of the stream SYNCED means that a connection covered the token, and that the book's hash is the
venue's; SUSPECT that it was not proven, or that polls show another state of that millisecond.

Each stands above those below it. The book of a GAP is the last one before it: an answer is never
made up, and says how old it is.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum

import msgspec

from workers.core.books.amounts import INT32_MAX, Inexact, micros
from workers.core.books.book import Book
from workers.core.books.bookhash import Verdict
from workers.core.coverage.canvas import CAPTURED, Gap
from workers.core.coverage.plans import Known
from workers.core.errors import NeedsAPerson, Refused
from workers.core.stream.covers import StreamGap
from workers.core.stream.frames import read_frame

NS_PER_MS = 1_000_000
#: A book older than this many intervals is not the current one.
FRESH_INTERVALS = 2
NOT_DUE = "not_due"
#: Where an answer's book comes from.
POLLS, STREAM = "polls", "stream"
#: A manifest says that the row is there, and its file is damaged or not here.
UNREADABLE = "UNREADABLE"


class State(StrEnum):
    """What may be concluded from an answer."""

    SYNCED = "SYNCED"
    SUSPECT = "SUSPECT"
    GAP = "GAP"
    LABELLED = "LABELLED"


class Damaged(Refused):
    """A file that was read for an answer is not what its manifest says."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"read {path}: {what}", hint="orderbooks verify; on_damage=label reads on")
        self.path, self.what = path, what


class Offloaded(NeedsAPerson):
    """A file that was let go after the remote had proven it; it must be fetched first."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"read {path}: offloaded: restore it",
            hint=f"orderbooks restore --to DIR {path}; then ask with --data DIR",
        )
        self.path = path


class Applied(msgspec.Struct, frozen=True):
    """Changes between two rows of a file, both inclusive, that were put on a book."""

    path: str
    first_row: int
    last_row: int


class Provenance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Where a book stands: the file, the line of its uncompressed stream from 0, and its proof.

    `sha256` is the file's, as its manifest says and as it was found; None for a segment that is
    still being written. `derived` is the table it was read from, "" for the raw file itself. Of
    the stream, `row` is the whole book that it was rebuilt from, `changes` what was put on it.
    """

    path: str
    row: int
    sha256: str | None
    request: str = ""
    source: str = "rest"
    derived: str = ""
    connection: str = ""
    changes: tuple[Applied, ...] = ()


class Answer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the archive knows of one token at one moment.

    `book` is None when nothing was captured before, or when the venue's bytes are no book that is
    exact in micros (`cause` says so). `at_ns`, `send_wall_ns` and `recv_wall_ns` are of the
    recorder's clock, `book.venue_ms` of the venue's.

    Of the stream `recv_wall_ns` is when the last change of the book was received, `heard_wall_ns`
    when anything of the token was, and `proven_wall_ns` when the book was last known to be the
    venue's; `proof` is a verdict of `core.stream.turns.Checked` on its hash; `event` is the
    venue's, where the book is one step of many. `stream_gap`: no connection covered the token then.
    """

    slug: str
    condition_id: str
    token_id: str
    outcome: str
    at_ns: int
    state: State
    cause: str = ""
    book: Book | None = None
    due_ms: int | None = None
    send_wall_ns: int | None = None
    recv_wall_ns: int | None = None
    hash_verdict: Verdict | None = None
    flags: tuple[str, ...] = ()
    interval_ms: int | None = None
    gap: Gap | None = None
    provenance: Provenance | None = None
    source: str = POLLS
    proof: str = ""
    heard_wall_ns: int | None = None
    proven_wall_ns: int | None = None
    stream_gap: StreamGap | None = None
    event: bytes = b""

    @property
    def age_ns(self) -> int | None:
        """From the moment the book was received to the moment asked about."""
        return None if self.recv_wall_ns is None else self.at_ns - self.recv_wall_ns


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One level of one token set to a size, as the stream told it; a size of 0 removes it."""

    token_id: str
    venue_ms: int
    recv_wall_ns: int
    side: str
    price_micros: int
    size_micros: int
    hash: str
    provenance: Provenance


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One trade of one token, as the stream told it."""

    token_id: str
    venue_ms: int
    recv_wall_ns: int
    side: str
    price_micros: int
    size_micros: int
    provenance: Provenance
    event: bytes = b""


class Sighting(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known about a moment before it is judged.

    `damage` are labels and damages of what was read; `gap` the due ticks after the book that were
    not captured; `interval_ms` None when the moment is in no phase of the market.
    """

    age_ns: int | None
    verdict: Verdict | None = None
    flags: Sequence[str] = ()
    unreadable: str = ""
    damage: Sequence[str] = ()
    gap: Gap | None = None
    interval_ms: int | None = None
    last_interval_ms: int | None = None


def judged(sighting: Sighting) -> tuple[State, str]:
    """The state of an answer, and its cause."""
    if sighting.damage:
        return State.LABELLED, "; ".join(sighting.damage)
    if sighting.gap is not None:
        return State.GAP, causes_text(sighting.gap.counts)
    if sighting.age_ns is None:
        return State.GAP, NOT_DUE
    interval_ms = sighting.interval_ms or sighting.last_interval_ms
    if interval_ms is None:
        return State.SUSPECT, "no publication says when it was due"
    is_old = sighting.age_ns > FRESH_INTERVALS * interval_ms * NS_PER_MS
    if is_old and sighting.interval_ms is None:
        return State.GAP, NOT_DUE
    doubts = [*([f"unreadable: {sighting.unreadable}"] if sighting.unreadable else [])]
    if sighting.verdict not in (None, Verdict.VERIFIED):
        doubts.append(f"hash {sighting.verdict}")
    doubts += [*sighting.flags, *(["late"] if is_old else [])]
    return (State.SUSPECT, "; ".join(doubts)) if doubts else (State.SYNCED, "")


def causes_text(counts: Mapping[str, int]) -> str:
    """The states of missed ticks as one text: `FAILED(http_503)×3 DOWN(crashed)×2`."""
    named = {(UNREADABLE if name == CAPTURED else name): n for name, n in counts.items()}
    if len(named) == 1:
        return next(iter(named))
    return " ".join(f"{name}×{count}" for name, count in named.items())


class Intervals:
    """How often a market was asked for, by moment; remembers the stretch asked about last."""

    def __init__(self, known: Known | None) -> None:
        self._known = known
        self._from_ms = self._until_ms = 0
        self._interval_ms: int | None = None

    def at(self, at_ms: int) -> int | None:
        """The interval in force at a moment, or None when the market was not due."""
        if not self._from_ms <= at_ms < self._until_ms:
            self._look(at_ms)
        return self._interval_ms

    def _look(self, at_ms: int) -> None:
        """The stretch around a moment in which one plan and one phase are in force."""
        self._from_ms, self._until_ms, self._interval_ms = at_ms, at_ms + 1, None
        if self._known is None:
            return
        plan = self._known.plan_of(1 << 62, at_ms)
        later = [each.published_ms for each in self._known.plans if each.published_ms > at_ms]
        for phase in plan.phases:
            if phase.from_ms <= at_ms < phase.until_ms:
                self._interval_ms = phase.interval_ms
                self._until_ms = min([phase.until_ms, *later])
                return


def trade_of(raw: bytes, token_id: str, recv_wall_ns: int, provenance: Provenance) -> Trade | None:
    """The trade that an event tells; None for what is none, or not exact in micros.

    Args:
        raw: the event in the venue's bytes.
        token_id: whose.
        recv_wall_ns: when it was first received.
        provenance: where it stands.
    """
    found = read_frame(raw).events
    if len(found) != 1 or found[0].type != "last_trade_price":
        return None
    told = found[0].told
    try:
        price, size = micros(told.price or "", INT32_MAX), micros(told.size or "")
    except Inexact:
        return None
    return Trade(
        token_id=token_id,
        venue_ms=found[0].timestamp_ms,
        recv_wall_ns=recv_wall_ns,
        side=told.side or "",
        price_micros=price,
        size_micros=size,
        provenance=provenance,
        event=raw,
    )
