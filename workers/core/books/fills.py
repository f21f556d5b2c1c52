"""What a visible book would have filled: an observation of depth, not a simulation of a market.

No queue, no latency, no fee, no reaction of others: the levels that were seen are taken from the
best one on, as far as they and the limit go.

Promises  the amounts are exact: cost in pico-units (micros × micros), averages as whole numbers
          beside their divisor; what is rounded for people is rounded in `Fill.vwap_text` only
"""

from fractions import Fraction

import msgspec

from workers.core.books.book import ASK, BID, Book
from workers.core.errors import NeedsAPerson

BUY, SELL = "buy", "sell"
MICROS = 1_000_000


class FillStep(msgspec.Struct, frozen=True):
    """What one level gives, and what is left of it."""

    price_micros: int
    taken_micros: int
    left_micros: int


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """What an order of this size would have met.

    `cost_picos` is the sum of price × size, in millionths of millionths; `worst_micros` the last
    price taken; `best_micros` and `mid_half_micros` of the book before.
    """

    side: str
    size_micros: int
    limit_micros: int | None
    steps: tuple[FillStep, ...]
    filled_micros: int
    unfilled_micros: int
    cost_picos: int
    best_micros: int | None
    mid_half_micros: int | None

    @property
    def vwap(self) -> Fraction | None:
        """Average price of what was filled, exactly, in whole units; None when nothing was."""
        if not self.filled_micros:
            return None
        return Fraction(self.cost_picos, self.filled_micros * MICROS)

    @property
    def slippage_best(self) -> Fraction | None:
        """How much worse the average is than the best price; never negative."""
        return self._against(None if self.best_micros is None else Fraction(self.best_micros))

    @property
    def slippage_mid(self) -> Fraction | None:
        """How much worse the average is than the mid; None when a side is empty."""
        half = self.mid_half_micros
        return self._against(None if half is None else Fraction(half, 2))

    def _against(self, micros: Fraction | None) -> Fraction | None:
        vwap = self.vwap
        if vwap is None or micros is None:
            return None
        worse = vwap - micros / MICROS
        return worse if self.side == BUY else -worse


def fill(book: Book, side: str, size_micros: int, limit_micros: int | None = None) -> Fill:
    """Take a size from the visible book.

    Args:
        book: what was seen.
        side: "buy" takes asks from the lowest, "sell" takes bids from the highest.
        size_micros: how much, above 0.
        limit_micros: a price not to be passed: at most when buying, at least when selling.

    Raises:
        NeedsAPerson: another side, or a size that is none.
    """
    if side not in (BUY, SELL):
        raise NeedsAPerson(f"fill: the side {side!r} is neither buy nor sell")
    if size_micros <= 0:
        raise NeedsAPerson("fill: the size must be above 0")
    steps: list[FillStep] = []
    left = size_micros
    levels = book.side(ASK if side == BUY else BID)
    for level in levels:
        is_past = limit_micros is not None and (
            level.price_micros > limit_micros if side == BUY else level.price_micros < limit_micros
        )
        if not left or is_past:
            break
        taken = min(left, level.size_micros)
        steps.append(FillStep(level.price_micros, taken, level.size_micros - taken))
        left -= taken
    return Fill(
        side=side,
        size_micros=size_micros,
        limit_micros=limit_micros,
        steps=tuple(each for each in steps if each.taken_micros),
        filled_micros=size_micros - left,
        unfilled_micros=left,
        cost_picos=sum(each.price_micros * each.taken_micros for each in steps),
        best_micros=levels[0].price_micros if levels else None,
        mid_half_micros=book.mid_half_micros,
    )
