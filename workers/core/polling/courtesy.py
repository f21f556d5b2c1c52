"""How hard one upstream may be pressed now: the breaker, the pause and the budget together.

Promises  below the limits of VENUE §6 by the factor the settings give; a failing venue is asked
          less and less, never in bursts.
"""

from workers.core.polling.cadence import NS_PER_S, BackoffRules, Breaker, Bucket, backoff_s
from workers.core.settings.settings import Collector


class Courtesy:
    """One worker towards one upstream; changed in place by its one owner."""

    def __init__(self, *, limit: int, per_10s: float, rules: BackoffRules, mono_ns: int) -> None:
        self.breaker = Breaker(limit=limit)
        self._bucket = Bucket.full(per_10s, mono_ns)
        self._rules = rules

    @property
    def after(self) -> str | None:
        """The cause of the last failure, while it is not followed by a success."""
        return self.breaker.last_cause or None

    @property
    def is_failing(self) -> bool:
        """True when the breaker has opened."""
        return self.breaker.failures >= self.breaker.limit

    def forbids(self, mono_ns: int) -> str:
        """The skip cause that forbids asking now, or ""."""
        return self.breaker.blocks(mono_ns)

    def spend(self, mono_ns: int) -> str:
        """Take one request from the budget; the skip cause when that is not allowed, or ""."""
        cause = self.forbids(mono_ns)
        bucket = None if cause else self._bucket.take(mono_ns)
        if bucket is None:
            return cause or "rate_budget"
        self._bucket = bucket
        return ""

    def succeeded(self) -> Breaker:
        """A good answer; returns the breaker as it was, to tell what is over."""
        was, self.breaker = self.breaker, self.breaker.after_success()
        return was

    def failed(
        self, cause: str, *, mono_ns: int, roll: float, retry_after_s: float | None
    ) -> float:
        """A failure; returns the pause it earns, in seconds."""
        pause_s = backoff_s(
            self.breaker.failures + 1,
            cause,
            roll=roll,
            rules=self._rules,
            retry_after_s=retry_after_s,
        )
        resume_mono_ns = mono_ns + int(pause_s * NS_PER_S)
        self.breaker = self.breaker.after_failure(cause, resume_mono_ns=resume_mono_ns)
        return pause_s


def courtesy_of(settings: Collector, *, per_10s: float, mono_ns: int) -> Courtesy:
    """Towards one upstream, backing off as the settings say, within a budget of its own."""
    rules = BackoffRules(
        base_s=settings.backoff_base_s,
        cap_s=settings.backoff_cap_s,
        blocked_s=settings.blocked_backoff_s,
        retry_after_cap_s=settings.retry_after_cap_s,
    )
    return Courtesy(limit=settings.breaker_failures, per_10s=per_10s, rules=rules, mono_ns=mono_ns)
