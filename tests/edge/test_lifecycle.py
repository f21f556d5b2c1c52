"""Holds edge.lifecycle: one owner, exits 0, 1, 2 and 100, nothing lost at a stop or a death."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workers.core.health.heartbeats import Crash, Heartbeat
from workers.edge.spool import reader, state
from workers.edge.spool.directory import DataDir
from workers.edge.world import Wish

LIMIT_S = 30.0
ROOT = Path(__file__).resolve().parents[2]


def _until(holds: Callable[[], object], what: str) -> None:
    """Wait for a condition, looking often; a test's only clock."""
    end = time.monotonic() + LIMIT_S
    while not holds():
        if time.monotonic() > end:
            pytest.fail(f"within {LIMIT_S} s: {what}")
        threading.Event().wait(0.01)


@dataclass
class Fleet:
    """Stand-in workers over one data directory."""

    folder: Path
    made: list[subprocess.Popen] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.config = self.folder / "orderbooks.yaml"
        self.config.write_text((ROOT / "config/orderbooks.yaml").read_text())
        # The shipped file names a place of its own; here everything lies below the test.
        lines = self.config.read_text().splitlines()
        shown = [
            f"data_dir: {self.folder}/data" if each.startswith("data_dir:") else each
            for each in lines
        ]
        self.config.write_text("\n".join(shown) + "\n")
        self.data = DataDir(self.folder / "data")

    def start(self, *arguments: str, mode: str = "", name: str = "watchdog") -> subprocess.Popen:
        argv = [sys.executable, "-m", "tests.edge.worker", "--config", str(self.config), *arguments]
        log = (self.folder / f"log-{len(self.made)}").open("wb")
        env = {**os.environ, "MODE": mode, "NAME": name}
        process = subprocess.Popen(argv, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
        log.close()
        self.made.append(process)
        return process

    def log(self, number: int = 0) -> list[dict]:
        """The events of the n-th process; other lines (a traceback) left out."""
        text = (self.folder / f"log-{number}").read_text(errors="replace")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def events(self, number: int = 0) -> list[str]:
        return [each["event"] for each in self.log(number)]

    def beat(self, name: str = "watchdog") -> Heartbeat | None:
        return state.read(self.data.heartbeat(name), Heartbeat)

    def steps(self) -> int:
        beat = self.beat()
        return beat.counters.get("steps", 0) if beat else 0

    def ends(self) -> list[str]:
        """Why the published segments ended; an hour may end in any test."""
        found = [each.ended for _, each in reader.manifests(self.data)]
        return [each for each in found if each != "hour"]

    def rows(self) -> list[str]:
        streams = [
            reader.read_stream(self.data.root / each.path).data
            for _, each in reader.manifests(self.data)
        ]
        return [json.loads(line)["id"] for stream in streams for line in stream.splitlines()]


@pytest.fixture
def fleet(tmp_path) -> Iterator[Fleet]:
    made = Fleet(tmp_path)
    yield made
    for process in made.made:
        process.kill()
        process.wait()


def test_a_stop_publishes_everything_and_leaves_with_0(fleet):
    process = fleet.start()
    _until(lambda: fleet.beat() and fleet.log(), "a heartbeat")
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(LIMIT_S)
    told = ["worker_started", "segment_published", "worker_stopped"]
    assert told == list(dict.fromkeys(fleet.events()))
    assert fleet.rows()[-1].endswith("-last")
    assert [] == list(fleet.data.open_folder("watchdog").glob("*.open"))
    assert ["stop"] == fleet.ends()
    beat = fleet.beat()
    assert ("stopped", process.pid, "watchdog") == (beat.state, beat.pid, beat.worker)


def test_a_stop_by_ctrl_c_is_a_stop(fleet):
    process = fleet.start()
    _until(fleet.beat, "a heartbeat")
    process.send_signal(signal.SIGINT)

    assert 0 == process.wait(LIMIT_S)


def test_a_heartbeat_says_who_and_since_when(fleet):
    process = fleet.start("--shard", "1", "--shards", "2", name="collector")
    _until(lambda: fleet.beat("collector-01"), "a heartbeat")
    beat = fleet.beat("collector-01")

    assert ("collector-01", 1, 2, process.pid, "running") == (
        beat.worker,
        beat.shard,
        beat.shards,
        beat.pid,
        beat.state,
    )
    assert int(beat.run) * 1_000_000 == beat.started_wall_ns <= beat.at_wall_ns
    assert beat.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_a_killed_worker_is_salvaged_by_the_next_one(fleet):
    first = fleet.start()
    _until(fleet.beat, "a heartbeat")
    first.kill()
    first.wait()
    flushed = sorted(fleet.data.open_folder("watchdog").glob("*.open"))
    lines = [line for path in flushed for line in reader.read_stream(path).data.splitlines()]
    kept = [json.loads(line)["id"] for line in lines]

    second = fleet.start()
    _until(lambda: "worker_started" in fleet.events(1), "a second start")
    second.send_signal(signal.SIGTERM)

    assert 0 == second.wait(LIMIT_S)
    assert "segment_recovered" in fleet.events(1)
    assert kept
    assert kept == [each for each in fleet.rows() if each in kept]
    assert {"cut_short", "stop"} == set(fleet.ends())


def test_a_worker_dies_with_its_parent(fleet, tmp_path):
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'tests.edge.worker', *sys.argv[1:]])\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, "--config", str(fleet.config)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    fleet.made.append(parent)
    _until(fleet.beat, "a heartbeat")
    pid = fleet.beat().pid
    parent.kill()
    parent.wait()

    _until(lambda: fleet.beat().state == "stopped", "the orphan stops")
    _until(lambda: not Path(f"/proc/{pid}").exists() or _is_zombie(pid), "the orphan is gone")


def _is_zombie(pid: int) -> bool:
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_a_second_owner_waits_and_takes_over(fleet):
    first = fleet.start()
    _until(fleet.beat, "a heartbeat")
    second = fleet.start()
    _until(lambda: fleet.log(1), "the second waits")

    assert {"step_postponed"} == set(fleet.events(1))
    assert f"process {first.pid} holds it" in fleet.log(1)[0]["reason"]

    first.send_signal(signal.SIGTERM)
    assert 0 == first.wait(LIMIT_S)
    _until(lambda: "worker_started" in fleet.events(1), "the second takes over")
    second.send_signal(signal.SIGTERM)
    assert 0 == second.wait(LIMIT_S)


def test_a_waiting_owner_can_be_stopped(fleet):
    fleet.start()
    _until(fleet.beat, "a heartbeat")
    second = fleet.start()
    _until(lambda: fleet.log(1), "the second waits")
    second.send_signal(signal.SIGTERM)

    assert 0 == second.wait(LIMIT_S)


def test_a_collector_that_counts_shards_differently_waits(fleet):
    fleet.start("--shard", "0", "--shards", "2", name="collector")
    _until(lambda: fleet.beat("collector-00"), "a heartbeat")
    fleet.start("--shard", "1", "--shards", "3", name="collector")
    _until(lambda: fleet.log(1), "the other waits")

    assert "live collectors count 2" in fleet.log(1)[0]["reason"]


@pytest.mark.parametrize("mode", ["bug", "bug at start"])
def test_a_bug_leaves_with_1_its_traceback_and_its_rows_for_the_next(fleet, mode):
    process = fleet.start(mode=mode)

    assert 1 == process.wait(LIMIT_S)
    crash = state.read(fleet.data.crash("watchdog"), Crash)
    assert ("watchdog", process.pid, "RuntimeError") == (crash.worker, crash.pid, crash.kind)
    assert "planted" in crash.message
    assert "Traceback" in crash.traceback
    assert "worker_crashed" in fleet.events()
    assert "worker_stopped" not in fleet.events()


@pytest.mark.parametrize("mode", ["temporary", "disk"])
def test_what_may_pass_is_waited_for(fleet, mode):
    process = fleet.start(mode=mode)
    _until(lambda: "step_postponed" in fleet.events(), "a postponed step")
    postponed = next(each for each in fleet.log() if each["event"] == "step_postponed")
    seen = fleet.steps()
    _until(lambda: fleet.steps() > max(seen, 3), "the next steps")
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(LIMIT_S)
    assert 1 == postponed["failures"]


def test_what_needs_a_person_leaves_with_100_and_says_what_to_do(fleet):
    process = fleet.start(mode="person")

    assert 100 == process.wait(LIMIT_S)
    told = [each for each in fleet.log() if each["event"] == "stopped_for_a_person"]
    assert [("first line", "do this"), ("second line", "do this")] == [
        (each["reason"], each["hint"]) for each in told
    ]


def test_every_mistake_of_a_settings_file_is_in_the_log(fleet):
    fleet.config.write_text("\n".join(f"no_such_setting_{number}: 1" for number in range(45)))
    process = fleet.start()

    assert 100 == process.wait(LIMIT_S)
    reasons = "\n".join(each["reason"] for each in fleet.log())
    assert [] == [number for number in range(45) if f"no_such_setting_{number}" not in reasons]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--shard", "0"],
        ["--shard", "2", "--shards", "2"],
        ["--shard", "x", "--shards", "2"],
        ["--shards", "101", "--shard", "0"],
        ["--nonsense"],
    ],
)
def test_a_wrong_command_line_leaves_with_2(fleet, arguments):
    assert 2 == fleet.start(*arguments).wait(LIMIT_S)


def test_a_universe_that_cannot_be_read_does_not_stop_the_start(fleet):
    fleet.data.prepare()
    fleet.data.universe.write_bytes(b'{"schema":')
    process = fleet.start()
    _until(fleet.beat, "a heartbeat")
    process.send_signal(signal.SIGTERM)

    assert 0 == process.wait(LIMIT_S)


def test_a_data_directory_that_is_a_file_needs_a_person(fleet):
    fleet.data.root.write_text("in the way")

    assert 100 == fleet.start().wait(LIMIT_S)
    assert "prepare the data directory" in fleet.log()[0]["reason"]


def test_a_signal_that_meets_a_wait_never_locks_it():
    """threading.Event deadlocks here within seconds: its set() in a handler is not re-entrant."""
    code = (
        "import os, random, sys, time\n"
        "while os.read(0, 1):\n"
        "    end = time.perf_counter() + random.random() * 2e-4\n"
        "    while time.perf_counter() < end: pass\n"
        f"    os.kill({os.getpid()}, 10)\n"
    )
    wishes = [Wish()]
    before = signal.signal(signal.SIGUSR1, lambda *_: wishes[-1].set())
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, bufsize=0)
    try:
        for _ in range(3000):
            wish = wishes[-1]
            other.stdin.write(b".")
            while not wish.wait(0.00005):
                pass
            os.close(wish._ear)
            os.close(wish._mouth)
            wishes[:] = [Wish()]
    finally:
        other.kill()
        other.wait()
        other.stdin.close()
        signal.signal(signal.SIGUSR1, before)
