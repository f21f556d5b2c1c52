"""`make sentry-e2e`: each alert of the catalogue, told to a real Sentry-compatible server.

    python -m tests.sentry [--reports DIR]

Starts bugsink on loopback and the real watchdog on a data directory in which everything goes wrong
and right again, reads every stored event back, writes reports/sentry_e2e_<date>.md. Under a minute.

Exit code 0 only if each alert arrived once, in one issue of its own, tagged, without a planted
secret, and its end arrived once in the same issue; and if an alert that comes back after its issue
was resolved opens that very issue again.
"""

import argparse
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.rig import ROOT, wait_for
from tests.sentry.bugsink import VENV, Bugsink
from tests.sentry.judge import RELEASE, Judged
from tests.sentry.provoked import HOW, UNTOLD, Plants
from tests.sentry.stage import ENVIRONMENT, Clock, Stage, level
from tests.venue import Venue
from workers.core.health.conditions import ALERTS

QUARANTINE = ("quarantine_grew", "watchdog")
DISK = {"disk_low_warn", "disk_low_stop", "disk_low_pause"}
SECOND = {("worker_fatal", "discovery"), ("worker_backoff", "normalizer")}
FIRST = {each for each in HOW if each[0] not in DISK} - SECOND

#: What a PASS says.
SHOWN = """\
`make sentry-e2e` took {took_s} s on one machine: the real watchdog process ({release}), a real
Sentry-compatible server (bugsink 2.6.1, on loopback), the {alerts} alerts of the catalogue. The
watchdog's wall clock was put forward so that graces and holds of up to an hour pass; nothing else of
it was touched.

## Shown, where the verdict is PASS

* Each condition is one issue: fingerprint alert, worker, shard, subject. Two workers with the same
  alert (`venue_failing`) are two issues. Restarts of the watchdog repeat nothing.
* Each issue has two events: `state` raised, with the level of the catalogue and what to do; `state`
  recovered, level info.
* Tags alert, worker, shard, state; release and environment, as stored by the server.
* No stored event holds the key of the DSN, nor a token or password that stood in the environment and
  in every text that a stranger may fill; nothing that the SDK adds by itself.
* An issue that a person resolved is opened again by the next beginning of its condition.
* `{untold}` cannot arrive: with a DSN that is none it stood in manifests/alerts alone.

## Not shown

* Check-ins: this server does not take them; `tests/processes/test_watchdog.py` holds them against a
  receiver of our own.
* The hosted Sentry. No event resolves an issue there either: the recovery is its newest event, and a
  person or the project's auto-resolve closes it.
"""


def main() -> int:
    """Play, judge, write the report; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.sentry", description=__doc__)
    parser.add_argument("--reports", type=Path, default=ROOT / "reports")
    reports = parser.parse_args().reports
    if not VENV.exists():
        raise SystemExit("sentry: .venv-sentry is missing; ops/setup.sh sentry makes it")
    begun_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ob-") as folder, Clock() as clock, Bugsink() as server:
        judged = _played(Stage(Path(folder), clock), clock, server)
    took_s = round(time.monotonic() - begun_s)
    now = datetime.now(UTC)
    reports.mkdir(exist_ok=True)
    report = reports / f"sentry_e2e_{now:%Y-%m-%d}.md"
    report.write_text(_page(judged, now, took_s))
    print("\n".join(judged.problems))
    print(f"{_verdict(judged)}: {len(judged.events)} issues in {took_s} s; {report}")
    return 1 if judged.problems else 0


def _played(stage: Stage, clock: Clock, server: Bugsink) -> Judged:
    try:
        plants = Plants(stage.rig, server.dsn)
        _begin(stage, server, plants)
        _end(stage, clock, server, plants)
        judged = _judged(server)
        judged.check(ENVIRONMENT, plants.secrets)
        _come_back(stage, server, plants, judged)
    finally:
        stage.close()
    return judged


def _begin(stage: Stage, server: Bugsink, plants: Plants) -> None:
    """Let every condition begin."""
    stage.refuse_dsn()
    with Venue(stage.rig.folder / "venue", lines=("btc-5m",)) as venue:
        plants.place(venue)
    stage.watch(server.dsn, plants.environment, **level("disk_warn_free_bytes"))
    stage.set_clock(90)
    stage.wait_told(*FIRST, ("disk_low_warn", "watchdog"))
    stage.open_fleet()
    stage.wait_told(*SECOND)
    _wait_received(server, len(FIRST) + 1 + len(SECOND))
    for name, alert in (("stop_opening", "disk_low_stop"), ("pause", "disk_low_pause")):
        stage.watch(server.dsn, plants.environment, **level(f"disk_{name}_free_bytes"))
        stage.wait_told((alert, "watchdog"))


def _end(stage: Stage, clock: Clock, server: Bugsink, plants: Plants) -> None:
    """Let every condition end: put right, and two hours later."""
    stage.rest()
    plants.mend()
    stage.mend_fleet()
    clock.ahead_s = 0
    stage.set_clock(7200)
    stage.watch(server.dsn, plants.environment, disk_history_hours=1)
    stage.wait_over()
    _wait_received(server, 2 * len(HOW))
    stage.rest()


def _wait_received(server: Bugsink, count: int) -> None:
    try:
        wait_for(lambda: server.received() >= count, limit_s=40)
    except AssertionError:
        raise AssertionError(f"{server.received()} events came, not {count}") from None


def _judged(server: Bugsink) -> Judged:
    judged = Judged()
    for issue in server.issues():
        judged.take(issue["id"], server.events(issue["id"]))
    return judged


def _come_back(stage: Stage, server: Bugsink, plants: Plants, judged: Judged) -> None:
    """A person resolves an issue; the condition begins again."""
    issue = judged.issues.get(QUARANTINE)
    if issue is None:
        return
    server.api(f"issues/{issue}/resolve/", method="POST")
    before = server.received()
    plants.quarantined.touch()
    stage.watch(server.dsn, plants.environment, disk_history_hours=1)
    stage.wait_told(QUARANTINE)
    _wait_received(server, before + 1)
    found = server.api(f"issues/{issue}/")
    if (
        found["is_resolved"]
        or found["digested_event_count"] != 3
        or len(server.issues()) != len(HOW)
    ):
        judged.problems.append(f"a second beginning did not open its issue again: {found}")
    stage.rest()


def _verdict(judged: Judged) -> str:
    return "FAIL" if judged.problems else "PASS"


def _page(judged: Judged, now: datetime, took_s: int) -> str:
    problems = [f"* {each}" for each in judged.problems] or ["None."]
    rows = [
        f"| `{alert}` | `{worker}` | {HOW[alert, worker]} | {len(judged.events.get(key, []))} |"
        for alert in ALERTS
        for worker in sorted(worker for name, worker in HOW if name == alert)
        for key in [(alert, worker)]
    ]
    table = ["| alert | of | provoked by | events |", "| --- | --- | --- | --- |", *rows]
    head = f"# Sentry end to end, {now:%Y-%m-%d %H:%M} UTC: {_verdict(judged)}\n"
    told = SHOWN.format(took_s=took_s, release=RELEASE, alerts=len(ALERTS), untold=UNTOLD)
    parts = ["## Problems", "", *problems, "", "## Each condition", "", *table, ""]
    return "\n".join([head, told, *parts])


if __name__ == "__main__":
    sys.exit(main())
