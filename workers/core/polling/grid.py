"""The tick grid of one collector: which tick is next, which are lost, what a clock step costs."""

import msgspec

from workers.core.polling.cadence import NS_PER_MS, Anchor, next_due_ms

#: A wall clock this far from the anchor was stepped: NTP slews by 0.5 ms/s at most.
CLOCK_STEP_NS = 250 * NS_PER_MS


class Span(msgspec.Struct, frozen=True):
    """Grid points from one to another, both inclusive."""

    from_due_ms: int
    until_due_ms: int


class Grid(msgspec.Struct, frozen=True):
    """An absolute grid of UTC milliseconds, run on the monotonic clock."""

    anchor: Anchor
    step_ms: int
    due_ms: int

    @classmethod
    def laid(cls, wall_ns: int, mono_ns: int, step_ms: int) -> "Grid":
        """A grid whose next tick is the first point after now."""
        due_ms = next_due_ms(wall_ns // NS_PER_MS, step_ms)
        return cls(Anchor(wall_ns, mono_ns), step_ms, due_ms)

    @property
    def due_mono_ns(self) -> int:
        """When the next tick is due, on the monotonic clock."""
        return self.anchor.mono_of(self.due_ms)

    def clock_step_ns(self, wall_ns: int, mono_ns: int) -> int:
        """How far the wall clock was stepped since the anchor, 0 for what slewing explains."""
        step_ns = self.anchor.step_ns(wall_ns, mono_ns)
        return step_ns if abs(step_ns) >= CLOCK_STEP_NS else 0

    def laid_anew(self, wall_ns: int, mono_ns: int) -> "tuple[Grid, Span | None]":
        """The grid after a clock step, and the points that a step ahead jumped over."""
        grid = Grid.laid(wall_ns, mono_ns, self.step_ms)
        lost = grid.due_ms > self.due_ms
        return grid, Span(self.due_ms, grid.due_ms - self.step_ms) if lost else None

    def caught_up(self, mono_ns: int, tolerance_ms: int) -> "tuple[Grid, Span | None]":
        """The grid whose next tick may still start, and the points that are too late for it."""
        now_ms = self.anchor.wall_at(mono_ns) // NS_PER_MS
        newest_ms = now_ms // self.step_ms * self.step_ms
        if now_ms - newest_ms > tolerance_ms:
            newest_ms += self.step_ms
        if newest_ms <= self.due_ms:
            return self, None
        late = Span(self.due_ms, newest_ms - self.step_ms)
        return msgspec.structs.replace(self, due_ms=newest_ms), late

    def after_tick(self) -> "Grid":
        """The grid once the due tick is done."""
        return msgspec.structs.replace(self, due_ms=self.due_ms + self.step_ms)

    def with_step(self, step_ms: int) -> "Grid":
        """The grid with another step; the next tick is not moved back."""
        due_ms = next_due_ms(self.due_ms - 1, step_ms)
        return Grid(self.anchor, step_ms, due_ms)
