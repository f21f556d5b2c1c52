"""Sentry: where a person is told. The owner of sentry_sdk; imported by the watchdog alone.

Promises  one event for a raised condition and one for its recovery, both on one issue by the
          fingerprint [alert, worker, shard, subject], told apart by the tag `state`; a check-in
          for each checkin_interval_s, so that the watchdog's own death is noticed; delivery
          happens in a thread and never blocks a look
Fails     Refused when the DSN cannot be used (its text is not repeated)
Never     sends secrets, local variables, arguments of the process or anything else by itself:
          every integration is off (beside pyarrow, polars and aiohttp they took 27 MB), and
          send_default_pii stays off by default (to name it is deprecated since 2.75)
"""

import os
from collections.abc import Sequence
from typing import cast

import sentry_sdk
from sentry_sdk.crons import capture_checkin
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import BadDsn

from workers import VERSION
from workers.core.alerts import Active
from workers.core.conditions import ALERTS
from workers.core.errors import Refused
from workers.core.instants import utc_text
from workers.core.scrubbing import scrubbed

MONITOR_SLUG = "orderbooks-watchdog"
FLUSH_LIMIT_S = 2.0
#: Minutes after the due time until Sentry calls a check-in missed.
_CHECKIN_MARGIN_MIN = 2


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
            )
        except (BadDsn, ValueError) as error:
            raise Refused(f"use SENTRY_DSN: {type(error).__name__}, not a DSN") from None

    def tell_raised(self, condition: Active) -> None:
        """Send that a condition holds."""
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
        self._send(condition, f"{message}: {condition.detail}", alert.level, facts)

    def tell_recovered(self, condition: Active, wall_ns: int) -> None:
        """Send that a condition is over: the newest event of its issue, which stays open."""
        facts: dict[str, object] = {
            "lasted_s": condition.lasted_s(wall_ns),
            "since": utc_text(condition.since_wall_ns),
            "suppressed": condition.suppressed,
        }
        message = f"recovered: {condition.alert}: {condition.worker} {condition.subject}".rstrip()
        self._send(condition, message, "info", facts)

    def _send(self, condition: Active, message: str, level: str, facts: dict[str, object]) -> None:
        shard = "" if condition.shard is None else str(condition.shard)
        fingerprint = [condition.alert, condition.worker, shard, condition.subject]
        state = "recovered" if level == "info" else "raised"
        tags = {"alert": condition.alert, "worker": condition.worker, "state": state}
        if shard:  # Sentry calls an event with an empty tag damaged.
            tags["shard"] = shard
        sentry_sdk.capture_event(
            {
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

    def close(self) -> None:
        """Deliver what waits, for FLUSH_LIMIT_S at most."""
        sentry_sdk.flush(FLUSH_LIMIT_S)
        sentry_sdk.get_client().close(timeout=0)

    def _cleaned(self, event: Event, _hint: Hint) -> Event:
        return cast("Event", clean(event, self._secrets))


def clean(value: object, secrets: Sequence[str]) -> object:
    """The same JSON value with every secret replaced in every text, keys included."""
    if isinstance(value, str):
        return scrubbed(value, secrets)
    if isinstance(value, dict):
        return {scrubbed(str(name), secrets): clean(each, secrets) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [clean(each, secrets) for each in value]
    return value
