"""The derived tables: every column with its type, unit and meaning, as values.

`docs/ORDERBOOK_SCHEMA.md`, the Parquet schemas and their metadata are made from this module.

Promises  within a schema number columns may be added, never removed, renamed or given another
          meaning; prices and sizes are exact integers; a table's rows have one order.
"""

from workers.core.tables.columns import BOOKS, CONDITION, ROW, SEGMENT, SERIES, SLUG, Column, Table
from workers.core.tables.stream import CHANGES, LEGS, SNAPSHOTS, TICKS, TRADES, TURNS

REQUESTS = Table(
    "requests",
    "orderbooks.requests/1",
    "One row for each HTTP exchange in a ledger, whatever came of it.",
    (
        Column("worker", "text", "", "who asked"),
        Column("request", "text", "", "its id: `<worker>.<run>.<n>`"),
        Column("due_ms", "int64", "Unix ms", "the tick; of discovery: when its round began"),
        Column("endpoint", "text", "", "method and route"),
        Column("params", "text", "", "of a GET: the query, or the slug"),
        Column("send_wall_ns", "int64", "Unix ns", "before the send"),
        Column("recv_wall_ns", "int64", "Unix ns", "after the last byte, or when it was given up"),
        Column("send_mono_ns", "int64", "ns of one boot", "as send_wall_ns"),
        Column("recv_mono_ns", "int64", "ns of one boot", "as recv_wall_ns"),
        Column("status", "int32", "", "HTTP status; null when no status line came", nullable=True),
        Column("cause", "text", "", "`ok`, or a cause of COLLECTOR.md"),
        Column("detail", "text", "", "what the library said of a failure"),
        Column("retry_after_ms", "int64", "ms", "what the venue asked us to wait", nullable=True),
        Column("body_bytes", "int64", "bytes", "of the decoded body as far as it was taken"),
        Column("wire_bytes", "int64", "bytes", "of the body on the wire"),
        Column("sha256", "text", "", "of the decoded body; null when none came", nullable=True),
        Column("asked", "int32", "tokens", "in the request"),
        Column("missing", "list<text>", "", "tokens that a good answer left out"),
        Column("refused", "list<text>", "", "reasons of books that went into no segment"),
        Column("layout", "text", "", "how the body is rebuilt (DATA_CONTRACT.md)"),
        SEGMENT,
        ROW,
    ),
    ("worker", "recv_wall_ns", "segment", "row"),
)
MARKETS = Table(
    "markets",
    "orderbooks.markets/1",
    "One row for each market that a publication of the universe shows first or changed.",
    (
        CONDITION,
        SLUG,
        Column("question", "text", "", "as the venue words it"),
        SERIES,
        Column("event_slug", "text", "", "the event that holds it"),
        Column("token_ids", "list<text>", "", "both tokens, in the venue's order"),
        Column("outcomes", "list<text>", "", "what each token pays for"),
        Column("window_start_ms", "int64", "Unix ms", "what it is about: from"),
        Column("window_end_ms", "int64", "Unix ms", "until"),
        Column("tick_micros", "int32", "micros", "its price step, if told", nullable=True),
        Column("status", "text", "", "`listed`, `open`, `ended` or `closed`"),
        Column("source", "text", "", "`keyset` or `slug`: how it was first seen"),
        Column("tier", "text", "", "`warm` or `hot`, at publication"),
        Column("phase_tiers", "list<text>", "", "its phases"),
        Column("phase_from_ms", "list<int64>", "Unix ms", "when each begins"),
        Column("phase_until_ms", "list<int64>", "Unix ms", "when each ends, exclusive"),
        Column("phase_interval_ms", "list<int64>", "ms", "how often it is asked for in each"),
        Column("seq", "int64", "", "of the publication"),
        Column("at_wall_ns", "int64", "Unix ns", "when it was published"),
        SEGMENT,
        ROW,
    ),
    ("condition_id", "at_wall_ns", "segment", "row"),
)
GAPS = Table(
    "gaps",
    "orderbooks.gaps/1",
    "One row for each stretch of due ticks of a market that were not captured, cut at the hour.",
    (
        CONDITION,
        SLUG,
        SERIES,
        Column("from_due_ms", "int64", "Unix ms", "the first tick that was not captured"),
        Column("until_due_ms", "int64", "Unix ms", "the last one, inclusive"),
        Column("length_ms", "int64", "ms", "to the next captured tick, or the hour's next"),
        Column("states", "list<text>", "", "`STATE` or `STATE(cause)` of METHODOLOGY.md"),
        Column("ticks", "list<int64>", "ticks", "how many have each state"),
        Column("acknowledged", "bool", "", "all of them are: a person has said so with a label"),
    ),
    ("condition_id", "from_due_ms"),
)
STATS = Table(
    "stats",
    "orderbooks.stats/1",
    "One row for each books segment: what the sanity checks found in it.",
    (
        CONDITION,
        SLUG,
        SERIES,
        SEGMENT,
        Column("sha256", "text", "", "of the segment's file"),
        Column("ended", "text", "", "why the segment ended"),
        Column("rows", "int64", "rows", "that became rows of `books`"),
        Column("bad", "int64", "rows", "that did not: see table `bad`"),
        Column("verified", "int64", "rows", "whose hash verifies"),
        Column("failed", "int64", "rows", "whose hash does not"),
        Column("absent", "int64", "rows", "that are not of the shape that is hashed"),
        Column("changes", "int64", "rows", "whose book differs from the token's row before"),
        Column("mirrored", "int64", "pairs", "of both outcomes that were compared"),
        Column("first_recv_wall_ns", "int64", "Unix ns", "of the first row", nullable=True),
        Column("last_recv_wall_ns", "int64", "Unix ns", "of the last row", nullable=True),
        Column("longest_silence_ns", "int64", "ns", "between two rows of one token"),
        Column("flags", "list<text>", "", "that rows carry"),
        Column("flag_rows", "list<int64>", "rows", "that carry each"),
    ),
    ("condition_id", "segment"),
)
BAD = Table(
    "bad",
    "orderbooks.bad/1",
    "One row for each raw row that could not become a row of its table; raw keeps it whole.",
    (
        SEGMENT,
        ROW,
        Column("reason", "text", "", "of ORDERBOOK_SCHEMA.md"),
        Column("detail", "text", "", "what exactly; at most 200 characters"),
        Column("text", "text", "", "the raw row, at most 2,000 characters"),
    ),
    ("segment", "row"),
)
TABLES = {
    table.name: table
    for table in (
        *(BOOKS, REQUESTS, MARKETS, GAPS, STATS, BAD),
        *(SNAPSHOTS, CHANGES, TRADES, TICKS, LEGS, TURNS),
    )
}
#: What a segment of each kind becomes. The last table of each is written last: a segment is done
#: when a live manifest of that table names it. Pages are read by nobody here.
TABLES_OF_KIND = {
    "books": ("bad", "stats", "books"),
    "frames": ("bad", "legs", "ticks", "trades", "snapshots", "changes"),
    "ledger": ("bad", "turns", "requests"),
    "universe": ("bad", "markets"),
    "pages": (),
}
#: Tables that name a segment only when it has rows for them: most have none.
SPARSE = frozenset({"bad", "ticks", "turns"})
