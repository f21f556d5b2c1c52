"""What a segment's rows say of themselves, counted while they are written or read again.

Promises  the writer, salvage and `verify` count with the same code, so a manifest's `told` part
          can be proven from the bytes it describes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from workers.core.archive.runs import Run, Runs
from workers.core.books.bookhash import Verdict

NS_PER_MS = 1_000_000
_YEAR_10000_MS = 253_402_300_800_000


class ManifestMarket(msgspec.Struct, frozen=True, kw_only=True):
    """The market a books or frames segment belongs to; `tokens` is outcome by token id."""

    slug: str
    condition_id: str
    series: str
    tokens: dict[str, str]


class Ticks(msgspec.Struct, frozen=True, kw_only=True):
    """Token-ticks of a books segment: due = captured + the failed, by cause."""

    due: int = 0
    captured: int = 0
    failed: dict[str, int] = {}


class Hashes(msgspec.Struct, frozen=True, kw_only=True):
    """Verdicts over the books of a segment."""

    verified: int = 0
    failed: int = 0
    absent: int = 0


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a manifest that its rows prove (`ticks.due` and `.failed` excepted)."""

    rows: int = 0
    market: ManifestMarket | None = None
    first_due_ms: int | None = None
    last_due_ms: int | None = None
    first_wall_ns: int | None = None
    last_wall_ns: int | None = None
    run: str | None = None
    requests: int = 0
    first_request: int | None = None
    last_request: int | None = None
    statuses: dict[str, int] = {}
    ticks: Ticks = Ticks()
    captured: list[Run] = []
    hashes: Hashes = Hashes()
    flags: dict[str, int] = {}
    types: dict[str, int] = {}


class AnyRow(msgspec.Struct, frozen=True):
    """The members that rows of every kind share, as far as they have them."""

    kind: str = ""
    due_ms: int | None = None
    at_wall_ns: int | None = None
    recv_wall_ns: int | None = None
    id: str = ""
    request: str = ""
    token_id: str = ""
    hash: str = ""
    flags: list[str] = []
    status: int | None = None
    book: msgspec.Raw = msgspec.Raw()
    book_text: str | None = None
    type: str = ""
    connection: str = ""
    event: msgspec.Raw = msgspec.Raw()
    event_text: str | None = None
    snapshot: msgspec.Raw = msgspec.Raw()

    def wall_ns(self) -> int:
        """When the row was made, on the local clock."""
        return self.recv_wall_ns or self.at_wall_ns or 0

    def tick_ms(self) -> int:
        """The tick the row belongs to, or the time it was made."""
        return self.wall_ns() // NS_PER_MS if self.due_ms is None else self.due_ms

    def raw_book(self) -> bytes:
        """The venue's verbatim bytes of the book."""
        return self.book_text.encode() if self.book_text is not None else bytes(self.book)

    def raw_event(self) -> bytes:
        """What a frames row holds: the venue's event or book, or our snapshot."""
        if self.event_text is not None:
            return self.event_text.encode()
        return bytes(self.event) or bytes(self.snapshot) or self.raw_book()


class _BookIds(msgspec.Struct, frozen=True):
    market: str = ""


_row = msgspec.json.Decoder(AnyRow)
_book_ids = msgspec.json.Decoder(_BookIds)


def read_row(line: bytes) -> AnyRow:
    """The shared members of one row; raises msgspec.MsgspecError when it is not one."""
    try:
        return _row.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def request_number(request: str) -> int:
    """The counter of a request id `<worker>.<run>.<n>`; ValueError when it is not one."""
    return int(_request_parts(request)[2])


def _request_parts(request: str) -> list[str]:
    parts = request.split(".")
    if len(parts) != 3:
        raise ValueError(f"not a request id: {request!r}")
    return parts


class Story:
    """Counts of one segment; changed in place by its one owner."""

    def __init__(self, market: ManifestMarket | None = None) -> None:
        self.market = market
        self.rows = self.due = self.requests = 0
        self.failed: Counter[str] = Counter()
        self._hashes: Counter[str] = Counter()
        self._flags: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._statuses: Counter[str] = Counter()
        self._runs: dict[str, Runs] = {}
        self._first: tuple[int, int] | None = None
        self._last: tuple[int, int] | None = None
        self._first_request: int | None = None
        self._last_request: int | None = None
        self._last_id: str | None = None
        self.run: str | None = None

    def saw_row(self, due_ms: int, wall_ns: int) -> None:
        """Count a row of any kind."""
        self.rows += 1
        self._last = (due_ms, wall_ns)
        self._first = self._first or self._last

    def saw_rows(self, rows: int, first: tuple[int, int], last: tuple[int, int]) -> None:
        """Count several rows at once; `first` and `last` are (due_ms, wall_ns)."""
        self.rows += rows
        self._first, self._last = self._first or first, last

    def saw_request(self, request: str, status: int | None) -> None:
        """Count a request once, by its HTTP status ("none" when there was no answer)."""
        if request == self._last_id:
            return
        number = request_number(request)
        self.run, self._last_id = _request_parts(request)[1], request
        self.requests += 1
        self._statuses["none" if status is None else str(status)] += 1
        self._first_request = number if self._first_request is None else self._first_request
        self._last_request = number

    def saw_book(self, token_id: str, due_ms: int, verdict: str, flags: Iterable[str]) -> None:
        """Count one captured book; ValueError for a verdict that is none."""
        self._hashes[Verdict(verdict).value] += 1
        if flags:
            self._flags.update(flags)
        if token_id not in self._runs:
            self._runs[token_id] = Runs(token_id)
        self._runs[token_id].add(due_ms)

    def saw_event(self, kind: str, connection: str) -> None:
        """Count a row of a frames segment by its type."""
        self._types[kind] += 1
        if self.run is None:
            self.run = _request_parts(connection)[1]

    def told(self) -> Told:
        """The counts so far, as the manifest writes them."""
        first, last = self._first or (None, None), self._last or (None, None)
        captured = self._hashes.total()
        failed = dict(self.failed)
        return Told(
            rows=self.rows,
            market=self.market,
            first_due_ms=first[0],
            last_due_ms=last[0],
            first_wall_ns=first[1],
            last_wall_ns=last[1],
            run=self.run,
            requests=self.requests,
            first_request=self._first_request,
            last_request=self._last_request,
            statuses=dict(self._statuses),
            ticks=Ticks(due=captured + sum(failed.values()), captured=captured, failed=failed),
            captured=[run for token in sorted(self._runs) for run in self._runs[token].listed()],
            hashes=Hashes(**self._hashes),
            flags=dict(self._flags),
            types=dict(self._types),
        )


def retell(kind: str, stream: bytes, markets: Mapping[str, ManifestMarket] | None = None) -> Story:
    """Count a stream of whole rows again.

    Args:
        kind: of the segment.
        stream: whole JSON lines.
        markets: by condition id; names the market of a segment whose writer died.

    Raises:
        msgspec.MsgspecError, ValueError: a row is JSON but not a row of ours.
    """
    story = Story()
    for line in stream.split(b"\n")[:-1]:  # splitlines() also cuts at a CR inside a book
        row = read_row(line)
        if not 0 <= row.tick_ms() < _YEAR_10000_MS:
            raise ValueError(f"no such time: {row.tick_ms()} ms")
        story.saw_row(row.tick_ms(), row.wall_ns())
        if kind == "books":
            story.saw_request(row.request, row.status)
            story.saw_book(row.token_id, row.tick_ms(), row.hash, row.flags)
            story.market = story.market or _market_of(row.raw_book(), markets or {})
        elif kind == "frames":
            story.saw_event(row.type, row.connection)
            if row.request:
                story.saw_request(row.request, 200)
            story.market = story.market or _market_of(row.raw_event(), markets or {})
        elif row.kind == "request":
            story.saw_request(row.id, row.status)
    return story


def believed(kind: str, stream: bytes) -> tuple[int, str]:
    """How many bytes of whole JSON lines are rows of ours, and what is wrong with the next one.

    A flipped bit may leave JSON behind that only its meaning betrays.
    """
    start = 0
    for line in stream.split(b"\n")[:-1]:
        try:
            retell(kind, line + b"\n")
        except (msgspec.MsgspecError, ValueError) as error:
            return start, f"not a row of ours at byte {start}: {error}"
        start += len(line) + 1
    return start, ""


def _market_of(raw: bytes, markets: Mapping[str, ManifestMarket]) -> ManifestMarket:
    try:
        condition_id = _book_ids.decode(raw).market
    except msgspec.MsgspecError:
        condition_id = ""
    unknown = ManifestMarket(slug="", condition_id=condition_id, series="", tokens={})
    return markets.get(condition_id, unknown)
