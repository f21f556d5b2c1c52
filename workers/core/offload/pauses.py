"""How long offload rests after a failure, and when it rests by wish.

Promises  a passing fault is tried again within minutes, a used-up limit only now and then, and
          what a person must mend often enough that nobody has to tell us it is mended
"""

from collections.abc import Iterable

from workers.core.instants import MS_PER_DAY, MS_PER_HOUR
from workers.core.polling.cadence import BackoffRules, backoff_s

_MS_PER_MINUTE = 60_000
#: By the word that a cause carries (core/offload/rclone_failures.py): seconds of base and cap.
PAUSES: dict[str, tuple[float, float]] = {"short": (2.0, 120.0), "long": (30.0, 900.0)}
LIMIT = "limit"


def pause_s(kind: str, failures: int, *, roll: float, limit_pause_s: float) -> float:
    """Seconds to rest after the n-th failed batch in a row (n ≥ 1); full jitter.

    Args:
        kind: "short", "long" or "limit".
        failures: failed batches in a row.
        roll: chance, 0 ≤ roll < 1.
        limit_pause_s: the rest while a daily limit or a quota is used up.
    """
    if kind == LIMIT:
        return limit_pause_s
    base_s, cap_s = PAUSES[kind]
    rules = BackoffRules(base_s=base_s, cap_s=cap_s, blocked_s=base_s, retry_after_cap_s=cap_s)
    return backoff_s(failures, "", roll=roll, rules=rules, retry_after_s=None)


def is_quiet(hours: Iterable[str], wall_ms: int) -> bool:
    """True when a moment lies in one of the stretches "HH:MM-HH:MM" of the UTC day.

    A stretch whose end is not after its begin passes midnight.
    """
    now = wall_ms % MS_PER_DAY
    stretches = (each.split("-") for each in hours)
    return any(_holds(_of_day_ms(begin), _of_day_ms(end), now) for begin, end in stretches)


def _of_day_ms(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * MS_PER_HOUR + int(minute) * _MS_PER_MINUTE


def _holds(from_ms: int, until_ms: int, now_ms: int) -> bool:
    if from_ms < until_ms:
        return from_ms <= now_ms < until_ms
    return now_ms >= from_ms or now_ms < until_ms
