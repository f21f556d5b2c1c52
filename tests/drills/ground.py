"""The ground a drill takes place on: a loopback fleet of its own, lively settings, a list of steps.

Promises  a drill ends with what was seen, or with Failed and what was not; nothing outside its
          folder is touched, and what it started is ended
"""

import time
from pathlib import Path
from typing import Any

from tests.demo.stage import ROOT, SCALE, SETTINGS, Stage
from workers.core.health.heartbeats import Heartbeat
from workers.core.health.reports import AlertsManifest
from workers.core.instants import utc_text
from workers.edge.spool import state

MARKETS = "btc-5m,btc-15m,btc-1h,btc-4h,btc-1d"
#: A process counts as started after 1 s and is killed 5 s after TERM: a drill need not wait longer.
PATIENCE = (("startsecs=10", "startsecs=1"), ("stopwaitsecs=60", "stopwaitsecs=5"))
WATCHDOG = {"interval_s": 0.5, "heartbeat_late_s": 5, "row_late_s": 6, "backoff_warn_s": 2}


class Failed(Exception):
    """What a drill expected and did not see."""


class Ground(Stage):
    """One drill's fleet."""

    def __init__(self, folder: Path, **sections: dict[str, Any]) -> None:
        watchdog = {**SETTINGS["watchdog"], **WATCHDOG, **sections.pop("watchdog", {})}
        super().__init__(folder, overrides={**sections, "watchdog": watchdog})
        self.steps: list[str] = []

    def say(self, step: str) -> None:
        """Tell what was seen."""
        self.steps.append(step)
        print(f"  {step}", flush=True)

    def must(self, is_so: object, otherwise: str) -> None:
        """Go on only if it is so."""
        if not is_so:
            raise Failed(otherwise)

    def open(self, *arguments: str) -> None:
        """The venue and the fleet; back when a collector records."""
        self.open_venue("--scale", str(SCALE), "--seed", "7", "--markets", MARKETS, *arguments)
        self.open_fleet()
        self.wait_until(self.recording, "a recording collector")
        self.say(f"the fleet records ({len(self.beats())} workers beat)")

    def open_venue(self, *arguments: str) -> None:
        """The loopback venue, which `stop_venue` ends."""
        super().open_venue(*arguments)
        self._venue = self._processes[-1]

    def stop_venue(self) -> None:
        """Nobody listens at the venue's address any more."""
        self.stop(self._venue)

    def start_wrong_watchdog(self, wrong_by: Path) -> None:
        """A watchdog alone, whose clock is as wrong as a file says."""
        module = ["-m", "tests.sentry.watchdog", str(wrong_by)]
        self._start([*module, "--config", str(self.config)], log="watchdog.log")

    def open_fleet(self) -> None:
        """Supervisord with everything, less patient than the shipped table."""
        table = self.folder / "table.conf"
        text = (ROOT / "supervisord.conf").read_text().replace("%(here)s", str(ROOT))
        for before, after in PATIENCE:
            text = text.replace(before, after)
        table.write_text(text)
        command = ["-m", "workers.tools", "up", "--config", str(self.config)]
        self.fleet = self._start([*command, "--table", str(table)], log="fleet.log")

    def ctl(self, *words: str) -> None:
        """`orderbooks ctl …`, which must succeed."""
        code, said = self.tool("ctl", *words)
        self.must(code == 0, f"orderbooks ctl {' '.join(words)} ended with {code}: {said[-500:]}")

    def told(self) -> dict[str, str]:
        """The alerts that were told and hold, with their detail."""
        manifest = state.read(self.data.latest("alerts"), AlertsManifest)
        held = manifest.active if manifest else []
        return {each.alert: each.detail for each in held if each.is_raised}

    def wait_told(self, alert: str, *, limit_s: float = 90) -> str:
        """Until a person was told; the detail."""
        self.wait_until(lambda: alert in self.told(), f"the alert {alert}", limit_s=limit_s)
        detail = self.told().get(alert, "")
        self.say(f"told: {alert}: {detail[:160].replace(str(self.folder), '…')}")
        return detail

    def wait_over(self, alert: str, *, limit_s: float = 90) -> None:
        """Until it is over."""
        self.wait_until(
            lambda: alert not in self.told(), f"the end of the alert {alert}", limit_s=limit_s
        )
        self.say(f"over: {alert}")

    def beat(self, worker: str) -> Heartbeat | None:
        """A worker's last heartbeat."""
        return self.beats().get(worker)

    def wait_new_rows(self) -> None:
        """Until every collector that records has a book newer than now."""
        now_ns = time.time_ns()

        def all_fresh() -> bool:
            beats = [each for each in self.recording() if each.markets]
            return bool(beats) and all((each.last_success_wall_ns or 0) > now_ns for each in beats)

        self.wait_until(all_fresh, "new books from every collector")
        self.say("every collector has new books")

    def finish(self) -> str:
        """Seal everything; verify and coverage must exit 0; what coverage said."""
        stopped_wall_ns = time.time_ns()
        self.close_fleet()
        return self.proven(stopped_wall_ns)

    def proven(self, stopped_wall_ns: int) -> str:
        """Verify and coverage of a fleet that stopped then; what coverage said."""
        code, said = self.tool("verify")
        self.must(code == 0, f"orderbooks verify ended with {code}: {said[-1500:]}")
        code, said = self.tool("coverage", "--json", "--to", utc_text(stopped_wall_ns))
        self.must(code == 0, f"orderbooks coverage ended with {code}: {said[-1500:]}")
        self.say("orderbooks verify and orderbooks coverage exit 0: whole, nothing unexplained")
        return said
