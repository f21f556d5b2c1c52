"""Holds core.archive.runs: runs say exactly which points were captured."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.archive.runs import Run, Runs, points_of

POINTS = st.lists(st.integers(0, 400), max_size=60)
GRID = st.lists(st.sampled_from(range(0, 60_000, 500)), max_size=80).map(sorted)


def _runs(points):
    runs = Runs("t")
    for point in points:
        runs.add(point)
    return runs.listed()


@given(POINTS)
def test_any_sequence_of_points_is_covered_exactly(points):
    assert set(points) == {each for run in _runs(points) for each in points_of(run)}


@given(GRID)
def test_a_growing_sequence_is_covered_once(points):
    covered = [each for run in _runs(points) for each in points_of(run)]

    assert sorted(set(points)) == covered


@given(POINTS, st.integers(0, 60))
def test_listing_does_not_disturb_what_follows(points, at):
    watched = Runs("t")
    for number, point in enumerate(points):
        if number == at:
            watched.listed()
        watched.add(point)

    assert _runs(points) == watched.listed()


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], []),
        ([5], [(1, 5, 5)]),
        ([5, 5], [(1, 5, 5)]),
        ([0, 10, 20, 30], [(10, 0, 30)]),
        ([0, 10, 11, 12], [(1, 0, 0), (1, 10, 12)]),
        ([0, 10, 20, 40, 50], [(10, 0, 20), (10, 40, 50)]),
        ([20, 10], [(1, 20, 20), (1, 10, 10)]),
    ],
)
def test_a_rhythm_is_one_run(points, expected):
    assert [Run("t", *each) for each in expected] == _runs(points)


def test_an_hour_of_seconds_is_one_run():
    assert [Run("t", 1000, 0, 3_599_000)] == _runs(range(0, 3_600_000, 1000))
