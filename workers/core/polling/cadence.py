"""When: the tick grid, backoff, the circuit breaker and the token bucket, as pure arithmetic.

Promises  a tick is named by its due time on an absolute UTC grid; a missed one is never made up.
Never     reads a clock or rolls dice: `mono_ns` and `roll` (0 ≤ roll < 1) are arguments.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from workers.core.causes import BLOCKED

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


class Anchor(msgspec.Struct, frozen=True):
    """One moment on both clocks; the grid runs on the monotonic one from here."""

    wall_ns: int
    mono_ns: int

    def mono_of(self, due_ms: int) -> int:
        """When the tick is due, on the monotonic clock."""
        return self.mono_ns + due_ms * NS_PER_MS - self.wall_ns

    def wall_at(self, mono_ns: int) -> int:
        """The wall time the anchor predicts for a monotonic reading."""
        return self.wall_ns + mono_ns - self.mono_ns

    def step_ns(self, wall_ns: int, mono_ns: int) -> int:
        """How far the wall clock has moved away from the anchor; positive = it was set ahead."""
        return wall_ns - self.wall_at(mono_ns)


def next_due_ms(after_ms: int, interval_ms: int) -> int:
    """The first grid point strictly after a moment."""
    return (after_ms // interval_ms + 1) * interval_ms


class Phase(msgspec.Struct, frozen=True):
    """A stretch of a market's life with one polling interval; half open, Unix ms."""

    tier: str
    from_ms: int
    until_ms: int
    interval_ms: int

    def is_due(self, due_ms: int) -> bool:
        """True when the grid point belongs to this phase."""
        return self.from_ms <= due_ms < self.until_ms and due_ms % self.interval_ms == 0


def phase_due(phases: Sequence[Phase], due_ms: int) -> Phase | None:
    """The phase that makes a market due at this grid point, or None."""
    return next((phase for phase in phases if phase.is_due(due_ms)), None)


class BackoffRules(msgspec.Struct, frozen=True):
    """Limits of the pause after a failure, in seconds."""

    base_s: float
    cap_s: float
    blocked_s: float
    retry_after_cap_s: float


def backoff_s(
    failures: int, cause: str, *, roll: float, rules: BackoffRules, retry_after_s: float | None
) -> float:
    """How long to pause after the n-th failure in a row, in seconds.

    Full jitter: uniform in 0 … base·2^(n-1), capped (the venue's own SDK does the same,
    VENUE §5.4). A Retry-After is a floor under it, itself capped so that an absurd one
    cannot stop the archive. A block page (VENUE §3.3) pauses for at least half of blocked_s,
    doubled with each further one up to eight times that: asking on makes it worse.
    """
    doubled = 2.0 ** min(failures - 1, 30)
    if cause in BLOCKED:
        jittered_s = rules.blocked_s * min(8.0, doubled) * (1 + roll) / 2
    else:
        jittered_s = roll * min(rules.cap_s, rules.base_s * doubled)
    if retry_after_s is None:
        return jittered_s
    return min(rules.retry_after_cap_s, max(0.0, retry_after_s)) + jittered_s


class BreakerState(StrEnum):
    """CLOSED asks freely, OPEN asks nothing, HALF_OPEN asks once and decides."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(msgspec.Struct, frozen=True):
    """The state of one upstream after a run of outcomes.

    | state     | success → | failure →                                   | pause over → |
    |-----------|-----------|---------------------------------------------|--------------|
    | CLOSED    | CLOSED    | CLOSED, paused; OPEN from the limit-th on   |              |
    | OPEN      | –         | –                                           | HALF_OPEN    |
    | HALF_OPEN | CLOSED    | OPEN, paused for longer                     |              |
    """

    limit: int
    failures: int = 0
    last_cause: str = ""
    resume_mono_ns: int = 0

    def state(self, mono_ns: int) -> BreakerState:
        """What may be asked now."""
        if self.failures < self.limit:
            return BreakerState.CLOSED
        return BreakerState.OPEN if mono_ns < self.resume_mono_ns else BreakerState.HALF_OPEN

    def blocks(self, mono_ns: int) -> str:
        """The skip cause that forbids asking now, or ""."""
        if mono_ns >= self.resume_mono_ns:
            return ""
        return "breaker_open" if self.failures >= self.limit else "backoff"

    def after_success(self) -> "Breaker":
        """A good answer closes it."""
        return Breaker(limit=self.limit)

    def after_failure(self, cause: str, *, resume_mono_ns: int) -> "Breaker":
        """A failure pauses it until `resume_mono_ns`, and opens it from the limit-th on."""
        return Breaker(self.limit, self.failures + 1, cause, resume_mono_ns)


class Bucket(msgspec.Struct, frozen=True):
    """A token bucket: `per_10s` requests in ten seconds, with a burst of a tenth of that."""

    per_10s: float
    level: float
    at_mono_ns: int

    @classmethod
    def full(cls, per_10s: float, mono_ns: int) -> "Bucket":
        """A bucket that may spend its whole burst at once."""
        return cls(per_10s, max(1.0, per_10s / 10), mono_ns)

    def take(self, mono_ns: int) -> "Bucket | None":
        """The bucket after one request, or None when it is empty."""
        grown = self.level + (mono_ns - self.at_mono_ns) / NS_PER_S * self.per_10s / 10
        level = min(grown, max(1.0, self.per_10s / 10))
        return Bucket(self.per_10s, level - 1, mono_ns) if level >= 1 else None
