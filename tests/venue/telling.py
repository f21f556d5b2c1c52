"""Two consecutive books of a simulated market, told as the events between them.

Promises: applied to the first book of a token, what is told of it gives exactly the second.
          Chance here decides only how a change is told, never what the books are.
"""

import random

from tests.venue import events
from tests.venue.events import Pair, Tempo
from tests.venue.markets import Market
from tests.venue.states import PRICE_TEXT, Event, Item, Moment, milli_of

Fragment = tuple[str, str]  # one level as JSON: for the first token, and mirrored for the second
Side = dict[int, Fragment]


class Teller:
    """Tells one market, state after state, beginning after the one it is made with."""

    def __init__(
        self, market: Market, tempo: Tempo, seed: int, *, bids: Side, asks: Side, states: Pair
    ) -> None:
        self.market = market
        self.tempo = tempo
        self._dice = random.Random(f"{seed}:{market.slug}:told")
        self._bids, self._asks, self._states = bids.copy(), asks.copy(), states

    def tell(self, bids: Side, asks: Side, states: Pair, *, traded: bool) -> Moment:
        """The events from the last state to this one.

        Args:
            traded: a trade made the change, at this state's last trade price.
        """
        before = self._states
        found: list[Event] = []
        if before[0].tick != states[0].tick:
            found += [events.tick_change(state, before[0].tick) for state in states]
        if traded:
            found += self._trade(states)
        elif items := [*_items("BUY", self._bids, bids), *_items("SELL", self._asks, asks)]:
            found.append(events.price_change(self.market, states, items))
        for old, new in zip(before, states, strict=True):
            if (old.best_bid, old.best_ask) != (new.best_bid, new.best_ask):
                found.append(events.best_bid_ask(new))
        self._bids, self._asks, self._states = bids.copy(), asks.copy(), states
        return Moment(tuple(found), self._dice.random() < self.tempo.together_share)

    def _trade(self, states: Pair) -> list[Event]:
        """Both books and the trade; mostly the trade's price is hashed before it is told."""
        dice = self._dice
        token = dice.randrange(2)
        milli = milli_of(states[0].last_trade)
        fill = events.trade(
            states[token],
            PRICE_TEXT[milli if token == 0 else 1000 - milli],
            str(dice.randrange(1, 200)),
            dice.choice(("BUY", "SELL")),
            f"{dice.getrandbits(256):064x}",
        )
        books = [events.later_book(state) for state in states]
        return [fill, *books] if dice.random() < self.tempo.told_first_share else [*books, fill]


def _items(side: str, old: Side, new: Side) -> list[Item]:
    prices = {price for price, _ in old.items() ^ new.items()}
    return [Item(PRICE_TEXT[p], _size(new[p]) if p in new else "0", side) for p in sorted(prices)]


def _size(level: Fragment) -> str:
    """The size in the JSON text of a level."""
    return level[0][level[0].rindex(":") + 2 : -2]
