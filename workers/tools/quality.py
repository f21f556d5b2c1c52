"""Report on the data of a day: coverage, gaps, latency, hashes and flags, spread, clock.

Writes quality.md, quality.json and pictures as SVG into a directory. Beside each table stands the
command that gives its numbers again. Requests, books and spread are read from the derived tables;
where those are not made yet the other parts are told all the same. The pictures need matplotlib
(`ops/setup.sh report`); without it the report is made without them.

A day is a UTC date; of one that is not over, what is published.
"""

import argparse
import json
import time
from pathlib import Path

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.reading.stretches import stretch_of_day
from workers.core.report.quality import Report
from workers.core.report.quality_page import page
from workers.edge import durable, terminal
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks quality 2026-11-21                    into ./quality-2026-11-21
  orderbooks quality 2026-11-21 --out /srv/www/quality/2026-11-21
  orderbooks quality 2026-11-21 --json | jq .coverage.totals

exit codes: 0 reported; 1 reported, but the states of a market do not add up to its due ticks, a
table is not derived yet, or a part of the archive cannot be read: the report names it; 2 cannot do
it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("day", metavar="DAY", help="a UTC date: 2026-11-21")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to (default: quality-DAY)")
    parser.add_argument("--json", action="store_true", help="print the JSON, write nothing")


def run(arguments: argparse.Namespace) -> int:
    """Write the report; 0 when it is whole and everything could be read."""
    from workers.edge.reports import evidence, stock  # noqa: PLC0415 - polars: 50 MB and 0.2 s

    data, now_ms = DataDir(arguments.data), time.time_ns() // 1_000_000
    stretch = stock.written(data, stretch_of_day(arguments.day), now_ms)
    report = evidence.gathered(data, stretch)
    if arguments.json:
        print(_json(report), end="")
    else:
        _write(arguments.out or Path(f"quality-{arguments.day}"), report)
    return EXIT_FINE if report.is_whole() else EXIT_WRONG


def _json(report: Report) -> str:
    return json.dumps(msgspec.to_builtins(report), indent=1, ensure_ascii=False) + "\n"


def _write(folder: Path, report: Report) -> None:
    pictures, hint = _pictures(report)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {name: f"{name}.svg" for name in pictures}
        for name, svg in pictures.items():
            durable.replace(folder / names[name], svg)
        durable.replace(folder / "quality.json", _json(report).encode())
        durable.replace(folder / "quality.md", page(report, names).encode())
    except OSError as error:
        raise NeedsAPerson(f"write into {folder}: {error}", hint="--out names another") from error
    print(f"{folder / 'quality.md'}  quality.json  {len(pictures)} pictures")
    if hint:
        print(f"without pictures: {hint}")
    for each in [*report.notes, *_not_derived(report)]:
        print(terminal.coloured("note: ", "yellow") + terminal.printable(each))


def _not_derived(report: Report) -> list[str]:
    count = len(report.not_derived)
    return [f"{count} segments are not derived: `orderbooks normalize`"] if count else []


def _pictures(report: Report) -> tuple[dict[str, bytes], str]:
    """SVG by name, or how to get them."""
    from workers.edge import drawing  # noqa: PLC0415 - as in run

    try:
        return drawing.pictures(report), ""
    except drawing.NoMatplotlib as error:
        return {}, f"{error}; {error.hint}"
