"""Closing hours: which are to be accounted for now, and the job that does it.

Reads     names in spool/open, spool/normalize, raw/, manifests/discovery, derived/gaps; labels
Writes    derived/gaps and its spool/upload tickets, in the job
Promises  an hour is accounted for once it is over and nothing open or waiting can change it; again
          when a segment or a label comes late
Fails     an hour whose evidence is damaged is told as the job's problem, and tried again with the
          next hour that closes or label that comes; one whose evidence is on the remote alone is
          left as it is
"""

# ruff: noqa: PLC0415 - pyarrow is imported in the job only

from collections.abc import Collection, Container, Iterator, Sequence

import msgspec

from workers.core.archive.labels import SUFFIX, Label, read_label, stretch_of
from workers.core.archive.segments import parse_name
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR
from workers.edge.derived import accounts, hours, shelf
from workers.edge.derived.accounts import Away
from workers.edge.derived.shelf import Batch
from workers.edge.derived.shift import Told, Work, made
from workers.edge.spool.directory import DataDir

#: Hours that one job judges at most: what comes meanwhile waits no longer.
JUDGED_AT_ONCE = 24


class Closing:
    """The hours that are to be accounted for; changed in place by the normalizer."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._due: set[int] = set()
        #: Hours whose evidence has changed, or may have.
        self._changed: set[int] = set()
        self._refused: set[int] = set()
        self._until_ms: int | None = None
        self._labels: set[str] = set()

    def look(self, *, now_ms: int, grace_ms: int) -> list[int]:
        """The hours that are due now, oldest first."""
        over_ms = (now_ms - grace_ms) // MS_PER_HOUR * MS_PER_HOUR
        if self._until_ms is None:
            first_ms = accounts.first_hour_ms(self._data)
            if first_ms is None:
                return []
            self._due.update(range(first_ms, over_ms, MS_PER_HOUR))
            self._until_ms = over_ms
            self._labels = self._label_names()
        elif over_ms > self._until_ms:
            self._due.update(range(self._until_ms, over_ms, MS_PER_HOUR), self._refused)
            self._refused, self._until_ms = set(), over_ms
        self._see_labels()
        due = {each for each in self._due | self._changed if each < self._until_ms}
        return sorted(due - hours.unsettled(self._data)) if due else []

    def changed(self, hour_ms: int) -> None:
        """A segment of this hour came: the one before it and all behind it may rest on it."""
        until_ms = self._until_ms or 0
        self._changed.update(range(hour_ms - MS_PER_HOUR, until_ms, MS_PER_HOUR))

    def work(self, due: Sequence[int], released: Container[str]) -> Work:
        """The job on hours that are due."""
        return close(due, frozenset(self._changed), released)

    @property
    def has_refused(self) -> bool:
        """True while an hour could not be accounted for because its evidence is damaged."""
        return bool(self._refused)

    def settle(self, asked: Sequence[int], told: Told) -> None:
        """Learn from the job; of one that died every hour is due again."""
        judged = set(asked) & set(told.judged)
        self._due -= judged
        self._changed -= judged
        self._refused = (self._refused - judged) | set(told.refused)

    def _label_names(self) -> set[str]:
        return {path.name for path in self._data.labels.glob(f"*{SUFFIX}")}

    def _see_labels(self) -> None:
        names = self._label_names()
        for name in names - self._labels:
            # It may be about the evidence that an hour was refused for, whatever hour that is of.
            self._changed.update(_touched(self._data, name, self._until_ms or 0), self._refused)
        self._labels = names


def _touched(data: DataDir, name: str, until_ms: int) -> Iterator[int]:
    """The hours before `until_ms` that a new label may be about."""
    try:
        label: Label = read_label((data.labels / name).read_bytes())
    except (OSError, msgspec.MsgspecError):
        return
    segment = parse_name(label.artifact)
    if label.kind == "acknowledged" and label.market is not None:
        stretch = stretch_of(label)
        first_ms = stretch.from_ms // MS_PER_HOUR * MS_PER_HOUR
        yield from range(first_ms, min(stretch.until_ms, until_ms), MS_PER_HOUR)
    elif label.kind == "invalid" and segment is not None:
        hour_ms = hours.started_hour_ms(segment)
        yield from (hour_ms, hour_ms + MS_PER_HOUR)


def close(due: Sequence[int], changed: Collection[int], released: Container[str]) -> Work:
    """The work on hours that are over: those that changed, and those whose table is not current."""

    def work(batch: Batch, told: Told) -> None:
        empty = _nothing_due(batch.data, due, released)
        todo = 0
        for hour_ms in due:
            is_left = hour_ms in empty
            if is_left or (hour_ms not in changed and accounts.is_current(batch.data, hour_ms)):
                told.judged.append(hour_ms)
                continue
            if todo == JUDGED_AT_ONCE:
                break
            todo += 1
            _close(batch, hour_ms, released, told)

    return work


def _close(batch: Batch, hour_ms: int, released: Container[str], told: Told) -> None:
    from workers.edge.derived import gaps

    try:
        for each in gaps.renewed(batch, hour_ms, released):
            shelf.issue(batch.data, each)
            told.made.append(made(each))
    except Away:
        pass
    except Refused as error:
        told.problem = f"{error}"
        told.refused.append(hour_ms)
    told.judged.append(hour_ms)


def _nothing_due(data: DataDir, due: Sequence[int], released: Container[str]) -> set[int]:
    """The hours of which there is neither a segment nor a due tick: all were asleep."""
    silent = [each for each in due if not accounts.has_segments(data, each)]
    found = set(silent)
    for first_ms, last_ms in _runs(silent):
        found -= accounts.due_hours(data, first_ms, last_ms + MS_PER_HOUR, released)
    return found


def _runs(hours_ms: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The first and the last of consecutive hours."""
    first = last = None
    for each in hours_ms:
        if first is None or last is None or each != last + MS_PER_HOUR:
            if first is not None and last is not None:
                yield first, last
            first = each
        last = each
    if first is not None and last is not None:
        yield first, last
