"""Patience: what holds of the remote, and how long to rest after a failure.

Writes    log events, through `tell`
Promises  one condition for a cause as long as it lasts; the first success ends them all
"""

from collections.abc import Callable
from typing import Any

from workers.core.health.heartbeats import Condition
from workers.core.offload.pauses import pause_s
from workers.core.offload.rclone_failures import REMOTE_CAUSES, Failure
from workers.edge.world import World

NS_PER_S = 1_000_000_000
_DETAIL_MAX = 500


class Patience:
    """Failures in a row and the conditions that a person may have to know."""

    def __init__(self, tell: Callable[..., None], world: World, limit_pause_s: float) -> None:
        self.resume_mono_ns = 0
        self._tell, self._world, self._limit_pause_s = tell, world, limit_pause_s
        self._failures = 0
        self._conditions: dict[str, Condition] = {}
        self._last_error: tuple[str, int] | None = None

    def rest(self, failure: Failure | None) -> None:
        """Pause after a failure as its cause says; None is a success."""
        for cause in REMOTE_CAUSES.values():
            self.say(cause.alert, "")
        if failure is None:
            self._failures = 0
            return
        self._failures += 1
        rule, said = REMOTE_CAUSES[failure.cause], f"{failure.cause}: {failure.detail}"
        rest_s = pause_s(
            rule.pause,
            self._failures,
            roll=self._world.roll(),
            limit_pause_s=self._limit_pause_s,
        )
        self.resume_mono_ns = self._world.mono_ns() + int(rest_s * NS_PER_S)
        self._last_error = (said, self._world.wall_ns())
        self.say(rule.alert, said)
        self._tell(
            "offload_failed",
            cause=failure.cause,
            detail=failure.detail,
            failures=self._failures,
            pause_s=round(rest_s, 1),
        )

    def say(self, alert: str, detail: str) -> None:
        """Begin or go on with a condition; an empty detail ends it."""
        if detail:
            self._conditions[alert] = Condition(alert=alert, detail=detail[:_DETAIL_MAX])
        else:
            self._conditions.pop(alert, None)

    def beat(self) -> dict[str, Any]:
        """Its part of the heartbeat."""
        error, error_wall_ns = self._last_error or (None, None)
        return {
            "last_error": error,
            "last_error_wall_ns": error_wall_ns,
            "conditions": list(self._conditions.values()),
        }
