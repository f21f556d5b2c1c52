"""Holds core.books.fills: against an oracle that takes one micro-share after the other."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.books import raw, sides
from workers.core.books.book import read_book
from workers.core.books.fills import BUY, SELL, fill
from workers.core.errors import NeedsAPerson

small = st.integers(1, 12)


@st.composite
def small_sides(draw):
    """Sides whose sizes are a few micros, so that the oracle may count them."""
    bids, asks = draw(sides())
    return [(price, draw(small)) for price, _ in bids], [(price, draw(small)) for price, _ in asks]


def oracle(levels, size, limit, side) -> list[int]:
    """The price of each micro-share taken, the cheapest first when buying."""
    prices = sorted((price for price, count in levels for _ in range(count)), reverse=side == SELL)
    if limit is not None:
        prices = [each for each in prices if (each <= limit if side == BUY else each >= limit)]
    return prices[:size]


@given(
    small_sides(),
    st.sampled_from((BUY, SELL)),
    st.integers(1, 200),
    st.none() | st.integers(0, 1_000_000),
)
def test_a_fill_takes_what_the_oracle_takes(book_sides, side, size, limit):
    bids, asks = book_sides
    found = fill(read_book(raw(bids, asks)), side, size, limit)
    taken = oracle(asks if side == BUY else bids, size, limit, side)

    assert (len(taken), size - len(taken)) == (found.filled_micros, found.unfilled_micros)
    assert sum(taken) == found.cost_picos
    assert (Fraction(sum(taken), len(taken) * 10**6) if taken else None) == found.vwap
    assert sorted(taken) == sorted(
        each.price_micros for each in found.steps for _ in range(each.taken_micros)
    )
    if taken:
        best = Fraction(taken[0], 10**6)
        worse = found.vwap - best if side == BUY else best - found.vwap
        assert worse == found.slippage_best >= 0


def test_averages_and_slippage_are_exact():
    bids, asks = [(480_000, 5_000_000)], [(560_000, 10_000_000), (550_000, 7_000_000)]
    found = fill(read_book(raw(bids, asks)), BUY, 9_000_000)

    assert Fraction(7 * 55 + 2 * 56, 900) == found.vwap
    assert found.vwap - Fraction(55, 100) == found.slippage_best
    assert found.vwap - Fraction(103, 200) == found.slippage_mid
    assert [(550_000, 7_000_000, 0), (560_000, 2_000_000, 8_000_000)] == [
        (each.price_micros, each.taken_micros, each.left_micros) for each in found.steps
    ]


def test_an_empty_side_fills_nothing():
    found = fill(read_book(raw([], [(550_000, 1)])), SELL, 5)

    assert (0, 5, None, None, None) == (
        found.filled_micros,
        found.unfilled_micros,
        found.vwap,
        found.slippage_best,
        found.slippage_mid,
    )


@pytest.mark.parametrize(("side", "size"), [("hold", 1), (BUY, 0), (SELL, -1)])
def test_what_is_no_order_is_refused(side, size):
    with pytest.raises(NeedsAPerson):
        fill(read_book(raw([], [])), side, size)
