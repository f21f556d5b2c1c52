"""An uploader's work done in this process, on a small archive and a loopback remote.

Used by tests only. The steps are the real ones (shipment, sweep, clerk); only the loop around
them, which the tests of the uploader hold, is not here.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from tests.remotes.remote import Remote
from tests.tools.archives import Fleet, Worker
from workers.core.instants import utc_text
from workers.core.offload.offload import DrillManifest, RetentionManifest, UploadManifest
from workers.core.offload.retention import Candidate, planned
from workers.core.settings.settings import Offload, Retention
from workers.edge.offload import shipment, sweep
from workers.edge.offload.clerk import Clerk
from workers.edge.offload.foreground import finished
from workers.edge.offload.hiring import hired
from workers.edge.spool import locks, outbox
from workers.edge.spool.outbox import Parcel
from workers.edge.world import World
from workers.tools.__main__ import main

NOW_MS = 1_776_412_800_000
"""A day after the archive of `whole_minute`."""


class Yard:
    """A fleet's archive, its remote and its uploader."""

    def __init__(self, fleet: Fleet, remote: Remote, folder: Path, **rules: object) -> None:
        self.fleet, self.data, self.remote = fleet, fleet.data, remote
        self.config = folder / "orderbooks.yaml"
        offload = {"remote": remote.remote, **rules}
        self.rules = Offload(**offload)  # type: ignore[arg-type]
        self.write_config({"keep_days": 1})
        self._world = World()
        self._environment: Mapping[str, str] = remote.environment
        self._number = 0

    def write_config(self, retention: dict[str, int]) -> None:
        """The settings of this archive."""
        offload = {"remote": self.remote.remote, "prove_by_download": self.rules.prove_by_download}
        settings = {"data_dir": str(self.data.root), "offload": offload, "retention": retention}
        self.config.write_text(json.dumps(settings))

    def orderbooks(self, verb: str, *words: str) -> int:
        """Run the command with this archive's settings; returns its exit code."""
        return main([verb, "--config", str(self.config), *words])

    def ship(self) -> UploadManifest:
        """One batch of everything that waits; the ledger row is in an open segment."""
        parcels = outbox.waiting(self.data, files=1000, size_bytes=1 << 40, tried={})
        return self._written(parcels)

    def ship_all(self) -> UploadManifest:
        """Everything, the ledger of the first batch too."""
        first = self.ship()
        self.ship()
        return first

    @cached_property
    def _crew(self):
        return hired(
            self.data, self.rules, self.remote.remote, environment=self._environment, lock_fd=None
        )

    def _as_uploader(self, write: Callable[[Clerk], None]) -> None:
        worker = Worker(self.data, "uploader", self._world.wall_ns() // 10**6, None, None)
        write(Clerk(self.data, worker.recorder, "uploader", self._world))
        worker.recorder.close("stop", wall_ns=self._world.wall_ns(), mono_ns=self._world.mono_ns())
        locks.release_all()

    def _written(self, parcels: list[Parcel]) -> UploadManifest:
        crew, started = self._crew, self._world.wall_ns()
        job = shipment.shipped(
            crew.courier,
            self.data,
            parcels,
            prove_by_download=self.rules.prove_by_download,
            begin="copy",
        )
        done = finished(job)
        manifest = shipment.manifest_of(
            done,
            batch=self._next(),
            remote=self.remote.remote,
            versions=crew.versions,
            started_wall_ns=started,
            wall_ns=self._world.wall_ns(),
            tries={},
        )
        self._as_uploader(lambda clerk: clerk.write("upload", manifest))
        for parcel in parcels:
            outbox.settle(parcel, done.of(parcel))
        return manifest

    def _next(self) -> str:
        self._number += 1
        return f"uploader.1.{self._number}"

    def let_go(self, may: Callable[[Candidate], bool]) -> RetentionManifest:
        """A sweep of retention over the old files that `may` chooses; proof is asked for."""
        chosen = [each for each in outbox.candidates(self.data) if may(each)]
        plan = planned(chosen, Retention(keep_days=1), now_ms=NOW_MS * 2, free_bytes=0)
        found = finished(
            sweep.listed(self._crew.courier, self.data, plan, prove_by_download="without_hash")
        )
        listed = RetentionManifest(
            batch=self._next(),
            step="listed",
            remote=self.remote.remote,
            at_utc=utc_text(self._world.wall_ns()),
            files=found.rows,
            bytes=sum(row.bytes for row in found.rows),
        )
        self._as_uploader(lambda clerk: clerk.write("retention", listed))
        sweep.let_go(self.data, found.rows)
        return listed

    def drill(self, *problems: str) -> None:
        """Write down a drill."""
        row = DrillManifest(
            batch=self._next(),
            remote=self.remote.remote,
            at_utc=utc_text(self._world.wall_ns()),
            path="raw/x",
            problems=list(problems),
        )
        self._as_uploader(lambda clerk: clerk.write("drill", row))


def of_kind(*kinds: str) -> Callable[[Candidate], bool]:
    """Candidates of these kinds."""
    return lambda each: any(f"--{kind}--" in each.name for kind in kinds)
