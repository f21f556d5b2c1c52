"""Figures of one outcome's book as the stream told it, weighted by how long each state stood.

The definition is that of `core.report.stats`, but a state holds from its receipt to the next one as
long as a connection covered the token: no tick has to come. States are those of the token's line in
the derived tables (`docs/ORDERBOOK_SCHEMA.md`, Lines).

Promises  sums are exact integers; time outside of the spans counts nowhere
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from workers.core.polling.grid import CLOCK_STEP_NS
from workers.core.report.stats import Spreads, Sums, imbalance_micros

#: From when until when, exclusive.
Span = tuple[int, int]
Fields = Mapping[str, Any]


class _Side:
    """The levels of one side, with what is asked of them all."""

    def __init__(self, better: Any) -> None:  # noqa: ANN401 - max or min
        self.levels: dict[int, int] = {}
        self.size = self.notional = 0
        self._better = better

    def put(self, price: int, size: int) -> bool:
        """Set a level; True when that changed anything."""
        was = self.levels.pop(price, 0)
        if size:
            self.levels[price] = size
        self.size += size - was
        self.notional += price * (size - was)
        return was != size

    def whole(self, prices: Sequence[int], sizes: Sequence[int]) -> bool:
        """Set all of them."""
        told = dict(zip(prices, sizes, strict=True))
        gone = [each for each in self.levels if each not in told]
        changed = [self.put(price, told.get(price, 0)) for price in (*gone, *told)]
        return any(changed)

    def best(self) -> tuple[int, int]:
        """The best level; zeros without one."""
        if not self.levels:
            return 0, 0
        price: int = self._better(self.levels)
        return price, self.levels[price]


class Fold:
    """One token's states, in order; sums out."""

    def __init__(self, spans: Sequence[Span]) -> None:
        self.sums, self.spreads = Sums(), Spreads()
        self._spans = spans
        self._begins = [each[0] for each in spans]
        self._bids, self._asks = _Side(max), _Side(min)
        self._tick: int | None = None
        self._times: tuple[int, int] | None = None

    def read(self, steps: Iterable[Fields]) -> None:
        """Rows of `snapshots` and `changes` with a line, by `step`; segment after segment."""
        for _, group in groupby(steps, key=itemgetter("segment", "row")):
            self._state(list(group))

    def end(self, at_ns: int) -> None:
        """The last state stands until here."""
        if self._times is not None:
            self._weigh(self._spanned(self._times[0], at_ns))

    def _state(self, parts: Sequence[Fields]) -> None:
        wall_ns, mono_ns = parts[0]["recv_wall_ns"], parts[0]["recv_mono_ns"]
        if self._times is not None:
            held_ns = wall_ns - self._times[0]
            is_stepped = abs(mono_ns - self._times[1] - held_ns) >= CLOCK_STEP_NS
            self._weigh(0 if is_stepped else self._spanned(self._times[0], wall_ns))
        is_first = self._times is None
        differs = [self._put(each) for each in parts]
        self._times = wall_ns, mono_ns
        if self._spanned(wall_ns, wall_ns + 1):
            self.sums["stream_states"] += parts[0].get("kind") != "seed"
            is_change = any(differs) and not is_first
            self.sums["changes"] += is_change
            self.sums["stream_changes"] += is_change

    def _put(self, each: Fields) -> bool:
        if "kind" not in each:
            side = self._bids if each["side"] == "BUY" else self._asks
            return side.put(each["price_micros"], each["size_micros"])
        self._tick = self._tick if each["tick_micros"] is None else each["tick_micros"]
        bids = self._bids.whole(each["bid_price_micros"], each["bid_size_micros"])
        asks = self._asks.whole(each["ask_price_micros"], each["ask_size_micros"])
        return bids or asks

    def _spanned(self, from_ns: int, until_ns: int) -> int:
        """How much of a time the spans take."""
        found, at = 0, max(0, bisect_right(self._begins, from_ns) - 1)
        while at < len(self._spans) and self._spans[at][0] < until_ns:
            begin_ns, end_ns = self._spans[at]
            found += max(0, min(end_ns, until_ns) - max(begin_ns, from_ns))
            at += 1
        return found

    def _weigh(self, ns: int) -> None:
        if not ns:
            return
        sums, bid, ask = self.sums, self._bids.best(), self._asks.best()
        sums["held_ns"] += ns
        sums["stream_ns"] += ns
        sums["best_bid_size_x_ns"] += bid[1] * ns
        sums["best_ask_size_x_ns"] += ask[1] * ns
        sums["best_bid_notional_x_ns"] += bid[0] * bid[1] * ns
        sums["best_ask_notional_x_ns"] += ask[0] * ask[1] * ns
        sums["bid_size_x_ns"] += self._bids.size * ns
        sums["ask_size_x_ns"] += self._asks.size * ns
        sums["bid_notional_x_ns"] += self._bids.notional * ns
        sums["ask_notional_x_ns"] += self._asks.notional * ns
        if self._bids.levels and self._asks.levels:
            sums["two_sided_ns"] += ns
            sums["spread_x_ns"] += (ask[0] - bid[0]) * ns
            sums["imbalance_x_ns"] += imbalance_micros(bid[1], ask[1]) * ns
            self.spreads[ask[0] - bid[0], self._tick] += ns
