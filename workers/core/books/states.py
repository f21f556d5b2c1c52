"""One book as the venue spells it, taken apart: its sides as ids, its numbers exact, its hash.

Promises  the venue's own spelling is read without a JSON parser, any other with one, and both give
          the same state; what cannot be a state exactly is refused by a reason of BAD_REASONS
Source    131 captured REST books have one spelling: ten members in the hashed order, compact.
"""

import hashlib
import re
from array import array

import msgspec

from workers.core.books import checks
from workers.core.books.amounts import (
    INT32_MAX,
    INT64_MAX,
    Inexact,
    micros,
    shortest,
    three_decimals,
)
from workers.core.books.bookhash import Verdict
from workers.core.books.levels import Levels, NotPlain
from workers.core.books.sides import ASCENDING, DESCENDING, EMPTY, Side, side_of, whole_side

_OWNER = re.compile(rb'\{"market":"([0-9A-Za-z]+)","asset_id":"([0-9A-Za-z]+)')
_STAMP = re.compile(rb'","timestamp":"([0-9]{1,16})","hash":"([0-9a-f]{40})","bids":\[')
_BEFORE_STAMP = b'","timestamp":"'
_TAIL = re.compile(
    rb'\],"min_order_size":"([0-9.]+)","tick_size":"([0-9.]+)","neg_risk":(true|false),'
    rb'"last_trade_price":"([0-9.]*)"\}'
)
ASKS = b'],"asks":['
#: The text of a side that was not spelled plainly: equal to no other.
_NO_TEXT = b"?"
_TAILS_MAX = 10_000
#: Plain texts: a member of an Enum is hashed in Python, here for every row.
_VERIFIED, _FAILED, _ABSENT = (each.value for each in Verdict)


class Bad(ValueError):
    """A row that cannot become a row of its table; `reason` is one of BAD_REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Tail(msgspec.Struct, frozen=True):
    """What stands behind the levels; None = not told. `is_odd`: a text is not canonical."""

    min_order_size_micros: int | None
    tick_micros: int | None
    neg_risk: bool | None
    last_trade_price_micros: int | None
    is_odd: bool = False


class Cut(msgspec.Struct, frozen=True, gc=False):
    """The parts of a book's bytes: market and token, the levels of both sides, its tail read.

    Timestamp and hash are the groups of `stamp`.
    """

    market: str
    token_id: str
    stamp: re.Match[bytes]
    bids: bytes
    asks: bytes
    tail: Tail


class State(msgspec.Struct, frozen=True, gc=False):
    """One observed book; `raw` is what it was read from, `texts` its hashed bytes if needed."""

    raw: bytes
    market: str
    token_id: str
    venue_ms: int
    hash: str
    verdict: str
    bids: Side
    asks: Side
    tail: Tail
    flags: tuple[str, ...]
    texts: str | None


class _Level(msgspec.Struct, frozen=True):
    price: str
    size: str


class _Book(msgspec.Struct, frozen=True, kw_only=True):
    """The hashed members in the venue's order; those it could do without may be missing."""

    market: str
    asset_id: str
    timestamp: str | int
    hash: str | None = None
    bids: list[_Level]
    asks: list[_Level]
    min_order_size: str | None = None
    tick_size: str | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None

    def is_hashed(self) -> bool:
        """True when every hashed member is there."""
        return None not in (
            *(self.hash, self.min_order_size, self.tick_size, self.neg_risk),
            self.last_trade_price,
        )


_book = msgspec.json.Decoder(_Book)
_encoder = msgspec.json.Encoder()
NO_STATE = State(b"", "", "", 0, "", "", EMPTY, EMPTY, Tail(None, None, None, None), (), None)


class States:
    """Reads books one after the other; remembers levels and tails, not books."""

    def __init__(self) -> None:
        self.levels = Levels()
        self._owners: dict[bytes, tuple[str, str]] = {}
        self._tails: dict[bytes, Tail] = {}

    def read(self, raw: bytes, before: State) -> State:
        """The state that these bytes tell.

        Args:
            raw: one JSON object, as the venue sent it.
            before: the last state of the same token, or NO_STATE.

        Raises:
            Bad: it is none, or not exactly.
        """
        if raw == before.raw and before is not NO_STATE:
            return before
        try:
            return self._plain(raw, before) or self._parsed(raw)
        except NotPlain:
            return self._parsed(raw)
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error

    def _plain(self, raw: bytes, before: State) -> State | None:
        cut = self.cut(raw)
        if cut is None:
            return None
        bids = side_of(self.levels, cut.bids, before.bids, ASCENDING)
        asks = side_of(self.levels, cut.asks, before.asks, DESCENDING)
        stamp, tail = cut.stamp, cut.tail
        timestamp, told = (each.decode() for each in stamp.groups())
        blank = raw[: stamp.start(2)] + raw[stamp.end(2) :]
        found = hashlib.sha1(blank, usedforsecurity=False).hexdigest()
        odd = tail.is_odd or (timestamp[0] == "0" and timestamp != "0")
        odd = odd or checks.has_odd_text(self.levels, bids, asks)
        return State(
            raw,
            cut.market,
            cut.token_id,
            int(timestamp),
            told,
            _VERIFIED if found == told else _FAILED,
            bids,
            asks,
            tail,
            tuple(checks.sanity(self.levels, bids, asks, tail.tick_micros)),
            blank.decode() if odd else None,
        )

    def cut(self, raw: bytes) -> Cut | None:
        """A book's bytes where its parts meet; None when they are not spelled as the venue does."""
        at = raw.find(_BEFORE_STAMP)
        stamp = _STAMP.match(raw, at) if at > 0 else None
        owner = self.owner(raw[:at]) if stamp else None
        if stamp is None or owner is None:
            return None
        # No level has a bracket, and one byte is found ten times faster than several.
        middle = raw.find(b"]", stamp.end())
        asks_from = middle + len(ASKS)
        end = raw.find(b"]", asks_from)
        tail = self.tail(raw[end:]) if raw.startswith(ASKS, middle) else None
        if middle < 0 or end < 0 or tail is None:
            return None
        return Cut(*owner, stamp, raw[stamp.end() : middle], raw[asks_from:end], tail)

    def owner(self, text: bytes) -> tuple[str, str] | None:
        """Market and token; nearly always of a token seen before."""
        known = self._owners.get(text)
        if known is None:
            found = _OWNER.fullmatch(text)
            if found is None:
                return None
            if len(self._owners) > _TAILS_MAX:
                self._owners.clear()
            known = self._owners[text] = found[1].decode(), found[2].decode()
        return known

    def tail(self, text: bytes) -> Tail | None:
        """What stands behind the levels, from the bracket that ends the asks; None: not plain."""
        known = self._tails.get(text)
        if known is None:
            found = _TAIL.fullmatch(text)
            if found is None:
                return None
            minimum, tick, neg_risk, last = (part.decode() for part in found.groups())
            known = msgspec.structs.replace(
                _tail_of(minimum, tick, last), neg_risk=neg_risk == "true"
            )
            if len(self._tails) > _TAILS_MAX:
                self._tails.clear()
            self._tails[text] = known
        return known

    def _parsed(self, raw: bytes) -> State:
        """The same with a JSON parser: any order of members, white space, unknown members."""
        try:
            book = _book.decode(raw)
            bids = [self.levels.named(each.price, each.size) for each in book.bids]
            asks = [self.levels.named(each.price, each.size) for each in book.asks]
            tail = _tail_of(book.min_order_size, book.tick_size, book.last_trade_price)
            tail = msgspec.structs.replace(tail, neg_risk=book.neg_risk)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Bad("not_a_book", str(error)[:200]) from error
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error
        venue_ms = _millis(book.timestamp)
        sides = (
            whole_side(self.levels, _NO_TEXT, array("i", bids), ASCENDING),
            whole_side(self.levels, _NO_TEXT, array("i", asks), DESCENDING),
        )
        return self._state_of(raw, book, venue_ms, tail, sides)

    def _state_of(
        self, raw: bytes, book: _Book, venue_ms: int, tail: Tail, sides: tuple[Side, Side]
    ) -> State:
        bids, asks = sides
        blank = _encoder.encode(msgspec.structs.replace(book, hash=""))
        verdict = _ABSENT
        if book.is_hashed():
            found = hashlib.sha1(blank, usedforsecurity=False).hexdigest()
            verdict = _VERIFIED if found == book.hash else _FAILED
        return State(
            raw,
            book.market,
            book.asset_id,
            venue_ms,
            book.hash or "",
            verdict,
            bids,
            asks,
            tail,
            tuple(checks.sanity(self.levels, bids, asks, tail.tick_micros)),
            # Whoever spells a book in another way may spell its numbers so as well.
            blank.decode() if verdict != _ABSENT else None,
        )


def _millis(told: str | int) -> int:
    """A timestamp as text or as a JSON number (`core.polling.messages` takes both)."""
    if isinstance(told, str):
        if not (told.isascii() and told.isdigit()):
            raise Bad("bad_number", f"timestamp {told[:40]!r}")
        # Twenty digits are too many already, and Python refuses to read some thousands.
        told = int(told.lstrip("0")[:20] or "0")
    if told < 0:
        raise Bad("bad_number", "a timestamp below 0")
    if told > INT64_MAX:
        raise Bad("inexact", "a timestamp beyond 64 bits")
    return told


def _tail_of(minimum: str | None, tick: str | None, last: str | None) -> Tail:
    minimum_micros = None if minimum is None else micros(minimum)
    tick_micros = None if tick is None else micros(tick, INT32_MAX)
    last_micros = micros(last, INT32_MAX) if last else None
    is_odd = (
        (minimum_micros is not None and shortest(minimum_micros) != minimum)
        or (tick_micros is not None and shortest(tick_micros) != tick)
        or (last is not None and three_decimals(last_micros) != last)
    )
    return Tail(minimum_micros, tick_micros, None, last_micros, is_odd)
