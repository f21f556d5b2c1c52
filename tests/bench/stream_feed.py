"""A market channel that tells a prepared mix: 250 tokens, their books, then 100,000 messages.

94 of 100 are price changes (both tokens, as the venue tells them), 3 trades, 3 books of 99 levels;
hashes and best prices are right. Everything is framed before the first connection, so that the
server costs next to nothing and is never what the listener waits for.

    python -m tests.bench.stream_feed MESSAGES   → one JSON line {"url": …, "markets": [[…]]}
                                                   a line on stdin lets the mix go
"""

import base64
import contextlib
import hashlib
import json
import random
import re
import socket
import sys
import time
from collections.abc import Iterator

from tests.bench.feed import renamed
from tests.venue import events
from tests.venue.bookhash import render
from tests.venue.live import LiveWorld
from tests.venue.markets import Market, series
from tests.venue.simulate import level
from tests.venue.states import PRICE_TEXT, BookState, Item

BEGIN_MS = 1_776_326_400_000
MARKETS, PRICES = 125, range(10, 1000, 10)
#: Of 100 messages: the rest are price changes. A trade is told twice, then both books.
FILL_SHARE = 0.015 / (0.94 + 0.015)
MESSAGES_PER_S = 1_500
#: What one side is told in a second, piece by piece: thirteen times a busy day (1,500).
PACE_PER_S, PIECES_PER_S = 20_000, 200
_ACCEPTS = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def markets() -> list[Market]:
    """125 markets of two tokens under ids of their own."""
    listed = LiveWorld([series("btc-1h")], seed=1, born_ms=BEGIN_MS).listed(BEGIN_MS)
    return [renamed(listed[0], seed) for seed in range(MARKETS)]


class Book:
    """A market's two books: every cent has a level; the middle wanders."""

    def __init__(self, market: Market, seed: int) -> None:
        self.market, self.dice = market, random.Random(seed)
        self.top = self.dice.randrange(100, 900, 10)
        self.levels = {price: level(price, self._size()) for price in PRICES}
        self.last_trade, self.at_ms = "", BEGIN_MS - 1

    def _size(self) -> int:
        return int(self.dice.lognormvariate(4.0, 1.6) * 100) + 100

    def states(self) -> tuple[BookState, BookState]:
        """Both books now."""
        prices = sorted(self.levels)
        bids = [self.levels[price] for price in prices if price <= self.top]
        asks = [self.levels[price] for price in reversed(prices) if price > self.top]
        bests = (
            max((price for price in prices if price <= self.top), default=None),
            min((price for price in prices if price > self.top), default=None),
        )
        mirrored = tuple(None if each is None else 1000 - each for each in reversed(bests))
        return (
            self._state(0, (bids, asks), bests),
            self._state(1, (asks, bids), (mirrored[0], mirrored[1])),
        )

    def _state(
        self, token: int, sides: tuple[list[tuple[str, str]], ...], bests: tuple[int | None, ...]
    ) -> BookState:
        market, token_id = self.market, self.market.token_ids[token]
        bids, asks = (",".join([texts[token] for texts in side]) for side in sides)
        text = render(
            f'{{"market":"{market.condition_id}","asset_id":"{token_id}",'
            f'"timestamp":"{self.at_ms}","hash":"',
            f'","bids":[{bids}],"asks":[{asks}],"min_order_size":"5","tick_size":"0.01",'
            f'"neg_risk":false,"last_trade_price":"{self.last_trade}"}}',
        )
        return BookState(
            token_id, market.condition_id, str(self.at_ms), text.digest, text.raw,
            bests[0], bests[1], self.last_trade, "0.01",
        )  # fmt: skip

    def changed(self, at_ms: int) -> bytes:
        """One level near the touch has another size, is gone, or is there again."""
        self.at_ms, dice = at_ms, self.dice
        away = min(int(dice.expovariate(0.3)), 8) * 10
        side = dice.choice(("BUY", "SELL"))
        price = self.top - away if side == "BUY" else self.top + 10 + away
        price = min(max(price, 10), 990)
        side = "BUY" if price <= self.top else "SELL"
        if price in self.levels and dice.random() < 0.2:
            del self.levels[price]
            size = "0"
        else:
            self.levels[price] = level(price, self._size())
            size = self.levels[price][0].rpartition(':"')[2][:-2]
        states = self.states()
        return events.price_change(self.market, states, [Item(PRICE_TEXT[price], size, side)]).raw

    def filled(self, at_ms: int) -> list[bytes]:
        """Two fills at the best ask, told before the books that they made."""
        self.at_ms, dice = at_ms, self.dice
        price = min(each for each in self.levels if each > self.top)
        self.last_trade = f"{price / 1000:.3f}"
        self.levels[price] = level(price, self._size())
        states = self.states()
        fills = [
            events.trade(
                states[0],
                PRICE_TEXT[price],
                str(dice.randrange(1, 200)),
                "BUY",
                f"{dice.getrandbits(256):064x}",
            )
            for _ in range(2)
        ]
        return [*(each.raw for each in fills), *(events.later_book(each).raw for each in states)]


def mix(books: list[Book], count: int) -> Iterator[bytes]:
    """The messages, in their order."""
    dice, told = random.Random(7), 0
    while told < count:
        book = dice.choice(books)
        at_ms = BEGIN_MS + told * 1000 // MESSAGES_PER_S
        is_fill = dice.random() < FILL_SHARE and told + 4 <= count
        for raw in book.filled(at_ms) if is_fill else [book.changed(at_ms)]:
            told += 1
            yield raw


def framed(payload: bytes) -> bytes:
    """A text message of a server."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def heard(peer: socket.socket) -> bytes:
    """One message of a client; b"" when it is gone."""
    head = peer.recv(2, socket.MSG_WAITALL)
    if len(head) < 2 or head[0] & 15 == 8:
        return b""
    size = head[1] & 127
    if size > 125:
        size = int.from_bytes(peer.recv(2 if size == 126 else 8, socket.MSG_WAITALL), "big")
    mask, body = peer.recv(4, socket.MSG_WAITALL), peer.recv(size, socket.MSG_WAITALL)
    return bytes(each ^ mask[at % 4] for at, each in enumerate(body))


def upgrade(peer: socket.socket) -> None:
    """Answer the handshake."""
    request = b""
    while b"\r\n\r\n" not in request:
        request += peer.recv(4096)
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert found is not None
    accept = base64.b64encode(hashlib.sha1(found[1] + _ACCEPTS, usedforsecurity=False).digest())
    peer.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
    )


def serve(peer: socket.socket, dumps: dict[str, bytes], pieces: list[bytes]) -> None:
    """Tell the books asked for; when all are told, and somebody says so, the mix."""
    upgrade(peer)
    asked: set[str] = set()
    while len(asked) < len(dumps):
        ids = json.loads(heard(peer))["assets_ids"]
        asked.update(ids)
        peer.sendall(framed(b"[" + b",".join(dumps[each] for each in ids) + b"]"))
    sys.stdin.readline()
    begun_s = time.monotonic()
    for number, piece in enumerate(pieces):
        time.sleep(max(0.0, begun_s + number / PIECES_PER_S - time.monotonic()))
        peer.sendall(piece)
    while heard(peer):
        pass


def main() -> None:
    """Prepare, announce, serve one connection after the other until killed."""
    books = [Book(market, seed) for seed, market in enumerate(markets())]
    dumps = {state.token_id: events.dump_book(state) for book in books for state in book.states()}
    messages = [framed(each) for each in mix(books, int(sys.argv[1]))]
    size = PACE_PER_S // PIECES_PER_S
    pieces = [b"".join(messages[at : at + size]) for at in range(0, len(messages), size)]
    server = socket.create_server(("127.0.0.1", 0))
    named = [[each.market.condition_id, *each.market.token_ids] for each in books]
    url = f"ws://127.0.0.1:{server.getsockname()[1]}/ws/market"
    print(json.dumps({"url": url, "markets": named}), flush=True)
    while True:
        peer, _ = server.accept()
        # It may leave in the middle.
        with peer, contextlib.suppress(OSError):
            serve(peer, dumps, pieces)


if __name__ == "__main__":
    main()
