"""The venue's book text and its SHA-1, written apart from the recorder's own.

Promises: ``render`` returns the exact bytes the venue sends, and the hash inside is the one
          ``book_hash`` finds again (key order and rule: py-clob-client 0.34.6
          ``generate_orderbook_summary_hash``; 10 fields since 2025-10-30).
Never:    imports the recorder; the two must be able to disagree.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

LEVEL_KEYS = ("price", "size")


@dataclass(frozen=True, slots=True)
class BookText:
    """One book as sent: `raw` is the JSON object, `digest` its 40 hex SHA-1."""

    digest: str
    raw: bytes


def render(head: str, tail: str) -> BookText:
    """The book whose text is `head`, the digest, `tail`.

    Args:
        head: from ``{"market"`` up to and with ``"hash":"``.
        tail: from the closing quote of the hash to the end.
    """
    digest = hashlib.sha1(f"{head}{tail}".encode(), usedforsecurity=False).hexdigest()
    return BookText(digest=digest, raw=f"{head}{digest}{tail}".encode())


def book_hash(book: Mapping[str, object]) -> str:
    """40 hex SHA-1 of a parsed book; levels in the order they came, strings as they came.

    Raises:
        KeyError: one of the ten fields is missing.
        TypeError: a level is not an object.
    """
    payload = {
        "market": book["market"],
        "asset_id": book["asset_id"],
        "timestamp": book["timestamp"],
        "hash": "",
        "bids": _levels(book["bids"]),
        "asks": _levels(book["asks"]),
        "min_order_size": book["min_order_size"],
        "tick_size": book["tick_size"],
        "neg_risk": book["neg_risk"],
        "last_trade_price": book["last_trade_price"],
    }
    text = json.dumps(payload, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _levels(side: object) -> list[dict[str, object]]:
    if not isinstance(side, list):
        raise TypeError(f"reading one side of a book: found {type(side).__name__}, need a list")
    return [{key: level[key] for key in LEVEL_KEYS} for level in side]
