"""A bare websocket client for the venue's own tests, and a book rebuilt from what it hears."""

import base64
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tests.venue import Venue
from tests.venue.bookhash import book_hash
from tests.venue.recordings import Explainer

LIMIT_S = 10.0
TEXT, CLOSE = 0x1, 0x8


class Ended(Exception):
    """The connection is over: with a close code, or with bytes of a frame that never came whole."""

    def __init__(self, *, code: int | None = None, reason: str = "", left_bytes: int = 0) -> None:
        super().__init__(f"code {code} {reason}, {left_bytes} bytes left")
        self.code, self.reason, self.left_bytes = code, reason, left_bytes


class Peer:
    """One connection, blocking; RFC 6455 by hand, so that half a frame can be seen."""

    def __init__(self, venue: Venue, path: str = "/ws/market") -> None:
        self._socket = socket.create_connection(("127.0.0.1", venue.channel_port), timeout=LIMIT_S)
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: venue\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._bytes = b""
        while b"\r\n\r\n" not in self._bytes:
            self._more()
        answer, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
        self.status = int(answer.split()[1])

    def say(self, message: object) -> None:
        """Send a text frame: bytes as they are, anything else as JSON."""
        text = message if isinstance(message, bytes) else json.dumps(message).encode()
        size = len(text)
        if size < 126:
            head = bytes((0x81, 0x80 | size))
        elif size < 1 << 16:
            head = struct.pack("!BBH", 0x81, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x81, 0x80 | 127, size)
        try:
            self._socket.sendall(head + b"\0\0\0\0" + text)
        except ConnectionError:
            raise Ended from None

    def subscribe(self, tokens: Sequence[str], **more: object) -> None:
        self.say({"assets_ids": [*tokens], "type": "market", **more})

    def text(self) -> bytes:
        """The next text frame.

        Raises:
            Ended: there is none.
        """
        while True:
            while len(self._bytes) < 2:
                self._more()
            length, start = self._bytes[1], 2
            if length >= 126:
                start = 4 if length == 126 else 10
                while len(self._bytes) < start:
                    self._more()
                length = int.from_bytes(self._bytes[2:start])
            while len(self._bytes) < start + length:
                self._more()
            kind, payload = self._bytes[0] & 0xF, self._bytes[start : start + length]
            self._bytes = self._bytes[start + length :]
            if kind == CLOSE:
                code = int.from_bytes(payload[:2])
                raise Ended(code=code, reason=payload[2:].decode())
            if kind == TEXT:
                return payload

    def settled(self) -> list[bytes]:
        """Every frame until the venue has said all there is to say at this moment.

        A PONG is queued before the round that looks at the clock, so the second one comes after.
        """
        found: list[bytes] = []
        for _ in range(2):
            self.say(b"PING")
            while (text := self.text()) != b"PONG":
                found.append(text)
        return found

    def end(self) -> Ended:
        """How the connection ends; frames before it are passed over."""
        try:
            while True:
                self.text()
        except Ended as ended:
            return ended

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> None:
        try:
            part = self._socket.recv(1 << 16)
        except ConnectionError:
            part = b""
        if not part:
            raise Ended(left_bytes=len(self._bytes))
        self._bytes += part


Connect = Callable[..., Peer]
"""Makes a `Peer` that is closed with the test."""


class Rebuilt:
    """The books of some tokens as the stream tells them; each told hash is tried at once."""

    def __init__(self, tokens_of: dict[str, tuple[str, str]]) -> None:
        self.books: dict[str, dict[str, Any]] = {}
        self.verified = 0
        self.failed = 0
        self.searched = 0
        self._tokens_of = tokens_of
        self._explainer = Explainer()

    def take(self, frames: Sequence[bytes]) -> "Rebuilt":
        for event in each_event(frames):
            self._event(event)
        return self

    def _event(self, event: dict[str, Any]) -> None:
        kind = event["event_type"]
        if kind == "book":
            self._book(event)
        elif kind == "last_trade_price":
            self._trade(event)
        elif kind == "tick_size_change":
            self.books[event["asset_id"]]["tick_size"] = event["new_tick_size"]
        elif kind == "price_change":
            self._changes(event)

    def _book(self, event: dict[str, Any]) -> None:
        known = {"min_order_size": "5", "neg_risk": False}
        book = {**known, **self.books.get(event["asset_id"], {}), **event}
        if book_hash(book) != event["hash"]:
            self.searched += 1
            book = self._explainer.explain(event) or book
        self.books[event["asset_id"]] = book
        self._count(book, event["hash"])

    def _changes(self, event: dict[str, Any]) -> None:
        for change in event["price_changes"]:
            book = self.books[change["asset_id"]]
            side = "bids" if change["side"] == "BUY" else "asks"
            levels = {level["price"]: level for level in book[side]}
            levels.pop(change["price"], None)
            if change["size"] != "0":
                levels[change["price"]] = {"price": change["price"], "size": change["size"]}
            order = sorted(levels, key=float, reverse=side == "asks")
            book |= {side: [levels[price] for price in order], "timestamp": event["timestamp"]}
        for change in {change["asset_id"]: change for change in event["price_changes"]}.values():
            book = self.books[change["asset_id"]]
            best = (
                book["bids"][-1]["price"] if book["bids"] else "0",
                book["asks"][-1]["price"] if book["asks"] else "1",
            )
            assert best == (change["best_bid"], change["best_ask"])
            book["hash"] = change["hash"]
            self._count(book, change["hash"])

    def _trade(self, event: dict[str, Any]) -> None:
        """The last trade price is the market's: the complement for the other token."""
        first, second = self._tokens_of[event["market"]]
        price = round(float(event["price"]) * 1000)
        text = f"{(price if event['asset_id'] == first else 1000 - price) / 1000:.3f}"
        for token_id in (first, second):
            if token_id in self.books:
                self.books[token_id]["last_trade_price"] = text

    def _count(self, book: dict[str, Any], told: str) -> None:
        if book_hash(book) == told:
            self.verified += 1
        else:
            self.failed += 1


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until a condition holds."""
    until = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def each_event(frames: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    for frame in frames:
        found = json.loads(frame)
        yield from found if isinstance(found, list) else [found]


def of_kind(frames: Sequence[bytes], kind: str) -> list[dict[str, Any]]:
    return [event for event in each_event(frames) if event["event_type"] == kind]
