"""Books of one text of rows, read one after the other: their levels come many books at a time.

Promises  a book is what `core.books.book.BookReader` reads from the same bytes; that one must read
          what is spelled otherwise
"""

import re

from workers.core.books.amounts import Inexact
from workers.core.books.book import Book, book_of_parts
from workers.core.books.ladders import Better, Ladder, ladder_of
from workers.core.books.level_runs import LevelRuns
from workers.core.books.states import ASKS, States

#: Text whose levels are read at once; some 300 books.
_AT_ONCE_BYTES = 1 << 20
_HEAD = re.compile(
    rb'(\{"market":"[0-9A-Za-z]+","asset_id":"[0-9A-Za-z]+)","timestamp":"([0-9]{1,16})",'
    rb'"hash":"([0-9a-f]{40})","bids":\['
)
_NOTHING = ladder_of((), (), max)


class Strip:
    """The books of one text."""

    def __init__(self, rows: bytes) -> None:
        self._rows, self._states = rows, States()
        self._from = self._until = 0
        self._runs = LevelRuns(b"")

    def book(self, start: int, end: int) -> Book | None:
        """The book whose bytes stand at start ≤ at < end; None when they are not plainly one."""
        if not self._from <= start < end <= self._until:
            self._load(start, end)
        try:
            return self._plain(start, end)
        except Inexact:
            return None

    def _load(self, start: int, end: int) -> None:
        self._from, self._until = start, max(end, start + _AT_ONCE_BYTES)
        # Behind the text, words are read that nobody looks at.
        self._runs = LevelRuns(self._rows[start : self._until] + bytes(64))

    def _plain(self, start: int, end: int) -> Book | None:
        found = _HEAD.match(self._rows, start, end)
        if found is None:
            return None
        owner, timestamp, told = found.groups()
        bids, at = self._side(found.end(), max)
        if not self._rows.startswith(ASKS, at):
            return None
        asks, at = self._side(at + len(ASKS), min)
        names, tail = self._states.owner(owner), self._states.tail(self._rows[at:end])
        if names is None or tail is None:
            return None
        head = *names, int(timestamp), told.decode()
        return book_of_parts(self._rows[start:end], head, (bids, asks), tail)

    def _side(self, start: int, better: Better) -> tuple[Ladder, int]:
        """The plain levels that begin there, and where they end."""
        run = self._runs.run(start - self._from)
        if run is None:
            return _NOTHING, start
        return self._runs.ladder(run, better), run.end + self._from
