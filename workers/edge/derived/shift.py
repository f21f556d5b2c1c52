"""The jobs of the normalizer: tickets, or hours to tidy or to prune; each a process of its own.

A job holds pyarrow (60 MB) and its rows for some seconds, then ends and gives the memory back: the
worker itself stays as small as the others. What kills a job cannot kill the worker.

Reads     spool/normalize tickets, raw segments
Writes    derived files, the state of tickets, spool/upload tickets of files that are whole hours
Promises  a ticket is .done only when every table of its segment has its rows; a job that dies at
          any moment is made good by the next; it dies with the worker
Fails     one unfit segment becomes .failed with the reason, all others go on
"""

# ruff: noqa: PLC0415 - pyarrow is imported in the job only

import multiprocessing
import os
import signal
from collections.abc import Callable, Container, Iterable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.errors import OrderbooksError, Refused
from workers.core.tables.manifests import TableManifest
from workers.edge.derived import hours, shelf, source
from workers.edge.derived.hours import Untidy
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment, Unfit
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir
from workers.edge.world import die_with_parent

#: A job gives way to whoever records.
_NICE = 10
_fork = multiprocessing.get_context("fork")


class Made(msgspec.Struct, frozen=True):
    """One file that a job committed."""

    table: str
    name: str
    rows: int
    bad: int
    bytes: int


class Unread(msgspec.Struct, frozen=True):
    """A segment that was set aside."""

    segment: str
    reason: str


class Told(msgspec.Struct):
    """What a job did; `problem` is what it stopped at."""

    made: list[Made] = []
    unread: list[Unread] = []
    finished: int = 0
    problem: str = ""
    #: Hours that were closed, and those of them whose evidence is damaged.
    judged: list[int] = []
    refused: list[int] = []


Work = Callable[[Batch, Told], None]
Due = TypeVar("Due")


class Job:
    """A job under way."""

    def __init__(self, work: Work, batch: Batch) -> None:
        self._ear, mouth = _fork.Pipe(duplex=False)
        self._process = _fork.Process(target=_run, args=(work, batch, mouth), daemon=True)
        self._process.start()
        mouth.close()

    def poll(self) -> Told | None:
        """What it did, once it has ended; a job that died says so as its problem."""
        if self._process.is_alive() and not self._ear.poll():
            return None
        try:
            told: Told = msgspec.json.decode(self._ear.recv_bytes(), type=Told)
        except (EOFError, OSError):
            self._process.join()
            told = Told(problem=f"the job died: exit code {self._process.exitcode}")
        self._process.join()
        self._ear.close()
        return told

    def end(self) -> None:
        """Kill it; what it has not committed is done again."""
        self._process.kill()
        self._process.join()
        self._ear.close()


def _run(work: Work, batch: Batch, mouth: Connection) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    os.nice(_NICE)
    told = Told()
    try:
        work(batch, told)
    except (OrderbooksError, OSError, msgspec.MsgspecError) as error:
        told.problem = f"{type(error).__name__}: {error}"
    mouth.send_bytes(msgspec.json.encode(told))


def derive(batches: Sequence[Sequence[str]]) -> Work:
    """The work on batches of tickets, one after the other: pyarrow is loaded once for all."""

    def work(batch: Batch, told: Told) -> None:
        for names in batches:
            derive_segments(batch, list(_asked(batch.data, names, told)), told)

    return work


def derive_segments(batch: Batch, segments: Sequence[Segment], told: Told) -> None:
    """Derive segments of any kinds and hours, and finish the tickets they have."""
    for kind in sorted({each.manifest.kind for each in segments}):
        same = [each for each in segments if each.manifest.kind == kind]
        for hour_ms in sorted({each.hour_ms for each in same}):
            _derive(batch, [each for each in same if each.hour_ms == hour_ms], told)


def _asked(data: DataDir, names: Iterable[str], told: Told) -> Iterable[Segment]:
    for name in names:
        path = _ticket_path(data, name)
        ticket = tickets.read(path)
        if ticket is None:
            if path.exists():
                _set_aside(data, Unfit(name, "not a ticket"), told)
            continue
        try:
            yield source.of_ticket(data, ticket)
        except Unfit as error:
            _set_aside(data, error, told)


def _derive(batch: Batch, segments: list[Segment], told: Told) -> None:
    from workers.edge.derived import build

    kind, hour_ms = segments[0].manifest.kind, segments[0].hour_ms
    while segments:
        try:
            told.made += [made(each) for each in build.build(batch, hour_ms, kind, segments)]
        except Unfit as error:
            segments = [each for each in segments if each.name != error.segment]
            _set_aside(batch.data, error, told)
        else:
            break
    for segment in segments:
        path = _ticket_path(batch.data, segment.name)
        if path.exists():
            tickets.finish(path)
        told.finished += 1


def _ticket_path(data: DataDir, name: str) -> Path:
    return data.queue("normalize") / f"{name}{tickets.READY}"


def _set_aside(data: DataDir, error: Unfit, told: Told) -> None:
    path = _ticket_path(data, error.segment)
    if path.exists():
        tickets.fail(path, f"unfit: {error.reason}")
    told.unread.append(Unread(error.segment, error.reason))


def made(manifest: TableManifest) -> Made:
    """What is told of a committed file."""
    bad = sum(sum(each.bad.values()) for each in manifest.sources)
    return Made(manifest.table, manifest.name, manifest.rows, bad, manifest.bytes)


def tidy(untidy: Sequence[Untidy]) -> Work:
    """The work on hours that are over: one file of each table, and its ticket."""
    return _each(untidy, _tidy)


def _each(due: Sequence[Due], act: Callable[[Batch, Due, Told], None]) -> Work:
    """One after the other; what one is refused for stops no other."""

    def work(batch: Batch, told: Told) -> None:
        for each in due:
            try:
                act(batch, each, told)
            except Refused as error:
                told.problem = f"{error}"

    return work


def _tidy(batch: Batch, hour: Untidy, told: Told) -> None:
    from workers.edge.derived import mending

    if hour.table not in hours.UNMERGED:
        while (merged := mending.compact(batch, hour.hour_ms, hour.table)) is not None:
            told.made.append(made(merged))
    shelf.clear(batch.data, hour.table, hour.hour_ms)
    for manifest in shelf.standing(batch.data, hour.table, hour.hour_ms):
        shelf.issue(batch.data, manifest)


def prune(due: Sequence[int], released: Container[str]) -> Work:
    """The work on hours whose changes are old: a file without them, and its ticket."""

    def act(batch: Batch, hour_ms: int, told: Told) -> None:
        from workers.edge.derived import pruning

        pruned = pruning.prune(batch, hour_ms, released)
        if pruned is not None:
            shelf.issue(batch.data, pruned)
            told.made.append(made(pruned))

    return _each(due, act)
