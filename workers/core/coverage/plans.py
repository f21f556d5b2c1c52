"""What was due: every market the archive ever knew, under each plan that was in force.

A publication of the universe gives each market its phases; a later one may change them. For a
tick the newest publication not after it is in force, and before a market was known, its first.

Promises  a tick is due or not due for one reason that the archive itself holds; ticks are kept
          as stretches of a grid, so that a day of a market is a few numbers.
"""

from collections.abc import Iterator, Sequence

import msgspec

from workers.core.archive.runs import Run, points_of
from workers.core.polling.cadence import Phase
from workers.core.universe.universe import Universe


class Plan(msgspec.Struct, frozen=True):
    """A market's phases, and the publication that first said so."""

    seq: int
    published_ms: int
    phases: tuple[Phase, ...]


class Known(msgspec.Struct):
    """A market as the publications tell it; `plans` grows in their order."""

    slug: str
    condition_id: str
    series: str
    tokens: tuple[str, ...]
    plans: list[Plan]

    def plan_of(self, seq: int, at_ms: int) -> Plan:
        """The plan a worker has that loaded publication `seq` at a moment."""
        loaded = [each for each in self.plans if each.seq <= seq and each.published_ms <= at_ms]
        return loaded[-1] if loaded else self.plans[0]


class Plans:
    """All publications, folded; changed in place by its one owner."""

    def __init__(self) -> None:
        self.first_ms: int | None = None
        self.markets: dict[str, Known] = {}

    def saw(self, universe: Universe) -> None:
        """Fold in a publication; they come in the order they were published."""
        self.first_ms = universe.published_ms if self.first_ms is None else self.first_ms
        for market in universe.markets:
            plan = Plan(universe.seq, universe.published_ms, tuple(market.phases))
            known = self.markets.get(market.condition_id)
            if known is None:
                tokens = tuple(token.token_id for token in market.tokens)
                self.markets[market.condition_id] = Known(
                    market.slug, market.condition_id, market.series, tokens, [plan]
                )
            elif known.plans[-1].phases != plan.phases:
                known.plans.append(plan)


class Stretch(msgspec.Struct, frozen=True):
    """Consecutive due ticks: the first, the interval, how many, and the index of the first."""

    first_ms: int
    interval_ms: int
    count: int
    base: int
    plan: Plan

    @property
    def end_ms(self) -> int:
        """The first grid point behind it."""
        return self.first_ms + self.count * self.interval_ms


class DueTicks:
    """Every due tick of one market between two moments, numbered from 0 in time order."""

    def __init__(self, plans: Sequence[Plan], from_ms: int, until_ms: int) -> None:
        self.stretches: list[Stretch] = []
        self.size = 0
        for at, plan in enumerate(plans):
            lower_ms = from_ms if at == 0 else max(from_ms, plan.published_ms)
            ends = [until_ms, *(each.published_ms for each in plans[at + 1 : at + 2])]
            for phase in plan.phases:
                self._add(plan, phase, lower_ms, min(ends))

    def _add(self, plan: Plan, phase: Phase, lower_ms: int, upper_ms: int) -> None:
        start_ms = max(phase.from_ms, lower_ms)
        first_ms = -(-start_ms // phase.interval_ms) * phase.interval_ms
        last_ms = min(phase.until_ms, upper_ms) - 1
        count = (last_ms - first_ms) // phase.interval_ms + 1
        if count > 0:
            self.stretches.append(Stretch(first_ms, phase.interval_ms, count, self.size, plan))
            self.size += count

    def between(self, from_ms: int, until_ms: int) -> Iterator[slice]:
        """The indices of the ticks in from_ms ≤ due < until_ms."""
        for stretch in self.stretches:
            yield from part_of(stretch, from_ms, until_ms)

    def of_run(self, run: Run) -> Iterator[slice]:
        """The indices of those points of a run that are due ticks."""
        for stretch in self.stretches:
            if run.last_due_ms < stretch.first_ms or run.first_due_ms >= stretch.end_ms:
                continue
            if run.interval_ms % stretch.interval_ms == 0:
                yield from _every(stretch, run)
            else:
                yield from _each(stretch, run)

    def stretch_of(self, index: int) -> Stretch:
        """The stretch that has an index."""
        for stretch in self.stretches:
            if index < stretch.base + stretch.count:
                return stretch
        raise IndexError(index)

    def due_ms(self, index: int) -> int:
        """The tick of an index."""
        stretch = self.stretch_of(index)
        return stretch.first_ms + (index - stretch.base) * stretch.interval_ms


def part_of(stretch: Stretch, from_ms: int, until_ms: int) -> Iterator[slice]:
    """The indices of one stretch in from_ms ≤ due < until_ms."""
    low = max(0, -(-(from_ms - stretch.first_ms) // stretch.interval_ms))
    high = min(stretch.count, -(-(until_ms - stretch.first_ms) // stretch.interval_ms))
    if low < high:
        yield slice(stretch.base + low, stretch.base + high)


def _every(stretch: Stretch, run: Run) -> Iterator[slice]:
    """A run whose interval is a multiple of the stretch's: one stepped slice."""
    behind = max(0, -(-(stretch.first_ms - run.first_due_ms) // run.interval_ms))
    first_ms = run.first_due_ms + behind * run.interval_ms
    if (first_ms - stretch.first_ms) % stretch.interval_ms or first_ms > run.last_due_ms:
        return
    low = (first_ms - stretch.first_ms) // stretch.interval_ms
    high = min(stretch.count, (run.last_due_ms - stretch.first_ms) // stretch.interval_ms + 1)
    if low < high:
        step = run.interval_ms // stretch.interval_ms
        yield slice(stretch.base + low, stretch.base + high, step)


def _each(stretch: Stretch, run: Run) -> Iterator[slice]:
    """A run that is not of the stretch's rhythm: point by point."""
    for due_ms in points_of(run):
        if due_ms % stretch.interval_ms == 0:
            yield from part_of(stretch, due_ms, due_ms + 1)


def due_count(plans: Sequence[Plan], from_ms: int, until_ms: int) -> int:
    """How many ticks were due, by arithmetic alone: what the states must add up to."""
    total = 0
    for at, plan in enumerate(plans):
        low_ms = from_ms if at == 0 else max(from_ms, plan.published_ms)
        high_ms = min([until_ms, *(each.published_ms for each in plans[at + 1 : at + 2])])
        for phase in plan.phases:
            first_ms, last_ms = max(phase.from_ms, low_ms) - 1, min(phase.until_ms, high_ms) - 1
            total += max(0, last_ms // phase.interval_ms - first_ms // phase.interval_ms)
    return total
