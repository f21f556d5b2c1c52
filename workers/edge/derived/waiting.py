"""What waits for the normalizer, by hour: how much, how long, and which come first.

Reads     spool/normalize tickets, the manifests they name; labels
Writes    the state of tickets that were set aside, once a label says what to think of the segment
Promises  a manifest is read once; what cannot be weighed weighs nothing, and is still in a batch
"""

from pathlib import Path

import msgspec

from workers.core.archive.segments import parse_name
from workers.core.errors import Refused
from workers.edge.derived import hours, source
from workers.edge.spool import labels, tickets
from workers.edge.spool.directory import DataDir


class Weight(msgspec.Struct, frozen=True):
    """One segment that waits: the hour of its folder, rows, uncompressed bytes, since when."""

    name: str
    hour_ms: int
    rows: int
    bytes: int
    since_ms: int


class Waits(msgspec.Struct):
    """What waits of one hour, oldest first."""

    age_ms: int = 0
    rows: int = 0
    bytes: int = 0
    weights: list[Weight] = []

    def batches(self, *, rows: int, size_bytes: int) -> list[list[str]]:
        """The names, cut into batches of up to these limits, or of one segment."""
        found: list[list[str]] = []
        rows_left = bytes_left = 0
        for each in self.weights:
            rows_left, bytes_left = rows_left - each.rows, bytes_left - each.bytes
            if not found or rows_left < 0 or bytes_left < 0:
                found.append([])
                rows_left, bytes_left = rows - each.rows, size_bytes - each.bytes
            found[-1].append(each.name)
        return found


def give_up(data: DataDir) -> dict[str, str]:
    """Settle the tickets set aside whose segment a label calls invalid; the reason by name.

    A segment that can be read is derived all the same: readers honour its label by its name.
    """
    failed = tickets.waiting(data, "normalize", tickets.FAILED)
    invalid = labels.invalid(data) if failed else {}
    found = {}
    for path in failed:
        label = invalid.get(path.stem)
        if label is not None:
            found[path.stem] = f"labelled invalid: {label.reason}"
            tickets.settle(path, found[path.stem])
    return found


class Waiting:
    """The queue, looked at again and again."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._known: dict[str, Weight] = {}

    def look(self, *, now_ms: int) -> dict[int, Waits]:
        """What waits now, by hour."""
        known, found = self._known, {}
        for path in tickets.waiting(self._data, "normalize"):
            weight = known.get(path.stem) or self._weigh(path)
            if weight is not None:
                found[path.stem] = weight
        self._known = found
        waits: dict[int, Waits] = {}
        for weight in found.values():
            hour = waits.setdefault(weight.hour_ms, Waits())
            hour.rows += weight.rows
            hour.bytes += weight.bytes
            hour.age_ms = max(hour.age_ms, now_ms - weight.since_ms)
            hour.weights.append(weight)
        return waits

    def _weigh(self, path: Path) -> Weight | None:
        try:
            since_ms = path.stat().st_mtime_ns // 1_000_000
        except FileNotFoundError:
            return None
        name, ticket = path.stem, tickets.read(path)
        try:
            if ticket is None:
                raise Refused("not a ticket")
            segment = source.of_ticket(self._data, ticket)
        except Refused:
            parsed = parse_name(name)
            return Weight(name, hours.started_hour_ms(parsed) if parsed else 0, 0, 0, since_ms)
        manifest = segment.manifest
        return Weight(name, segment.hour_ms, manifest.told.rows, manifest.raw_bytes, since_ms)
