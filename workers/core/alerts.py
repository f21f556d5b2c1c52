"""The catalogue of alerts, and the life of one: raised once, kept in silence, recovered.

    seen first ──grace_s──▶ raised ──seen again──▶ raised (counted, never repeated)
         │ gone                │ gone for hold_s
         ▼                     ▼
      forgotten             recovered, with how long it lasted

Promises  one message when a condition begins and one when it is over, across restarts of the
          watchdog; what flaps within hold_s is one condition.
"""

from collections.abc import Iterable, Sequence

import msgspec

NS_PER_S = 1_000_000_000
DETAIL_MAX = 500
EVIDENCE_MAX = 8000
#: Findings of one look that are taken; whoever fills a heartbeat with conditions fills no disk.
FINDINGS_MAX = 200


class Alert(msgspec.Struct, frozen=True):
    """One kind of condition: who must act, what it means, what to do, how patient it is.

    `level` is "error" when a person must act and "warning" when one must look. `grace_s` is how
    long it must last before it is told, `hold_s` how long it must be gone before it is over.
    """

    level: str
    meaning: str
    action: str
    grace_s: float = 0.0
    hold_s: float = 0.0


ALERTS: dict[str, Alert] = {
    "supervisord_unreachable": Alert(
        "warning",
        "supervisord does not answer on its socket; nobody restarts what dies",
        "`orderbooks ctl status`; start the fleet with `orderbooks up`",
        grace_s=15,
    ),
    "worker_fatal": Alert(
        "error",
        "a process is down and supervisord will not start it again (EXITED, FATAL)",
        "read its log for stopped_for_a_person, do what the hint says, `orderbooks ctl start`",
    ),
    "worker_backoff": Alert(
        "error",
        "a process dies within its first seconds, again and again (BACKOFF)",
        "`orderbooks ctl tail` it; the last line names the reason",
        hold_s=30,
    ),
    "worker_silent": Alert(
        "error",
        "a process runs but its heartbeat is older than heartbeat_late_s: it hangs",
        "`orderbooks ctl restart` it; what it wrote is salvaged",
    ),
    "worker_crashed": Alert(
        "error",
        "a bug ended a process; supervisord restarted it; the traceback is attached",
        "report the traceback (spool/heartbeat/<worker>.crash.json)",
    ),
    "rows_late": Alert(
        "error",
        "a collector had books to fetch and got none for row_late_s",
        "`orderbooks status`: is it the venue (venue_failing), the network, or this shard?",
        hold_s=20,
    ),
    "venue_failing": Alert(
        "warning",
        "the venue fails so often that a collector tries it only now and then",
        "wait; if the cause is http_403, http_451 or html, this address is blocked",
        hold_s=30,
    ),
    "gamma_unreachable": Alert(
        "warning",
        "no question to Gamma is answered; known markets are recorded on, new ones are not seen",
        "wait; check the network if collectors fail as well",
        hold_s=60,
    ),
    "universe_stale": Alert(
        "warning",
        "the listing of markets came empty or absurd; the last good one stands",
        "compare `orderbooks discover --once --dry-run` with the site; in an hour some are missed",
        hold_s=60,
    ),
    "mapping_refused": Alert(
        "error",
        "a market's ids, outcomes or window cannot be right; it is not recorded, or as before",
        "read the refusals in manifests/discovery/universe.md; the raw page is kept",
        hold_s=60,
    ),
    "discovery_disagrees": Alert(
        "warning",
        "Gamma's listing and the slugs computed from the clock name different markets",
        "read manifests/discovery/universe.md: a listing has a hole or a series changed its slug",
        hold_s=60,
    ),
    "hash_failed": Alert(
        "error",
        "books do not have the SHA-1 that the venue states for them",
        "keep recording; `orderbooks status` names the market; compare its rows that say failed",
        hold_s=60,
    ),
    "disk_full": Alert(
        "error",
        "the disk refuses a process's writes; its rows wait in memory, then ticks are skipped",
        "make room on the filesystem of data_dir; it goes on by itself",
        hold_s=10,
    ),
    "disk_low_warn": Alert(
        "warning", "free space is below disk_warn_free_bytes", "make room or enlarge the disk"
    ),
    "disk_low_stop": Alert(
        "error",
        "free space is below disk_stop_opening_free_bytes: no new market is begun",
        "make room now; published segments may be moved away, never edited",
    ),
    "disk_low_pause": Alert(
        "error",
        "free space is below disk_pause_free_bytes: everything is sealed, recording is paused",
        "make room now; recording goes on by itself",
    ),
    "disk_fills": Alert(
        "warning",
        "at the growth of the last hours the disk reaches the pause level within two days",
        "plan an offload or a larger disk; manifests/disk/latest.json has the numbers",
        hold_s=3600,
    ),
    "backlog_old": Alert(
        "warning",
        "a ticket waits longer than backlog_warn_s although its queue has a consumer",
        "`orderbooks spool`; is the consumer running, does it fail?",
    ),
    "quarantine_grew": Alert(
        "warning",
        "files that could not be read lie in quarantine",
        "read the .why beside each; move them away when understood",
    ),
    "clock_offset": Alert(
        "error",
        "this machine's clock differs from the venue's by more than clock_warn_ms",
        "check NTP (`timedatectl`); recorded times are off by that much",
        grace_s=30,
    ),
    "clock_stepped": Alert(
        "warning",
        "the wall clock jumped; ticks across the jump are marked clock_step",
        "check NTP (`timedatectl`): it should slew, not step",
        hold_s=600,
    ),
    "state_unreadable": Alert(
        "warning",
        "files that the watchdog reads are not what they should be; it goes on without them",
        "manifests/health/latest.json lists them under `unread`; move strangers away",
        grace_s=15,
    ),
    "condition_unknown": Alert(
        "warning",
        "a heartbeat names a condition that this version does not know",
        "restart the whole fleet after an update, so that all run one version",
    ),
    "sentry_refused": Alert(
        "warning",
        "SENTRY_DSN cannot be used; alerts stand only in manifests/alerts",
        "set SENTRY_DSN to the project's DSN, or unset it",
    ),
}


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

    `suppressed` counts the looks that found it again. `sent` says that Sentry has it.
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
        shard=finding.shard,
        subject=finding.subject[:DETAIL_MAX],
        detail=finding.detail[:DETAIL_MAX],
        evidence=finding.evidence[-EVIDENCE_MAX:],
        since_wall_ns=wall_ns,
        last_seen_wall_ns=wall_ns,
    )


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
