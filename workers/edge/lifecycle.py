"""The loop that every worker runs: own, recover, step, beat, stop. Written once.

Reads     the settings file
Writes    spool/heartbeat/<worker>.json, and .crash.json at an unexpected death
Promises  SIGTERM ends the worker after its step with everything published; a dead supervisord
          takes its workers with it (PR_SET_PDEATHSIG); Temporary never ends the process.
Fails     exit 0 stopped as asked · 1 a bug (restarted) · 2 wrong command line · 100 a person must
          act (not restarted); it waits until supervisord counts the start as good, or supervisord
          would start it again. Every bug leaves a .crash.json and rests before the exit.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import msgspec

from workers import VERSION
from workers.core.archive.manifests import Writer
from workers.core.errors import NeedsAPerson, Temporary, is_disk_trouble
from workers.core.health.heartbeats import Crash, Heartbeat
from workers.core.polling.cadence import BackoffRules, backoff_s
from workers.core.settings.settings import Settings
from workers.edge import settings_file
from workers.edge.eventlog import EventLog
from workers.edge.spool import state
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder
from workers.edge.spool.recovery import Finding
from workers.edge.spool.takeover import take_over
from workers.edge.world import World, die_with_parent, stop_on_signals

#: Workers that record a share of the markets.
SHARDED = frozenset({"collector", "streamer"})
EXIT_STOPPED, EXIT_BUG, EXIT_USAGE, EXIT_NEEDS_A_PERSON = 0, 1, 2, 100
#: A worker that must leave waits until it is this old: an exit before startsecs counts as a
#: failed start whatever its code. tests/test_supervisord.py holds it above startsecs.
GOOD_START_S = 11.0
#: Pause before an unexpected death: supervisord restarts a late one without any delay.
CRASH_REST_S = 3.0
BEAT_INTERVAL_NS = 1_000_000_000
NS_PER_S = 1_000_000_000
Made = TypeVar("Made")
_STEP_BACKOFF = BackoffRules(base_s=0.5, cap_s=15.0, blocked_s=0.5, retry_after_cap_s=60.0)


class Bench(msgspec.Struct, frozen=True):
    """Everything a worker is given: its settings, place, identity, clock, log and recorder."""

    settings: Settings
    config_sha256: str
    remote: str
    data: DataDir
    writer: Writer
    world: World
    log: EventLog
    recorder: Recorder
    boot_id: str

    def tend(self) -> None:
        """Let the recorder flush, sync and publish; tell what came of it."""
        recorder, world = self.recorder, self.world
        was = recorder.trouble
        recorder.tend(wall_ns=world.wall_ns(), mono_ns=world.mono_ns())
        self.tell_published()
        if recorder.trouble and not was:
            self.tell("disk_refused", reason=recorder.trouble.reason)
        if was and not recorder.trouble:
            refused_s = (world.wall_ns() - was.since_wall_ns) // NS_PER_S
            self.tell("disk_recovered", refused_s=refused_s)

    def tell_published(self) -> None:
        """One line for each segment that was committed since the last call."""
        while self.recorder.news:
            done = self.recorder.news.pop(0)
            self.tell(
                "segment_published",
                name=done.name,
                rows=done.told.rows,
                bytes=done.bytes,
                ended=done.ended,
            )

    def tell(self, event: str, **fields: Any) -> None:  # noqa: ANN401
        """Write one catalogued event."""
        self.log.write(event, self.world.wall_ns(), **fields)


class Worker(Protocol):
    """What a process module provides."""

    def step(self) -> int:
        """Do one unit of work; returns when to be called again, in monotonic nanoseconds."""

    def beat(self) -> dict[str, Any]:
        """The worker's own part of its heartbeat."""

    def close(self) -> None:
        """Write the last rows; the lifecycle then publishes everything."""


def main(name: str, make: Callable[[Bench], Worker], argv: list[str] | None = None) -> int:
    """Run a worker until it is asked to stop; returns the exit code."""
    die_with_parent()
    world = World()
    stop_on_signals(world)
    started_mono_ns = world.mono_ns()
    arguments = _arguments(name, argv)
    worker_name = name if arguments.shard is None else f"{name}-{arguments.shard:02d}"
    log = EventLog(worker_name, arguments.shard)
    try:
        _run(_prepare(worker_name, arguments, world, log), make)
    except NeedsAPerson as error:
        for line in str(error).splitlines():
            log.write("stopped_for_a_person", world.wall_ns(), reason=line, hint=error.hint)
        world.wait_until(started_mono_ns + int(GOOD_START_S * NS_PER_S))
        return EXIT_STOPPED if world.stop.is_set() else EXIT_NEEDS_A_PERSON
    return EXIT_STOPPED


def _arguments(name: str, argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m workers.{name}")
    parser.add_argument("--config", type=Path, default=os.environ.get("ORDERBOOKS_CONFIG"))
    parser.add_argument("--shard", type=int)
    parser.add_argument("--shards", type=int)
    arguments = parser.parse_args(argv)
    if arguments.config is None:
        parser.error("--config FILE or ORDERBOOKS_CONFIG is needed")
    has_shard = arguments.shard is not None and arguments.shards is not None
    if has_shard and not 0 <= arguments.shard < arguments.shards <= 100:
        parser.error("--shard and --shards: expected 0 ≤ shard < shards ≤ 100")
    if not has_shard and (arguments.shard is not None or name in SHARDED):
        parser.error("--shard N and --shards M belong together")
    return arguments


def _prepare(worker: str, arguments: argparse.Namespace, world: World, log: EventLog) -> Bench:
    loaded = settings_file.load(arguments.config)
    settings = loaded.settings
    data = DataDir(loaded.data_dir)
    writer = Writer(
        worker=worker,
        run=str(world.wall_ns() // 1_000_000),
        versions={"orderbooks": VERSION, "python": sys.version.split()[0]},
        shard=arguments.shard,
        shards=arguments.shards,
    )
    limits = Limits(
        flush_interval_s=settings.segments.flush_interval_s,
        sync_interval_s=settings.segments.sync_interval_s,
        retry_pause_s=settings.segments.retry_pause_s,
        max_segment_bytes=settings.segments.max_segment_bytes,
        deflate_level=settings.segments.deflate_level,
    )
    return Bench(
        settings=settings,
        config_sha256=loaded.config_sha256,
        remote=loaded.remote,
        data=data,
        writer=writer,
        world=world,
        log=log,
        recorder=Recorder(data, writer, limits),
        boot_id=_boot_id(),
    )


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _take_over(bench: Bench) -> list[Finding]:
    bench.data.prepare()
    return take_over(
        bench.data,
        bench.writer,
        level=bench.settings.segments.deflate_level,
        wall_ns=bench.world.wall_ns(),
    )


def _patiently(bench: Bench, attempt: Callable[[], Made]) -> Made | None:
    """Try until it works; None when asked to stop before."""
    failures = 0
    while not bench.world.stop.is_set():
        try:
            return attempt()
        except (Temporary, OSError) as error:
            failures += 1
            _postpone(bench, error, failures)
    return None


def _postpone(bench: Bench, error: Temporary | OSError, failures: int) -> None:
    if isinstance(error, OSError) and not is_disk_trouble(error):
        raise error
    pause_s = backoff_s(
        failures, "", roll=bench.world.roll(), rules=_STEP_BACKOFF, retry_after_s=None
    )
    bench.tell("step_postponed", failures=failures, pause_s=round(pause_s, 3), reason=str(error))
    bench.world.wait_until(bench.world.mono_ns() + int(pause_s * NS_PER_S))


def _run(bench: Bench, make: Callable[[Bench], Worker]) -> None:
    try:
        findings = _patiently(bench, lambda: _take_over(bench))
        for finding in findings or ():
            bench.tell("segment_recovered", **msgspec.structs.asdict(finding))
        # What an orphan of the last one holds, such as a queue, it lets go when it ends.
        worker = _patiently(bench, lambda: make(bench))
        if worker is None:
            return
        bench.tell(
            "worker_started",
            version=VERSION,
            run=bench.writer.run,
            config=bench.config_sha256[:12],
        )
        _loop(bench, worker)
        worker.close()
        now = {"wall_ns": bench.world.wall_ns(), "mono_ns": bench.world.mono_ns()}
        bench.recorder.close("stop", **now)
        bench.tell_published()
        _beat(bench, worker, "stopped")
        uptime_s = (bench.world.wall_ns() // 1_000_000 - int(bench.writer.run)) // 1000
        bench.tell("worker_stopped", reason="asked", uptime_s=uptime_s)
    except NeedsAPerson:
        raise
    except Exception as error:
        _crashed(bench, error)
        raise


def _loop(bench: Bench, worker: Worker) -> None:
    failures, next_beat_mono_ns = 0, 0
    while not bench.world.stop.is_set():
        try:
            again_mono_ns = worker.step()
            failures = 0
        except (Temporary, OSError) as error:
            failures += 1
            _postpone(bench, error, failures)
            again_mono_ns = 0
        if bench.world.mono_ns() >= next_beat_mono_ns:
            _beat(bench, worker, "running")
            next_beat_mono_ns = bench.world.mono_ns() + BEAT_INTERVAL_NS
        bench.world.wait_until(again_mono_ns)


def _beat(bench: Bench, worker: Worker, life: str) -> None:
    heartbeat = Heartbeat(
        worker=bench.writer.worker,
        shard=bench.writer.shard,
        shards=bench.writer.shards,
        pid=os.getpid(),
        run=bench.writer.run,
        version=VERSION,
        boot_id=bench.boot_id,
        started_wall_ns=int(bench.writer.run) * 1_000_000,
        at_wall_ns=bench.world.wall_ns(),
        at_mono_ns=bench.world.mono_ns(),
        state=life,
        **worker.beat(),
    )
    try:
        state.beat(bench.data, heartbeat)
    except OSError as error:
        # A beat that the disk refuses is late, and late is what the watchdog looks for.
        if not is_disk_trouble(error):
            raise


def _crashed(bench: Bench, error: Exception) -> None:
    crash = Crash(
        worker=bench.writer.worker,
        pid=os.getpid(),
        at_wall_ns=bench.world.wall_ns(),
        kind=type(error).__name__,
        message=_as_utf8(str(error)[:500]),
        traceback=_as_utf8(traceback.format_exc()[-8000:]),
    )
    bench.tell("worker_crashed", kind=crash.kind, message=crash.message)
    try:
        state.write(bench.data.crash(crash.worker), crash)
    except OSError as failure:
        # The log has it; a full disk must not hide the bug behind its own error.
        bench.tell("disk_refused", reason=str(failure))
    bench.world.wait_until(bench.world.mono_ns() + int(CRASH_REST_S * NS_PER_S))


def _as_utf8(text: str) -> str:
    """A text that may quote a file name of any bytes, as JSON can hold it."""
    return text.encode("utf-8", "backslashreplace").decode()
