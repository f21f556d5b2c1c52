"""Holds the promise of the spool at every system call.

Whatever call a process dies in or the disk refuses: every row the disk was said to have is
published once, published files never change, the chain is unbroken, every segment has its tickets.
These are samples, the same in every run; `python -m tests.crash` tries every point.
"""

from pathlib import Path

import pytest

from tests.crash import harness, oracle
from tests.crash.harness import Point

Life = tuple[list[str], Path]


def _all_is_well(points: list[Point] | list[harness.Again], at_least: int) -> None:
    tried, failures = harness.try_all(points, tell=lambda _: None)

    assert [] == failures
    assert tried >= at_least


def test_a_life_without_a_fault_leaves_nothing_to_recover(life: Life):
    _, root = life

    assert [] == oracle.recover(root)
    assert [] == oracle.judge(root, root.parent / "acks")


def test_a_death_at_any_call_loses_nothing(life: Life):
    points = [Point(fault) for fault in harness.kill_points(*life)]

    _all_is_well(points[::11], at_least=20)


def test_a_death_with_a_torn_file_saves_the_rows_in_front_of_the_tear(life: Life):
    points = [Point(fault, cut) for fault in harness.kill_points(*life)[::50] for cut in (1, 17)]

    _all_is_well(points, at_least=10)


@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EDQUOT"])
def test_a_disk_that_refuses_any_call_is_waited_for(life: Life, error):
    points = [Point(fault) for fault in harness.error_points(*life) if f"={error}:" in fault]

    _all_is_well(points[::59], at_least=3)


@pytest.mark.parametrize("cut_bytes", [0, 3])
def test_a_death_in_recovery_is_recovered_from(life: Life, tmp_path, cut_bytes):
    faults = harness.kill_points(*life)
    point = Point(faults[len(faults) * 2 // 3], cut_bytes)
    deaths = harness.deaths_in_recovery(tmp_path, point)

    _all_is_well(deaths[cut_bytes::7], at_least=5)


def test_a_disk_that_refuses_recovery_is_waited_for(life: Life, tmp_path):
    faults = harness.kill_points(*life)
    deaths = harness.deaths_in_recovery(tmp_path, Point(faults[len(faults) // 2], 3), errors="all")

    _all_is_well(deaths[::41], at_least=7)
