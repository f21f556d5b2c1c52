"""Make the derived tables of a range anew from raw, and exchange them for the proven result.

For each hour and table: every raw segment of the hour is read again, the new file is written and
read back, rows counted, hashes made again from its columns; only then does it take the place of
the files there are. A file that is as it would be made anew is left alone. An hour whose raw is
not all here is not touched. The gaps of an hour are accounted for again when it is over.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.errors import NeedsAPerson, Refused
from workers.core.instants import MS_PER_HOUR, moment_ms, ms_text
from workers.core.tables.manifests import TableManifest
from workers.core.tables.tables import TABLES_OF_KIND
from workers.edge import terminal
from workers.edge.derived import accounts, gaps, hours, mending, shelf, source
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment
from workers.edge.offload import ledger
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks rebuild --from 2026-11-21T08:00Z --to 2026-11-21T10:00Z
  orderbooks rebuild --from 2026-11-21T00:00Z --to 2026-11-22T00:00Z --jobs 2

exit codes: 0 every hour is as it is made anew; 1 hours that could not be made, named; 2 cannot do
it
"""


class Rebuilt(msgspec.Struct):
    """What became of an hour; `failed` is (what, why, hint)."""

    made: list[tuple[str, int, int]] = []
    failed: list[tuple[str, str, str]] = []


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--from", dest="from_text", metavar="T", required=True, help="first hour")
    parser.add_argument("--to", dest="to_text", metavar="T", required=True, help="end, exclusive")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes (default: {jobs})")


def run(arguments: argparse.Namespace) -> int:
    """Rebuild hour by hour; 0 when all could be made."""
    data = DataDir(arguments.data)
    now_ms = time.time_ns() // 1_000_000
    from_ms = moment_ms(arguments.from_text, now_ms) // MS_PER_HOUR * MS_PER_HOUR
    until_ms = min(moment_ms(arguments.to_text, now_ms), now_ms)
    if until_ms <= from_ms:
        raise NeedsAPerson("rebuild: the range is empty", hint="--from and --to, the past")
    locks.own(data.queue("normalize"))
    shelf.sweep(data)
    work = _work(data, from_ms, until_ms)
    progress = terminal.Progress("hours", len(work))
    failed = made = 0
    for each in _worked(partial(_rebuilt, data.root, now_ms), work, arguments.jobs):
        progress.advance()
        for what, why, hint in each.failed:
            terminal.complain(f"{what}: {why}", hint)
        for name, rows, replaced in each.made:
            print(f"{name}  {rows} rows, replaces {replaced} files")
        failed, made = failed + len(each.failed), made + len(each.made)
    progress.end()
    print(f"{len(work)} hours: {made} files made anew, {failed} could not be made")
    return EXIT_WRONG if failed else EXIT_FINE


def _work(data: DataDir, from_ms: int, until_ms: int) -> list[tuple[int, list[str]]]:
    """The hours that something was recorded in, or due, and the paths of their manifests."""
    found: dict[int, list[str]] = {}
    for path in data.manifest_paths():
        place = data.relative(path)
        hour_ms = _hour_ms(place)
        if from_ms <= hour_ms < until_ms:
            found.setdefault(hour_ms, []).append(place)
    due = accounts.due_hours(data, from_ms, until_ms, ledger.Gone(data))
    return [(hour_ms, found.get(hour_ms, [])) for hour_ms in sorted(found.keys() | due)]


def _worked(
    function: Callable[[tuple[int, list[str]]], Rebuilt],
    work: list[tuple[int, list[str]]],
    jobs: int,
) -> Iterator[Rebuilt]:
    if jobs <= 1 or len(work) < 2:
        yield from map(function, work)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(function, work)


def _rebuilt(root: Path, now_ms: int, hour: tuple[int, list[str]]) -> Rebuilt:
    data, (hour_ms, places) = DataDir(root), hour
    batch = Batch(data, {"orderbooks": VERSION}, time.time_ns())
    told = Rebuilt()
    by_kind: dict[str, list[Segment]] = {}
    try:
        for place in places:
            segment = source.of_path(data, root / place)
            by_kind.setdefault(segment.manifest.kind, []).append(segment)
    except Refused as error:
        # Which tables its rows would stand in nobody knows: the hour as a whole is left alone.
        told.failed.append((ms_text(hour_ms), str(error), error.hint))
        return told
    for kind in sorted(by_kind.keys() & {each for each, some in TABLES_OF_KIND.items() if some}):
        made = partial(mending.rebuild, batch, hour_ms, kind, by_kind[kind])
        _try(told, f"{ms_text(hour_ms)} {kind}", made)
    is_over = now_ms >= hour_ms + MS_PER_HOUR
    if is_over and hour_ms not in hours.unsettled(data):
        renewed = partial(gaps.anew, batch, hour_ms, ledger.Gone(data))
        _try(told, f"{ms_text(hour_ms)} gaps", renewed)
    return told


def _try(told: Rebuilt, what: str, made: Callable[[], list[TableManifest]]) -> None:
    try:
        told.made += [(each.name, each.rows, len(each.replaces)) for each in made()]
    except Refused as error:
        told.failed.append((what, str(error), error.hint))


def _hour_ms(path: str) -> int:
    try:
        return source.hour_of(path)
    except ValueError:
        return -1
