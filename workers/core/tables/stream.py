"""The derived tables of the stream: what the market channel told, and what each leg was worth.

A token's *line* is every event that any connection showed while it was known to be right, once, in
the venue's order: `core.stream.follow`. Rows of `snapshots` and `changes` that have a `line` make
it up.
"""

from workers.core.tables.columns import BOOKS, CONDITION, ROW, SEGMENT, SERIES, SLUG, Column, Table

_BOOK = {column.name: column for column in BOOKS.columns}
_MARKET = (
    *(CONDITION, SLUG, SERIES),
    Column("token_id", "text", "", "whose book"),
    Column("outcome", "text", "", "what the token pays for; empty when not told"),
)
_TIMES = (
    Column("recv_wall_ns", "int64", "Unix ns", "when the message was read"),
    Column("recv_mono_ns", "int64", "ns of one boot", "as recv_wall_ns"),
    Column("venue_ms", "int64", "Unix ms", "the venue's clock; 0 = not told"),
)
_ORIGIN = (
    Column("connection", "text", "", "whose row it is: `<worker>.<run>.<n>`"),
    Column("leg", "int32", "", "of the streamer, from 0"),
    Column("seq", "int64", "messages", "of the connection, from 1"),
    Column("position", "int32", "", "in the message's array, or REST's answer", nullable=True),
    *(SEGMENT, ROW),
)
_LINE = (
    Column(
        "line",
        "int32",
        "",
        "the token's unbroken line in this segment, from 1; null: in none, apply it to nothing",
        nullable=True,
    ),
    Column("step", "int64", "", "lines are read in this order; from 1 in each segment"),
)
_VERDICT = Column("hash_verdict", "text", "", "see Verdicts")

SNAPSHOTS = Table(
    "snapshots",
    "orderbooks.snapshots/1",
    "One row for each whole book beside the polls: of the stream, of REST to check it, our seeds.",
    (
        Column("kind", "text", "", "`dump`, `book`, `seed` or `rest`: see Lines"),
        Column(
            "why",
            "text",
            "",
            "of `seed`: `opened`, `scheduled` or `asked`; of `rest`: what the comparison said",
        ),
        *_MARKET,
        *_TIMES,
        *(_BOOK[name] for name in ("best_bid_micros", "best_ask_micros")),
        *(_BOOK[name] for name in ("bid_price_micros", "bid_size_micros")),
        *(_BOOK[name] for name in ("ask_price_micros", "ask_size_micros")),
        *(_BOOK[name] for name in ("tick_micros", "min_order_size_micros", "neg_risk")),
        _BOOK["last_trade_price_micros"],
        Column("hash", "text", "", "the venue's SHA-1 as told"),
        _VERDICT,
        _BOOK["texts"],
        *_LINE,
        *_ORIGIN,
    ),
    ("condition_id", "token_id", "segment", "step"),
)
CHANGES = Table(
    "changes",
    "orderbooks.changes/1",
    "One row for each price change of a token, however many connections showed it.",
    (
        *_MARKET,
        *_TIMES,
        Column("side", "text", "", "`BUY`: a bid; `SELL`: an ask"),
        Column("price_micros", "int32", "micros", "of the level"),
        Column("size_micros", "int64", "micros", "shares there now; 0: the level is gone"),
        Column("best_bid_micros", "int32", "micros", "as told; 0: no bid", nullable=True),
        Column("best_ask_micros", "int32", "micros", "as told; 0 or 1000000: none", nullable=True),
        Column("hash", "text", "", "of the whole book after it, as told"),
        _VERDICT,
        *_LINE,
        *_ORIGIN,
        Column("item", "int32", "", "which of its event, from 0"),
        Column(
            "texts",
            "text",
            "",
            "price and size as told, a blank between, where one is not spelled canonically",
            nullable=True,
        ),
    ),
    ("condition_id", "token_id", "segment", "step"),
)
TRADES = Table(
    "trades",
    "orderbooks.trades/1",
    "One row for each trade that the stream told (`last_trade_price`), once a segment: see Lines.",
    (
        *_MARKET,
        *_TIMES,
        Column("side", "text", "", "as told"),
        Column("price_micros", "int32", "micros", "of the trade"),
        Column("size_micros", "int64", "micros", "shares", nullable=True),
        Column("fee_rate_bps", "text", "basis points", "as told", nullable=True),
        Column("transaction_hash", "text", "", "as told", nullable=True),
        *_ORIGIN,
    ),
    ("condition_id", "token_id", "recv_wall_ns", "segment", "row"),
)
TICKS = Table(
    "ticks",
    "orderbooks.ticks/1",
    "One row for each new tick that the stream told (`tick_size_change`), once in a segment.",
    (
        *_MARKET,
        *_TIMES,
        Column("old_tick_micros", "int32", "micros", "as told", nullable=True),
        Column("new_tick_micros", "int32", "micros", "the price step from here on"),
        *_ORIGIN,
    ),
    ("condition_id", "token_id", "recv_wall_ns", "segment", "row"),
)
LEGS = Table(
    "legs",
    "orderbooks.legs/1",
    "One row for each token and connection of a frames segment: what it showed, what it lost.",
    (
        *_MARKET,
        Column("connection", "text", "", "`<worker>.<run>.<n>`"),
        Column("leg", "int32", "", "of the streamer, from 0"),
        Column("first_recv_wall_ns", "int64", "Unix ns", "of its rows in this segment"),
        Column("last_recv_wall_ns", "int64", "Unix ns", "of its rows in this segment"),
        Column("books", "int64", "books", "of the stream"),
        Column("changes", "int64", "changes", "with repetitions"),
        Column("duplicates", "int64", "events", "that it had shown before"),
        Column("stale", "int64", "events", "older than the book it stood on"),
        Column("invalid", "int64", "events", "that could not be applied"),
        Column("resyncs", "int64", "", "times its book was found wrong or missing"),
        Column("verified", "int64", "books", "after a change, or told, whose hash verifies"),
        Column("explained", "int64", "books", "whose hash verifies with a tail that was searched"),
        Column("failed", "int64", "books", "whose hash does not"),
        Column("unproven", "int64", "books", "whose hash does not, and none before it did"),
        Column(
            *("due", "int64", "events"),
            "that any connection showed, between the first and the last that this one did",
        ),
        Column("shown", "int64", "events", "of those due, by this one"),
        Column("missing", "int64", "events", "of those due, not by this one: lost on its way"),
        SEGMENT,
    ),
    ("condition_id", "token_id", "connection", "segment"),
)
TURNS = Table(
    "turns",
    "orderbooks.turns/1",
    "One row for each thing in a streamer's ledger that says which connection covers a token when.",
    (
        Column("worker", "text", "", "the streamer"),
        Column(
            "kind", "text", "", "`opened`, `subscription`, `turn`, `heard`, `closed`, `stalled`"
        ),
        Column("connection", "text", "", "`<worker>.<run>.<n>`; empty of `stalled`"),
        Column("leg", "int32", "", "of the streamer, from 0", nullable=True),
        Column("condition_id", "text", "", "of `turn`: the market"),
        Column("token_id", "text", "", "of `turn`: whose state changed"),
        Column("token_ids", "list<text>", "", "of `subscription`"),
        Column("state", "text", "", "of `turn`: the new one; of `subscription`: the operation"),
        Column("reason", "text", "", "of `turn` and `closed`"),
        Column("detail", "text", "", "of `closed`; of `opened` the URL"),
        Column("at_wall_ns", "int64", "Unix ns", "when it was written"),
        Column(
            "since_wall_ns",
            "int64",
            "Unix ns",
            "of `turn`: DATA_CONTRACT.md; of `stalled`: from when nobody listened",
            nullable=True,
        ),
        Column("heard_wall_ns", "int64", "Unix ns", "last word of it until then", nullable=True),
        Column("frames", "int64", "messages", "brought so far", nullable=True),
        Column("events", "int64", "events", "brought so far", nullable=True),
        Column("bytes", "int64", "bytes", "brought so far", nullable=True),
        Column(
            "told_ms",
            "int64",
            "Unix ms",
            "of `heard` and `closed`: up to which of the venue's times it brought all; 0 = none",
            nullable=True,
        ),
        *(SEGMENT, ROW),
    ),
    ("connection", "at_wall_ns", "segment", "row"),
)
