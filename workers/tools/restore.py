"""Bring files back from the remote into a directory of their own, and prove them there.

The remote's own list is the truth: it works when data_dir was lost with its machine. DIR becomes a
data directory that `orderbooks verify --data DIR` and `orderbooks coverage --data DIR` read; a file
restored.json in it says that it is a part. Whatever lies in DIR already is not fetched twice, so
that an interrupted restore is simply run again; nothing is overwritten. To record on in a restored
archive move it to data_dir and remove restored.json.
"""

import argparse
import json
import os
import time
from pathlib import Path

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_HOUR, parse_utc, utc_text
from workers.core.offload.restores import Asked
from workers.edge import settings_file, terminal
from workers.edge.machine import Machine
from workers.edge.offload import foreground
from workers.edge.offload.homecoming import Homecoming, Restored
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
HOURS = 24
EXAMPLES = """\
examples:
  orderbooks restore --to back --day 2026-11-21 --hour 08
  orderbooks restore --to back --market 'btc-updown-5m-*' --day 2026-11-21
  orderbooks restore --to back --day 2026-11-21 --derived
  orderbooks restore --to back raw/venue=polymarket/date=…/hour=…/NAME.jsonl.gz
  orderbooks restore --to back --all           after a machine was lost
  orderbooks verify --data back                prove it once more

exit codes: 0 everything asked for is here and whole; 1 something is missing or damaged, by name;
2 cannot do it, or nothing matches
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data directory, if any is left"
    )
    parser.add_argument("--to", type=Path, metavar="DIR", required=True, help="where to")
    parser.add_argument("files", nargs="*", metavar="FILE", help="segments, by name or path")
    parser.add_argument("--all", action="store_true", help="everything")
    parser.add_argument("--day", metavar="D", help="a UTC day: 2026-11-21")
    parser.add_argument("--hour", metavar="H", type=int, choices=range(HOURS), help="of the day")
    parser.add_argument("--market", metavar="SLUG", help="books of it; a pattern with * and ?")
    parser.add_argument("--derived", action="store_true", help="the tables of those hours, too")
    parser.add_argument(
        "--only-books", action="store_true", help="of a market without the ledgers of its hours"
    )
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes that prove ({jobs})")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Fetch, prove, report."""
    loaded = settings_file.load(arguments.config)
    lost = DataDir((arguments.data or loaded.data_dir).absolute())
    asked = _asked(arguments, lost.root)
    target = DataDir(arguments.to.absolute())
    _check_target(target, lost, loaded.remote)
    target.prepare()
    # A refreshed token belongs to the one copy of the credentials that the uploader uses too.
    own = lost if lost.root.is_dir() else target
    with foreground.crew(own, loaded.settings.offload, loaded.remote) as crew:
        home = Homecoming(crew.courier, target, lost)
        chosen = home.chosen(asked)
        room = Machine(target.root).room().free_bytes
        if chosen.bytes_to_fetch > room:
            need = terminal.size(chosen.bytes_to_fetch)
            raise NeedsAPerson(
                f"restore to {target.root}: {need} do not fit into {terminal.size(room)}",
                hint="another --to, or ask for less: --day, --hour, --market",
            )
        home.mark(asked.words, utc_text(time.time_ns()))
        progress = terminal.Progress("fetched", len(chosen.to_fetch))
        home.fetch(chosen, progress.advance)
        progress.end()
    report = home.proved(chosen, jobs=arguments.jobs)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report), indent=1))
    else:
        _print(report, target, asked)
    return EXIT_WRONG if report.problems else EXIT_FINE


def _asked(arguments: argparse.Namespace, data: Path) -> Asked:
    ways = [arguments.all, arguments.files, arguments.day or arguments.market]
    if sum(map(bool, ways)) != 1:
        raise NeedsAPerson(
            "restore: say what, in one way",
            hint="--day D [--hour H], --market SLUG (with a day or without), FILE…, or --all",
        )
    if arguments.hour is not None and not arguments.day:
        raise NeedsAPerson("restore: --hour needs --day")
    if arguments.derived and arguments.files:
        raise NeedsAPerson("restore: --derived needs --day, --market or --all")
    hours = None
    if arguments.day:
        day_ms = _day_ms(arguments.day)
        of_day = range(HOURS) if arguments.hour is None else [arguments.hour]
        hours = frozenset(day_ms + hour * MS_PER_HOUR for hour in of_day)
    said = {"--day": arguments.day, "--hour": arguments.hour, "--market": arguments.market}
    words = [f"{word} {value}" for word, value in said.items() if value is not None]
    return Asked(
        words=" ".join([*words, *arguments.files]) or "--all",
        hours=hours,
        market=arguments.market,
        files=frozenset(each.removeprefix(f"{data}/") for each in arguments.files),
        needs_tables=arguments.derived,
        needs_context=not (arguments.all or arguments.files or arguments.only_books),
    )


def _day_ms(text: str) -> int:
    try:
        day_ms = parse_utc(text)
    except ValueError as error:
        raise NeedsAPerson(f"read the day: {error}", hint="such as 2026-11-21") from error
    if day_ms % (HOURS * MS_PER_HOUR):
        raise NeedsAPerson(f"read the day {text!r}: it has a time", hint="--hour says the hour")
    return day_ms


def _check_target(target: DataDir, lost: DataDir, remote: str) -> None:
    """Refuse a directory whose files would get mixed up with others."""
    here = target.root.resolve()
    places = [("the data directory", lost.root.resolve())]
    places += [("the remote", Path(remote).resolve())] if remote.startswith("/") else []
    for what, place in places:
        if here.is_relative_to(place) or place.is_relative_to(here):
            raise NeedsAPerson(
                f"restore to {target.root}: {what} is {place}, one lies in the other",
                hint="--to names a directory of its own",
            )
    if any(target.open_root.glob("*/chain.json")):
        raise NeedsAPerson(
            f"restore to {target.root}: workers have recorded there",
            hint="--to names a directory of its own",
        )


def _print(report: Restored, target: DataDir, asked: Asked) -> None:
    for path, detail in report.problems:
        word = terminal.coloured("WRONG", "red")
        print(f"{word}  {terminal.printable(path)}\n    {terminal.printable(detail)}")
    for note in report.notes:
        print(f"note  {terminal.printable(note)}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.segments.items()) or "none"
    size = terminal.size(report.bytes)
    print(f"segments  {kinds}; {report.files} files, {size}, {report.rows} rows")
    if report.derived:
        found = ", ".join(f"{count} {table}" for table, count in report.derived.items())
        print(f"derived   {found}")
    fetched = terminal.size(report.fetched_bytes)
    print(f"fetched   {report.fetched_files} files, {fetched}; the rest lay there already")
    if report.problems:
        print(terminal.coloured(f"{len(report.problems)} problems", "red"))
        return
    print(terminal.coloured("all whole", "green"))
    print(f"next      orderbooks verify --data {target.root}")
    if asked.needs_context and report.from_utc:
        span = f"--from {report.from_utc} --to {report.until_utc}"
        market = f" --market '{asked.market}'" if asked.market else ""
        print(f"          orderbooks coverage --data {target.root} {span}{market}")
