"""uploader: copies what is published to a remote, proves it there, and only then lets it go.

Reads     spool/upload tickets and the files they name, the remote, labels
Writes    the remote (never over a name that is taken); the state of tickets; manifests/upload
          (the offload ledger), manifests/retention, manifests/drill; removes proven data files
          whose days here are over
Promises  a ticket is .done only when the remote lists its data and its manifest once each, with
          our size and our hash; nothing is removed before such a proof, fresh, is written down;
          one bad file holds up no other
Fails     the remote away, full, limited  → rests as the cause says, one alert, files wait here
          a name taken by other content    → that ticket is .failed with the reason, others go on
          rclone missing, too old          → exit 100, a person must act
Never     overwrites or removes anything on the remote; touches a file that is being written
"""

import os
from collections import Counter
from typing import Any

from workers.core.instants import utc_text
from workers.core.offload.offload import DrillManifest, RetentionManifest, UploadManifest
from workers.core.offload.pauses import is_quiet
from workers.core.offload.retention import planned
from workers.edge import lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.machine import Machine
from workers.edge.offload import drill, shipment, sweep
from workers.edge.offload.clerk import Clerk
from workers.edge.offload.courier import Job, Said
from workers.edge.offload.hiring import hired
from workers.edge.offload.patience import Patience
from workers.edge.offload.shipment import Shipped
from workers.edge.spool import locks, outbox, state
from workers.edge.spool.outbox import Parcel

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
#: How often a running command is looked at; a batch of a few files takes tenths of a second.
POLL_NS = 30_000_000
IDLE_NS = NS_PER_S


class Uploader:
    """One job at a time: a batch, a sweep of retention, or a drill."""

    def __init__(self, bench: Bench) -> None:
        self._bench, self._world, self._data = bench, bench.world, bench.data
        self._rules = bench.settings.offload
        lock_fd = locks.own(bench.data.queue("upload"))
        drill.clear(bench.data)
        crew = hired(bench.data, self._rules, bench.remote, environment=os.environ, lock_fd=lock_fd)
        self._courier, self._versions = crew.courier, bench.writer.versions | crew.versions
        self._clerk = Clerk(bench.data, bench.recorder, bench.writer.worker, bench.world)
        self._job: Job[None] | None = None
        self._tries: Counter[str] = Counter()
        self._patience = Patience(bench.tell, bench.world, self._rules.limit_pause_s)
        self._numbers, self._is_sure, self._is_hindered = 0, False, False
        self._batch_mono_ns = self._sweep_mono_ns = 0
        self._drill_wall_ns = _last_drill_wall_ns(bench)
        self._counters: Counter[str] = Counter()
        self._last_proof_wall_ns: int | None = None
        self._judge_drill(state.read(bench.data.latest("drill"), DrillManifest))

    def step(self) -> int:
        """Go on with the job, or begin the next one that is due."""
        self._job = self._job or self._next_job()
        is_at_work = self._job is not None
        if self._job is not None:
            try:
                next(self._job)
            except StopIteration:
                self._job = None
            except BaseException:
                self._job = None
                raise
        self._bench.tend()
        return self._world.mono_ns() + (POLL_NS if is_at_work else IDLE_NS)

    def _next_job(self) -> Job[None] | None:
        mono_ns, wall_ns = self._world.mono_ns(), self._world.wall_ns()
        if mono_ns < self._patience.resume_mono_ns or is_quiet(
            self._rules.quiet_hours, wall_ns // NS_PER_MS
        ):
            return None
        # A sweep or a drill that is due goes before the next batch: behind a backlog that never
        # ends, retention would never free the disk.
        if mono_ns >= self._sweep_mono_ns:
            return self._sweep()
        drill_ns = int(self._rules.drill_interval_s * NS_PER_S)
        if drill_ns and wall_ns - self._drill_wall_ns >= drill_ns:
            return self._drill()
        if mono_ns >= self._batch_mono_ns and (parcels := self._parcels()):
            return self._batch(parcels)
        return None

    def _parcels(self) -> list[Parcel]:
        parcels = outbox.waiting(
            self._data,
            files=self._rules.batch_files,
            size_bytes=self._rules.batch_bytes,
            tried=self._tries,
        )
        size = sum(each.data.bytes for each in parcels)
        is_full = len(parcels) == self._rules.batch_files or size >= self._rules.batch_bytes
        if not is_full:
            # The next batch gathers what comes until then.
            pause_ns = int(self._rules.interval_s * NS_PER_S)
            self._batch_mono_ns = self._world.mono_ns() + pause_ns
        return parcels

    def _batch(self, parcels: list[Parcel]) -> Job[None]:
        started_wall_ns = self._world.wall_ns()
        self._tries.update(parcel.name for parcel in parcels)
        done = yield from shipment.shipped(
            self._courier,
            self._data,
            parcels,
            prove_by_download=self._rules.prove_by_download,
            begin="copy" if self._is_sure else "list",
        )
        self._is_sure = done.said.failure is None
        manifest = shipment.manifest_of(
            done,
            batch=self._number(),
            remote=self._courier.remote,
            versions=self._versions,
            started_wall_ns=started_wall_ns,
            wall_ns=self._world.wall_ns(),
            tries=self._tries,
        )
        self._clerk.write("upload", manifest)
        states = Counter(outbox.settle(parcel, done.of(parcel)) for parcel in parcels)
        self._take_note(manifest, states)
        for name in [name for name in self._tries if not outbox.is_waiting(self._data, name)]:
            del self._tries[name]
        self._learn(done)

    def _learn(self, done: Shipped) -> None:
        """Rest, and say what holds of the remote; who asked it nothing learnt nothing of it."""
        failure = done.said.failure
        if failure is None and not done.said.commands:
            return
        self._is_hindered = any(each.verdict in {"unknown", "missing"} for each in done.verdicts)
        self._patience.rest(failure if self._is_hindered else None)
        unproven = [each.detail for each in done.verdicts if each.verdict == "unproven"]
        if unproven or not self._is_hindered:
            self._patience.say("remote_unproven", unproven[0] if unproven else "")

    def _take_note(self, manifest: UploadManifest, states: Counter[str]) -> None:
        self._counters["batches"] += 1
        self._counters["proven_files"] += manifest.verdicts.get("proven", 0)
        self._counters["proven_bytes"] += manifest.bytes
        self._counters["failed_tickets"] += states[".failed"]
        if states[".done"]:
            self._last_proof_wall_ns = self._world.wall_ns()
        self._bench.tell(
            "batch_judged",
            batch=manifest.batch,
            files=len(manifest.files),
            verdicts=manifest.verdicts,
            bytes=manifest.bytes,
            bytes_per_s=manifest.bytes_per_s,
            cause=manifest.cause,
        )

    def _sweep(self) -> Job[None]:
        try:
            yield from self._swept()
        finally:
            pause_ns = int(self._bench.settings.retention.interval_s * NS_PER_S)
            self._sweep_mono_ns = self._world.mono_ns() + pause_ns

    def _swept(self) -> Job[None]:
        rules, wall_ns = self._bench.settings.retention, self._world.wall_ns()
        if not (rules.keep_days or rules.min_free_bytes):
            return
        plan = planned(
            outbox.candidates(self._data),
            rules,
            now_ms=wall_ns // NS_PER_MS,
            free_bytes=Machine(self._data.root).room().free_bytes,
        )
        found = yield from sweep.listed(
            self._courier, self._data, plan, prove_by_download=self._rules.prove_by_download
        )
        failure = found.said.failure
        # That the remote lists files says nothing of a batch that it does not take.
        if failure is not None or (found.said.commands and not self._is_hindered):
            self._patience.rest(failure)
        lost = "; ".join(f"{each.facts.path}: {each.verdict} {each.detail}" for each in found.lost)
        if failure is None:
            self._patience.say("remote_changed", lost)
        if not found.rows:
            return
        listed = RetentionManifest(
            batch=self._number(),
            step="listed",
            remote=self._courier.remote,
            at_utc=utc_text(wall_ns),
            files=found.rows,
            bytes=sum(each.bytes for each in found.rows),
            kept=found.kept,
        )
        self._clerk.write("retention", listed)
        sweep.let_go(self._data, found.rows)
        self._clerk.write("retention", sweep.done(listed, self._world.wall_ns()))
        self._counters["released_files"] += len(found.rows)
        self._bench.tell("files_released", files=len(found.rows), bytes=listed.bytes)

    def _drill(self) -> Job[None]:
        try:
            yield from self._drilled()
        finally:
            self._drill_wall_ns = self._world.wall_ns()

    def _drilled(self) -> Job[None]:
        started_wall_ns, said = self._world.wall_ns(), Said()
        path = outbox.offloaded_one(self._data, self._world.roll)
        if path is None:
            return
        found = yield from drill.drilled(self._courier, self._data, path, said)
        wall_ns = self._world.wall_ns()
        manifest = DrillManifest(
            batch=self._number(),
            remote=self._courier.remote,
            at_utc=utc_text(wall_ns),
            path=path,
            bytes=found.bytes,
            rows=found.rows,
            seconds=round((wall_ns - started_wall_ns) / NS_PER_S, 3),
            problems=found.problems,
            cause=said.failure.cause if said.failure else None,
        )
        self._clerk.write("drill", manifest)
        self._judge_drill(manifest)
        self._bench.tell(
            "drill_ended", path=path, problems=len(found.problems), cause=manifest.cause
        )

    def _judge_drill(self, last: DrillManifest | None) -> None:
        problem = "" if last is None or last.passed else "; ".join(last.problems) or last.cause
        self._patience.say("drill_failed", f"{last.path}: {problem}" if last and problem else "")

    def _number(self) -> str:
        """`uploader.<run>.<n>`: unique for ever."""
        self._numbers += 1
        return f"{self._bench.writer.worker}.{self._bench.writer.run}.{self._numbers}"

    def beat(self) -> dict[str, Any]:
        """Counters, and the conditions that hold."""
        return {
            "last_success_wall_ns": self._last_proof_wall_ns,
            "counters": dict(self._counters),
            **self._patience.beat(),
        }

    def close(self) -> None:
        """End a command that runs; what it did not finish is done by the next start."""
        if self._job is not None:
            self._job.close()


def _last_drill_wall_ns(bench: Bench) -> int:
    """When the last drill was, from its manifest; an archive without one waits a whole interval."""
    path = bench.data.latest("drill")
    return path.stat().st_mtime_ns if path.exists() else bench.world.wall_ns()


def main(argv: list[str] | None = None) -> int:
    """Run the uploader until it is asked to stop; returns the exit code."""
    return lifecycle.main("uploader", Uploader, argv)


if __name__ == "__main__":
    raise SystemExit(main())
