"""Retention: which proven data files may leave this disk, and why each other one stays.

Promises  nothing goes that is unproven, labelled, or still to be normalised; the oldest go first
"""

from collections import Counter
from collections.abc import Iterable

import msgspec

from workers.core.instants import MS_PER_HOUR, parse_utc
from workers.core.offload.offload import Facts
from workers.core.settings.settings import Retention

#: Kinds whose segments stay: without them what left cannot be told from what is lost.
EVIDENCE = frozenset({"upload", "retention", "drill", "soak"})
#: Why a data file stays, in the order in which the reasons are looked for.
BARS: dict[str, str] = {
    "unproven": "it has no proven copy yet (its ticket is not .done)",
    "labelled": "a person said something of it",
    "not_normalized": "the normalizer has not read it yet",
    "evidence": "it says where other files are: the offload ledger, retention, drills",
    "young": "its days here are not over, and there is room",
}
KEEP_DAYS, ROOM = "keep_days", "min_free_bytes"


class Candidate(msgspec.Struct, frozen=True):
    """A data file that lies here; `bar` is a word of BARS, or "" when it may go."""

    name: str
    facts: Facts
    bar: str = ""

    @property
    def ended_ms(self) -> int:
        """The end of the UTC hour it holds."""
        return hour_end_ms(self.facts.path)


class Going(msgspec.Struct, frozen=True):
    """A file that may go, and by which setting."""

    candidate: Candidate
    reason: str


class Plan(msgspec.Struct, frozen=True):
    """What may go, the oldest first, and how many stay for each reason."""

    going: list[Going]
    kept: dict[str, int]


def hour_end_ms(path: str) -> int:
    """The end of the hour folder a path lies in; ValueError when it lies in none."""
    parts = dict(part.partition("=")[::2] for part in path.split("/"))
    return parse_utc(f"{parts.get('date')}T{parts.get('hour')}:00:00Z") + MS_PER_HOUR


def planned(
    candidates: Iterable[Candidate], rules: Retention, *, now_ms: int, free_bytes: int
) -> Plan:
    """Which of the candidates go now."""
    kept: Counter[str] = Counter()
    going: list[Going] = []
    for each in sorted(candidates, key=lambda one: (one.ended_ms, one.name)):
        reason = "" if each.bar else _reason(each, rules, now_ms, free_bytes)
        if reason:
            going.append(Going(each, reason))
            free_bytes += each.facts.bytes
        else:
            kept[each.bar or "young"] += 1
    return Plan(going, dict(kept))


def _reason(each: Candidate, rules: Retention, now_ms: int, free_bytes: int) -> str:
    age_hours = (now_ms - each.ended_ms) / MS_PER_HOUR
    if age_hours < rules.min_keep_hours:
        return ""
    if rules.keep_days and age_hours >= 24 * rules.keep_days:
        return KEEP_DAYS
    return ROOM if free_bytes < rules.min_free_bytes else ""
