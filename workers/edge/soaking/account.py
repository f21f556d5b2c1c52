"""What became of every tick and request of some time: from ledgers, books and publications alone.

Reads     what `edge.spool.archive` reads; ledger rows
Promises  of a time that is over by a minute, the same account whenever it is made
Never     writes
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator
from functools import partial

import msgspec

from workers.core.archive.ledger import Request, Row, Skipped, Started, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import OPEN_SUFFIX
from workers.core.coverage.coverage import MarketCoverage
from workers.core.coverage.lives import FOREVER_MS
from workers.core.coverage.plans import DueTicks
from workers.core.instants import MS_PER_HOUR
from workers.core.report.stats import percentile
from workers.core.soak.report import Account, Asked, Coverage, FirstCapture
from workers.edge.offload import ledger
from workers.edge.spool import archive, reader, state
from workers.edge.spool.archive import Gathered, Judge
from workers.edge.spool.directory import DataDir
from workers.edge.spool.parts import lines_of

NS_PER_MS = 1_000_000
_LEDGER = frozenset({"ledger"})
_ABSENT = "VENUE_ABSENT"


class Span(msgspec.Struct, frozen=True):
    """Some time of an archive: from_ms ≤ t < until_ms."""

    from_ms: int
    until_ms: int

    @property
    def hours(self) -> range:
        """Every hour that has a part of it."""
        first_ms = self.from_ms // MS_PER_HOUR * MS_PER_HOUR
        return range(first_ms, self.until_ms + 1, MS_PER_HOUR)


def accounted(data: DataDir, span: Span, released: Container[str] | None = None) -> Account:
    """Coverage, first captures and requests; `released` as in `gathered_of`."""
    gathered = gathered_of(data, span, released)
    markets = _judged(gathered, span)
    totals: Counter[str] = Counter()
    for market, _ in markets:
        totals.update(market.counts())
    unreadable = list(gathered.unreadable)
    asked = _asked(data, span, unreadable)
    return Account(
        coverage=Coverage(
            markets=len(markets),
            due=sum(each.due for each, _ in markets),
            adds_up=all(each.adds_up() for each, _ in markets),
            totals=dict(sorted(totals.items(), key=lambda each: (-each[1], each[0]))),
            unreadable=unreadable,
        ),
        first_capture=_first([first for _, first in markets]),
        asked=asked,
    )


def gathered_of(data: DataDir, span: Span, released: Container[str] | None = None) -> Gathered:
    """What coverage is judged from; `released`: files that may be away (else: by retention)."""
    return archive.gather(
        data,
        from_ms=span.from_ms,
        until_ms=span.until_ms,
        running=state.running(data),
        released=ledger.Gone(data) if released is None else released,
    )


class _First(msgspec.Struct, frozen=True):
    """How long a market waited for its first capture; None = it was the venue's, or never came."""

    slug: str
    waited_ms: int | None
    is_absent: bool = False


def _judged(gathered: Gathered, span: Span) -> list[tuple[MarketCoverage, _First]]:
    known = list(gathered.plans.markets.values())
    judge = Judge(gathered, known)
    begin_ms = max(span.from_ms, gathered.plans.first_ms or 0, gathered.plans_from_ms)
    found = []
    for each in known:
        ticks = DueTicks(each.plans, begin_ms, span.until_ms)
        if not ticks.size:
            continue
        market = judge.judged(each, from_ms=begin_ms, until_ms=span.until_ms, gap_ms=0)
        found.append((market, _first_of(market, ticks.due_ms(0))))
    return found


def _first_of(market: MarketCoverage, due_ms: int) -> _First:
    """A gap that begins with the first due tick is what a market waited."""
    counts = market.counts()
    gap = next((each for each in market.gaps if each.from_due_ms == due_ms), None)
    if gap is None:
        return _First(market.slug, 0)
    if set(gap.counts) == {_ABSENT}:
        return _First(market.slug, None, is_absent=True)
    return _First(market.slug, gap.length_ms if counts["CAPTURED"] else None)


def _first(found: list[_First]) -> FirstCapture:
    waited = sorted((each.waited_ms, each.slug) for each in found if each.waited_ms is not None)
    times = [ms for ms, _ in waited]
    return FirstCapture(
        markets=len(found),
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
        max_ms=times[-1] if times else None,
        slowest=waited[-1][1] if waited else "",
        absent_first=sum(1 for each in found if each.is_absent),
        never=sorted(each.slug for each in found if each.waited_ms is None and not each.is_absent),
    )


def _asked(data: DataDir, span: Span, unreadable: list[str]) -> Asked:
    requests: dict[str, Counter[str]] = {}
    skipped: Counter[str] = Counter()
    retry_after = 0
    runs: set[str] = set()
    for row in rows_of(data, span, unreadable):
        if isinstance(row, Request) and _is_in(row.send_wall_ns, span):
            requests.setdefault(row.endpoint, Counter())[row.cause] += 1
            retry_after += row.retry_after_s is not None
            runs.add(row.id.rpartition(".")[0])
        elif isinstance(row, Skipped) and _is_in(row.at_wall_ns, span):
            skipped[row.cause] += 1
    return Asked(
        requests={name: dict(each.most_common()) for name, each in sorted(requests.items())},
        skipped=dict(sorted(skipped.items())),
        retry_after=retry_after,
        settings=_settings(data, runs, unreadable),
    )


def _settings(data: DataDir, runs: set[str], unreadable: list[str]) -> dict[str, str]:
    """The SHA-256 of the settings that each run of a worker said it started with."""
    found: dict[str, str] = {}
    for own in _segments(data, unreadable):
        if own.run and (own.run not in runs or own.run in found):
            continue
        for line in own.lines():
            row = _read(line, unreadable) if b'"kind":"started"' in line else None
            if isinstance(row, Started) and f"{row.worker}.{row.run}" in runs:
                found[f"{row.worker}.{row.run}"] = row.config_sha256
    return dict(sorted(found.items())) | dict.fromkeys(sorted(runs - found.keys()), "")


def _is_in(wall_ns: int, span: Span) -> bool:
    return span.from_ms <= wall_ns // NS_PER_MS < span.until_ms


class _Segment(msgspec.Struct, frozen=True):
    """A ledger segment: its run, "" while it is open, and the moments it lies between."""

    run: str
    first_ns: int
    last_ns: int
    lines: Callable[[], list[bytes]]


def rows_of(data: DataDir, span: Span, unreadable: list[str]) -> Iterator[Row]:
    """Every ledger row of every worker, of the segments that bear on a span."""
    for own in _segments(data, unreadable):
        if own.last_ns < span.from_ms * NS_PER_MS or own.first_ns >= span.until_ms * NS_PER_MS:
            continue
        for line in own.lines():
            row = _read(line, unreadable)
            if row is not None:
                yield row


def _read(line: bytes, unreadable: list[str]) -> Row | None:
    try:
        return read_row(line)
    except msgspec.MsgspecError as error:
        unreadable.append(f"a ledger row: {error}")
        return None


def _segments(data: DataDir, unreadable: list[str]) -> Iterator[_Segment]:
    # The open ones first: one that is published meanwhile is then read as published.
    opened = list(reader.open_streams(data, kinds=_LEDGER))
    published = set()
    for path, manifest in reader.manifests(data, kinds=_LEDGER):
        if not isinstance(manifest, SegmentManifest):
            unreadable.append(f"{data.relative(path)}: {manifest}")
            continue
        published.add(manifest.name)
        told = manifest.told
        yield _Segment(
            f"{manifest.worker}.{told.run or manifest.run}",
            told.first_wall_ns or 0,
            told.last_wall_ns or 0,
            partial(_lines, data, manifest.path, unreadable),
        )
    for each in opened:
        if each.path.name.removesuffix(OPEN_SUFFIX) not in published:
            yield _Segment("", 0, FOREVER_MS * NS_PER_MS, partial(lines_of, each.rows))


def _lines(data: DataDir, path: str, unreadable: list[str]) -> list[bytes]:
    try:
        return reader.read_stream(data.root / path).data.split(b"\n")[:-1]
    except OSError as error:
        unreadable.append(f"{path}: {error.strerror}")
        return []
