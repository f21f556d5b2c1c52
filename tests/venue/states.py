"""What a book is between the world that makes it and the routes that send it.

Promises: a `BookState` never changes; the same state is the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.venue.markets import Market


@dataclass(frozen=True, slots=True)
class BookState:
    """One token's book at one moment, with the bytes the venue sends for it.

    `best_bid`, `best_ask` in thousandths of a dollar, None for an empty side;
    `last_trade` and `tick` as in the text.
    """

    token_id: str
    condition_id: str
    timestamp: str
    digest: str
    raw: bytes
    best_bid: int | None
    best_ask: int | None
    last_trade: str
    tick: str


class World(Protocol):
    """Where markets and books come from: simulated, or replayed from captures."""

    def listed(self, now_ms: int) -> Sequence[Market]:
        """Every market Gamma knows at `now_ms`, closed ones too."""
        ...

    def state(self, token_id: str, now_ms: int) -> BookState | None:
        """The book to serve, or None where the venue has none (unknown, not yet, closed)."""
        ...

    def middle(self, market: Market, now_ms: int) -> int:
        """Price of the first outcome in thousandths, for Gamma's quotes."""
        ...


def _price_text(milli: int) -> str:
    if milli in (0, 1000):
        return str(milli // 1000)
    return "0." + f"{milli:03d}".rstrip("0")


PRICE_TEXT = tuple(_price_text(milli) for milli in range(1001))


def milli_of(price: str) -> int:
    """Thousandths of a venue price, rounded down; "0.455" -> 455.

    Raises:
        ValueError: not a decimal.
    """
    whole, _, fraction = price.partition(".")
    return int(whole or "0") * 1000 + int((fraction + "000")[:3])
