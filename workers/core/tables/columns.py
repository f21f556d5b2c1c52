"""Columns of derived tables, and those of `books`: one row for each token and observed state.

Promises  from the columns of one row of `books` the bytes that the venue hashed can be made again
          (`core.books.payloads`), so a reader can prove a derived row without the raw one.
"""

import msgspec

#: Types of columns; the only ones there are.
KINDS = (
    *("text", "int32", "int64", "bool"),
    *("list<text>", "list<int32>", "list<int64>"),
)


class Column(msgspec.Struct, frozen=True):
    """One column: its type, unit ("" = none) and meaning."""

    name: str
    kind: str
    unit: str
    meaning: str
    nullable: bool = False


class Table(msgspec.Struct, frozen=True):
    """A table: `schema` names its version, `order` the columns its rows are sorted by."""

    name: str
    schema: str
    about: str
    columns: tuple[Column, ...]
    order: tuple[str, ...]


SEGMENT = Column("segment", "text", "", "name of the raw segment the row is from")
ROW = Column("row", "int64", "lines", "its line in the uncompressed segment, from 0")
CONDITION = Column("condition_id", "text", "", "the market's condition id")
SLUG = Column("slug", "text", "", "the market's slug as the venue names it")
SERIES = Column("series", "text", "", "the series of the settings, or `other`")
_MICROS = "micros"
_TEN = "hashed by the venue"

BOOKS = Table(
    "books",
    "orderbooks.books/1",
    "One row for each token and observed state of its book.",
    (
        Column("source", "text", "", "`rest`: a poll; the stream has tables of its own"),
        Column("slug", "text", "", "the market's slug as the venue names it"),
        Column("series", "text", "", "the series of the settings, or `other`"),
        Column("condition_id", "text", "", f"the market; {_TEN}"),
        Column("token_id", "text", "", f"whose book; {_TEN}"),
        Column("outcome", "text", "", "what the token pays for; empty when not told"),
        Column("due_ms", "int64", "Unix ms", "the tick: when it should have been asked"),
        Column("recv_wall_ns", "int64", "Unix ns", "after the last byte of the answer"),
        Column("recv_mono_ns", "int64", "ns of one boot", "as recv_wall_ns"),
        Column("send_wall_ns", "int64", "Unix ns", "before the request was sent"),
        Column("venue_ms", "int64", "Unix ms", f"the venue's clock at the last change; {_TEN}"),
        Column("best_bid_micros", "int32", _MICROS, "highest bid", nullable=True),
        Column("best_ask_micros", "int32", _MICROS, "lowest ask", nullable=True),
        Column("best_bid_size_micros", "int64", _MICROS, "shares at it", nullable=True),
        Column("best_ask_size_micros", "int64", _MICROS, "shares at it", nullable=True),
        Column(
            "mid_half_micros",
            "int32",
            "half micros",
            "best bid + best ask: twice the mid, exact",
            nullable=True,
        ),
        Column("spread_micros", "int32", _MICROS, "best ask - best bid", nullable=True),
        Column("bid_price_micros", "list<int32>", _MICROS, f"ascending: the best is last; {_TEN}"),
        Column("bid_size_micros", "list<int64>", _MICROS, f"shares at each; {_TEN}"),
        Column("ask_price_micros", "list<int32>", _MICROS, f"descending: the best is last; {_TEN}"),
        Column("ask_size_micros", "list<int64>", _MICROS, f"shares at each; {_TEN}"),
        Column("tick_micros", "int32", _MICROS, f"the price step; {_TEN}", nullable=True),
        Column(
            "min_order_size_micros", "int64", _MICROS, f"the smallest order; {_TEN}", nullable=True
        ),
        Column("neg_risk", "bool", "", f"as sent; {_TEN}", nullable=True),
        Column(
            "last_trade_price_micros",
            "int32",
            _MICROS,
            f"of the market; null = none; {_TEN}",
            nullable=True,
        ),
        Column("hash", "text", "", "the venue's SHA-1 as sent"),
        Column("hash_verdict", "text", "", "see Verdicts"),
        Column("flags", "list<text>", "", "of the raw row, and of the checks: see Flags"),
        Column(
            "texts",
            "text",
            "",
            "the hashed bytes, where a number is not spelled canonically",
            nullable=True,
        ),
        Column("segment", "text", "", "name of the raw segment the row is from"),
        Column("row", "int64", "lines", "its line in the uncompressed segment, from 0"),
        Column("collector_version", "text", "", "of the program that recorded it"),
    ),
    ("condition_id", "token_id", "recv_wall_ns", "segment", "row"),
)
FLAGS = {
    "time_went_back": "of the raw row: its timestamp is before that of the token's last book",
    "empty_bid": "no bid",
    "empty_ask": "no ask",
    "crossed": "the best bid is not below the best ask",
    "price_out_of_range": "a price is not above 0 and below 1",
    "off_tick": "a price is no multiple of the tick",
    "unsorted": "bids do not strictly ascend, or asks do not strictly descend",
    "zero_size": "a level of size 0",
    "mirror_broken": "the other outcome's book, of the same answer and time, is no mirror of it",
    "outcome_unknown": "the manifest does not name the token's outcome",
    "verdict_differs": "the hash computed again says something else than the raw row",
}
BAD_REASONS = {
    "not_json": "the line is not JSON, or not in UTF-8",
    "not_a_row": "a member that every row has is missing, or of another type",
    "not_a_book": "the book is not of the venue's shape",
    "bad_number": "a price, a size or a time is no plain decimal",
    "inexact": "a number is finer than a micro or too large: it would have to be rounded",
    "wrong_market": "the book is of another market than its segment",
    "wrong_token": "the book is of another token than its row says",
}
