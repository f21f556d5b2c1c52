"""The life of an alert: raised once, kept in silence, recovered.

    seen first ──grace_s──▶ raised ──seen again──▶ raised (counted, never repeated)
         │ gone                │ gone for hold_s
         ▼                     ▼
      forgotten             recovered, with how long it lasted

Promises  one message when a condition begins and one when it is over, across restarts of the
          watchdog; what flaps within hold_s is one condition.
"""

from collections.abc import Iterable, Sequence

import msgspec

from workers.core.health.conditions import ALERTS

NS_PER_S = 1_000_000_000
DETAIL_MAX = 500
EVIDENCE_MAX = 8000
#: Findings of one look that are taken; whoever fills a heartbeat with conditions fills no disk.
FINDINGS_MAX = 200


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A condition as one look found it; `evidence` is long text such as a traceback.

    `grace_s` is for a grace that an operator may set; None is the catalogue's.
    """

    alert: str
    detail: str
    worker: str = "watchdog"
    shard: int | None = None
    subject: str = ""
    evidence: str = ""
    grace_s: float | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two findings the same condition."""
        return (self.alert, self.worker, self.subject[:DETAIL_MAX])


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """A condition that holds; told to a person from `raised_wall_ns` on.

    `suppressed` counts the looks that found it again. `sent` says that Sentry took it.
    """

    alert: str
    level: str
    worker: str
    shard: int | None
    subject: str
    detail: str
    evidence: str = ""
    since_wall_ns: int
    last_seen_wall_ns: int
    raised_wall_ns: int | None = None
    suppressed: int = 0
    sent: bool = False

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes a finding this condition."""
        return (self.alert, self.worker, self.subject)

    @property
    def is_raised(self) -> bool:
        """True once its grace is over and it was told."""
        return self.raised_wall_ns is not None

    def lasted_s(self, wall_ns: int) -> int:
        """From when it was first seen; never negative, whatever the clock did."""
        return max(0, wall_ns - self.since_wall_ns) // NS_PER_S


class Outcome(msgspec.Struct, frozen=True):
    """What one look changes: all conditions that hold, and those that began or ended with it."""

    active: list[Active]
    raised: list[Active]
    recovered: list[Active]


def weigh(known: Iterable[Active], findings: Sequence[Finding], wall_ns: int) -> Outcome:
    """Take the findings of one look into the conditions that held before it."""
    found = {finding.key: finding for finding in reversed(findings[:FINDINGS_MAX])}
    graces = {key: finding.grace_s for key, finding in found.items()}
    active, recovered = [], []
    for condition in known:
        finding = found.pop(condition.key, None)
        if finding is not None:
            active.append(_seen_again(condition, finding, wall_ns))
        elif _is_held(condition, wall_ns):
            active.append(condition)
        elif condition.is_raised:
            recovered.append(condition)
    active += [_begun(finding, wall_ns) for finding in reversed(found.values())]
    raised = [_raised(each, wall_ns) for each in active if _is_due(each, graces, wall_ns)]
    told = {condition.key: condition for condition in raised}
    return Outcome([told.get(each.key, each) for each in active], raised, recovered)


def _begun(finding: Finding, wall_ns: int) -> Active:
    return Active(
        alert=finding.alert,
        level=ALERTS[finding.alert].level,
        worker=finding.worker,
        shard=_shard(finding.worker) if finding.shard is None else finding.shard,
        subject=finding.subject[:DETAIL_MAX],
        detail=finding.detail[:DETAIL_MAX],
        evidence=finding.evidence[-EVIDENCE_MAX:],
        since_wall_ns=wall_ns,
        last_seen_wall_ns=wall_ns,
    )


def _shard(worker: str) -> int | None:
    """The shard in a worker's name, such as 1 of collector-01; None when it has none."""
    number = worker.rpartition("-")[2]
    return int(number) if number.isdecimal() else None


def _seen_again(condition: Active, finding: Finding, wall_ns: int) -> Active:
    return msgspec.structs.replace(
        condition,
        detail=finding.detail[:DETAIL_MAX],
        last_seen_wall_ns=wall_ns,
        # A clock set back would keep a young condition young for hours.
        since_wall_ns=min(condition.since_wall_ns, wall_ns),
        suppressed=condition.suppressed + condition.is_raised,
    )


def _is_due(
    condition: Active, graces: dict[tuple[str, str, str], float | None], wall_ns: int
) -> bool:
    """True when it must be told now: found by this look, not told before, its grace over."""
    if condition.is_raised or condition.key not in graces:
        return False
    own_s = graces[condition.key]
    grace_s = ALERTS[condition.alert].grace_s if own_s is None else own_s
    return wall_ns - condition.since_wall_ns >= grace_s * NS_PER_S


def _raised(condition: Active, wall_ns: int) -> Active:
    return msgspec.structs.replace(condition, raised_wall_ns=wall_ns)


def _is_held(condition: Active, wall_ns: int) -> bool:
    gone_ns = wall_ns - condition.last_seen_wall_ns
    return 0 <= gone_ns < ALERTS[condition.alert].hold_s * NS_PER_S
