"""The bytes the venue hashed, made again from the columns of a row of `books`.

Source  VENUE §4: SHA-1 of the compact JSON of ten fields in a fixed order with `hash` empty.
        Every captured REST book comes back from its columns with the venue's own hash.
"""

import hashlib
from collections.abc import Sequence

import msgspec

from workers.core.books.amounts import shortest, three_decimals


class Hashed(msgspec.Struct, frozen=True, kw_only=True):
    """The columns of one row of `books` that the venue's hash covers."""

    condition_id: str
    token_id: str
    venue_ms: int
    bid_price_micros: Sequence[int]
    bid_size_micros: Sequence[int]
    ask_price_micros: Sequence[int]
    ask_size_micros: Sequence[int]
    min_order_size_micros: int
    tick_micros: int
    neg_risk: bool
    last_trade_price_micros: int | None
    texts: str | None = None


def payload(book: Hashed) -> bytes:
    """The hashed bytes: compact JSON with `hash` empty; `texts` where it is given."""
    if book.texts is not None:
        return book.texts.encode()
    return (
        f'{{"market":{_quoted(book.condition_id)},"asset_id":{_quoted(book.token_id)},'
        f'"timestamp":"{book.venue_ms}","hash":"",'
        f'"bids":[{_levels(book.bid_price_micros, book.bid_size_micros)}],'
        f'"asks":[{_levels(book.ask_price_micros, book.ask_size_micros)}],'
        f'"min_order_size":"{shortest(book.min_order_size_micros)}",'
        f'"tick_size":"{shortest(book.tick_micros)}",'
        f'"neg_risk":{"true" if book.neg_risk else "false"},'
        f'"last_trade_price":"{three_decimals(book.last_trade_price_micros)}"}}'
    ).encode()


def hash_of(book: Hashed) -> str:
    """The 40 hex digits the venue gives this book."""
    return hashlib.sha1(payload(book), usedforsecurity=False).hexdigest()


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _levels(prices: Sequence[int], sizes: Sequence[int]) -> str:
    return ",".join(
        f'{{"price":"{shortest(price)}","size":"{shortest(size)}"}}'
        for price, size in zip(prices, sizes, strict=True)
    )
