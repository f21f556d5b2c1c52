"""The rows of one books segment, found by token and time without parsing the books.

Promises  every whole row is found or accused; a row is parsed when it is asked for
Never     reads a file: bytes in, rows out
"""

import re
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import islice
from operator import le
from typing import Protocol

import msgspec

from workers.core.archive import story
from workers.core.archive.runs import Run, Runs
from workers.core.archive.story import Told
from workers.core.books.book import Book
from workers.core.books.bookhash import Verdict

_VERDICTS = {each.value.encode(): each for each in Verdict}
# Envelopes as `core.polling.rows` writes them; any other spelling is read by the decoder. Times
# that do not fit into 63 bits are none. Texts end at the next quote (`_head` sees to escaped ones):
# to look for two bytes at once takes three times as long.
_HEAD = re.compile(
    rb'\{"due_ms":(\d{1,18}),"collected_at_utc":"[^"]*","send_wall_ns":([1-8]?\d{1,18}),'
    rb'"recv_wall_ns":([1-8]?\d{1,18}),"send_mono_ns":-?\d+,"recv_mono_ns":-?\d+,'
    rb'"collector_version":"[^"]*",'
    rb'"request":"([^"]*)","endpoint":"[^"]*","status":\d+,"position":\d+,'
    rb'"token_id":"([^"]*)","hash":"(%b)","flags":(\[[^\]]*\]),"book":(?=\{)' % b"|".join(_VERDICTS)
)


class Row(msgspec.Struct, frozen=True, gc=False):
    """One books row: its line from 0, and its envelope as far as it is answered.

    `raw` is the book's bytes; `made` the book itself where it comes from a table, or was read with
    those behind it.
    """

    row: int
    token_id: str
    due_ms: int
    send_wall_ns: int
    recv_wall_ns: int
    request: str
    verdict: Verdict
    flags: tuple[str, ...]
    raw: bytes
    made: Book | None = None


class Spot(msgspec.Struct, frozen=True, order=True, gc=False):
    """Where a row stands."""

    recv_wall_ns: int
    row: int
    due_ms: int
    start: int


class Rows(Protocol):
    """The rows of one segment, wherever they are read from."""

    @property
    def damage(self) -> str:
        """What is wrong with them, or ""."""

    @property
    def runs(self) -> dict[str, list[Run]]:
        """The ticks of each token, in the order they were written."""

    def last_before(self, token_id: str, at_ns: int) -> Spot | None:
        """The row of a token received last, at a moment or before it."""

    def in_order(self, tokens: frozenset[str]) -> Iterator[tuple[str, Spot]]:
        """Every row of these tokens by time."""

    def row(self, spot: Spot) -> Row:
        """The row at a spot."""

    def onward(self) -> Callable[[Spot], Row]:
        """What gives rows for who asks for one after the other."""


class _Sent(msgspec.Struct, frozen=True):
    send_wall_ns: int = 0


class Placed:
    """Where a token's rows stand, in order of their receipt; numbers only, 28 bytes a row."""

    def __init__(self) -> None:
        self.recv_wall_ns, self.due_ms, self.start = array("q"), array("q"), array("q")
        self.row = array("i")

    def add(self, recv_wall_ns: int, row: int, due_ms: int, start: int) -> None:
        """One more row."""
        self.recv_wall_ns.append(recv_wall_ns)
        self.due_ms.append(due_ms)
        self.start.append(start)
        self.row.append(row)

    def spot(self, at: int) -> Spot:
        """One of them."""
        return Spot(self.recv_wall_ns[at], self.row[at], self.due_ms[at], self.start[at])

    def sort(self) -> None:
        """After the clock was set back, rows are not in the order of their times."""
        times = self.recv_wall_ns
        if not all(map(le, times, islice(times, 1, None))):
            spots = sorted(map(self.spot, range(len(times))))
            self.__init__()  # type: ignore[misc] # the same rows, in another order
            for each in spots:
                self.add(each.recv_wall_ns, each.row, each.due_ms, each.start)


class Index:
    """What a segment holds, without its bytes: kept longer than they are."""

    def __init__(self) -> None:
        self.damage = ""
        self.tokens: dict[str, Placed] = {}
        self._placed: dict[bytes, Placed] = {}
        self.runs: dict[str, list[Run]] = {}
        self.first_wall_ns = self.last_wall_ns = 0
        self.count = 0

    def add(self, token: bytes, recv_wall_ns: int, due_ms: int, start: int) -> None:
        """The next row."""
        placed = self._placed.get(token)
        if placed is None:
            placed = self._placed[token] = self.tokens[token.decode()] = Placed()
        placed.add(recv_wall_ns, self.count, due_ms, start)
        self.first_wall_ns = self.first_wall_ns or recv_wall_ns
        self.last_wall_ns = recv_wall_ns
        self.count += 1

    def finish(self) -> None:
        """There are no more."""
        for token, placed in self.tokens.items():
            runs = Runs(token)
            for due_ms in placed.due_ms:
                runs.add(due_ms)
            self.runs[token] = runs.listed()
            placed.sort()

    def differs(self, told: Told) -> str:
        """What a manifest says otherwise than these rows, or ""."""
        captured = [run for token in sorted(self.runs) for run in self.runs[token]]
        if told.rows != self.count or told.captured != captured:
            return f"{self.count} rows of other ticks than its manifest says"
        ends = self.first_wall_ns, self.last_wall_ns
        if self.count and ends != (told.first_wall_ns, told.last_wall_ns):
            return "its first or last row has another time than its manifest says"
        return ""


class Sheet:
    """One segment's rows, in order of their receipt for each token."""

    def __init__(self, rows: bytes, index: Index | None = None) -> None:
        self._rows = rows
        #: Of each row, once they were read for the index; empty when that was at hand.
        self._heads: list[re.Match[bytes] | None] = []
        self.index = index or self._read()

    @property
    def damage(self) -> str:
        """What is wrong with the first row that is none of ours, or with all of them."""
        return self.index.damage

    @property
    def runs(self) -> dict[str, list[Run]]:
        """The ticks of each token, in the order they were written."""
        return self.index.runs

    def _read(self) -> Index:
        index, start, rows = Index(), 0, self._rows
        head = _head if b"\\" in rows else _HEAD.match
        while start < len(rows) and not index.damage:
            found = head(rows, start)
            end = rows.find(b"\n", found.end() if found else start)
            if end < 0:
                index.damage = f"a torn row at byte {start}"
            elif found is not None:
                due_ms, recv_wall_ns, token = found.group(1, 3, 5)
                index.add(token, int(recv_wall_ns), int(due_ms), start)
            else:
                self._read_slowly(index, start, end)
            self._heads.append(found)
            start = end + 1
        index.finish()
        return index

    def _read_slowly(self, index: Index, start: int, end: int) -> None:
        try:
            row = _slow(self._rows[start:end], index.count)
        except ValueError as error:
            index.damage = str(error)
        else:
            index.add(row.token_id.encode(), row.recv_wall_ns, row.due_ms, start)

    def last_before(self, token_id: str, at_ns: int) -> Spot | None:
        """The row of a token received last, at a moment or before it."""
        placed = self.index.tokens.get(token_id)
        at = bisect_right(placed.recv_wall_ns, at_ns) if placed else 0
        return placed.spot(at - 1) if placed and at else None

    def in_order(self, tokens: frozenset[str]) -> Iterator[tuple[str, Spot]]:
        """Every row of these tokens, each token's by time."""
        for token in tokens & self.index.tokens.keys():
            placed = self.index.tokens[token]
            yield from ((token, placed.spot(at)) for at in range(len(placed.row)))

    def row(self, spot: Spot) -> Row:
        """The row at a spot."""
        return self._row(spot, None)

    def onward(self) -> Callable[[Spot], Row]:
        """What gives rows with their books: who reads on needs those behind it as well."""
        from workers.core.books.strips import Strip  # noqa: PLC0415 - numpy takes 20 MB and 0.1 s

        book = Strip(self._rows).book
        return lambda spot: self._row(spot, book)

    def _row(self, spot: Spot, book: Callable[[int, int], Book | None] | None) -> Row:
        found = self._heads[spot.row] if self._heads else _head(self._rows, spot.start)
        if found is None:
            end = self._rows.find(b"\n", spot.start)
            return _slow(self._rows[spot.start : end], spot.row)
        start, end = found.end(), self._rows.find(b"\n", found.end()) - 1
        made = None if book is None else book(start, end)
        sent, request, token, verdict, flags = found.group(2, 4, 5, 6, 7)
        return Row(
            spot.row,
            token.decode(),
            spot.due_ms,
            int(sent),
            spot.recv_wall_ns,
            request.decode(),
            _VERDICTS[verdict],
            () if flags == b"[]" else tuple(msgspec.json.decode(flags, type=list[str])),
            self._rows[start:end] if made is None else made.spelling,
            made,
        )


def _head(rows: bytes, start: int) -> re.Match[bytes] | None:
    """An envelope up to its book; None where it is spelled otherwise."""
    found = _HEAD.match(rows, start)
    return None if found and rows.find(b"\\", start, found.end()) >= 0 else found


def _slow(line: bytes, number: int) -> Row:
    """A row in any other spelling; ValueError when it is none of ours."""
    try:
        row = story.read_row(line)
        sent = msgspec.json.decode(line, type=_Sent)
        verdict = Verdict(row.hash)
    except (msgspec.MsgspecError, ValueError) as error:
        raise ValueError(f"row {number} is not one of ours: {error}") from error
    times = (row.due_ms or 0, row.recv_wall_ns or 0)
    if not row.token_id or not all(0 < each < 1 << 62 for each in times):
        raise ValueError(f"row {number} is not one of ours: it has no token, tick or time")
    return Row(
        number,
        row.token_id,
        times[0],
        sent.send_wall_ns,
        times[1],
        row.request,
        verdict,
        tuple(row.flags),
        row.raw_book(),
    )
