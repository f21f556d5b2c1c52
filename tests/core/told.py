"""One token's market that tells its own story: every event with the hash of the book after it."""

import hashlib
import json
from dataclasses import dataclass, field

from workers.core.stream.frames import Event, read_frame

MARKET, TOKEN, OTHER = "0xabc", "111", "222"


@dataclass
class Book:
    """The venue's book of TOKEN; prices in hundredths, sizes as texts."""

    bids: dict[int, str] = field(default_factory=lambda: {10: "5", 48: "7.5", 49: "100"})
    asks: dict[int, str] = field(default_factory=lambda: {52: "3", 51: "20", 99: "1000"})
    ms: int = 1_786_728_432_000
    minimum: str = "5"
    tick: str = "0.01"
    neg_risk: bool = False
    last_trade: str = "0.500"

    def whole(self, told: str) -> dict[str, object]:
        """The ten members, in the venue's order (VENUE §4)."""
        return {
            "market": MARKET,
            "asset_id": TOKEN,
            "timestamp": str(self.ms),
            "hash": told,
            "bids": _levels(self.bids, sorted(self.bids)),
            "asks": _levels(self.asks, sorted(self.asks, reverse=True)),
            "min_order_size": self.minimum,
            "tick_size": self.tick,
            "neg_risk": self.neg_risk,
            "last_trade_price": self.last_trade,
        }

    @property
    def hash(self) -> str:
        """The venue's hash, made as its own client makes it."""
        text = json.dumps(self.whole(""), separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def rest(self) -> bytes:
        """The book as REST tells it."""
        return json.dumps(self.whole(self.hash), separators=(",", ":")).encode()

    def dump(self) -> Event:
        """The `book` after subscribing."""
        return self._book("market", "asset_id", "timestamp", "hash", "bids", "asks", "tick_size",
                          "last_trade_price")  # fmt: skip

    def later(self) -> Event:
        """The `book` after a trade."""
        return self._book("market", "asset_id", "bids", "asks", "hash", "timestamp")

    def _book(self, *keys: str) -> Event:
        whole = self.whole(self.hash)
        return event({key: whole[key] for key in keys} | {"event_type": "book"})

    def put(self, side: str, price: int, size: str, *, after_ms: int = 1) -> dict[str, str]:
        """Change one level; the item that tells it."""
        self.ms += after_ms
        half = self.bids if side == "BUY" else self.asks
        half.pop(price, None)
        if size != "0":
            half[price] = size
        return self.item(side, price, size)

    def item(self, side: str, price: int, size: str) -> dict[str, str]:
        """An item with the hash and best prices of this moment."""
        best = (str_of(max(self.bids, default=0)), str_of(min(self.asks, default=100)))
        return {
            "asset_id": TOKEN,
            "price": str_of(price),
            "size": size,
            "side": side,
            "hash": self.hash,
            "best_bid": best[0],
            "best_ask": best[1],
        }

    def change(self, side: str, price: int, size: str, *, after_ms: int = 1) -> Event:
        """Change one level, told as an event of its own."""
        return self.told(self.put(side, price, size, after_ms=after_ms))

    def told(self, *items: dict[str, str]) -> Event:
        """Items as one event."""
        return event(
            {
                "market": MARKET,
                "price_changes": list(items),
                "timestamp": str(self.ms),
                "event_type": "price_change",
            }
        )


def event(told: dict[str, object]) -> Event:
    """The event that a frame tells."""
    return read_frame(json.dumps(told, separators=(",", ":")).encode()).events[0]


def str_of(hundredths: int) -> str:
    """The venue's spelling of a price."""
    text = f"{hundredths / 100:.2f}".rstrip("0").rstrip(".")
    return text or "0"


def _levels(half: dict[int, str], prices: list[int]) -> list[dict[str, str]]:
    return [{"price": str_of(price), "size": half[price]} for price in prices]
