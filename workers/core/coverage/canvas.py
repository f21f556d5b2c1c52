"""A market's due ticks as one byte each: painted with states, counted by hour, read off as gaps.

Promises  a million ticks are painted, combined and counted by the interpreter's own loops over
          bytes; a day of ten markets at one second costs a fraction of a second.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.runs import Run
from workers.core.coverage.plans import DueTicks, part_of
from workers.core.instants import MS_PER_HOUR

CAPTURED = "CAPTURED"


class Hour(msgspec.Struct, frozen=True):
    """The states of one market in one UTC hour, as `STATE` or `STATE(cause)`."""

    from_ms: int
    counts: dict[str, int]


class Gap(msgspec.Struct, frozen=True):
    """Consecutive ticks of one market that were not captured: the first and last of them."""

    slug: str
    from_due_ms: int
    until_due_ms: int
    length_ms: int
    counts: dict[str, int]


class Canvas:
    """One byte for each due tick of a market: the number of its state."""

    def __init__(self, ticks: DueTicks) -> None:
        self.ticks = ticks
        self.codes = bytearray(ticks.size)
        self.names = ["", CAPTURED]
        self._numbers = {CAPTURED: 1}

    def number(self, name: str) -> int:
        """The byte of a state; more than 254 different causes share one."""
        if name not in self._numbers:
            name = name if len(self.names) < 255 else "FAILED(other)"
            self._numbers[name] = len(self.names)
            self.names.append(name)
        return self._numbers[name]

    def paint(self, parts: Iterable[slice], name: str) -> None:
        """Give ticks a state, whatever they had."""
        number = self.number(name)
        for part in parts:
            count = len(range(*part.indices(len(self.codes))))
            self.codes[part] = bytes((number,)) * count

    def paint_where(self, mask: bytes, name: str) -> None:
        """Give the ticks marked 1 in a mask a state."""
        number = self.number(name)
        for found in re.finditer(b"\x01+", mask):
            self.codes[found.start() : found.end()] = bytes((number,)) * len(found[0])


def mask_of(ticks: DueTicks, runs: Iterable[Run]) -> bytearray:
    """One byte for each due tick: 1 where a run has it."""
    mask = bytearray(ticks.size)
    for run in runs:
        for part in ticks.of_run(run):
            mask[part] = b"\x01" * len(range(*part.indices(ticks.size)))
    return mask


def in_all(masks: Sequence[bytes | bytearray]) -> bytes:
    """1 where every mask has 1."""
    both = int.from_bytes(masks[0], "little")
    for mask in masks[1:]:
        both &= int.from_bytes(mask, "little")
    return both.to_bytes(len(masks[0]), "little")


def without(mask: bytearray, other: bytearray) -> bytes:
    """1 where the first mask has 1 and the other has not."""
    left = int.from_bytes(mask, "little") & ~int.from_bytes(other, "little")
    return left.to_bytes(len(mask), "little")


def hours_of(canvas: Canvas) -> Iterator[Hour]:
    """The states counted by UTC hour; ticks nobody painted are left out, and missed in the sum."""
    found: dict[int, Counter[int]] = {}
    for stretch in canvas.ticks.stretches:
        hour_ms = stretch.first_ms // MS_PER_HOUR * MS_PER_HOUR
        while hour_ms < stretch.end_ms:
            counts = found.setdefault(hour_ms, Counter())
            for part in part_of(stretch, hour_ms, hour_ms + MS_PER_HOUR):
                counts.update(canvas.codes[part])
            hour_ms += MS_PER_HOUR
    for hour_ms in sorted(found):
        named = {canvas.names[code]: count for code, count in sorted(found[hour_ms].items())}
        named.pop("", None)
        if named:
            yield Hour(hour_ms, named)


def gaps_of(canvas: Canvas, slug: str) -> Iterator[Gap]:
    """Runs of ticks that were not captured; as long as from the first to the next capture."""
    ticks = canvas.ticks
    for found in re.finditer(b"[^\x01]+", bytes(canvas.codes)):
        first, last = found.start(), found.end() - 1
        counts = Counter(canvas.names[code] for code in found[0])
        from_ms, until_ms = ticks.due_ms(first), ticks.due_ms(last)
        end_ms = ticks.due_ms(last + 1) if last + 1 < ticks.size else until_ms
        end_ms = max(end_ms, until_ms + ticks.stretch_of(last).interval_ms * (end_ms == until_ms))
        yield Gap(slug, from_ms, until_ms, end_ms - from_ms, dict(counts))
