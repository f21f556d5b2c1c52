"""Holds what the gate finds in an archive: deaths with rows after them, cuts that health shows."""

import pytest

from tests.tools import days
from tests.tools.archives import HOUR_MS, LIMITS, Fleet, S, market
from workers.core.archive.manifests import Writer, encode
from workers.core.health.looks import ClockSeen
from workers.core.health.reports import HealthManifest, SupervisorHealth
from workers.edge.gating import history
from workers.edge.soaking.account import Span
from workers.edge.spool import locks
from workers.edge.spool.recorder import Recorder, Stream
from workers.edge.spool.recovery import Salvager

SPAN = Span(HOUR_MS, HOUR_MS + 60 * S)


def manifest(at_s: int, verdict: str) -> HealthManifest:
    return HealthManifest(
        at_utc="",
        at_wall_ns=(HOUR_MS + at_s * S) * days.MS,
        verdict=verdict,
        reasons=[],
        supervisord=SupervisorHealth(pid=1, problem=""),
        processes=[],
        workers=[],
        markets=[],
        queues=[],
        quarantined=0,
        clock=ClockSeen(),
        guard="ok",
        unread=[],
        write_problem="",
        look_ms=1,
    )


def watched(fleet: Fleet, *verdicts: tuple[int, str]) -> None:
    """A history of health."""
    writer = Writer(worker="watchdog", run=str(HOUR_MS), versions={})
    fleet.data.open_folder("watchdog").mkdir(exist_ok=True)
    Salvager(fleet.data, writer, 6).recover({}, HOUR_MS * days.MS)
    recorder = Recorder(fleet.data, writer, LIMITS)
    for at_s, verdict in verdicts:
        line = encode(manifest(at_s, verdict)).replace(b"\n", b"") + b"\n"
        at_ms = HOUR_MS + at_s * S
        stream = Stream(subject="watchdog", kind="health")
        recorder.append(stream, line, due_ms=at_ms, wall_ns=at_ms * days.MS)
    recorder.close("stop", wall_ns=(HOUR_MS + 60 * S) * days.MS, mono_ns=1)
    locks.release_all()


@pytest.fixture
def fleet(tmp_path) -> Fleet:
    made = Fleet(tmp_path / "var")
    made.publish_universe(HOUR_MS - 10 * S, market(1))
    return made


def cut(fleet: Fleet, seconds: int) -> None:
    """A minute of which some seconds had no network."""
    worker = fleet.collector(HOUR_MS - 5 * S)
    days.polls(worker, 0, 20)
    for second in range(20, 20 + seconds):
        days.poll(worker, HOUR_MS + second * S, cause="connect", status=None)
    days.polls(worker, 20 + seconds, 60)
    worker.stop(HOUR_MS + 61 * S)
    locks.release_all()


def test_a_cut_counts_when_health_shows_it_and_its_end(fleet):
    cut(fleet, 15)
    watched(fleet, (10, "ok"), (30, "failing"), (50, "ok"))
    told = history.network(fleet.data, SPAN)

    (found,) = told.found
    assert "15 s without an answer (connect×15), then answered" in found
    assert [] == told.wrong


@pytest.mark.parametrize(
    ("seconds", "verdicts"),
    [(15, ["ok", "ok"]), (15, ["failing", "failing"]), (5, ["failing", "ok"])],
    ids=["unseen", "not over", "short"],
)
def test_a_cut_that_health_does_not_show_or_that_is_short_is_none(fleet, seconds, verdicts):
    cut(fleet, seconds)
    watched(fleet, (30, verdicts[0]), (50, verdicts[1]))

    assert [] == history.network(fleet.data, SPAN).found


def test_a_death_counts_as_a_restart_only_with_answers_after_it(fleet):
    first = fleet.collector(HOUR_MS - 5 * S)
    days.polls(first, 0, 20)
    first.flush(HOUR_MS + 20 * S)
    locks.release_all()
    assert [] == history.restarts(fleet.data, SPAN).found

    idle = fleet.collector(HOUR_MS + 25 * S)
    idle.stop(HOUR_MS + 26 * S)
    locks.release_all()
    assert [] == history.restarts(fleet.data, SPAN).found

    second = fleet.collector(HOUR_MS + 30 * S)
    days.polls(second, 31, 50)
    second.stop(HOUR_MS + 51 * S)
    locks.release_all()
    (found,) = history.restarts(fleet.data, SPAN).found

    assert found.startswith("collector-00: died at")
    assert "polls answered since" in found


def test_a_stop_that_was_asked_for_is_no_forced_restart(fleet):
    for at_s in (0, 30):
        worker = fleet.collector(HOUR_MS + at_s * S - 5 * S)
        days.polls(worker, at_s, at_s + 20)
        worker.stop(HOUR_MS + (at_s + 21) * S)
        locks.release_all()

    assert [] == history.restarts(fleet.data, SPAN).found
