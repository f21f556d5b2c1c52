"""Lines of a `frames` segment taken apart once, with every number exact.

Promises  a line is one of five sorts, or refused by a reason of BAD_REASONS; two readings of the
          same line agree
Source    `core.stream.frames` reads the same rows with their bytes; here nothing is kept but what
          the tables need, in one pass of the decoder
"""

from functools import lru_cache

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.books.amounts import INT32_MAX, INT64_MAX, Inexact, micros
from workers.core.books.states import Bad
from workers.core.stream.frames import Change, Told, read_frame_row, whole_ms

#: What a line can be; `other` is an event that no table here has rows for.
BOOKS = frozenset({"dump", "book", "seed", "rest"})


class _Event(Told, frozen=True):
    """Members of a trade that nobody else reads."""

    fee_rate_bps: str | int | None = None
    transaction_hash: str | None = None


class _Line(msgspec.Struct, frozen=True, gc=False):
    recv_wall_ns: int
    recv_mono_ns: int
    connection: str
    leg: int
    seq: int
    type: str
    position: int | None = None
    why: str = ""
    verdict: str = ""
    event: _Event | None = None
    event_text: str | None = None
    snapshot: _Event | None = None
    snapshot_text: str | None = None
    book: _Event | None = None
    book_text: str | None = None


class Exact(msgspec.Struct, frozen=True, gc=False):
    """Numbers of one price change; None = not told."""

    price_micros: int
    size_micros: int
    best_bid_micros: int | None
    best_ask_micros: int | None


class Heard(msgspec.Struct, frozen=True, gc=False):
    """One line: its number from 1, what it is (`sort`), what the venue told.

    `changes` are those of the segment's own market, `exact` their numbers; `raw` the bytes of a
    whole book, b"" of everything else. `why`: of a seed; of REST what the comparison said.
    """

    number: int
    line: _Line
    sort: str
    told: _Event
    timestamp: str
    ms: int
    why: str = ""
    changes: tuple[Change, ...] = ()
    exact: tuple[Exact, ...] = ()
    strange: str = ""
    raw: bytes = b""


_line = msgspec.json.Decoder(_Line)
_text = msgspec.json.Decoder(_Event)


class Lines:
    """Takes the lines of one segment apart, in their order."""

    def __init__(self, market: ManifestMarket) -> None:
        self.number = 0
        self._market = market.condition_id
        self._tokens = market.tokens

    def read(self, line: bytes) -> Heard:
        """The next line, without its line feed; raises Bad."""
        self.number += 1
        try:
            if not line.isascii():
                line.decode()
            return self._heard(_line.decode(line), line)
        except msgspec.ValidationError as error:
            raise Bad("not_a_row", str(error)) from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Bad("not_json", str(error)) from error
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error

    def _heard(self, read: _Line, line: bytes) -> Heard:
        if not max(-read.recv_wall_ns, -read.recv_mono_ns, -read.seq, -read.leg) <= 0:
            raise Bad("not_a_row", "a number below 0")
        if max(read.recv_wall_ns, read.recv_mono_ns, read.seq) > INT64_MAX:
            raise Bad("inexact", "a number is beyond 64 bits")
        if max(read.leg, read.position or 0) > INT32_MAX:
            raise Bad("inexact", "a number is beyond 32 bits")
        sort, told = _sort_of(read)
        if self._market and told.market != self._market:
            raise Bad("wrong_market", f"it is of {told.market[:90]}")
        stamp = told.timestamp if isinstance(told.timestamp, str) else str(told.timestamp)
        ms = whole_ms(stamp)
        if sort == "change":
            return self._of_changes(read, told, stamp, ms)
        if sort != "other" and self._tokens and told.asset_id not in self._tokens:
            raise Bad("wrong_token", f"it is of {told.asset_id[:90]}")
        raw = read_frame_row(line).raw if sort in BOOKS else b""
        why = read.why if sort == "seed" else read.verdict if sort == "rest" else ""
        return Heard(self.number, read, sort, told, stamp, ms, why, raw=raw)

    def _of_changes(self, read: _Line, told: _Event, stamp: str, ms: int) -> Heard:
        changes, strange = told.price_changes, ""
        if self._tokens:
            changes = tuple(each for each in changes if each.token_id in self._tokens)
            if len(changes) < len(told.price_changes):
                others = [e.token_id for e in told.price_changes if e.token_id not in self._tokens]
                strange = f"an item is of {others[0][:90]}"
        exact = tuple(map(_exact, changes))
        return Heard(
            *(self.number, read, "change", told, stamp, ms),
            changes=changes,
            exact=exact,
            strange=strange,
        )


def _sort_of(read: _Line) -> tuple[str, _Event]:
    """What a line is, by the member that is there: `type` is the venue's text."""
    if read.snapshot is not None or read.snapshot_text is not None:
        return "seed", _told(read.snapshot, read.snapshot_text)
    if read.book is not None or read.book_text is not None:
        return "rest", _told(read.book, read.book_text)
    told = _told(read.event, read.event_text)
    if read.type == "price_change":
        return "change", told
    if read.type == "book":
        # Only the dump tells the tick (VENUE §5.3).
        return "book" if told.tick_size is None else "dump", told
    return "trade" if read.type == "last_trade_price" else "other", told


def _told(event: _Event | None, text: str | None) -> _Event:
    if event is not None:
        return event
    if text is None:
        raise Bad("not_a_row", "neither event nor book")
    return _text.decode(text)


@lru_cache(maxsize=20_000)
def _micros(text: str, at_most: int) -> int:
    return micros(text, at_most)


def _exact(change: Change) -> Exact:
    if change.side not in {"BUY", "SELL"}:
        raise Bad("bad_number", f"side {change.side[:20]!r}")
    bid, ask = change.best_bid, change.best_ask
    return Exact(
        _micros(change.price, INT32_MAX),
        _micros(change.size, INT64_MAX),
        None if bid is None else _micros(bid or "0", INT32_MAX),
        None if ask is None else _micros(ask or "0", INT32_MAX),
    )
