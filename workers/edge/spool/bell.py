"""The conditions that hold, told once each: to the log, the alerts manifest and Sentry.

Reads     manifests/alerts/latest.json at start: what was told before is not told again
Writes    manifests/alerts/ (latest.json, a history row for each raise and recovery), log events
Promises  a condition that Sentry has not taken yet is told to it at each look until it has, as
          soon as there is one
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from workers.core.health.alerts import Active, Finding, weigh
from workers.core.health.conditions import ALERTS
from workers.core.health.reports import AlertsManifest
from workers.core.instants import utc_text
from workers.core.scrubbing import scrubbed
from workers.edge.spool.census import read_state
from workers.edge.spool.directory import DataDir
from workers.edge.spool.journal import Journal


class Sender(Protocol):
    """Who carries an alert to a person."""

    def tell_raised(self, condition: Active) -> bool:
        """A condition holds; asked again until True: that its server has it."""

    def tell_recovered(self, condition: Active, wall_ns: int) -> None:
        """A condition is over."""


class AlertRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the alert history; `kind` is "raised" or "recovered"."""

    kind: str
    at_utc: str
    at_wall_ns: int
    since_wall_ns: int
    lasted_s: int
    alert: str
    level: str
    worker: str
    shard: int | None
    subject: str
    detail: str
    evidence: str
    suppressed: int


class Bell:
    """All alerts of one fleet; changed in place by the watchdog."""

    def __init__(
        self,
        data: DataDir,
        journal: Journal,
        *,
        log: Callable[..., None],
        sender: Sender | None,
        secrets: Sequence[str],
    ) -> None:
        self._journal, self._log, self._sender, self._secrets = journal, log, sender, secrets
        self.problem = ""
        self.active = self._restored(data)

    def _restored(self, data: DataDir) -> list[Active]:
        try:
            known = read_state(data.latest("alerts"), AlertsManifest).active
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            self.problem = str(error)
            return []
        return [condition for condition in known if condition.alert in ALERTS]

    def ring(self, findings: Sequence[Finding], wall_ns: int) -> None:
        """Take in the findings of one look and tell what changed."""
        outcome = weigh(self.active, [self._clean(each) for each in findings], wall_ns)
        self.active = [self._sent(each) for each in outcome.active]
        for condition in outcome.raised:
            self._remember("raised", condition, wall_ns)
            self._log(
                "alert_raised",
                alert=condition.alert,
                subject=f"{condition.worker} {condition.subject}".rstrip(),
                detail=condition.detail,
            )
        for condition in outcome.recovered:
            self._recover(condition, wall_ns)
        is_news = outcome.raised or outcome.recovered
        write = self._journal.replace_synced if is_news else self._journal.replace
        write("alerts", self._manifest(wall_ns))

    def settle(self, wall_ns: int) -> None:
        """Write down what the server has taken meanwhile, before the end."""
        self.active = [self._sent(each) for each in self.active]
        self._journal.replace_synced("alerts", self._manifest(wall_ns))

    def _clean(self, finding: Finding) -> Finding:
        return msgspec.structs.replace(
            finding,
            detail=scrubbed(finding.detail, self._secrets),
            subject=scrubbed(finding.subject, self._secrets),
            evidence=scrubbed(finding.evidence, self._secrets),
        )

    def _sent(self, condition: Active) -> Active:
        if self._sender is None or condition.sent or not condition.is_raised:
            return condition
        return msgspec.structs.replace(condition, sent=self._sender.tell_raised(condition))

    def _recover(self, condition: Active, wall_ns: int) -> None:
        if self._sender is not None:
            self._sender.tell_recovered(condition, wall_ns)
        self._remember("recovered", condition, wall_ns)
        self._log(
            "alert_recovered",
            alert=condition.alert,
            subject=f"{condition.worker} {condition.subject}".rstrip(),
            lasted_s=condition.lasted_s(wall_ns),
        )

    def _remember(self, kind: str, condition: Active, wall_ns: int) -> None:
        row = AlertRow(
            kind=kind,
            at_utc=utc_text(wall_ns),
            at_wall_ns=wall_ns,
            since_wall_ns=condition.since_wall_ns,
            lasted_s=condition.lasted_s(wall_ns),
            alert=condition.alert,
            level=condition.level,
            worker=condition.worker,
            shard=condition.shard,
            subject=condition.subject,
            detail=condition.detail,
            evidence=condition.evidence,
            suppressed=condition.suppressed,
        )
        self._journal.remember("alerts", row, wall_ns)

    def _manifest(self, wall_ns: int) -> AlertsManifest:
        return AlertsManifest(
            at_utc=utc_text(wall_ns),
            at_wall_ns=wall_ns,
            delivery="sentry" if self._sender is not None else "this file only",
            active=self.active,
        )
