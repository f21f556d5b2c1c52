"""What a book and an event are between the world that makes them and what sends them.

Promises: a `BookState` never changes; the same state is the same bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.venue.markets import Market

NEVER_MS = 1 << 62


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


@dataclass(frozen=True, slots=True)
class Item:
    """One level of one token: `size` is the new aggregate, "0" removes it."""

    price: str
    size: str
    side: str


@dataclass(frozen=True, slots=True)
class Told:
    """What one event tells about one token; `hash` is of its book afterwards, "" when untold."""

    token_id: str
    hash: str
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one market. `custom`: only for connections with custom_feature_enabled.

    A global event tells nothing about a token and goes to every such connection.
    """

    kind: str
    condition_id: str
    timestamp: str
    raw: bytes
    told: tuple[Told, ...] = ()
    custom: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """Events of one change, in order. `together`: they come as one array frame."""

    events: tuple[Event, ...]
    together: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """What has happened in a market since the last look, and both books after it."""

    moments: tuple[Moment, ...]
    states: tuple[BookState | None, BookState | None]


class Followed(Protocol):
    """A market whose events are kept from the first `take` on until they are taken."""

    @property
    def due_ms(self) -> int:
        """When the next `take` may bring something; a look before is in vain."""
        ...

    def take(self, now_ms: int) -> Taken:
        """The moments since the last `take`, the first time none, and the books after them."""
        ...


class World(Protocol):
    """Where markets and books come from: simulated, or replayed from captures."""

    def listed(self, now_ms: int) -> Sequence[Market]:
        """Every market Gamma knows at `now_ms`, closed ones too."""
        ...

    def state(self, token_id: str, now_ms: int) -> BookState | None:
        """The book to serve, or None where the venue has none (unknown, not yet, closed)."""
        ...

    def past(self, token_id: str, at_ms: int) -> BookState | None:
        """The book as it was at an earlier moment."""
        ...

    def follow(self, token_id: str, now_ms: int) -> tuple[Market, Followed] | None:
        """The token's market, to be followed; None while it has no book."""
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
