"""What bugsink has against what the catalogue promises.

Promises  every alert has one issue with two events, the condition and its end, tagged, without a
          secret; whatever differs is a line
"""

import json
from dataclasses import dataclass, field
from typing import Any

from tests.sentry.provoked import HOW, SHARDS, UNTOLD
from workers import VERSION
from workers.core.health.conditions import ALERTS

RELEASE = f"orderbooks@{VERSION}"
#: What the SDK would send by itself, were it let.
UNWANTED = ("sys.argv", "modules", "breadcrumbs", "user", "stacktrace")
Key = tuple[str, str]


@dataclass
class Judged:
    """Issues by (alert, worker), each with its stored events; `problems` empty = all is kept."""

    events: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)
    issues: dict[Key, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, issue: str, events: list[dict[str, Any]]) -> None:
        """One issue as it was read back."""
        keys = {(each["tags"].get("alert"), each["tags"].get("worker")) for each in events}
        if len(keys) != 1 or (key := keys.pop()) in self.events:
            self.problems.append(f"issue {issue} is not the one of one alert and worker: {keys}")
            return
        self.events[key], self.issues[key] = events, issue

    def check(self, environment: str, secrets: tuple[str, ...]) -> None:
        """Compare everything with the catalogue."""
        missing = set(ALERTS) - {alert for alert, _ in HOW} - {UNTOLD}
        self.problems += [f"{each}: nothing provokes it" for each in sorted(missing)]
        self.problems += [
            f"{key}: never arrived" for key in sorted(HOW.keys() - self.events.keys())
        ]
        self.problems += [f"{key}: not expected" for key in sorted(self.events.keys() - HOW.keys())]
        for key in sorted(HOW.keys() & self.events.keys()):
            self._check_one(key, environment, secrets)

    def _check_one(self, key: Key, environment: str, secrets: tuple[str, ...]) -> None:
        alert, worker = key
        events = self.events[key]
        shard = SHARDS.get(worker)
        common = {"alert": alert, "worker": worker}
        common |= {} if shard is None else {"shard": str(shard)}
        states = [each["tags"].get("state") for each in events]
        self._hold(key, states == ["raised", "recovered"], f"its events are {states}")
        levels = [each["level"] for each in events]
        self._hold(key, levels == [ALERTS[alert].level, "info"], f"levels {levels}")
        for each in events:
            tags = {name: value for name, value in each["tags"].items() if name != "state"}
            self._hold(key, tags == common, f"tags {tags}")
            place = (each["release"], each["environment"])
            self._hold(key, place == (RELEASE, environment), f"from {place}")
            added = [name for name in UNWANTED if _holds(each.get(name))]
            self._hold(key, not added, f"the SDK sent {added} by itself")
            self._check_texts(key, json.dumps(each), secrets)
        facts = events[0]["contexts"]["condition"]
        self._hold(key, facts["what to do"] == ALERTS[alert].action, "not what to do")

    def _check_texts(self, key: Key, text: str, secrets: tuple[str, ...]) -> None:
        leaked = [each for each in (*secrets, "sys.argv") if each in text]
        self._hold(key, not leaked, f"{len(leaked)} secrets in the stored event")

    def _hold(self, key: Key, is_kept: bool, otherwise: str) -> None:
        if not is_kept:
            self.problems.append(f"{key[0]} of {key[1]}: {otherwise}")


def _holds(value: object) -> bool:
    """True when there is anything in it; the SDK sends empty lists of breadcrumbs."""
    return any(_holds(each) for each in value.values()) if isinstance(value, dict) else bool(value)
