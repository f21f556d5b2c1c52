"""The gaps of markets as rows of the table `gaps`, and the sums that its manifest tells.

Promises  a row is a gap of coverage, not more and not less; the sums are all ticks that were due
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from workers.core.coverage.coverage import ACKNOWLEDGED, MarketCoverage

Row = tuple[object, ...]


def rows_of(market: MarketCoverage) -> Iterator[Row]:
    """A market's gaps in the order of the table's columns."""
    for gap in market.gaps:
        states = sorted(gap.counts)
        yield (
            market.condition_id,
            market.slug,
            market.series,
            gap.from_due_ms,
            gap.until_due_ms,
            gap.length_ms,
            states,
            [gap.counts[each] for each in states],
            states == [ACKNOWLEDGED],
        )


def sums_of(markets: Iterable[MarketCoverage]) -> dict[str, int]:
    """How many ticks were `due`, and how many have each state; the one is the sum of the others."""
    sums: Counter[str] = Counter()
    for market in markets:
        sums["due"] += market.due
        sums.update(market.counts())
    return dict(sorted(sums.items()))
