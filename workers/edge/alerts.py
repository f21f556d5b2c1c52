"""Sentry: where a person is told. The owner of sentry_sdk; imported by the watchdog alone.

Promises  one event for a raised condition and one for its recovery, both on one issue by the
          fingerprint [alert, worker, shard, subject], told apart by the tag `state`; a check-in
          for each checkin_interval_s, so that the watchdog's own death is noticed; delivery
          happens in a thread and never blocks a look: what the server took is known by the next
          one, and what was lost is queued again, under the same id, which a server takes once
Fails     Refused when the DSN cannot be used (its text is not repeated)
Never     sends secrets, local variables, arguments of the process or anything else by itself:
          every integration is off (beside pyarrow, polars and aiohttp they took 27 MB), and
          send_default_pii stays off by default (to name it is deprecated since 2.75)
"""

import hashlib
import os
import threading
from collections.abc import Sequence
from typing import Any, cast

import sentry_sdk
from sentry_sdk.crons import capture_checkin
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import BadDsn

from workers import VERSION
from workers.core.errors import Refused
from workers.core.health.alerts import Active
from workers.core.health.conditions import ALERTS
from workers.core.instants import utc_text
from workers.core.scrubbing import scrubbed

MONITOR_SLUG = "orderbooks-watchdog"
FLUSH_LIMIT_S = 2.0
#: Minutes after the due time until Sentry calls a check-in missed.
_CHECKIN_MARGIN_MIN = 2
_LOST, _QUEUED, _TAKEN = "lost", "queued", "taken"


class _Delivery(HttpTransport):
    """What became of the events whose ids are in `fates`: lost, queued or taken by the server.

    `on_dropped_event` is the SDK's own word for what it gives up, in the thread that gives it up.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        super().__init__(options)
        self.fates: dict[str, str] = {}
        self._thread = threading.local()

    def capture_envelope(self, envelope: Envelope) -> None:
        self._settle(envelope, _QUEUED)
        self._thread.is_lost = False
        super().capture_envelope(envelope)
        if self._thread.is_lost:
            self._settle(envelope, _LOST)

    def _send_envelope(self, envelope: Envelope) -> None:
        self._thread.is_lost = False
        try:
            super()._send_envelope(envelope)
        except Exception:
            self._thread.is_lost = True
            raise
        finally:
            self._settle(envelope, _LOST if self._thread.is_lost else _TAKEN)

    def on_dropped_event(self, _reason: str) -> None:
        self._thread.is_lost = True

    def _settle(self, envelope: Envelope, fate: str) -> None:
        event_id = str(envelope.headers.get("event_id"))
        if event_id in self.fates:
            self.fates[event_id] = fate


class Sentry:
    """The connection to one Sentry project."""

    def __init__(self, dsn: str, *, environment: str, secrets: Sequence[str]) -> None:
        self._secrets = tuple(secrets)
        try:
            sentry_sdk.init(
                dsn=dsn,
                release=f"orderbooks@{VERSION}",
                environment=environment,
                server_name=os.uname().nodename,
                default_integrations=False,
                auto_enabling_integrations=False,
                include_local_variables=False,
                auto_session_tracking=False,
                send_client_reports=False,
                max_breadcrumbs=0,
                shutdown_timeout=FLUSH_LIMIT_S,
                before_send=self._cleaned,
                transport=_Delivery,
            )
        except (BadDsn, ValueError) as error:
            raise Refused(f"use SENTRY_DSN: {type(error).__name__}, not a DSN") from None
        self._fates = cast("_Delivery", sentry_sdk.get_client().transport).fates

    def tell_raised(self, condition: Active) -> bool:
        """Send that a condition holds, unless that is under way; True once the server has it."""
        event_id = _id_of(condition)
        fate = self._fates.setdefault(event_id, _LOST)
        if fate == _LOST:
            self._raise(condition, event_id)
        return fate == _TAKEN

    def _raise(self, condition: Active, event_id: str) -> None:
        alert = ALERTS[condition.alert]
        facts: dict[str, object] = {
            "meaning": alert.meaning,
            "what to do": alert.action,
            "detail": condition.detail,
            "since": utc_text(condition.since_wall_ns),
        }
        if condition.evidence:
            facts["evidence"] = condition.evidence
        message = f"{condition.alert}: {condition.worker} {condition.subject}".rstrip()
        self._send(condition, f"{message}: {condition.detail}", alert.level, facts, event_id)

    def tell_recovered(self, condition: Active, wall_ns: int) -> None:
        """Send that a condition is over: the newest event of its issue, which stays open.

        Of a condition whose beginning never left, nobody is told the end.
        """
        if self._fates.pop(_id_of(condition), _LOST) == _LOST and not condition.sent:
            return
        facts: dict[str, object] = {
            "lasted_s": condition.lasted_s(wall_ns),
            "since": utc_text(condition.since_wall_ns),
            "suppressed": condition.suppressed,
        }
        message = f"recovered: {condition.alert}: {condition.worker} {condition.subject}".rstrip()
        self._send(condition, message, "info", facts, None)

    def _send(
        self,
        condition: Active,
        message: str,
        level: str,
        facts: dict[str, object],
        event_id: str | None,
    ) -> None:
        shard = "" if condition.shard is None else str(condition.shard)
        fingerprint = [condition.alert, condition.worker, shard, condition.subject]
        state = "recovered" if level == "info" else "raised"
        tags = {"alert": condition.alert, "worker": condition.worker, "state": state}
        if shard:  # Sentry calls an event with an empty tag damaged.
            tags["shard"] = shard
        sentry_sdk.capture_event(
            {
                "event_id": event_id,  # type: ignore[typeddict-item] # None: the SDK makes one
                "message": message,
                "level": level,  # type: ignore[typeddict-item]
                "logger": "orderbooks.watchdog",
                "fingerprint": fingerprint,
                "tags": tags,
                "contexts": {"condition": facts},
            }
        )

    def check_in(self, interval_s: float) -> None:
        """Say that the watchdog lives; Sentry alerts when the next one is missing."""
        capture_checkin(
            monitor_slug=MONITOR_SLUG,
            status="ok",
            monitor_config={
                "schedule": {
                    "type": "interval",
                    "value": max(1, round(interval_s / 60)),
                    "unit": "minute",
                },
                "checkin_margin": _CHECKIN_MARGIN_MIN,
                "failure_issue_threshold": 1,
                "recovery_threshold": 1,
            },
        )

    def flush(self) -> None:
        """Deliver what waits, for FLUSH_LIMIT_S at most."""
        sentry_sdk.flush(FLUSH_LIMIT_S)

    def close(self) -> None:
        """Deliver what waits, as `flush`, and end."""
        self.flush()
        sentry_sdk.get_client().close(timeout=0)

    def _cleaned(self, event: Event, _hint: Hint) -> Event:
        return cast("Event", clean(event, self._secrets))


def _id_of(condition: Active) -> str:
    """The event of a condition's beginning, the same one after a restart."""
    what = "\0".join([*condition.key, str(condition.since_wall_ns)])
    return hashlib.sha256(what.encode()).hexdigest()[:32]


def clean(value: object, secrets: Sequence[str]) -> object:
    """The same JSON value with every secret replaced in every text, keys included."""
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, dict):
        return {scrubbed(str(name), secrets): clean(each, secrets) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each, secrets) for each in value]
    return value
