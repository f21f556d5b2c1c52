"""Books and trades as events of hftbacktest: snapshots, differences, gaps.

| what                       | events                                                          |
|----------------------------|-----------------------------------------------------------------|
| first book, or after a gap | DEPTH_CLEAR, then DEPTH_SNAPSHOT for each level                  |
| a book that differs        | DEPTH for each price whose size differs; a size of 0 removes it  |
| an unchanged book          | none                                                            |
| a trade                    | TRADE, with the side that the venue tells                       |
| gap, silence, damage       | DEPTH_CLEAR: nothing is known until the next book                |

Source    hftbacktest 2.4.4, `types.py`: the flags and `event_dtype`; the file is read by that
          package in tests/tools/test_export.py
Promises  `local_ts` is when the book was received, `exch_ts` the venue's time of its last change;
          each of them never goes back: where the source does, the time before stands, and
          `held_back` counts it
Never     makes an event for what was not seen: what came and went between two polls is not there
"""

import struct

import msgspec

from workers.core.books.amounts import MICROS
from workers.core.books.book import BID, Book, LevelChange, changes_between
from workers.core.books.ladders import Ladder
from workers.core.instants import NS_PER_MS
from workers.core.reading.evidence import Trade

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EXCHANGE, LOCAL, BUY, SELL = 1 << 31, 1 << 30, 1 << 29, 1 << 28
_BOTH = EXCHANGE | LOCAL
_FIELDS = ("ev", "exch_ts", "local_ts", "px", "qty", "order_id", "ival", "fval")
_KINDS = ("<u8", "<i8", "<i8", "<f8", "<f8", "<u8", "<i8", "<f8")
_RECORD = struct.Struct("<QqqddQqd")
RECORD_BYTES = _RECORD.size


class Counts(msgspec.Struct):
    """What became of the books and trades."""

    books: int = 0
    events: int = 0
    snapshots: int = 0
    unchanged: int = 0
    cleared: int = 0
    held_back: int = 0
    early: int = 0
    trades: int = 0


class HftEvents:
    """The events of one token; one after the other."""

    def __init__(self) -> None:
        self.counts = Counts()
        self._before: Book | None = None
        self._exch_ns = self._local_ns = 0

    def book(self, book: Book, recv_wall_ns: int) -> bytes:
        """The events of the next book.

        Args:
            book: as it was received.
            recv_wall_ns: when, on the recorder's clock.
        """
        self.counts.books += 1
        venue_ns = book.venue_ms * NS_PER_MS
        self.counts.early += recv_wall_ns < venue_ns
        before, self._before = self._before, book
        if before is None:
            self._reach(venue_ns, recv_wall_ns)
            self.counts.snapshots += 1
            levels = [*self._side(BUY, book.bids), *self._side(SELL, book.asks)]
            return self._joined([self._record(CLEAR, 0, 0), *levels])
        changes = changes_between(before, book)
        if not changes:
            self.counts.unchanged += 1
            return b""
        self._reach(venue_ns, recv_wall_ns)
        return self._joined([self._change(each) for each in changes])

    def trade(self, trade: Trade) -> bytes:
        """The event of a trade: whether the book is known then or not, it was there."""
        self.counts.trades += 1
        self._reach(trade.venue_ms * NS_PER_MS, trade.recv_wall_ns)
        side = {"BUY": BUY, "SELL": SELL}.get(trade.side, 0)
        return self._joined([self._record(TRADE | side, trade.price_micros, trade.size_micros)])

    def gap(self, at_ns: int) -> bytes:
        """The events of a moment from which on nothing is known."""
        if self._before is None:
            return b""
        self.counts.cleared += 1
        self._before = None
        self._reach(at_ns, at_ns)
        return self._joined([self._record(CLEAR, 0, 0)])

    def _reach(self, exch_ns: int, local_ns: int) -> None:
        self.counts.held_back += exch_ns < self._exch_ns or local_ns < self._local_ns
        self._exch_ns = max(self._exch_ns, exch_ns)
        self._local_ns = max(self._local_ns, local_ns)

    def _side(self, side: int, ladder: Ladder) -> list[bytes]:
        return [self._record(SNAPSHOT | side, *level) for level in ladder.levels]

    def _change(self, change: LevelChange) -> bytes:
        side = BUY if change.side == BID else SELL
        return self._record(DEPTH | side, change.price_micros, change.after_micros)

    def _record(self, kind: int, price_micros: int, size_micros: int) -> bytes:
        # Dividing integers gives the double nearest to the decimal: what parsing its text gives.
        return _RECORD.pack(
            kind | _BOTH,
            self._exch_ns,
            self._local_ns,
            price_micros / MICROS,
            size_micros / MICROS,
            0,
            0,
            0.0,
        )

    def _joined(self, records: list[bytes]) -> bytes:
        self.counts.events += len(records)
        return b"".join(records)


def npy_head(records: int) -> bytes:
    """The head of an `.npy` file (format 1.0) with so many records: what numpy writes itself."""
    descr = ", ".join(f"('{name}', '{kind}')" for name, kind in zip(_FIELDS, _KINDS, strict=True))
    text = f"{{'descr': [{descr}], 'fortran_order': False, 'shape': ({records},), }}"
    size = -(-(len(text) + 11) // 64) * 64 - 10
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", size) + text.ljust(size - 1).encode() + b"\n"
