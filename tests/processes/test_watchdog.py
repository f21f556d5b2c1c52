"""Holds the watchdog as a process: it writes what it saw, tells once, and outlives strangers."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.edge.sentry import LoopbackSentry
from tests.rig import Rig, wait_for
from tests.venue import Venue
from workers.core.health.alerts import Active
from workers.core.health.heartbeats import Condition, Crash, Guard, Heartbeat
from workers.core.health.reports import AlertsManifest, DiskManifest, HealthManifest
from workers.edge.spool import state
from workers.edge.spool.follow import GUARD_TTL_NS
from workers.watchdog import GUARD_INTERVAL_S

FAST = {"interval_s": 0.2, "history_interval_s": 0.4, "checkin_interval_s": 1}
LEVELS = [f"disk_{level}_free_bytes" for level in ("pause", "stop_opening", "warn")]
NO_FLEET = "supervisord_unreachable"
#: The disk that the tests run on is large enough, whatever it is.
ROOMY = {**FAST, **dict(zip(LEVELS, (0, 1, 2), strict=True))}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Venue(tmp_path / "venue", lines=("btc-5m",)) as venue, Rig(tmp_path, venue.url) as rig:
        rig.write_config(watchdog=ROOMY)
        yield rig


def health(rig: Rig) -> HealthManifest | None:
    return state.read(rig.data.latest("health"), HealthManifest)


def raised(rig: Rig) -> list[Active]:
    """The conditions that were told and hold; of the missing fleet a slow test is told too."""
    manifest = state.read(rig.data.latest("alerts"), AlertsManifest)
    held = [each for each in manifest.active if each.is_raised] if manifest else []
    return [each for each in held if each.alert != NO_FLEET]


def active(rig: Rig) -> list[str]:
    return [each.alert for each in raised(rig)]


def looks(rig: Rig, process: subprocess.Popen[bytes]) -> int:
    """How often this process has looked."""
    beat = state.read(rig.data.heartbeat("watchdog"), Heartbeat)
    return beat.counters["looks"] if beat and beat.pid == process.pid else 0


def wait_for_looks(rig: Rig, process: subprocess.Popen[bytes], more: int) -> None:
    """Wait until the watchdog has looked some more times."""
    at = looks(rig, process)
    wait_for(lambda: looks(rig, process) >= at + more, what=f"{more} looks")


def alert_rows(rig: Rig) -> list[dict[str, Any]]:
    lines = [*rig.published_rows("alerts"), *rig.open_rows("alerts")]
    return [msgspec.json.decode(line) for line in lines]


def test_it_writes_health_disk_alerts_and_the_guard_and_leaves_their_history(rig: Rig):
    process = rig.start("watchdog")
    wait_for_looks(rig, process, 3)

    assert 0 == rig.stop(process)
    seen = health(rig)
    disk = state.read(rig.data.latest("disk"), DiskManifest)
    guard = state.read(rig.data.guard, Guard)
    assert "ok" == seen.verdict
    assert "no socket" in seen.supervisord.problem
    assert ["watchdog"] == [each.worker for each in seen.workers]
    assert seen.clock.offset_ms is not None
    assert abs(seen.clock.offset_ms) <= seen.clock.tolerance_ms
    assert "ok" == disk.guard == guard.level
    assert disk.disk.free_bytes > 0
    assert disk.disk.directories["spool"] > 0
    assert state.read(rig.data.latest("alerts"), AlertsManifest) is not None
    page = rig.data.metrics.read_text()
    assert 'orderbooks_verdict{verdict="ok"} 1' in page
    (free,) = [each for each in page.splitlines() if each.startswith("orderbooks_disk_free_bytes ")]
    assert disk.disk.free_bytes == float(free.split()[1])
    assert 0o644 == rig.data.metrics.stat().st_mode & 0o777
    assert len(list(rig.published_rows("health"))) >= 1
    assert len(list(rig.published_rows("disk"))) >= 1
    assert [] == list(rig.open_rows("health"))


def other_worker(*conditions: Condition, age_s: int = 0) -> Heartbeat:
    """A heartbeat of another boot, so that its age runs on the wall clock."""
    return Heartbeat(
        worker="discovery",
        pid=1,
        run="1",
        version="0",
        boot_id="another boot",
        started_wall_ns=0,
        at_wall_ns=time.time_ns() - age_s * 10**9,
        at_mono_ns=0,
        conditions=list(conditions),
    )


def test_a_condition_is_told_once_also_across_a_kill_and_recovers_once(rig: Rig):
    first = rig.start("watchdog")
    state.beat(rig.data, other_worker(Condition(alert="disk_low_warn", detail="x")))
    wait_for(lambda: "disk_low_warn" in active(rig))
    wait_for(lambda: alert_rows(rig))
    first.send_signal(signal.SIGKILL)
    first.wait(10)

    second = rig.start("watchdog")
    wait_for_looks(rig, second, 3)
    assert "disk_low_warn" in active(rig)
    state.beat(rig.data, other_worker())
    wait_for(lambda: "disk_low_warn" not in active(rig))
    rig.stop(second)

    rows = [row for row in alert_rows(rig) if row["alert"] == "disk_low_warn"]
    assert ["raised", "recovered"] == [row["kind"] for row in rows]
    assert rows[0]["since_wall_ns"] == rows[1]["since_wall_ns"]


def place_strangers(rig: Rig) -> None:
    """The worst that can lie where the watchdog reads."""
    beats, data = rig.data.heartbeats, rig.data
    os.mkfifo(beats / "discovery.json")
    (beats / "collector-00.json").symlink_to("/dev/zero")
    (beats / "collector-01.json").mkdir()
    (beats / "collector-02.json").write_bytes(os.urandom(5000))
    (beats / "collector-03.json").write_bytes(b"[" * 3_000_000)
    (beats / "x.crash.json").write_bytes(b"{}")
    os.truncate(os.open(beats / "y.json", os.O_CREAT | os.O_WRONLY), 1 << 40)
    os.mkfifo(data.latest("alerts"))
    os.mkfifo(data.guard)
    (data.latest("health")).symlink_to("/dev/full")
    (data.quarantine / "loop").symlink_to(data.quarantine / "loop")
    (data.queue("upload") / "a.ready").mkdir()
    os.mkfifo(data.queue("normalize") / ".lock")
    (data.root / "raw" / "elsewhere").symlink_to("/proc")


def test_it_outlives_everything_that_can_lie_where_it_reads(rig: Rig):
    place_strangers(rig)
    process = rig.start("watchdog")
    wait_for_looks(rig, process, 2)
    os.mkfifo(rig.data.universe)

    wait_for_looks(rig, process, 3)

    names = {Path(each.path).name for each in health(rig).unread}
    assert process.poll() is None
    assert {"discovery.json", *(f"collector-0{each}.json" for each in range(4))} <= names
    assert {"x.crash.json", "y.json", "universe.json"} <= names
    assert ["quarantine_grew"] == active(rig)
    assert 0 == rig.stop(process)


def test_a_heartbeat_that_stops_is_told_and_its_return_ends_it(rig: Rig):
    state.beat(rig.data, other_worker(age_s=31))
    rig.start("watchdog")

    wait_for(lambda: "worker_silent" in active(rig))
    wait_for(lambda: health(rig) and health(rig).verdict == "failing")
    state.beat(rig.data, other_worker())
    wait_for(lambda: "worker_silent" not in active(rig))


def test_the_guard_follows_the_free_bytes_and_is_told(rig: Rig):
    far = dict(zip(LEVELS, (0, (1 << 50) - 1, 1 << 50), strict=True))
    rig.write_config(watchdog={**FAST, **far})
    first = rig.start("watchdog")
    wait_for(lambda: "disk_low_stop" in active(rig))
    assert "stop_opening" == state.guard(rig.data).level
    rig.stop(first)

    rig.write_config(watchdog=ROOMY)
    rig.start("watchdog")

    wait_for(lambda: state.guard(rig.data).level == "ok")
    wait_for(lambda: active(rig) == [])


def test_the_guard_is_fresh_for_collectors_whatever_the_interval_is():
    assert GUARD_INTERVAL_S * 10**9 * 3 < GUARD_TTL_NS


@pytest.fixture
def sentry(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackSentry]:
    with LoopbackSentry() as receiver:
        monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
        yield receiver


def deliveries(receiver: LoopbackSentry) -> list[dict[str, Any]]:
    return [each for each in receiver.events() if each["tags"]["alert"] != NO_FLEET]


def taken(receiver: LoopbackSentry) -> list[dict[str, Any]]:
    """The events as Sentry keeps them: what comes again under the same id it has already."""
    return list({each["event_id"]: each for each in deliveries(receiver)}.values())


def told(receiver: LoopbackSentry) -> list[tuple[str, str]]:
    return [(each["tags"]["alert"], each["level"]) for each in taken(receiver)]


def test_sentry_is_told_once_when_it_begins_and_once_when_it_ends(rig: Rig, sentry: LoopbackSentry):
    process = rig.start("watchdog")
    (rig.data.quarantine / "x").touch()
    wait_for(lambda: told(sentry) and sentry.check_ins())
    wait_for_looks(rig, process, 5)
    (rig.data.quarantine / "x").unlink()
    wait_for(lambda: active(rig) == [])
    wait_for(lambda: len(told(sentry)) > 1, what="the end of it")
    rig.stop(process)

    assert [("quarantine_grew", "warning"), ("quarantine_grew", "info")] == told(sentry)
    assert {"ok"} == {each["status"] for each in sentry.check_ins()}


def test_what_sentry_was_not_told_it_is_told_when_there_is_one(
    rig: Rig, sentry: LoopbackSentry, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SENTRY_DSN")
    (rig.data.quarantine / "x").touch()
    first = rig.start("watchdog")
    wait_for(lambda: active(rig))
    rig.stop(first)
    monkeypatch.setenv("SENTRY_DSN", sentry.dsn)

    for _ in range(2):
        process = rig.start("watchdog")
        wait_for(lambda: is_sent(rig) == [True])
        count = len(deliveries(sentry))
        wait_for_looks(rig, process, 3)
        rig.stop(process)
        assert count == len(deliveries(sentry))

    assert [("quarantine_grew", "warning")] == told(sentry)


def is_sent(rig: Rig) -> list[bool]:
    return [each.sent for each in raised(rig)]


def test_an_alert_is_sent_once_its_server_took_it(rig: Rig, sentry: LoopbackSentry):
    sentry.status = 503
    (rig.data.quarantine / "x").touch()
    first = rig.start("watchdog")
    wait_for(lambda: len(deliveries(sentry)) >= 3)
    assert [False] == is_sent(rig)
    rig.stop(first)
    assert [False] == is_sent(rig)
    sentry.status = 200

    second = rig.start("watchdog")
    wait_for(lambda: is_sent(rig) == [True])
    count = len(deliveries(sentry))
    wait_for_looks(rig, second, 3)
    rig.stop(second)
    assert count == len(deliveries(sentry))
    assert 1 == len({each["event_id"] for each in deliveries(sentry)})


def test_what_the_server_took_at_the_very_end_is_written_down(rig: Rig, sentry: LoopbackSentry):
    rig.write_config(watchdog={**ROOMY, **dict.fromkeys(FAST, 600)})
    (rig.data.quarantine / "x").touch()
    process = rig.start("watchdog")
    wait_for(sentry.events)

    assert 0 == rig.stop(process), "no second look before"
    assert [True] == is_sent(rig)


def test_a_crash_is_told_once_with_its_traceback_and_without_secrets(
    rig: Rig, sentry: LoopbackSentry
):
    key = sentry.dsn.split("/")[2].split("@")[0]
    crash = Crash(
        worker="collector-00",
        pid=7,
        at_wall_ns=time.time_ns(),
        kind="KeyError",
        message=f"at {key}",
        traceback="Traceback: here",
    )
    state.write(rig.data.crash("collector-00"), crash)
    process = rig.start("watchdog")
    wait_for(sentry.events)
    wait_for_looks(rig, process, 3)
    rig.stop(process)

    (event,) = taken(sentry)
    assert "Traceback: here" == event["contexts"]["condition"]["evidence"]
    assert "collector-00" == event["tags"]["worker"]
    assert key not in str(event)
    assert key not in rig.data.latest("alerts").read_text()
    assert key not in str(alert_rows(rig))


def test_a_dsn_that_is_none_is_an_alert_and_no_death(rig: Rig, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SENTRY_DSN", "not-a-dsn-at-all")
    process = rig.start("watchdog")

    wait_for(lambda: active(rig) == ["sentry_refused"])

    assert process.poll() is None
    assert "not-a-dsn" not in rig.data.latest("alerts").read_text() + rig.log_text()


def test_a_supervisord_that_hangs_does_not_hold_it(rig: Rig):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(rig.data.socket))
        server.listen()
        process = rig.start("watchdog")

        wait_for(lambda: health(rig) and "in time" in health(rig).supervisord.problem)

        assert 0 == rig.stop(process)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 2 MiB of its own, where it may be made."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("making a small filesystem needs root and mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_is_told_to_sentry_and_it_looks_on(small: Path, sentry: LoopbackSentry):
    with Rig(small, "http://127.0.0.1:9") as rig:
        rig.write_config(watchdog=FAST)
        process = rig.start("watchdog")
        wait_for_looks(rig, process, 2)
        filler = small / "filler"
        subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], check=False, capture_output=True)
        both = {("disk_full", "error"), ("disk_low_pause", "error")}
        wait_for(lambda: both <= set(told(sentry)))
        assert process.poll() is None
        filler.unlink()
        wait_for(lambda: disk_full_rows(rig)[-1:] == ["recovered"], what="the row of its end")
        assert "disk_full" not in active(rig)
        assert 0 == rig.stop(process)
        assert "raised" == disk_full_rows(rig)[0]


def disk_full_rows(rig: Rig) -> list[str]:
    return [row["kind"] for row in alert_rows(rig) if row["alert"] == "disk_full"]
