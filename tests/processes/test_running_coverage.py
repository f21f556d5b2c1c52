"""Coverage beside a fleet that writes: what is not on the disk yet is not missed."""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.processes.test_collector import patient
from tests.rig import Rig, market_of, wait_for
from tests.tools.archives import HOUR_MS, Fleet, S, market
from tests.venue import Venue
from workers.core.coverage.coverage import UNEXPLAINED
from workers.edge.spool import locks, state
from workers.tools import coverage

LOOKS = 60
_opening: Callable[[str], None] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opening is not None:
        _opening(str(arguments[0]))


sys.addaudithook(_hear)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    lines = ("btc-1d", "btc-4h", "btc-1h", "eth-5m")
    with Venue(tmp_path / "venue", seed=5, lines=lines) as venue, Rig(tmp_path, venue.url) as rig:
        patient(rig)
        now_ms = venue.now_ms()
        rig.publish_universe(
            [market_of(each) for each in venue.open_markets() if each.start_ms <= now_ms]
        )
        yield rig


def totals(rig: Rig) -> Counter[str]:
    now_ms = time.time_ns() // 1_000_000
    span = {"from_ms": 0, "until_ms": now_ms, "now_ms": now_ms}
    return coverage.report_of(rig.data, **span, market="*", gap_ms=0).totals()


def is_alive(rig: Rig, before: dict[str, str]) -> bool:
    """True once a collector beats that is not the one of before."""
    return state.running(rig.data).keys() == {"collector-00"} and state.running(rig.data) != before


def test_nothing_of_a_running_collector_is_unexplained_or_down(rig: Rig):
    rig.collector()
    wait_for(lambda: is_alive(rig, {}) and totals(rig)["CAPTURED"] > 20)
    seen: Counter[str] = Counter()
    for _ in range(LOOKS):
        seen.update(totals(rig))
    # Late is a busy machine; nobody was there before the first start.
    assert {"CAPTURED"} == seen.keys() - {"DOWN(not_started)", "FAILED(late)"}


def test_a_collector_that_came_back_holds_its_newest_ticks_and_no_crash_covers_them(rig: Rig):
    first = rig.collector()
    wait_for(lambda: is_alive(rig, {}) and totals(rig)["CAPTURED"] > 4)
    before = state.running(rig.data)
    first.kill()
    first.wait()
    rig.collector()
    wait_for(lambda: is_alive(rig, before))
    down = totals(rig)["DOWN(crashed)"]
    captured = totals(rig)["CAPTURED"]
    wait_for(lambda: totals(rig)["CAPTURED"] > captured + 20)

    assert totals(rig)["DOWN(crashed)"] >= down


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    global _opening  # noqa: PLW0603 - an audit hook cannot be taken away again
    yield Fleet(tmp_path / "var")
    _opening = None
    locks.release_all()


def test_whatever_is_written_between_two_files_that_are_read_explains_itself(fleet: Fleet):
    global _opening  # noqa: PLW0603 - an audit hook cannot be taken away again
    fleet.publish_universe(HOUR_MS - 10 * S, market(1), market(2, HOUR_MS + 9 * S, 40))
    worker = fleet.collector(HOUR_MS - 5 * S)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    fleet.beat(worker, pid=os.getpid(), boot_id=boot_id)
    worker.ticks(HOUR_MS, HOUR_MS + 3 * S)
    worker.flush(HOUR_MS + 3 * S)
    seconds = iter(range(3, 60, 3))

    def write(path: str) -> None:
        global _opening  # noqa: PLW0603
        if not path.endswith(".jsonl.gz.open"):
            return
        _opening, hook = None, _opening
        at_ms = HOUR_MS + next(seconds) * S
        worker.ticks(at_ms, at_ms + 3 * S)
        worker.flush(at_ms + 3 * S)
        _opening = hook

    _opening = write
    span = {"from_ms": HOUR_MS, "until_ms": HOUR_MS + 60 * S, "now_ms": HOUR_MS + 60 * S}
    report = coverage.report_of(fleet.data, **span, market="*", gap_ms=0)
    _opening = None
    assert next(seconds) > 6, "it was written between files"
    assert 0 == report.totals()[UNEXPLAINED]
    assert {"CAPTURED"} == report.totals().keys()
