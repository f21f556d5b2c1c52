"""Mine a day: how deep, how tight and how busy each outcome's book was, and how much of it we saw.

Averages are weighted by the time each observed state is known to have held, and time with a missed
tick counts nowhere: nothing is carried across a gap. The figures are made from the derived tables
of polls and of the stream, and kept under derived/token_stats until one of their sources changes.

A day is a UTC date; of one that is not over, what is published. With --from and --to any stretch.
"""

import argparse
import json
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase

from workers.core.reading.stretches import Stretch, stretch_between, stretch_of_day
from workers.core.report.mined_page import HEAD, cells, rankings, row_json
from workers.core.report.token_stats import TokenStats
from workers.edge import terminal
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks mine 2026-11-21                       rankings and every outcome
  orderbooks mine 2026-11-21 --top 5 --market 'btc-updown-5m-*'
  orderbooks mine --from 2026-11-21T14:00 --to 2026-11-21T15:00 --json | jq .tokens[0]

exit codes: 0 mined; 1 mined, but segments of that time are not derived yet, or something that bears
on it cannot be read; 2 cannot do it: no derived table, or one that is not what its manifest says
"""
SHOWN_SEGMENTS = 5
#: A day of windows has thousands of outcomes; --market and --json have them all.
SHOWN_ROWS = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("day", nargs="?", metavar="DAY", help="a UTC date: 2026-11-21")
    parser.add_argument("--from", dest="from_text", metavar="T", help="first moment, without DAY")
    parser.add_argument("--to", dest="to_text", metavar="T", help="end, exclusive (default: now)")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="of each ranking (10)")
    parser.add_argument("--market", default="*", metavar="SLUG", help="a pattern with * and ?")
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the figures; 0 when everything of the stretch is in them."""
    from workers.edge.reports import mine, stock  # noqa: PLC0415 - polars: 50 MB and 0.2 s

    data, now_ms = DataDir(arguments.data), time.time_ns() // 1_000_000
    found = stock.stocked(data, stock.written(data, _asked(arguments, now_ms), now_ms))
    mined = mine.mined(data, found)
    rows = [row for row in mined.rows if fnmatchcase(row.slug, arguments.market)]
    notes = [*found.notes, *([mined.note] if mined.note else [])]
    if arguments.json:
        told = _as_json(found.stretch, rows, arguments.top)
        told |= {"kept": mined.path, "not_derived": found.not_derived, "notes": notes}
        print(json.dumps(told, indent=1))
    else:
        print("from {} to {}".format(*found.stretch.texts))
        _print(rows, arguments.top)
        _print_doubts(found.not_derived, notes)
    return EXIT_WRONG if found.not_derived or found.notes else EXIT_FINE


def _asked(arguments: argparse.Namespace, now_ms: int) -> Stretch:
    if arguments.day is not None:
        return stretch_of_day(arguments.day)
    return stretch_between(arguments.from_text, arguments.to_text, now_ms)


def _as_json(stretch: Stretch, rows: Sequence[TokenStats], top: int) -> dict[str, object]:
    return {
        "schema": "orderbooks.mine/1",
        "from": stretch.texts[0],
        "until": stretch.texts[1],
        "top": {
            name: [{"slug": row.slug, "outcome": row.outcome} for row in listed]
            for name, _, listed in rankings(rows, top)
        },
        "tokens": [row_json(row) for row in rows],
    }


def _print(rows: Sequence[TokenStats], top: int) -> None:
    for name, what, listed in rankings(rows, top):
        print(f"\n{terminal.coloured(name, 'bold')}: {what}")
        print(_table(listed) if listed else "  none was seen for a minute with a bid and an ask")
    print(f"\n{terminal.coloured('every outcome', 'bold')}")
    print(_table(rows[:SHOWN_ROWS]) if rows else "  none was due")
    if len(rows) > SHOWN_ROWS:
        print(f"… and {len(rows) - SHOWN_ROWS} more: --market 'PATTERN', --json")


def _table(rows: Sequence[TokenStats]) -> str:
    printable = [[_cell(each) for each in cells(row)] for row in rows]
    return terminal.table(HEAD, printable)


def _cell(value: object) -> object:
    return terminal.printable(value) if isinstance(value, str) else value


def _print_doubts(not_derived: Sequence[str], notes: Sequence[str]) -> None:
    if not_derived:
        said = f"{len(not_derived)} segments are not derived, and count as not captured:"
        print(f"\n{terminal.coloured(said, 'yellow')} `orderbooks normalize`")
        for each in not_derived[:SHOWN_SEGMENTS]:
            print(f"  {terminal.printable(each)}")
    for each in notes:
        print(terminal.coloured("note: ", "yellow") + terminal.printable(each))
