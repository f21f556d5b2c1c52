"""A whole fleet under the real supervisord, in a data directory with a short path.

Used by tests only: `python -m workers.tools up|ctl` as a person types them.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from tests.rig import ROOT, Rig, wait_for
from workers.core.health.heartbeats import Heartbeat
from workers.core.health.looks import FleetSeen, ProcessSeen
from workers.edge import fleet
from workers.edge.spool import state

CONF = ROOT / "supervisord.conf"


class FleetRig(Rig):
    """One data directory and the supervisord a test starts on it."""

    def __init__(self, url: str, **sections: dict[str, object]) -> None:
        # A unix socket's path holds 108 bytes; a test's own directory is often longer.
        super().__init__(Path(tempfile.mkdtemp(prefix="ob-")), url)
        self.write_config(**sections)
        self.supervisord: psutil.Popen | None = None

    def command(self, verb: str, *words: str) -> list[str]:
        """The command line of a verb on this data directory."""
        return [sys.executable, "-m", "workers.tools", verb, "--config", str(self.config), *words]

    def up(self, *words: str) -> psutil.Popen:
        """Start the fleet and wait until supervisord answers."""
        with (self.folder / "up.log").open("ab") as log:
            self.supervisord = psutil.Popen(
                self.command("up", *words), cwd=ROOT, stdout=log, stderr=log
            )
        wait_for(
            lambda: self.seen().is_reached or self.supervisord.poll() is not None,
            what="supervisord",
        )
        assert self.supervisord.poll() is None, (self.folder / "up.log").read_text()
        return self.supervisord

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `orderbooks ctl …`."""
        return subprocess.run(
            self.command("ctl", *words), cwd=ROOT, capture_output=True, text=True, check=False
        )

    def seen(self) -> FleetSeen:
        """Supervisord's table now."""
        return fleet.look(self.data.socket, 30)

    def process(self, worker: str) -> ProcessSeen | None:
        """One row of the table, as soon as supervisord answers; None when it has none such."""
        seen = wait_for(lambda: (said := self.seen()).is_reached and said, what="supervisord")
        return next((each for each in seen.processes if each.worker == worker), None)

    def beat(self, worker: str) -> Heartbeat | None:
        """A worker's heartbeat."""
        return state.read(self.data.heartbeat(worker), Heartbeat)

    def wait_for_beats(self, *workers: str) -> list[int]:
        """Wait until these workers beat from the process supervisord started; their pids."""

        def pid_of(worker: str) -> int:
            beat, process = self.beat(worker), self.process(worker)
            return beat.pid if beat and process and beat.pid == process.pid else 0

        return [
            wait_for(lambda worker=worker: pid_of(worker), what=f"{worker} beats")  # type: ignore[misc]
            for worker in workers
        ]

    def table(self, **changes: str) -> Path:
        """A copy of supervisord.conf with `key=value` lines exchanged."""
        text = CONF.read_text().replace("%(here)s", str(ROOT))
        for key, value in changes.items():
            before = next(line for line in text.splitlines() if line.startswith(f"{key}="))
            text = text.replace(before, f"{key}={value}")
        path = self.folder / "table.conf"
        path.write_text(text)
        return path

    def end(self) -> None:
        """End supervisord and everything it started."""
        super().end()
        if self.supervisord is None or not self.supervisord.is_running():
            return
        family = self.supervisord.children(recursive=True)
        self.supervisord.send_signal(signal.SIGCONT)
        self.supervisord.terminate()
        try:
            self.supervisord.wait(60)
        except psutil.TimeoutExpired:
            self.supervisord.kill()
        for each in psutil.wait_procs(family, timeout=15)[1]:
            each.kill()

    def __exit__(self, *_: object) -> None:
        self.end()
        shutil.rmtree(self.folder)


def quick(**sections: dict[str, object]) -> dict[str, dict[str, object]]:
    """Settings that make a fleet lively; sections override."""
    given: dict[str, dict[str, object]] = {
        "discovery": {"interval_s": 1, "request_timeout_s": 1, "horizon_s": 600},
        "watchdog": {"interval_s": 0.5, "history_interval_s": 1},
        "selection": {"series": [BTC_5M]},
    }
    return {name: {**given.get(name, {}), **sections.get(name, {})} for name in given | sections}


BTC_5M = {
    "name": "btc-5m",
    "series_id": "10684",
    "slug": "btc-updown-5m-{start_unix}",
    "period_s": 300,
}
