"""Rows of a frame of the reading library: what `books` tells, as columns.

Promises  a row of a poll has all columns of the table `books`; one of the stream those that the
          stream told, and the row of the event that led to the state
"""

import msgspec

from workers.core.archive.segments import DATA_SUFFIX
from workers.core.books.book import Book, json_of, of_values
from workers.core.reading.evidence import STREAM, Answer
from workers.core.tables.columns import BOOKS, Column, Table

_OF_POLLS = frozenset({"due_ms", "recv_mono_ns", "send_wall_ns"})
_TOLD = ("at_wall_ns", "state", "cause")
_BOOKS = tuple(
    msgspec.structs.replace(each, nullable=True, meaning=f"{each.meaning}; null: of the stream")
    if each.name in _OF_POLLS
    else each
    for each in BOOKS.columns
    if each.name != "source"
)

FRAME = Table(
    "frame",
    "orderbooks.frame/1",
    "One row for each book that the reading library tells between two moments.",
    (
        Column("source", "text", "", "`polls` or `stream`"),
        Column("at_wall_ns", "int64", "Unix ns", "from when on it is the answer"),
        Column("state", "text", "", "`SYNCED` or `SUSPECT`: METHODOLOGY.md"),
        Column("cause", "text", "", "of SUSPECT"),
        Column("proof", "text", "", "of the stream: what the venue's hash of this state says"),
        *_BOOKS,
        Column("connection", "text", "", "of the stream: `<worker>.<run>.<n>`"),
        Column(
            *("base_segment", "text", "", "of the stream: where the whole book stands"),
            nullable=True,
        ),
        Column(
            "base_row", "int64", "lines", "of the stream: from which it was made", nullable=True
        ),
    ),
    ("condition_id", "token_id", "at_wall_ns"),
)
#: The columns that the table `books` does not have.
OWN = msgspec.structs.replace(
    FRAME, columns=tuple(each for each in FRAME.columns if each not in _BOOKS)
)
#: Those that another source may change.
TOLD = msgspec.structs.replace(
    FRAME, columns=tuple(each for each in OWN.columns if each.name in _TOLD)
)


def stem_of(path: str) -> str:
    """The name of a segment by the path of its file, published or being written."""
    return path.rpartition("/")[2].partition(DATA_SUFFIX)[0]


def stream_row(answer: Answer, series: str) -> tuple[object, ...]:
    """The row of an answer of the stream that has a book, in the order of FRAME's columns."""
    book, source = answer.book, answer.provenance
    if book is None or source is None or answer.source != STREAM:
        raise ValueError(f"no state of the stream: {answer.source}, {answer.state}")
    last = source.changes[-1] if source.changes else None
    fields: dict[str, object] = {
        **dict.fromkeys(_OF_POLLS),
        **_of_book(book),
        "source": STREAM,
        "at_wall_ns": answer.at_ns,
        "state": answer.state.value,
        "cause": answer.cause,
        "proof": answer.proof,
        "slug": answer.slug,
        "series": series,
        "condition_id": answer.condition_id,
        "token_id": answer.token_id,
        "outcome": answer.outcome,
        "recv_wall_ns": answer.recv_wall_ns,
        "hash_verdict": answer.hash_verdict.value if answer.hash_verdict else "",
        "flags": answer.flags,
        "segment": stem_of(last.path if last else source.path),
        "row": last.last_row if last else source.row,
        "collector_version": "",
        "connection": source.connection,
        "base_segment": stem_of(source.path),
        "base_row": source.row,
    }
    return tuple(fields[each.name] for each in FRAME.columns)


_TAIL = ("tick_micros", "min_order_size_micros", "neg_risk", "last_trade_price_micros")


def _of_book(book: Book) -> dict[str, object]:
    bid, ask = book.best_bid, book.best_ask
    return {
        **{name: getattr(book, name) for name in _TAIL},
        "venue_ms": book.venue_ms,
        "best_bid_micros": bid and bid.price_micros,
        "best_ask_micros": ask and ask.price_micros,
        "best_bid_size_micros": bid and bid.size_micros,
        "best_ask_size_micros": ask and ask.size_micros,
        "mid_half_micros": book.mid_half_micros,
        "spread_micros": book.spread_micros,
        "bid_price_micros": list(book.bids.price_micros),
        "bid_size_micros": list(book.bids.size_micros),
        "ask_price_micros": list(book.asks.price_micros),
        "ask_size_micros": list(book.asks.size_micros),
        "hash": book.hash,
        "texts": _texts(book),
    }


def _texts(book: Book) -> str | None:
    """The hashed bytes, where the columns do not give them; None too where they are not known."""
    if not book.spelling or json_of(of_values(book)) == book.spelling:
        return None
    return book.spelling.replace(b'"hash":"%b"' % book.hash.encode(), b'"hash":""', 1).decode()
