"""The demo's stage: a directory of its own, the loopback venue, a config, the real fleet.

Writes    <folder>/{orderbooks.yaml, venue/, data/, remote/, restored/}
Promises  whatever happens, the processes started here are ended by `close`
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workers.core.archive.ledger import Request, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.health.heartbeats import Heartbeat
from workers.edge.spool import reader, state
from workers.edge.spool.directory import SOCKET_PATH_MAX_BYTES, DataDir

ROOT = Path(__file__).parents[2]
#: Windows are 15 times shorter than the real ones, on the real clock: 20 s, 1 min, 16 min; the
#: hourly and the daily market have their real length.
SCALE = 15
SETTINGS: dict[str, Any] = {
    "selection": {
        "series": [
            {
                "name": "btc-5m",
                "series_id": "10684",
                "slug": "btc-updown-5m-{start_unix}",
                "period_s": 300 // SCALE,
            },
            {
                "name": "btc-15m",
                "series_id": "10192",
                "slug": "btc-updown-15m-{start_unix}",
                "period_s": 900 // SCALE,
            },
            {
                "name": "btc-1h",
                "series_id": "10114",
                "slug": "bitcoin-up-or-down-{month}-{day}-{year}-{hour12}{ampm}-et",
                "period_s": 3600,
            },
            {
                "name": "btc-4h",
                "series_id": "10331",
                "slug": "btc-updown-4h-{start_unix}",
                "period_s": 14_400 // SCALE,
            },
            {
                "name": "btc-daily",
                "series_id": "41",
                "slug": "bitcoin-up-or-down-on-{month}-{day}-{year}",
                "period_s": 86_400,
            },
        ]
    },
    "discovery": {
        "interval_s": 3,
        "horizon_s": 60,
        "lookback_s": 30,
        "request_timeout_s": 2.5,
        "requests_per_10s": 100,
    },
    "schedule": {
        "warm_lead_s": 20,
        "hot_lead_s": 3,
        "hot_tail_s": 1,
        "warm_tail_s": 10,
        "hot_interval_ms": 1000,
        "warm_interval_ms": 5000,
    },
    "watchdog": {
        "interval_s": 2,
        "history_interval_s": 10,
        "heartbeat_late_s": 10,
        "disk_warn_free_bytes": 300_000_000,
        "disk_stop_opening_free_bytes": 200_000_000,
        "disk_pause_free_bytes": 100_000_000,
    },
    "offload": {"interval_s": 2, "drill_interval_s": 15},
}
#: A beat comes with the first step that ends a second after the one before; a step takes a tick.
BEAT_MAX_NS = 2_000_000_000


class Stage:
    """One run of the demo."""

    def __init__(self, folder: Path, *, overrides: dict[str, Any] | None = None) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True)
        self.data = DataDir(folder / "data")
        self.truth_folder = folder / "venue"
        self.remote_folder = folder / "remote"
        self.restored = folder / "restored"
        self.config = folder / "orderbooks.yaml"
        self.url = self.ws_url = ""
        self._overrides = overrides or {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def open_venue(self, *arguments: str) -> None:
        """Start the loopback venue and write the config that points at it."""
        command = ["-m", "tests.venue", "--state-dir", str(self.truth_folder), *arguments]
        venue = self._start(command, stdout=subprocess.PIPE, log="venue.log")
        assert venue.stdout is not None
        told = json.loads(venue.stdout.readline())
        self.url, self.ws_url = told["url"], told["ws_url"]
        self.write_config(self.config)

    def write_config(self, path: Path, **sections: dict[str, Any]) -> None:
        """Write the settings; `sections` override single ones."""
        settings = SETTINGS | self._overrides
        settings["data_dir"] = str(self.data.root)
        addresses = {"gamma_url": self.url, "clob_url": self.url, "ws_url": self.ws_url}
        settings["venue"] = addresses
        settings["offload"] = {**settings["offload"], "remote": str(self.remote_folder)}
        for name, values in sections.items():
            settings[name] = {**settings.get(name, {}), **values}
        path.write_text(json.dumps(settings, indent=1))

    def open_fleet(self) -> None:
        """Start supervisord with everything, as `orderbooks up` does."""
        command = ["-m", "workers.tools", "up", "--config", str(self.config)]
        self.fleet = self._start(command, log="fleet.log")

    def start_worker(
        self, name: str, config: Path | None = None, *, ahead_s: int = 0
    ) -> subprocess.Popen[bytes]:
        """Start one worker alone, on other settings and with its clock put forward if wished."""
        module = ["tests.demo.later", str(ahead_s)] if ahead_s else [f"workers.{name}"]
        command = ["-m", *module, "--config", str(config or self.config)]
        return self._start(command, log=f"{name}.log")

    def _start(self, command: list[str], *, log: str, **options: Any) -> subprocess.Popen[bytes]:
        with (self.folder / log).open("ab") as file:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stderr=file,
                **{"stdout": file, **options},
            )
        self._processes.append(process)
        return process

    def beats(self) -> dict[str, Heartbeat]:
        """Every worker's last heartbeat, by name."""
        return {beat.worker: beat for beat in state.heartbeats(self.data)}

    def wait_for(self, condition: Callable[[], object], what: str, *, limit_s: float = 90) -> None:
        """Wait for a condition; the demo ends with what it waited for when it does not come."""

        def happened() -> object:
            if self.fleet.poll() is not None:
                raise SystemExit(f"demo: the fleet ended by itself; see {self.folder}/fleet.log")
            return condition()

        self.wait_until(happened, what, limit_s=limit_s)

    def wait_until(
        self, condition: Callable[[], object], what: str, *, limit_s: float = 90
    ) -> None:
        """The same when no fleet is up."""
        until = time.monotonic() + limit_s
        while time.monotonic() < until:
            if condition():
                return
            time.sleep(0.1)
        raise SystemExit(f"demo: waited {limit_s:.0f} s in vain for {what}; see {self.folder}")

    def fault(self, kind: str, **params: Any) -> None:
        """Let the venue misbehave."""
        body = msgspec.json.encode({"kind": kind, **params})
        request = urllib.request.Request(f"{self.url}/_fault", data=body, method="POST")
        urllib.request.urlopen(request, timeout=5).close()

    def recording(self) -> list[Heartbeat]:
        """The collectors that have asked the venue since they started, the busiest first."""
        beats = [beat for name, beat in self.beats().items() if name.startswith("collector")]
        asking = [beat for beat in beats if beat.counters.get("requests", 0) > 0]
        return sorted(asking, key=lambda beat: -len(beat.markets))

    def causes(self) -> set[str]:
        """What came of the requests whose rows are on disk."""
        kinds = frozenset({"ledger"})
        found = [each.rows for each in reader.open_streams(self.data, kinds=kinds)]
        for _, manifest in reader.manifests(self.data, kinds=kinds):
            if isinstance(manifest, SegmentManifest):
                found.append(reader.read_stream(self.data.root / manifest.path).data)
        rows = [read_row(line) for data in found for line in data.splitlines()]
        return {row.cause for row in rows if isinstance(row, Request)}

    def kill_busiest(self) -> tuple[Heartbeat, int]:
        """SIGKILL the collector with the most markets.

        Returns its last beat, and until when it ran, in wall ns: that is now, unless it beat no
        more, for then it could not write its rows either.
        """
        victim = self.recording()[0]
        os.kill(victim.pid, signal.SIGKILL)
        killed_wall_ns, last = time.time_ns(), self.beats()[victim.worker]
        last = last if last.pid == victim.pid else victim
        return last, min(killed_wall_ns, last.at_wall_ns + BEAT_MAX_NS)

    def close_fleet(self) -> int:
        """Stop the fleet in order; returns supervisord's exit code."""
        return self.stop(self.fleet)

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """Ask a process to stop and wait for it; its exit code."""
        process.send_signal(signal.SIGTERM)
        return process.wait(90)

    def close(self) -> None:
        """End whatever is still running, the fleet first."""
        for process in reversed(self._processes):
            if process.stdout is not None:
                process.stdout.close()
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait(10)

    def tool(self, *arguments: str) -> tuple[int, str]:
        """Run one `orderbooks` verb on this archive; its exit code and what it printed."""
        run = subprocess.run(
            [sys.executable, "-m", "workers.tools", *arguments, "--config", str(self.config)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        return run.returncode, run.stdout or run.stderr


def folder_for(parent: Path, stamp: str, fallback: Path) -> Path:
    """A new folder below `parent`, or below `fallback` when the socket path would be too long."""
    folder = parent / f"demo-{stamp}"
    socket = DataDir(folder / "data").socket
    fits = len(os.fsencode(socket.absolute())) <= SOCKET_PATH_MAX_BYTES
    return folder if fits else fallback / f"orderbooks-demo-{stamp}"
