"""Venue bytes to values: the slices of a `POST /books` answer, without parsing the levels.

Promises  a book's bytes are never re-serialised; what is not understood is a named cause or a
          named refusal, never an exception and never lost.
Source    VENUE §3: unknown tokens are omitted, order is not request order, keys are added
          without notice.
"""

import re
from collections.abc import Mapping

import msgspec

from workers.core.causes import OK


class Book(msgspec.Struct, frozen=True):
    """One book of an answer: where it stood, whose it is, and its verbatim bytes."""

    position: int
    token_id: str
    market: str
    timestamp_ms: int
    raw: bytes


class RefusedBook(msgspec.Struct, frozen=True):
    """A book that is kept in the ledger instead of a market's segment."""

    token_id: str
    reason: str
    position: int
    raw: bytes


class BooksAnswer(msgspec.Struct, frozen=True):
    """A `POST /books` body, taken apart.

    `layout` is "array" when the body is exactly `[` + books joined by `,` + `]`, so that the
    archive can rebuild it; else "kept": the whole body goes into the ledger.
    """

    cause: str
    layout: str
    books: tuple[Book, ...]
    refused: tuple[RefusedBook, ...]
    missing: tuple[str, ...]


class _Ids(msgspec.Struct, frozen=True):
    asset_id: str
    market: str
    timestamp: str | int = ""


# The venue's own spelling of a book's first members; any other is read by the decoder (4 µs more).
_HEAD = re.compile(
    rb'\{"market":"(0x[0-9a-f]{1,64})","asset_id":"([0-9]{1,80})","timestamp":"([0-9]{1,15})",'
)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_ids = msgspec.json.Decoder(_Ids)


def read_books(body: bytes, asked: Mapping[str, str]) -> BooksAnswer:
    """Take a `POST /books` body apart.

    Args:
        body: the decoded HTTP body.
        asked: condition id by token id, for every token the request named.

    Returns:
        The books in their own order; a cause other than "ok" has no books.
    """
    cause, raws = _split(body)
    if cause != OK:
        return BooksAnswer(cause, "kept", (), (), ())
    books: dict[str, Book] = {}
    refused: list[RefusedBook] = []
    for position, raw in enumerate(raws):
        book = _read_book(position, raw)
        reason = _refusal(book, asked, books)
        if reason:
            refused.append(RefusedBook(book.token_id, reason, position, raw))
        else:
            books[book.token_id] = book
    # JSON allows only white space beside the commas and brackets of an array: when the lengths
    # add up there is none, and the join is the body.
    whole = len(body) == sum(map(len, raws)) + max(len(raws) + 1, 2) and b"\n" not in body
    named = books.keys() | {each.token_id for each in refused}
    return BooksAnswer(
        cause=OK,
        layout="array" if whole else "kept",
        books=tuple(books.values()),
        refused=tuple(refused),
        missing=tuple(token_id for token_id in asked if token_id not in named),
    )


def _split(body: bytes) -> tuple[str, list[bytes]]:
    try:
        # msgspec does not look inside strings it skips; isascii takes 25 GB/s.
        if not body.isascii():
            body.decode()
        return OK, [bytes(raw) for raw in _array.decode(body)]
    except UnicodeDecodeError:
        return "bad_utf8", []
    except msgspec.ValidationError:
        return "schema", []
    except (msgspec.DecodeError, RecursionError):
        return "bad_json", []


def _read_book(position: int, raw: bytes) -> Book:
    head = _HEAD.match(raw)
    if head is not None:
        market, token_id, timestamp = (part.decode() for part in head.groups())
        return Book(position, token_id, market, int(timestamp), raw)
    try:
        ids = _ids.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return Book(position, "", "", 0, raw)
    text = str(ids.timestamp)
    timestamp_ms = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
    return Book(position, ids.asset_id, ids.market, timestamp_ms, raw)


def _refusal(book: Book, asked: Mapping[str, str], taken: Mapping[str, Book]) -> str:
    if not book.token_id:
        return "no_token"
    if book.token_id not in asked:
        return "foreign"
    if book.token_id in taken:
        return "duplicate"
    return "" if book.market == asked[book.token_id] else "wrong_market"
