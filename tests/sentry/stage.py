"""The acts of the play: the watchdog sees each condition begin and end, and tells bugsink.

Promises  an act ends when the watchdog has told what it must; its clock may be wrong, nothing else
"""

import os
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

from tests.rig import ROOT, Rig, wait_for
from tests.sentry.provoked import HEARTBEAT_LATE_S, UNTOLD
from workers.core.health.heartbeats import Heartbeat
from workers.core.health.looks import FleetSeen
from workers.core.health.reports import AlertsManifest
from workers.edge import fleet
from workers.edge.spool import state

ENVIRONMENT = "sentry-e2e"
EVERYTHING = (1 << 50) - 2
RULES: dict[str, Any] = {
    "interval_s": 0.2,
    "history_interval_s": 0.4,
    "heartbeat_late_s": HEARTBEAT_LATE_S,
    "row_late_s": 2,
    "backlog_warn_s": 61,
    "backoff_warn_s": 1,
    "disk_pause_free_bytes": 0,
    "disk_stop_opening_free_bytes": 1,
    "disk_warn_free_bytes": 2,
}
LEVELS = ("disk_warn_free_bytes", "disk_stop_opening_free_bytes", "disk_pause_free_bytes")
TABLE = """
[supervisord]
logfile={data}/log/supervisord.log
pidfile={data}/run/supervisord.pid
[unix_http_server]
file={data}/run/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{data}/run/supervisor.sock
[program:discovery]
command=sh -c "test -e {data}/mended && exec sleep 1000; exit 100"
startsecs=0
exitcodes=100
[program:normalizer]
command=sh -c "test -e {data}/mended && exec sleep 1000; exit 1"
startsecs=10
startretries=1000000
"""


class Clock:
    """A server whose GET /time is wrong by `ahead_s` seconds."""

    def __init__(self) -> None:
        self.ahead_s = -5
        clock = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = str(int(self._now_s())).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def _now_s(self) -> float:
                return time.time() + clock.ahead_s

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(self._now_s() if timestamp is None else timestamp)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Stage:
    """One data directory and its watchdog, whose wall clock is `wrong_by_s` wrong."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self.rig = Rig(folder, clock.url)
        self.data = self.rig.data
        self._wrong_by = folder / "wrong_by_ms"
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._supervisord: subprocess.Popen[bytes] | None = None
        self.set_clock(0)

    def set_clock(self, wrong_by_s: int) -> None:
        """Set the watchdog's wall clock, also while it runs."""
        draft = self._wrong_by.with_suffix(".new")
        draft.write_text(str(wrong_by_s * 1000))
        draft.replace(self._wrong_by)

    def watch(self, dsn: str, environment: dict[str, str], **rules: object) -> None:
        """Start the watchdog anew, with other rules; it has looked when this returns."""
        self.rest()
        self.rig.write_config(watchdog={**RULES, **rules}, alerts={"environment": ENVIRONMENT})
        command = ["tests.sentry.watchdog", str(self._wrong_by), "--config", str(self.rig.config)]
        with (self.rig.folder / "watchdog.log").open("ab") as log:
            self._watchdog = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), "SENTRY_DSN": dsn, **environment},
                stdout=log,
                stderr=log,
            )
        self.rig.processes.append(self._watchdog)
        self.wait_for_looks(2)

    def rest(self) -> None:
        """Stop the watchdog; what it has to tell is flushed."""
        if self._watchdog is not None:
            assert self.rig.stop(self._watchdog) == 0, self.log()
            self._watchdog = None

    def log(self) -> str:
        """What the watchdog printed."""
        return (self.rig.folder / "watchdog.log").read_text()

    def wait_for_looks(self, count: int) -> None:
        """Wait until the watchdog that runs has looked so often."""

        def looked() -> bool:
            assert self._watchdog is not None
            assert self._watchdog.poll() is None, self.log()[-2000:]
            beat = state.read(self.data.heartbeat("watchdog"), Heartbeat)
            is_its = beat is not None and beat.pid == self._watchdog.pid
            return bool(is_its and beat.counters["looks"] >= count)  # type: ignore[union-attr]

        wait_for(looked, limit_s=20, what=f"{count} looks")

    def told(self) -> set[tuple[str, str]]:
        """What was told and holds: (alert, worker)."""
        manifest = state.read(self.data.latest("alerts"), AlertsManifest)
        held = manifest.active if manifest else []
        return {(each.alert, each.worker) for each in held if each.is_raised}

    def wait_told(self, *names: tuple[str, str]) -> None:
        """Wait until all of these were told and hold."""
        try:
            wait_for(lambda: set(names) <= self.told(), limit_s=30)
        except AssertionError:
            raise AssertionError(f"never told: {set(names) - self.told()}") from None

    def wait_over(self) -> None:
        """Wait until nothing holds that was told."""
        try:
            wait_for(lambda: not self.told(), limit_s=30)
        except AssertionError:
            raise AssertionError(f"never over: {self.told()}") from None

    def refuse_dsn(self) -> None:
        """Sentry itself cannot be reached: told nowhere but in the manifest."""
        self.watch("not-a-dsn", {})
        self.wait_told((UNTOLD, "watchdog"))
        self.rest()

    def open_fleet(self) -> None:
        """A supervisord with a program that is down and one that does not start."""
        table = self.rig.folder / "table.conf"
        table.write_text(TABLE.format(data=self.data.root))
        self._supervisord = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(table)],
            cwd=self.rig.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.rig.processes.append(self._supervisord)
        wait_for(lambda: self._fleet().is_reached, what="supervisord")

    def mend_fleet(self) -> None:
        """Mend what both programs lack and start them, as their pages say."""
        (self.data.root / "mended").touch()
        table = self.rig.folder / "table.conf"
        control = [sys.executable, "-m", "supervisor.supervisorctl", "-c", str(table)]
        subprocess.run([*control, "start", "all"], check=False, capture_output=True)
        is_up = {"RUNNING", "STARTING"}
        wait_for(
            lambda: {each.state for each in self._fleet().processes} <= is_up, what="both are up"
        )

    def _fleet(self) -> FleetSeen:
        return fleet.look(self.data.socket, 2)

    def close(self) -> None:
        """End everything of it."""
        self.rig.end()


def level(setting: str) -> dict[str, int]:
    """Rules under which the real free bytes stand at a level: that threshold lies above them."""
    wanted = LEVELS.index(setting)
    return {name: EVERYTHING - at for at, name in enumerate(LEVELS) if at <= wanted}
