"""The parts of a data-quality report, made of what was gathered.

Promises  percentiles are by nearest rank: values that were measured; what is listed is in one
          order, so that the same archive gives the same report
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from workers.core.coverage.canvas import Gap
from workers.core.coverage.coverage import MarketCoverage
from workers.core.report.quality import (
    Bin,
    Books,
    Cause,
    Coverage,
    Endpoint,
    Gaps,
    Hour,
    Latency,
    Market,
    Named,
    Requests,
    SharedGap,
    Span,
    Spread,
    Top,
    Width,
)
from workers.core.report.stats import percentile
from workers.core.report.token_stats import TokenStats, ranked, spread_over

#: Ten steps a decade, as preferred numbers (ISO 3, R10) have them: what a histogram is cut at.
_R10 = (10, 12, 16, 20, 25, 32, 40, 50, 63, 80)
#: From 0.1 ms to 100 s, in ns.
EDGES_NS = tuple(step * 10_000 * 10**decade for decade in range(6) for step in _R10)
SPAN_MS = 300_000
SHOWN_GAPS = 10
RANKED = 10
#: Endpoint, due_ms, cause, status, ns from send to the last byte.
Asked = tuple[str, int, str, int | None, int]


def coverage_of(markets: Sequence[MarketCoverage]) -> Coverage:
    """Coverage by market and hour, and summed up."""
    totals: Counter[str] = Counter()
    by_hour: dict[int, Counter[str]] = {}
    for market in markets:
        totals.update(market.counts())
        for hour in market.hours:
            by_hour.setdefault(hour.from_ms, Counter()).update(hour.counts)
    return Coverage(
        due=sum(each.due for each in markets),
        adds_up=all(each.adds_up() for each in markets),
        totals=_sorted(totals),
        hours=[_hour(from_ms, counts) for from_ms, counts in sorted(by_hour.items())],
        markets=[
            Market(
                each.slug,
                each.series,
                each.condition_id,
                [_hour(hour.from_ms, hour.counts) for hour in each.hours],
            )
            for each in sorted(markets, key=lambda it: (it.slug, it.condition_id))
        ],
    )


def _hour(from_ms: int, counts: Mapping[str, int]) -> Hour:
    return Hour(from_ms, sum(counts.values()), _sorted(counts))


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    """The most first; equal ones by name."""
    return dict(sorted(counts.items(), key=lambda each: (-each[1], each[0])))


def gaps_of(markets: Sequence[MarketCoverage]) -> Gaps:
    """Every gap by cause, and the longest ones; what several markets share is one line."""
    gaps = [gap for market in markets for gap in market.gaps]
    ticks: Counter[str] = Counter()
    within: Counter[str] = Counter()
    shared: dict[tuple[int, int, tuple[tuple[str, int], ...]], list[Gap]] = {}
    for gap in gaps:
        ticks.update(gap.counts)
        within.update(gap.counts.keys())
        key = gap.from_due_ms, gap.length_ms, tuple(sorted(gap.counts.items()))
        shared.setdefault(key, []).append(gap)
    longest = sorted(shared, key=lambda each: (-each[1], each[0], each[2]))[:SHOWN_GAPS]
    return Gaps(
        count=len(gaps),
        causes=[Cause(state, within[state], count) for state, count in _sorted(ticks).items()],
        longest=[
            SharedGap(key[0], key[1], sorted(each.slug for each in shared[key]), dict(key[2]))
            for key in longest
        ],
    )


def spread_of(rows: Sequence[TokenStats]) -> Spread:
    """Time at each spread, the narrowest first."""
    found = spread_over(rows)
    told = sorted((ticks, ns) for ticks, ns in found.items() if ticks is not None)
    widths = [Width(ticks.numerator, ticks.denominator, ns) for ticks, ns in told]
    widths += [Width(0, 0, found[None])] if found[None] else []
    return Spread(
        held_ns=sum(row.held_ns for row in rows),
        two_sided_ns=sum(row.two_sided_ns for row in rows),
        widths=widths,
        top=Top(**{by: _named(rows, by) for by in Top.__struct_fields__}),
    )


def _named(rows: Sequence[TokenStats], by: str) -> list[Named]:
    return [Named(row.slug, row.outcome) for row in ranked(rows, by, RANKED)]


def books_of(rows: int, checks: Mapping[str, int], bad: Mapping[str, int]) -> Books:
    """Checks as the manifests of `books` count them: `hash_<verdict>`, and flags."""
    mark = "hash_"
    verdicts = {name.removeprefix(mark): n for name, n in checks.items() if name.startswith(mark)}
    flags = {name: n for name, n in checks.items() if not name.startswith(mark)}
    return Books(rows, _sorted(verdicts), _sorted(flags), _sorted(bad))


def requests_of(asked: Iterable[Asked]) -> Requests:
    """Requests by endpoint; of the busiest one the histogram, the hours and the minutes."""
    by_endpoint: dict[str, list[Asked]] = {}
    for each in asked:
        by_endpoint.setdefault(each[0], []).append(each)
    endpoints = [_endpoint(name, listed) for name, listed in sorted(by_endpoint.items())]
    busiest = max(endpoints, key=lambda each: each.requests).endpoint if endpoints else ""
    listed = by_endpoint.get(busiest, [])
    return Requests(
        endpoints=endpoints,
        busiest=busiest,
        bins=_bins(_good(listed)),
        hours=_spans(listed, 12 * SPAN_MS),
        spans=_spans(listed, SPAN_MS),
    )


def _endpoint(name: str, listed: Sequence[Asked]) -> Endpoint:
    causes = Counter(each[2] for each in listed)
    return Endpoint(name, len(listed), _sorted(causes), _latency(_good(listed)))


def _good(listed: Iterable[Asked]) -> list[int]:
    return sorted(each[4] for each in listed if each[2] == "ok")


def _latency(ordered_ns: Sequence[int]) -> Latency:
    return Latency(
        good=len(ordered_ns),
        p50_ns=percentile(ordered_ns, 50),
        p90_ns=percentile(ordered_ns, 90),
        p99_ns=percentile(ordered_ns, 99),
        max_ns=percentile(ordered_ns, 100),
    )


def _spans(listed: Iterable[Asked], span_ms: int) -> list[Span]:
    found: dict[int, list[Asked]] = {}
    for each in listed:
        found.setdefault(each[1] // span_ms * span_ms, []).append(each)
    return [
        Span(from_ms, len(those), _latency(_good(those)))
        for from_ms, those in sorted(found.items())
    ]


def _bins(ordered_ns: Sequence[int]) -> list[Bin]:
    """From the first bin that has any to the last one."""
    edges = (0, *EDGES_NS)
    counts = [0] * len(edges)
    at = 0
    for each in ordered_ns:
        while at + 1 < len(edges) and each >= edges[at + 1]:
            at += 1
        counts[at] += 1
    used = [at for at, count in enumerate(counts) if count]
    ends = (*edges[1:], None)
    return [Bin(edges[at], ends[at], counts[at]) for at in range(*_reach(used))]


def _reach(used: Sequence[int]) -> tuple[int, int]:
    return (used[0], used[-1] + 1) if used else (0, 0)
