"""Real books out of the capture files, each with the hash the real venue gave it.

Reads:    `stream/btc-*.jsonl(.gz)` rows {recv_ts, slug, raw}: websocket `book` events;
          `stream/price-changes-*.jsonl`: {kind: initial_book, msg}, {kind: price_change, …};
          `rest/post-books-*.jsonl`: polls {collector_ts, books}; `rest/*.json`: one answer.
Promises: every `Recorded` verifies: its text hashes to the real hash. The websocket leaves out
          min_order_size, neg_risk and mostly tick_size and last_trade_price; the first two are
          "5" and false, the others are searched for (VENUE section 4); a book that nothing
          explains is counted in `unexplained` and left out.
"""

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.venue import dates
from tests.venue.bookhash import book_hash
from tests.venue.states import BookState, Event, Item, Told, milli_of

TICKS = ("0.01", "0.001", "0.005", "0.0025", "0.0001")
PRICES = tuple([f"{milli / 1000:.3f}".encode() for milli in range(1000)] + [b""])


@dataclass(frozen=True, slots=True)
class Recorded:
    """A real book: visible from `from_ms` on (Unix ms of the recording); `slug` "" if unknown.

    `event`: what the market channel said of it, None for a book that came by REST.
    """

    from_ms: int
    slug: str
    state: BookState
    event: Event | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """All usable books of one file in time order, and how many nothing could explain."""

    books: tuple[Recorded, ...]
    unexplained: int
    pairs: Mapping[str, tuple[str, ...]]  # condition id -> its token ids, in order of first sight


def load(path: Path) -> Recording:
    """The books of one capture file.

    Raises:
        ValueError: not one of the three forms.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if path.name.endswith(".json"):
        rows: Iterable[dict[str, Any]] = [{"books": json.loads(content)}]
    else:
        rows = (json.loads(line) for line in content.splitlines() if line)
    found: list[Recorded | None] = []
    explainer, changing = Explainer(), Changing()
    for row in rows:
        if "kind" in row:
            found.append(changing.row(row, explainer))
        else:
            found.extend(_stream_row(row, explainer) if "raw" in row else _poll_row(row, path))
    books = sorted((book for book in found if book is not None), key=lambda book: book.from_ms)
    pairs: dict[str, tuple[str, ...]] = {}
    for state in (book.state for book in books):
        known = pairs.get(state.condition_id, ())
        if state.token_id not in known:
            pairs[state.condition_id] = (*known, state.token_id)
    return Recording(tuple(books), found.count(None), pairs)


def _stream_row(row: Mapping[str, Any], explainer: "Explainer") -> Iterator[Recorded | None]:
    event = json.loads(row["raw"])
    if event.get("event_type", "book") == "book":
        full = explainer.explain(event)
        if full is None:
            yield None
        else:
            told = (Told(event["asset_id"], event["hash"]),)
            kept = Event("book", event["market"], event["timestamp"], row["raw"].encode(), told)
            yield Recorded(int(event["timestamp"]), str(row["slug"]), state_of(full), kept)


def _poll_row(row: Mapping[str, Any], path: Path) -> Iterator[Recorded | None]:
    if "books" not in row:
        raise ValueError(f"reading {path.name}: a row with {sorted(row)}, need raw or books")
    books = row["books"] if isinstance(row["books"], list) else [row["books"]]
    from_ms = max((int(book["timestamp"]) for book in books), default=0)
    if "collector_ts" in row:
        from_ms = dates.parse_iso(row["collector_ts"])
    for book in books:
        whole = book_hash(book) == book["hash"]
        yield Recorded(from_ms, "", state_of(book)) if whole else None


class Changing:
    """Books rebuilt from one token's first book and its recorded price changes."""

    def __init__(self) -> None:
        self._book: dict[str, Any] = {}

    def row(self, row: Mapping[str, Any], explainer: "Explainer") -> Recorded | None:
        """The book after one row, None when its hash is not the recorded one."""
        if row["kind"] == "initial_book":
            message = row["msg"]
            self._book = explainer.explain(message) or {}
            told: tuple[Told, ...] = (Told(message["asset_id"], message["hash"]),)
            kind, frame = "book", message
        else:
            change = row["change"]
            self._change(row["timestamp"], change)
            items = (Item(change["price"], change["size"], change["side"]),)
            told = (Told(change["asset_id"], change["hash"], items),)
            kind = "price_change"
            frame = {
                "market": self._book["market"],
                "price_changes": [change],
                "timestamp": row["timestamp"],
                "event_type": kind,
            }
        if not self._book or book_hash(self._book) != self._book["hash"]:
            return None
        raw = json.dumps(frame, separators=(",", ":"), ensure_ascii=False).encode()
        event = Event(kind, frame["market"], frame["timestamp"], raw, told)
        return Recorded(int(frame["timestamp"]), "", state_of(self._book), event)

    def _change(self, timestamp: str, change: Mapping[str, str]) -> None:
        side = "bids" if change["side"] == "BUY" else "asks"
        levels = {level["price"]: level for level in self._book[side]}
        levels.pop(change["price"], None)
        if change["size"] != "0":
            levels[change["price"]] = {"price": change["price"], "size": change["size"]}
        order = sorted(levels, key=milli_of, reverse=side == "asks")
        self._book[side] = [levels[price] for price in order]
        self._book |= {"timestamp": timestamp, "hash": change["hash"]}


class Explainer:
    """Finds tick size and last trade price of websocket books by their hash.

    Remembers the last answer of each token, because the next is mostly the same or near.
    """

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, int]] = {}

    def explain(self, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The book as the REST route would send it, or None when nothing tried fits."""
        book = {
            "market": event["market"],
            "asset_id": event["asset_id"],
            "timestamp": event["timestamp"],
            "hash": "",
            "bids": event["bids"],
            "asks": event["asks"],
            "min_order_size": event.get("min_order_size", "5"),
        }
        prefix = json.dumps(book, separators=(",", ":"), ensure_ascii=False)[:-1] + ',"tick_size":"'
        base = hashlib.sha1(prefix.encode(), usedforsecurity=False)
        last_tick, last_price = self._last.get(event["asset_id"], ("0.01", 500))
        for tick in sorted(TICKS, key=lambda tick: tick != last_tick):
            start = base.copy()
            start.update(f'{tick}","neg_risk":false,"last_trade_price":"'.encode())
            price = _search(start, event["hash"], last_price)
            if price is not None:
                self._last[event["asset_id"]] = (tick, price)
                last_trade = PRICES[price].decode()
                end = {"tick_size": tick, "neg_risk": False, "last_trade_price": last_trade}
                return {**book, "hash": event["hash"], **end}
        return None


def _search(start: "hashlib._Hash", wanted: str, near: int) -> int | None:
    """Index in PRICES that completes the hash, tried outwards from `near`."""
    digest = bytes.fromhex(wanted)
    for index in sorted(range(len(PRICES)), key=lambda index: abs(index - near)):
        attempt = start.copy()
        attempt.update(PRICES[index] + b'"}')
        if attempt.digest() == digest:
            return index
    return None


def state_of(book: Mapping[str, Any]) -> BookState:
    """A full book as the venue serves it: bytes in REST key order, the hash it came with."""
    order = (
        "market", "asset_id", "timestamp", "hash", "bids", "asks",
        "min_order_size", "tick_size", "neg_risk", "last_trade_price",
    )  # fmt: skip
    full = {key: book[key] for key in order}
    bids, asks = full["bids"], full["asks"]
    return BookState(
        token_id=full["asset_id"],
        condition_id=full["market"],
        timestamp=full["timestamp"],
        digest=full["hash"],
        raw=json.dumps(full, separators=(",", ":"), ensure_ascii=False).encode(),
        best_bid=milli_of(bids[-1]["price"]) if bids else None,
        best_ask=milli_of(asks[-1]["price"]) if asks else None,
        last_trade=full["last_trade_price"],
        tick=full["tick_size"],
    )


def mirrored(state: BookState, token_id: str) -> BookState:
    """The other token's book: bid p is ask 1 - p, same sizes, same time; the hash is ours.

    4,520 of 4,520 real pairs mirror exactly (VENUE 3.1), so only the hash is not the venue's.
    """
    book = json.loads(state.raw)
    turned = {
        **book,
        "asset_id": token_id,
        "bids": [_turned(level) for level in book["asks"]],
        "asks": [_turned(level) for level in book["bids"]],
    }
    return state_of({**turned, "hash": book_hash(turned)})


def _turned(level: Mapping[str, str]) -> dict[str, str]:
    whole, _, fraction = level["price"].partition(".")
    scale = 10 ** len(fraction)
    other = scale - int(whole + fraction)
    text = f"0.{other:0{len(fraction)}d}".rstrip("0") if fraction else str(1 - int(whole))
    return {"price": text, "size": level["size"]}
