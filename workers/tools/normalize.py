"""Make the derived tables of raw segments now, by hand.

FILEs are published segments, their manifests, or directories of them; without any, everything in
the archive. What is derived already is passed over. Hours that are over end up in one file of
each table. The normalizer must not run at the same time: the two wait for each other.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.tables.tables import TABLES_OF_KIND
from workers.edge import terminal
from workers.edge.derived import hours, shelf, shift, source
from workers.edge.derived.shelf import Batch
from workers.edge.derived.shift import Told, Unread
from workers.edge.derived.source import Segment, Unfit
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
BATCH_BYTES = 16_777_216
EXAMPLES = """\
examples:
  orderbooks normalize                                       everything that is not derived yet
  orderbooks normalize --jobs 2 var/raw/venue=polymarket/date=2026-11-21
  orderbooks normalize --json FILE.jsonl.gz

exit codes: 0 all is derived; 1 segments that are not what their manifests say, named; 2 cannot do
it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="only these")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes (default: {jobs})")
    parser.add_argument("--json", action="store_true", help="the whole report, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Derive, merge what is over, tell; 0 when every segment was fit."""
    data = DataDir(arguments.data)
    data.prepare()
    locks.own(data.queue("normalize"))
    shelf.sweep(data)
    told = Told()
    segments = list(_segments(data, data.chosen_manifests(arguments.files), told))
    batches = list(_batches(segments))
    progress = terminal.Progress("batches", len(batches))
    for each in _worked(partial(_derived, data.root), batches, arguments.jobs):
        _add(told, each)
        progress.advance()
    progress.end()
    _add(told, _tidied(data, {each.hour_ms for each in segments}))
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(told), indent=1))
    else:
        _print(told)
    return EXIT_WRONG if told.unread or told.problem else EXIT_FINE


def _segments(data: DataDir, paths: Iterable[Path], told: Told) -> Iterator[Segment]:
    for path in paths:
        try:
            segment = source.of_path(data, path)
        except Unfit as error:
            told.unread.append(Unread(error.segment, error.reason))
            continue
        is_here = (data.root / segment.manifest.path).exists()
        has_ticket = (data.queue("normalize") / f"{segment.name}.ready").exists()
        # What retention let go was derived before.
        if TABLES_OF_KIND.get(segment.manifest.kind) is not None and (is_here or has_ticket):
            yield segment


def _batches(segments: Sequence[Segment]) -> Iterator[list[Path]]:
    """The manifests' paths of one kind and hour, of about BATCH_BYTES together."""
    batch: list[Segment] = []
    for each in sorted(segments, key=lambda it: (it.hour_ms, it.manifest.kind, it.name)):
        first = batch[0] if batch else each
        size_bytes = sum(it.manifest.raw_bytes for it in [*batch, each])
        is_same = (each.hour_ms, each.manifest.kind) == (first.hour_ms, first.manifest.kind)
        if batch and (not is_same or size_bytes > BATCH_BYTES):
            yield [Path(it.manifest.path) for it in batch]
            batch = []
        batch.append(each)
    if batch:
        yield [Path(it.manifest.path) for it in batch]


def _worked(work: "partial[Told]", batches: list[list[Path]], jobs: int) -> Iterator[Told]:
    if jobs <= 1 or len(batches) < 2:
        yield from map(work, batches)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        yield from pool.map(work, batches)


def _batch(data: DataDir) -> Batch:
    return Batch(data, {"orderbooks": VERSION}, time.time_ns())


def _derived(root: Path, paths: list[Path]) -> Told:
    data, told = DataDir(root), Told()
    segments = list(_segments(data, [root / path for path in paths], told))
    shift.derive_segments(_batch(data), segments, told)
    return told


def _tidied(data: DataDir, hours_ms: set[int]) -> Told:
    now_ms = time.time_ns() // 1_000_000
    over = {each for each in hours_ms if hours.is_over(data, each, now_ms=now_ms, grace_ms=0)}
    told = Told()
    shift.tidy(hours.untidy(data, over))(_batch(data), told)
    return told


def _add(told: Told, more: Told) -> None:
    told.made += more.made
    told.unread += more.unread
    told.finished += more.finished
    told.problem = told.problem or more.problem


def _print(told: Told) -> None:
    for each in told.unread:
        mark = terminal.coloured("UNFIT", "red")
        print(f"{mark}  {terminal.printable(each.segment)}\n    {terminal.printable(each.reason)}")
    for made in told.made:
        bad = f", {made.bad} bad" if made.bad else ""
        print(f"{made.name}  {made.rows} rows{bad}, {terminal.size(made.bytes)}")
    if told.problem:
        print(terminal.coloured(terminal.printable(told.problem), "red"))
    print(f"segments  {told.finished} derived, {len(told.unread)} unfit")
