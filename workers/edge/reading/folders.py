"""Listings of folders, kept until the folder changes.

Reads     directories
Promises  a listing is at most as old as the folder's time of change; one that changed within the
          clock's grain before it was listed is listed again the next time
Never     writes
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from workers.core.instants import MS_PER_HOUR, hour_parts, parse_utc

#: A kernel stamps files by a clock that ticks each 1 to 10 ms: two changes may share a stamp.
_GRAIN_NS = 1_000_000_000
_Key = tuple[int, int]


class Folders:
    """What lies in the folders of an archive."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._listed: dict[str, tuple[_Key, tuple[str, ...]]] = {}
        self._hours: dict[str, tuple[tuple[str, ...], list[int]]] = {}

    def names(self, place: str) -> tuple[str, ...]:
        """The names in a folder below the root, sorted; () when there is none."""
        path = f"{self.root}/{place}"
        try:
            # Thousands a second: a Path would cost more than the call.
            found = os.stat(path)  # noqa: PTH116
            key = (found.st_ino, found.st_mtime_ns)
            kept = self._listed.get(place)
            if kept is not None and kept[0] == key:
                return kept[1]
            # Before the names: a process that is stopped behind them has an old listing.
            listed_ns = time.time_ns()
            names = tuple(sorted(os.listdir(path)))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            return ()
        if listed_ns - found.st_mtime_ns > _GRAIN_NS:
            self._listed[place] = key, names
        return names

    def hours(self, place: str) -> Iterator[int]:
        """The hours that have a folder beneath `date=…/hour=…`, in order, Unix ms."""
        for date in self.names(place):
            if date.startswith("date="):
                yield from self._hours_of(f"{place}/{date}", date.removeprefix("date="))

    def _hours_of(self, place: str, date: str) -> list[int]:
        names = self.names(place)
        known = self._hours.get(place)
        if known is None or known[0] != names:
            known = self._hours[place] = names, [*_instants(date, names)]
        return known[1]


def _instants(date: str, names: tuple[str, ...]) -> Iterator[int]:
    for hour in names:
        try:
            yield parse_utc(f"{date}T{hour.removeprefix('hour=')}:00:00Z")
        except ValueError:
            continue


def hour_folder(place: str, hour_ms: int) -> str:
    """`<place>/date=…/hour=…` of an hour."""
    date, hour = hour_parts(hour_ms)
    return f"{place}/date={date}/hour={hour}"


def hour_of(at_ms: int) -> int:
    """The hour a moment lies in, Unix ms."""
    return at_ms // MS_PER_HOUR * MS_PER_HOUR
