"""Mined figures for people and for programs: which are shown, in what unit, rounded to what.

Promises  a number is rounded once, half to even, to the digits of its column
"""

from collections.abc import Sequence
from fractions import Fraction

from workers.core.report.stats import NS_PER_S, rounded
from workers.core.report.token_stats import RANKINGS, TokenStats, ranked

HEAD = (
    *("market", "outcome", "covered", "states", "changes", "observed", "stream"),
    *("best sh", "best USDC", "all sh", "all USDC", "spread", "imbalance", "ticks wide"),
)
#: Spreads of a cell; the others are one figure.
_SPREADS = 3


def cells(row: TokenStats) -> list[object]:
    """A line of the table."""
    return [
        row.slug,
        row.outcome,
        _percent(row.coverage),
        row.rows,
        row.changes,
        _seconds(row.held_ns),
        _percent(row.stream_share),
        rounded(row.best_shares, 2),
        rounded(row.best_usdc, 2),
        rounded(row.all_shares, 0),
        rounded(row.all_usdc, 0),
        rounded(row.spread, 4),
        rounded(row.imbalance, 3),
        _widths(row),
    ]


def _percent(value: Fraction | None) -> str | None:
    return None if value is None else f"{rounded(value * 100, 2)}%"


def _seconds(ns: int) -> str:
    return f"{rounded(Fraction(ns, NS_PER_S), 0)} s"


def _widths(row: TokenStats) -> str | None:
    """Where the spread was most of the time: `1×92% 2×7% …×1%`."""
    found = row.ns_at_ticks.most_common()
    if not row.two_sided_ns:
        return None
    shown = [(_ticks(ticks), ns) for ticks, ns in found[:_SPREADS]]
    rest = sum(ns for _, ns in found[_SPREADS:])
    shown += [("…", rest)] if rest else []
    return " ".join(f"{name}×{_part(ns, row.two_sided_ns)}%" for name, ns in shown)


def _part(ns: int, all_ns: int) -> str | None:
    return rounded(Fraction(100 * ns, all_ns), 0)


def _ticks(ticks: Fraction | None) -> str:
    if ticks is None:
        return "?"
    return str(ticks) if ticks.denominator == 1 else str(rounded(ticks, 2))


def row_json(row: TokenStats) -> dict[str, object]:
    """A row for programs: exact sums as integers, and the figures made of them as decimals."""
    widths = sorted(row.ns_at_ticks.items(), key=lambda each: (each[0] is None, each[0] or 0))
    return {
        "slug": row.slug,
        "series": row.series,
        "condition_id": row.condition_id,
        "token_id": row.token_id,
        "outcome": row.outcome,
        "due": row.due,
        "captured": row.captured,
        "coverage": rounded(row.coverage, 6),
        "states": row.rows,
        "suspect": row.suspect,
        "changes": row.changes,
        "observed_s": _exact_s(row.held_ns),
        "two_sided_s": _exact_s(row.two_sided_ns),
        "stream_s": _exact_s(row.stream_ns),
        "stream_share": rounded(row.stream_share, 6),
        "stream_states": row.stream_states,
        "stream_changes": row.stream_changes,
        "best_bid_shares": _mean(row, row.best_bid_size_x_ns, 1),
        "best_ask_shares": _mean(row, row.best_ask_size_x_ns, 1),
        "best_shares": rounded(row.best_shares, 6),
        "best_bid_usdc": _mean(row, row.best_bid_notional_x_ns, 2),
        "best_ask_usdc": _mean(row, row.best_ask_notional_x_ns, 2),
        "best_usdc": rounded(row.best_usdc, 6),
        "all_bid_shares": _mean(row, row.bid_size_x_ns, 1),
        "all_ask_shares": _mean(row, row.ask_size_x_ns, 1),
        "all_shares": rounded(row.all_shares, 6),
        "all_bid_usdc": _mean(row, row.bid_notional_x_ns, 2),
        "all_ask_usdc": _mean(row, row.ask_notional_x_ns, 2),
        "all_usdc": rounded(row.all_usdc, 6),
        "spread_usdc": rounded(row.spread, 6),
        "imbalance": rounded(row.imbalance, 6),
        "seconds_at_ticks": {_ticks(ticks): _exact_s(ns) for ticks, ns in widths},
    }


def _exact_s(ns: int) -> str:
    """Seconds to the nanosecond."""
    return str(rounded(Fraction(ns, NS_PER_S), 9))


def _mean(row: TokenStats, total: int, factors: int) -> str | None:
    """An average over the observed time; `factors` counts the amounts in micros in a product."""
    if not row.held_ns:
        return None
    return rounded(Fraction(total, row.held_ns * 10 ** (6 * factors)), 6)


def rankings(rows: Sequence[TokenStats], count: int) -> list[tuple[str, str, list[TokenStats]]]:
    """(name, what it ranks by, the first ones) of each ranking."""
    return [(name, what, ranked(rows, name, count)) for name, (what, _) in RANKINGS.items()]
