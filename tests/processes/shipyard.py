"""An uploader at work: a data directory that fills, a loopback remote, the real process.

Used by tests only. Segments are made by the real recorder, the remotes by `tests.remotes`.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.remotes.remote import Remote
from tests.rig import ROOT, Rig, wait_for
from workers.core.archive.manifests import SegmentManifest, Writer, read_manifest
from workers.core.health.heartbeats import Heartbeat
from workers.core.offload.offload import DrillManifest, RetentionManifest, UploadManifest
from workers.edge.lifecycle import EXIT_NEEDS_A_PERSON, EXIT_STOPPED
from workers.edge.spool import reader, state, tickets
from workers.edge.spool.recorder import Limits, Recorder, Stream

LIMITS = Limits(
    flush_interval_s=60,
    sync_interval_s=60,
    retry_pause_s=0.2,
    max_segment_bytes=1 << 26,
    deflate_level=1,
)
MS_PER_HOUR = 3_600_000


class Shipyard:
    """One data directory, its remote, and the uploader between them."""

    def __init__(self, folder: Path, remote: Remote, **offload: object) -> None:
        self.rig = Rig(folder, "http://127.0.0.1:9")
        self.data, self.remote = self.rig.data, remote
        self.offload: dict[str, object] = {
            "remote": remote.remote,
            "interval_s": 0.2,
            "drill_interval_s": 0,
            "limit_pause_s": 1,
            **offload,
        }
        self.retention: dict[str, object] = {}
        self.reaching: dict[str, str] | None = None
        self.environment: dict[str, str] = {}
        self.module = "workers.uploader"
        self._published = 0

    def publish(
        self, *sizes: int, hours_ago: int = 0, kind: str = "health"
    ) -> list[SegmentManifest]:
        """Seal one segment for each size, of about so many incompressible bytes."""
        run = str(time.time_ns() // 1_000_000)
        self._published += 1
        writer = Writer(
            worker=f"collector-{self._published % 90:02d}",
            run=run,
            versions={"orderbooks": "0", "python": "3"},
            shard=0,
            shards=1,
        )
        self.data.open_folder(writer.worker).mkdir(parents=True, exist_ok=True)
        recorder = Recorder(self.data, writer, LIMITS)
        due_ms = int(run) - hours_ago * MS_PER_HOUR
        for number, size in enumerate(sizes):
            stream = Stream(subject=f"m{self._published}-{number}", kind=kind)
            row = json.dumps({"at_wall_ns": due_ms * 10**6, "noise": os.urandom(size).hex()[:size]})
            recorder.append(stream, row.encode() + b"\n", due_ms=due_ms, wall_ns=due_ms * 10**6)
        recorder.close("stop", wall_ns=due_ms * 10**6, mono_ns=0)
        return list(recorder.news)

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        """Run the uploader."""
        self.rig.write_config(
            offload=self.offload, retention=self.retention, watchdog={"backlog_warn_s": 3600}
        )
        for name in [name for name in os.environ if name.startswith("RCLONE_")]:
            raise AssertionError(f"{name} is set: the test would not test what it says")
        with (self.rig.folder / "uploader.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", self.module, "--config", str(self.rig.config)],
                env={
                    **os.environ,
                    "PYTHONPATH": str(ROOT),
                    **(self.remote.environment if self.reaching is None else self.reaching),
                    **self.environment,
                    **environment,
                },
                stdout=log,
                stderr=log,
            )
        self.rig.processes.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Ask it to stop; it must end with 0."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, self.log()

    def stop_early_or_late(self, process: subprocess.Popen[bytes]) -> None:
        """Ask one to stop that waits for a person; on a slow machine it has left by itself."""
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in {EXIT_STOPPED, EXIT_NEEDS_A_PERSON}, self.log()

    def log(self) -> str:
        """Everything the process said."""
        return (self.rig.folder / "uploader.log").read_text()

    def tickets(self, status: str) -> list[str]:
        """The names in one state of the upload queue."""
        return [path.stem for path in tickets.waiting(self.data, "upload", status)]

    def reason(self, name: str) -> str:
        """Why a ticket was set aside."""
        found = tickets.read(self.data.queue("upload") / f"{name}.failed")
        return "" if found is None else str(found.reason)

    def wait_done(self, *segments: SegmentManifest, limit_s: float = 60) -> None:
        """Until every one is proven."""
        names = {each.name for each in segments}
        wait_for(
            lambda: names <= set(self.tickets(tickets.DONE)) or self._is_dead(),
            limit_s=limit_s,
            what=f"the proof of {len(names)} segments; {self.log()[-3000:]}",
        )

    def _is_dead(self) -> bool:
        ended = [each for each in self.rig.processes if each.poll() not in {None, 0, -9}]
        assert not ended, self.log()[-3000:]
        return False

    def beat(self) -> Heartbeat:
        """The newest account of itself by the process started last."""
        pid = self.rig.processes[-1].pid

        def told() -> Heartbeat | None:
            found = state.read(self.data.heartbeat("uploader"), Heartbeat)
            return found if found and found.pid == pid else None

        found = wait_for(lambda: told() or self._is_dead(), what=f"a beat of {pid}")
        assert isinstance(found, Heartbeat)
        return found

    def conditions(self) -> dict[str, str]:
        """What it says holds now, by alert."""
        return {each.alert: each.detail for each in self.beat().conditions}

    def wait_condition(self, alert: str) -> str:
        """Until it says so; the detail."""
        return str(
            wait_for(lambda: self.conditions().get(alert), what=f"{alert}; {self.log()[-3000:]}")
        )

    def wait_no_condition(self, alert: str) -> None:
        """Until it says so no more."""
        wait_for(lambda: alert not in self.conditions(), what=f"the end of {alert}")

    def wait_failures(self, count: int) -> None:
        """Until so many tries failed in a row, whatever succeeded of another kind meanwhile."""
        words = ('"offload_failed"', f'"failures":{count},')
        wait_for(
            lambda: any(all(word in line for word in words) for line in self.log().splitlines()),
            what=f"{count} failures in a row; {self.log()[-3000:]}",
        )

    def rows(self, kind: str) -> list[bytes]:
        """Every row of a kind, published or flushed."""
        found = []
        for path, manifest in reader.manifests(self.data, kinds=frozenset({kind})):
            assert isinstance(manifest, SegmentManifest), path
            found += reader.read_stream(self.data.root / manifest.path).data.splitlines()
        for stream in reader.open_streams(self.data, kinds=frozenset({kind})):
            found += stream.rows.splitlines()
        return found

    def uploads(self) -> list[UploadManifest]:
        """The offload ledger."""
        return [msgspec.json.decode(row, type=UploadManifest) for row in self.rows("upload")]

    def last(self, kind: str) -> UploadManifest | RetentionManifest | DrillManifest | None:
        """manifests/<kind>/latest.json."""
        shape = {"upload": UploadManifest, "retention": RetentionManifest, "drill": DrillManifest}
        return state.read(self.data.latest(kind), shape[kind])

    def here(self, segment: SegmentManifest) -> bool:
        """True while its data file lies in the data directory."""
        return (self.data.root / segment.path).exists()

    def manifest_path(self, segment: SegmentManifest) -> str:
        """Where its manifest lies, here and there."""
        return segment.path.replace(".jsonl.gz", ".manifest.json")

    def assert_there(self, *segments: SegmentManifest) -> None:
        """The remote holds the very bytes of data and manifest."""
        for each in segments:
            assert each.sha256 == hashlib.sha256(self.remote.read(each.path)).hexdigest()
            found = read_manifest(self.remote.read(self.manifest_path(each)))
            assert each == found

    def end(self) -> None:
        """Nothing of it runs any more."""
        self.rig.end()


@contextmanager
def yard(folder: Path, remote: Remote, **offload: object) -> Iterator[Shipyard]:
    """A shipyard at a remote that is started, until the end of the block."""
    with remote:
        made = Shipyard(folder, remote, **offload)
        try:
            yield made
        finally:
            made.end()
