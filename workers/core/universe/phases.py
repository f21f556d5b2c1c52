"""When a market is polled, how often: from its window and the schedule of the settings."""

from workers.core.polling.cadence import Phase
from workers.core.settings.settings import Schedule
from workers.core.universe.slugs import Window


def phases_of(window: Window, schedule: Schedule) -> tuple[Phase, ...]:
    """Warm before, hot through, warm after a window; stretches of no length are left out."""
    warm_ms, hot_ms = schedule.warm_interval_ms, schedule.hot_interval_ms
    edges_ms = (
        window.start_ms - schedule.warm_lead_s * 1000,
        window.start_ms - schedule.hot_lead_s * 1000,
        window.end_ms + schedule.hot_tail_s * 1000,
        window.end_ms + schedule.warm_tail_s * 1000,
    )
    phases = (
        Phase("warm", edges_ms[0], edges_ms[1], warm_ms),
        Phase("hot", edges_ms[1], edges_ms[2], hot_ms),
        Phase("warm", edges_ms[2], edges_ms[3], warm_ms),
    )
    return tuple(phase for phase in phases if phase.from_ms < phase.until_ms)


def tier_at(phases: tuple[Phase, ...], now_ms: int) -> str:
    """The tier of a moment: "hot" inside a hot phase, else "warm"."""
    hot = (each for each in phases if each.tier == "hot")
    return "hot" if any(each.from_ms <= now_ms < each.until_ms for each in hot) else "warm"


def status_at(window: Window, now_ms: int) -> str:
    """Where a window stands: "listed" before it, "open" in it, "ended" after it."""
    if now_ms < window.start_ms:
        return "listed"
    return "open" if now_ms < window.end_ms else "ended"
