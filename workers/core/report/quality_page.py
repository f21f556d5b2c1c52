"""A data-quality report as a page of Markdown: tables with units, a command beside each.

Promises  the same report gives the same page
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from workers.core.instants import ms_text, utc_text
from workers.core.report.markdown import command, counts, ms, percent, picture, safe, seconds, table
from workers.core.report.quality import (
    Books,
    Clock,
    Coverage,
    Gaps,
    Hour,
    Latency,
    Market,
    Report,
    Requests,
    Spread,
    Stream,
    Width,
)
from workers.core.report.stats import percentile, rounded

#: Markets of a table of the page; a day of windows has thousands, and the JSON has them all.
SHOWN_MARKETS = 40
_NOT_DERIVED = "Not derived yet: `orderbooks normalize` makes the tables it is read from."


def page(report: Report, pictures: Mapping[str, str]) -> str:
    """The page.

    Args:
        report: what it says.
        pictures: file by name (`PICTURES` of `edge.drawing`); without them it has none.
    """
    parts = [
        _head(report, pictures),
        _coverage(report.coverage, report.commands, pictures),
        _gaps(report.gaps, report.commands, pictures),
        _requests(report.requests, report.commands, pictures),
        _books(report.books, report.commands),
        _spread(report.spread, report.commands, pictures),
        _clock(report.clock, report.commands, pictures),
        *([_stream(report.stream, report.commands)] if report.stream else []),
    ]
    return "\n\n".join("\n\n".join(part) for part in parts) + "\n"


def _head(report: Report, pictures: Mapping[str, str]) -> Iterator[str]:
    start, end = ms_text(report.from_ms), ms_text(report.until_ms)
    yield f"# Data quality, {start[:10]}"
    yield f"{start} to {end}, by orderbooks {report.version}. All times are UTC."
    yield (
        "What each figure means: docs/REPORTS.md. The commands are run in the data directory, and "
        "give the numbers above them again."
    )
    if not pictures:
        yield "Without pictures: they need matplotlib, which `ops/setup.sh report` installs."
    if report.not_derived:
        yield (
            f"**{len(report.not_derived)} segments of this time are not derived.** Requests, books "
            "and spread are without them until `orderbooks normalize` has run."
        )
    if report.notes:
        yield "\n".join(["Notes:", "", *(f"* {safe(each)}" for each in report.notes)])


def _coverage(
    coverage: Coverage, commands: Mapping[str, str], pictures: Mapping[str, str]
) -> Iterator[str]:
    yield "## Coverage"
    sums = "add up to" if coverage.adds_up else "DO NOT ADD UP to"
    yield f"{coverage.due} ticks were due; the states of each market {sums} them."
    yield table(
        ("state", "ticks", "of all"),
        ([name, n, percent(n, coverage.due)] for name, n in coverage.totals.items()),
    )
    yield command(commands["coverage"])
    yield from picture(pictures, "coverage", "captured ticks by market and hour")
    yield table(("hour", "due", "captured", "of due"), map(_hour_cells, coverage.hours))
    yield command(commands["coverage_hours"])
    worst = sorted(coverage.markets, key=_share)[:SHOWN_MARKETS]
    if len(worst) < len(coverage.markets):
        yield f"The {len(worst)} markets of {len(coverage.markets)} that lack the most:"
    yield table(("market", "due", "captured", "of due", "missed as"), map(_market_cells, worst))
    yield command(commands["coverage_markets"])


def _hour_cells(hour: Hour) -> list[object]:
    return [
        ms_text(hour.from_ms)[:16],
        hour.due,
        hour.captured,
        percent(hour.captured, hour.due),
    ]


def _market_cells(market: Market) -> list[object]:
    states: Counter[str] = Counter()
    for hour in market.hours:
        states.update(hour.states)
    due, captured = states.total(), states.pop("CAPTURED", 0)
    return [market.slug, due, captured, percent(captured, due), counts(dict(states.most_common()))]


def _share(market: Market) -> tuple[Fraction, str]:
    due = sum(hour.due for hour in market.hours)
    captured = sum(hour.captured for hour in market.hours)
    return Fraction(captured, due or 1), market.slug


def _gaps(gaps: Gaps, commands: Mapping[str, str], pictures: Mapping[str, str]) -> Iterator[str]:
    yield "## Gaps"
    if not gaps.count:
        yield "None."
        yield command(commands["gaps"])
        return
    yield f"{gaps.count} gaps; one is of one market, and may have several causes."
    yield table(
        ("cause", "in gaps", "missed ticks"), ([it.state, it.gaps, it.ticks] for it in gaps.causes)
    )
    yield command(commands["gaps"])
    yield from picture(pictures, "missed", "missed ticks by hour and cause")
    yield "The longest:"
    yield table(
        ("from", "length, s", "markets", "ticks of each"),
        (
            [
                ms_text(each.from_ms),
                rounded(Fraction(each.length_ms, 1000), 1),
                _slugs(each.slugs),
                counts(each.ticks),
            ]
            for each in gaps.longest
        ),
    )
    yield command(commands["gaps_longest"])


def _slugs(slugs: Sequence[str]) -> str:
    return slugs[0] + (f" and {len(slugs) - 1} more" if len(slugs) > 1 else "")


def _requests(
    requests: Requests | None, commands: Mapping[str, str], pictures: Mapping[str, str]
) -> Iterator[str]:
    yield "## Requests and latency"
    if requests is None or not requests.endpoints:
        yield _NOT_DERIVED if requests is None else "None was made."
        return
    yield table(
        ("endpoint", "requests", "outcome"),
        ([it.endpoint, it.requests, counts(it.causes)] for it in requests.endpoints),
    )
    yield command(commands["requests"])
    yield "Latency is from the send to the last byte, of good answers, in ms."
    heads = ("good", "p50", "p90", "p99", "longest")
    yield table(
        ("endpoint", *heads), ([it.endpoint, *_latency(it.latency)] for it in requests.endpoints)
    )
    yield command(commands["latency"])
    yield from picture(pictures, "latency", f"latency of {requests.busiest}")
    yield from picture(pictures, "latency_over_time", f"latency of {requests.busiest} over time")
    yield f"`{safe(requests.busiest)}` by the hour its ticks were due:"
    yield table(
        ("hour", "requests", *heads),
        ([ms_text(it.from_ms)[:16], it.requests, *_latency(it.latency)] for it in requests.hours),
    )
    yield command(commands["latency_hours"])


def _latency(latency: Latency) -> list[object]:
    values = (latency.p50_ns, latency.p90_ns, latency.p99_ns, latency.max_ns)
    return [latency.good, *(ms(each) for each in values)]


def _books(books: Books | None, commands: Mapping[str, str]) -> Iterator[str]:
    yield "## Hashes, flags, bad rows"
    if books is None:
        yield _NOT_DERIVED
        return
    if not books.rows:
        yield "No book was polled."
    else:
        said = "The hash of each was computed again, and its levels were checked."
        yield f"{books.rows} books. {said}"
        found = {f"hash {name}": n for name, n in books.verdicts.items()} | books.flags
        yield table(
            ("hash or flag", "rows", "of all"),
            ([name, n, percent(n, books.rows)] for name, n in found.items()),
        )
        yield command(commands["books"])
    if books.bad:
        yield table(("bad rows because", "rows"), books.bad.items())
    else:
        yield "No bad row."
    yield command(commands["bad"])


def _spread(
    spread: Spread | None, commands: Mapping[str, str], pictures: Mapping[str, str]
) -> Iterator[str]:
    yield "## Spread"
    if spread is None:
        yield _NOT_DERIVED
        return
    yield (
        f"The books of all outcomes are known to have held for {seconds(spread.held_ns)} s; for "
        f"{seconds(spread.two_sided_ns)} s of them with a bid and an ask."
    )
    yield from picture(pictures, "spread", "time at each spread")
    yield table(
        ("spread, ticks", "s", "of two-sided time"),
        (
            [width_text(each), seconds(each.ns), percent(each.ns, spread.two_sided_ns)]
            for each in spread.widths
        ),
    )
    yield command(commands["spread"])
    top = spread.top
    named = [
        [f"{each.slug} {each.outcome}" for each in ranked]
        for ranked in (top.depth, top.tightness, top.activity)
    ]
    if not top.depth:
        yield "None is ranked: no outcome was seen for a minute with a bid and an ask."
        return
    lines = zip(range(1, len(top.depth) + 1), *named, strict=True)
    yield table(("rank", "depth", "tightness", "activity"), lines)
    yield command(commands["top"])


def width_text(width: Width) -> str:
    """A spread in ticks: "1", "2.50", "?" where the tick is not told."""
    if width.denominator == 0:
        return "?"
    if width.denominator == 1:
        return str(width.numerator)
    return str(rounded(Fraction(width.numerator, width.denominator), 2))


def _clock(clock: Clock, commands: Mapping[str, str], pictures: Mapping[str, str]) -> Iterator[str]:
    yield "## Clock"
    if clock.offsets:
        offsets = sorted(each.offset_ms for each in clock.offsets)
        yield (
            f"The venue's clock − ours was measured {len(offsets)} times: {offsets[0]} to "
            f"{offsets[-1]} ms, the median {percentile(offsets, 50)} ms, each known to "
            f"± {max(each.tolerance_ms for each in clock.offsets)} ms or better."
        )
    else:
        yield "The venue's clock was not compared with ours."
    yield command(commands["clock"])
    yield from picture(pictures, "clock", "offset of our clock")
    if clock.steps:
        yield table(
            ("set at", "by, ms", "seen by"),
            (
                [utc_text(it.at_wall_ns), rounded(Fraction(it.step_ns, 10**6), 0), it.worker]
                for it in clock.steps
            ),
        )
    else:
        yield "No worker saw our clock being set."
    yield command(commands["steps"])


def _stream(stream: Stream, commands: Mapping[str, str]) -> Iterator[str]:
    yield "## Stream"
    yield (
        f"{stream.markets} markets were subscribed, {seconds(stream.wanted_ns)} s of tokens; "
        f"{percent(stream.covered_ns, stream.wanted_ns)} of it is covered."
    )
    yield table(
        ("missed as", "s of tokens", "of wanted"),
        (
            [cause, seconds(ns), percent(ns, stream.wanted_ns)]
            for cause, ns in stream.missed_ns.items()
        ),
    )
    yield table(
        ("leg", "covered of wanted", "events due to it", "of them lost"),
        (
            [
                each.leg,
                percent(each.covered_ns, stream.wanted_ns),
                "-" if each.due is None else each.due,
                "-" if each.missing is None else each.missing,
            ]
            for each in stream.legs
        ),
    )
    yield command(commands["stream"])
    yield table(("book doubted for", "times"), stream.resyncs.items())
    yield command(commands["resyncs"])
    yield table(("connection ended by", "times"), stream.closed.items())
