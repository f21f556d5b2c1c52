"""Account for every tick that was due.

Captured, failed and why, left out by the venue, paused, or nobody there: the states of each
market add up to what was due, or the exit code is 1.

Of hours whose ledgers retention let go, the captured ticks are still known, and all others are
OFFLOADED: restored from the remote they can be accounted for. Without --from such hours are left
out.

Where a streamer ran, what it covered of the time it was subscribed is told below, in seconds of
tokens: by any connection, by each leg, and what was missed by cause.

A time is RFC 3339 in UTC ("2026-11-21T14:00", "2026-11-21"), now, or a span back from it ("6h").
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable
from fnmatch import fnmatchcase

import msgspec

from workers.core.coverage.canvas import Gap
from workers.core.coverage.coverage import (
    OFFLOADED,
    STATES,
    UNEXPLAINED,
    MarketCoverage,
    written_ms,
)
from workers.core.errors import NeedsAPerson
from workers.core.instants import NS_PER_MS, moment_ms, ms_text
from workers.core.reading.evidence import Damaged, Offloaded
from workers.core.stream.coverage import STREAM_HEAD, MarketStream, stream_json, stream_rows
from workers.edge import terminal
from workers.edge.offload import ledger
from workers.edge.reading.archive import open_archive
from workers.edge.spool import archive, state
from workers.edge.spool.archive import Gathered, Judge
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT = 0, 1, 2
EXAMPLES = """\
examples:
  orderbooks coverage                              everything since the first universe
  orderbooks coverage --from 6h --by hour          the last six hours, hour by hour
  orderbooks coverage --market 'btc-updown-5m-*' --gaps 10
  orderbooks coverage --json | jq .totals

exit codes: 0 everything is accounted for; 1 a tick is UNEXPLAINED, the states do not add up, or a
part of the archive cannot be read; 2 cannot do it, or ticks are OFFLOADED: restore their hours
"""
SHOWN_GAPS = 30
RESTORE = "orderbooks restore --to DIR --day D, then orderbooks coverage --data DIR --from D"


class Report(msgspec.Struct, frozen=True):
    """What was found, before it is printed; `is_cut`: what lies before was offloaded.

    `is_stream_cut`: of the stream some publications or ledgers were.
    """

    from_ms: int
    until_ms: int
    markets: list[MarketCoverage]
    unreadable: list[str]
    is_cut: bool = False
    stream: list[MarketStream] = []
    is_stream_cut: bool = False

    def totals(self) -> Counter[str]:
        """All states of all markets."""
        total: Counter[str] = Counter()
        for market in self.markets:
            total.update(market.counts())
        return total

    def due(self) -> int:
        """How many ticks were due, by arithmetic."""
        return sum(market.due for market in self.markets)

    def is_fine(self) -> bool:
        """True when all is read, adds up, and nothing is unexplained."""
        adds_up = all(market.adds_up() for market in self.markets)
        return adds_up and not self.unreadable and not self.totals()[UNEXPLAINED]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--from", dest="from_text", metavar="T", help="first moment")
    parser.add_argument("--to", dest="to_text", metavar="T", help="end, exclusive (default: now)")
    parser.add_argument("--market", metavar="SLUG", help="a slug, or a pattern with * and ?")
    parser.add_argument("--by", choices=("market", "hour"), default="market", help="the table")
    parser.add_argument("--gaps", metavar="SECONDS", type=float, default=5.0, help="list from here")
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 when everything is accounted for, else 1."""
    now_ms = time.time_ns() // 1_000_000
    report = report_of(
        DataDir(arguments.data),
        from_ms=moment_ms(arguments.from_text, now_ms) if arguments.from_text else 0,
        until_ms=moment_ms(arguments.to_text, now_ms) if arguments.to_text else now_ms,
        market=arguments.market or "*",
        gap_ms=int(arguments.gaps * 1000),
        now_ms=now_ms,
    )
    if arguments.json:
        print(json.dumps(_as_json(report), indent=1))
    else:
        _print(report, arguments.by)
    if not report.is_fine():
        return EXIT_WRONG
    return EXIT_CANNOT if report.totals()[OFFLOADED] else EXIT_FINE


def report_of(
    data: DataDir, *, from_ms: int, until_ms: int, market: str, gap_ms: int, now_ms: int
) -> Report:
    """Judge every market of the archive.

    Args:
        data: the directory.
        from_ms: nothing before it counts; nor before the first publication; 0 = from where on
            nothing was offloaded.
        until_ms: the end; where workers are alive, at most as far as they have written.
        market: a slug or a pattern.
        gap_ms: gaps of at least this length are listed.
        now_ms: the wall clock; nothing after it was due yet.
    """
    end_ms = min(now_ms, until_ms)
    gathered = _gathered(data, from_ms, end_ms)
    first_ms = gathered.plans.first_ms
    if first_ms is None:
        raise NeedsAPerson(
            f"account for {data.root}: no universe was ever published there",
            hint="discovery publishes one when the venue first answers: `orderbooks status`",
        )
    first_ms = max(first_ms, gathered.plans_from_ms)
    begin_ms = max(first_ms, from_ms or gathered.whole_from_ms())
    known = [each for each in gathered.plans.markets.values() if fnmatchcase(each.slug, market)]
    if market != "*" and not known:
        raise NeedsAPerson(
            f"account for {market}: the archive knows no such market between these times",
            hint="`orderbooks coverage --by market` lists them; a pattern may have * and ?",
        )
    judge = Judge(gathered, known)
    judged = [
        judge.judged(
            each,
            from_ms=begin_ms,
            until_ms=min(end_ms, written_ms(each, judge.lives, now_ms)),
            gap_ms=gap_ms,
        )
        for each in known
    ]
    judged = [each for each in judged if each.due]
    is_cut = gathered.plans_from_ms > from_ms or bool(not from_ms and gathered.offloaded)
    stream, is_stream_cut = _streamed(data, begin_ms, end_ms, market, gathered.unreadable)
    return Report(begin_ms, end_ms, judged, gathered.unreadable, is_cut, stream, is_stream_cut)


def _streamed(
    data: DataDir, from_ms: int, until_ms: int, market: str, unreadable: list[str]
) -> tuple[list[MarketStream], bool]:
    """The stream, by what is here; True when something that may tell more was offloaded."""
    span = (from_ms * NS_PER_MS, until_ms * NS_PER_MS, market)
    try:
        return open_archive(data.root).stream_coverage(*span), False
    except Damaged as error:
        unreadable.append(f"{error.path}: {error.what}")
        return [], False
    except Offloaded:
        return open_archive(data.root, "label").stream_coverage(*span), True


def _gathered(data: DataDir, from_ms: int, until_ms: int) -> Gathered:
    """The archive, read again when retention let go of something meanwhile."""
    while True:
        gone = ledger.Gone(data)
        gathered = archive.gather(
            data,
            from_ms=from_ms,
            until_ms=until_ms,
            running=state.running(data),
            released=gone,
        )
        places = (each.partition(": ")[0] for each in gathered.unreadable)
        if not any(each in gone and not (data.root / each).exists() for each in places):
            return gathered


def _as_json(report: Report) -> dict[str, object]:
    return {
        "schema": "orderbooks.coverage/1",
        "from_utc": ms_text(report.from_ms),
        "until_utc": ms_text(report.until_ms),
        "is_fine": report.is_fine(),
        "due": report.due(),
        "totals": dict(report.totals()),
        "unreadable": report.unreadable,
        "is_cut": report.is_cut,
        "markets": [_market_json(each) for each in report.markets],
        "stream": stream_json(report.stream),
        "is_stream_cut": report.is_stream_cut,
    }


def _market_json(market: MarketCoverage) -> dict[str, object]:
    return {
        "slug": market.slug,
        "condition_id": market.condition_id,
        "series": market.series,
        "due": market.due,
        "adds_up": market.adds_up(),
        "totals": dict(market.counts()),
        "hours": [{"hour_utc": ms_text(each.from_ms), **each.counts} for each in market.hours],
        "gaps": [
            {
                "from_utc": ms_text(gap.from_due_ms),
                "until_utc": ms_text(gap.until_due_ms),
                "length_s": gap.length_ms / 1000,
                "states": gap.counts,
            }
            for gap in market.gaps
        ],
    }


def _print(report: Report, by: str) -> None:
    print(f"from {ms_text(report.from_ms)} to {ms_text(report.until_ms)}")
    head = ["market" if by == "market" else "hour", "due", *STATES]
    rows = _by_market(report) if by == "market" else _by_hour(report)
    print(terminal.table(head, rows))
    due, totals = report.due(), report.totals()
    for name, count in sorted(totals.items(), key=lambda each: -each[1]):
        colour = "red" if name == UNEXPLAINED else "bold"
        print(f"  {terminal.coloured(f'{count / max(due, 1):8.3%}', colour)}  {count:>9}  {name}")
    verdict = "adds up to" if totals.total() == due else "DOES NOT ADD UP to"
    print(f"{totals.total()} states, {verdict} {due} ticks due")
    _print_gaps([gap for market in report.markets for gap in market.gaps])
    if report.stream:
        print("\nthe stream, in seconds of tokens:")
        rows = ([*map(terminal.printable, each)] for each in stream_rows(report.stream))
        print(terminal.table([*STREAM_HEAD], rows))
    if report.is_stream_cut:
        print(f"of the stream only what is here is told, some of it was offloaded: {RESTORE}")
    if report.is_cut or totals[OFFLOADED]:
        said = ["what lies before was offloaded"] if report.is_cut else []
        said += [f"{totals[OFFLOADED]} ticks are OFFLOADED"] if totals[OFFLOADED] else []
        print(f"{'; '.join(said)}: {RESTORE}")
    for each in report.unreadable:
        print(terminal.coloured("unreadable: ", "red") + terminal.printable(each))


def _by_market(report: Report) -> Iterable[list[object]]:
    for market in report.markets:
        yield [terminal.printable(market.slug), market.due, *_columns(market.counts())]


def _by_hour(report: Report) -> Iterable[list[object]]:
    hours: dict[int, Counter[str]] = {}
    for market in report.markets:
        for hour in market.hours:
            hours.setdefault(hour.from_ms, Counter()).update(hour.counts)
    for from_ms in sorted(hours):
        yield [ms_text(from_ms)[:16], hours[from_ms].total(), *_columns(hours[from_ms])]


def _columns(counts: Counter[str]) -> list[int]:
    sums: Counter[str] = Counter()
    for name, count in counts.items():
        sums[name.partition("(")[0]] += count
    return [sums[each] for each in STATES]


def _print_gaps(gaps: list[Gap]) -> None:
    """The longest gaps; one line for all markets that have the same one."""
    grouped: dict[tuple[int, int, str], list[Gap]] = {}
    for gap in gaps:
        why = " ".join(f"{name}×{count}" for name, count in gap.counts.items())
        grouped.setdefault((gap.from_due_ms, gap.length_ms, why), []).append(gap)
    if not grouped:
        return
    longest = sorted(grouped, key=lambda each: (-each[1], each[0]))[:SHOWN_GAPS]
    print(f"\n{len(grouped)} gaps; the {len(longest)} longest:")
    rows = [
        [ms_text(key[0]), terminal.age(key[1] / 1000), _slugs(grouped[key]), key[2]]
        for key in longest
    ]
    print(terminal.table(["from", "length", "market", "why of each"], rows))


def _slugs(gaps: list[Gap]) -> str:
    others = f" and {len(gaps) - 1} more" if len(gaps) > 1 else ""
    return terminal.printable(gaps[0].slug) + others
