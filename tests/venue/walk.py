"""The price of one market over its life, and the epochs its book is cut into.

Promises: depends on seed and market only; an epoch is known from its moment alone.
"""

import math
import random

from tests.venue.markets import Market

LEAST_EPOCH_MS = 1_000
LONGEST_EPOCH_MS = 60_000
QUIET_EPOCHS = 20  # a quiet epoch is this many live ones
DRIFT = 5.5  # log-odds the winner has gained at the end: about 0.996
SWING = 1.2  # standard deviation of the log-odds over a whole window
FINE_ABOVE = 960  # the venue changes the tick above 0.96 and below 0.04


class Path:
    """Price of the first outcome over the market's life, and when the tick becomes fine."""

    def __init__(self, market: Market, seed: int, *, quiet_epochs: int = QUIET_EPOCHS) -> None:
        self.market = market
        self._quiet_epochs = quiet_epochs
        dice = random.Random(f"{seed}:{market.slug}:path")
        window_ms = market.end_ms - market.start_ms
        self.epoch_ms = min(max(window_ms // 20, LEAST_EPOCH_MS), LONGEST_EPOCH_MS)
        before_ms = min(window_ms, 300_000) + dice.randrange(self.epoch_ms)
        self.live_from_ms = market.start_ms - before_ms
        self.odds = self._walk(dice, window_ms)
        self.fine_from = self._first_fine()

    def _walk(self, dice: random.Random, window_ms: int) -> list[float]:
        """Log-odds at every epoch boundary from live_from_ms to past the end."""
        market, noise = self.market, dice.uniform(-0.06, 0.06)
        side = 1.0 if market.winner == 0 else -1.0
        step = SWING / math.sqrt(max(window_ms / self.epoch_ms, 1.0))
        odds, at_ms = [], self.live_from_ms
        while at_ms <= market.end_ms + 2 * self.epoch_ms:
            done = min(max((at_ms - market.start_ms) / window_ms, 0.0), 1.0)
            odds.append(noise * (1 - done) + side * DRIFT * done**3)
            noise += dice.gauss(0, step if done > 0 else 0.02)
            at_ms += self.epoch_ms
        return odds

    def _first_fine(self) -> int:
        """First epoch whose price is beyond 0.96 or 0.04, or one past the last."""
        for index, odds in enumerate(self.odds):
            if not 1000 - FINE_ABOVE <= _milli(odds) <= FINE_ABOVE:
                return index
        return len(self.odds) + 1

    def middle(self, now_ms: int) -> int:
        """Thousandths, 1 to 999."""
        place = (now_ms - self.live_from_ms) / self.epoch_ms
        if place <= 0:
            return _milli(self.odds[0])
        index = min(int(place), len(self.odds) - 2)
        share = min(place - index, 1.0)
        return _milli(self.odds[index] * (1 - share) + self.odds[index + 1] * share)

    def epoch_at(self, now_ms: int) -> tuple[int, int, int]:
        """(index, begin_ms, end_ms) of the epoch holding `now_ms`; quiet ones count below 0."""
        if now_ms >= self.live_from_ms:
            index = (now_ms - self.live_from_ms) // self.epoch_ms
            begin_ms = self.live_from_ms + index * self.epoch_ms
            return index, begin_ms, begin_ms + self.epoch_ms
        quiet_ms = self.epoch_ms * self._quiet_epochs
        index = (now_ms - self.live_from_ms) // quiet_ms
        begin_ms = self.live_from_ms + index * quiet_ms
        return index, max(begin_ms, self.market.book_from_ms), begin_ms + quiet_ms

    def tick(self, epoch: int) -> int:
        """Thousandths: 10, or 1 once the price has been extreme."""
        return 1 if epoch >= self.fine_from else 10


def _milli(odds: float) -> int:
    return min(max(round(1000 / (1 + math.exp(-odds))), 1), 999)
