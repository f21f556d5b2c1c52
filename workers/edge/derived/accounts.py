"""The account of one hour of the archive: what was due, what became of it, what that rests on.

Reads     universe, ledger and books segments and their manifests, labels; names in derived/gaps
Promises  an hour is judged from published segments of it and around it, the same ones each time
Fails     Away: a part of the evidence is on the remote alone; Refused: a part is damaged
Never     writes
"""

import hashlib
from collections.abc import Collection, Container, Iterator
from pathlib import Path

import msgspec

from workers.core.archive.labels import SUFFIX, Label, read_label, stretch_of
from workers.core.archive.segments import (
    MANIFEST_SUFFIX,
    ROOTS,
    SegmentName,
    parse_name,
    segment_folder,
)
from workers.core.coverage.coverage import MarketCoverage
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR, ms_text, parse_utc
from workers.core.tables.manifests import Source
from workers.edge.derived import hours, shelf
from workers.edge.derived.source import hour_of
from workers.edge.spool import archive
from workers.edge.spool.archive import Gathered, Judge
from workers.edge.spool.directory import DataDir

_EVIDENCE = ("books", "ledger", "universe")
#: How far back a damaged file may lie and still bear on an hour: its workers began before it.
_CONTEXT_MS = 24 * MS_PER_HOUR


class Away(Refused):
    """What an account needs was offloaded."""


class Account(msgspec.Struct, frozen=True):
    """Every market that had a tick due in an hour, and what the judgement rests on."""

    sources: list[Source]
    markets: list[MarketCoverage]


def account(data: DataDir, hour_ms: int, released: Container[str]) -> Account:
    """Account for an hour.

    Args:
        data: the directory.
        hour_ms: the hour; it must be over and settled.
        released: paths of data files that retention let go.
    """
    end_ms = hour_ms + MS_PER_HOUR
    # Nobody is asked who runs: what a living worker did in this hour is published.
    found = archive.gather(data, from_ms=hour_ms, until_ms=end_ms, running={}, released=released)
    what = f"account for the hour from {ms_text(hour_ms)}"
    damaged = [each for each in found.unreadable if _bears_on(hour_ms, each)]
    if damaged:
        raise Refused(f"{what}: {damaged[0]}", hint="orderbooks verify names it to the byte")
    begin_ms = max(hour_ms, found.plans.first_ms or 0)
    gone = [each for each in found.offloaded if each.from_ms < end_ms]
    if gone or found.plans_from_ms > begin_ms:
        raise Away(f"{what}: a part of it was offloaded", hint="`orderbooks restore` fetches it")
    begun = found.plans.first_ms is not None and begin_ms < end_ms
    markets = list(_judged(found, begin_ms, end_ms)) if begun else []
    return Account(sorted(_sources(data, hour_ms, found)), markets)


def _judged(found: Gathered, begin_ms: int, end_ms: int) -> Iterator[MarketCoverage]:
    known = sorted(found.plans.markets.values(), key=lambda each: each.condition_id)
    judge = Judge(found, known)
    for each in known:
        judged = judge.judged(each, from_ms=begin_ms, until_ms=end_ms, gap_ms=0)
        if judged.due:
            yield judged


def _bears_on(hour_ms: int, damage: str) -> bool:
    """True unless the path of a damaged file says that it is of another time."""
    try:
        there_ms = hour_of(damage.partition(": ")[0])
    except ValueError:
        return True
    return hour_ms - _CONTEXT_MS <= there_ms <= hour_ms + MS_PER_HOUR


def _sources(data: DataDir, hour_ms: int, found: Gathered) -> Iterator[Source]:
    for name, sha256 in found.rests_on.items():
        parsed = parse_name(name)
        # A ledger further behind is of a run that began after the hour.
        is_near = parsed and hours.started_hour_ms(parsed) <= hour_ms + MS_PER_HOUR
        if parsed and is_near and hours.is_evidence(parsed):
            yield Source(name=name, sha256=sha256)
    for place, label in _labels(data):
        if touches(label, hour_ms, found.rests_on):
            digest = hashlib.sha256((data.root / place).read_bytes()).hexdigest()
            yield Source(name=place, sha256=digest)


def _labels(data: DataDir) -> Iterator[tuple[str, Label]]:
    for path in sorted(data.labels.glob(f"*{SUFFIX}")):
        try:
            yield data.relative(path), read_label(path.read_bytes())
        except (OSError, msgspec.MsgspecError):
            continue  # `gather` has named it.


def touches(label: Label, hour_ms: int, names: Collection[str]) -> bool:
    """True when a label changes the account of an hour that rests on segments of these names."""
    if label.kind == "invalid":
        return label.artifact in names
    if label.kind != "acknowledged" or label.market is None:
        return False
    stretch = stretch_of(label)
    return stretch.from_ms < hour_ms + MS_PER_HOUR and hour_ms < stretch.until_ms


def is_current(data: DataDir, hour_ms: int) -> bool:
    """True when a table of gaps stands that names whatever this hour holds; by names alone."""
    standing = shelf.standing(data, "gaps", hour_ms)
    if len(standing) != 1:
        return False
    names = {each.name for each in standing[0].sources}
    wanted = {text for text, _ in _published(data, hour_ms, _EVIDENCE)}
    behind: dict[str, str] = {}
    for text, name in _published(data, hour_ms + MS_PER_HOUR, ("ledger",)):
        behind.setdefault(name.worker, text)
    labels = {place for place, label in _labels(data) if touches(label, hour_ms, names)}
    return wanted | set(behind.values()) | labels <= names


def has_segments(data: DataDir, hour_ms: int) -> bool:
    """True when something was published in an hour that its account rests on."""
    return any(True for _ in _published(data, hour_ms, _EVIDENCE))


def _published(
    data: DataDir, hour_ms: int, kinds: Collection[str]
) -> Iterator[tuple[str, SegmentName]]:
    """The names of published segments of an hour, by writer, then by time."""
    places = {segment_folder(kind, hour_ms) for kind in kinds}
    paths = [path for each in places for path in (data.root / each).glob(f"*{MANIFEST_SUFFIX}")]
    texts = [path.name.removesuffix(MANIFEST_SUFFIX) for path in paths]
    parsed = [(text, name) for text in texts if (name := parse_name(text))]
    found = [each for each in parsed if each[1].kind in kinds and hours.is_evidence(each[1])]
    yield from sorted(found, key=lambda each: (each[1].worker, each[1].started, each[1].number))


def first_hour_ms(data: DataDir) -> int | None:
    """The hour of the first publication of a universe: nothing was due before it."""
    root: Path = data.root / ROOTS["universe"]
    for folder in sorted(root.glob("date=*/hour=*")):
        try:
            date, hour = folder.parent.name.removeprefix("date="), folder.name.removeprefix("hour=")
            hour_ms = parse_utc(f"{date}T{hour}:00:00Z")
        except ValueError:
            continue
        if any(True for _ in _published(data, hour_ms, ("universe",))):
            return hour_ms
    return None


def due_hours(data: DataDir, from_ms: int, until_ms: int, released: Container[str]) -> set[int]:
    """The hours of a stretch without any segment in which a market was due all the same."""
    found = archive.gather(data, from_ms=from_ms, until_ms=until_ms, running={}, released=released)
    phases = (
        phase
        for known in found.plans.markets.values()
        for plan in known.plans
        for phase in plan.phases
    )
    return {
        hour_ms
        for phase in phases
        for hour_ms in range(
            max(from_ms, phase.from_ms // MS_PER_HOUR * MS_PER_HOUR),
            min(until_ms, phase.until_ms),
            MS_PER_HOUR,
        )
    }
