"""Holds core.health.disk: the guard is hard at once and mild late; a forecast needs history."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.health.disk import LEVELS, Sample, fills_soon, forecast, guard_level, recent
from workers.core.health.heartbeats import GUARD_LEVELS
from workers.core.settings.settings import Watchdog

S = 1_000_000_000
HOUR_NS = 3600 * S
T0 = 1_800_000_000 * S
GIB = 1 << 30
RULES = Watchdog()


@pytest.mark.parametrize(
    ("free_bytes", "level"),
    [
        (4 * GIB, "ok"),
        (4 * GIB - 1, "warn"),
        (2 * GIB - 1, "stop_opening"),
        (GIB, "stop_opening"),
        (GIB - 1, "pause"),
        (0, "pause"),
    ],
)
def test_each_threshold_is_the_first_byte_of_the_milder_level(free_bytes: int, level: str):
    assert level == guard_level(free_bytes, "ok", RULES)


@pytest.mark.parametrize(
    ("free_bytes", "before", "after"),
    [
        (GIB + 1, "pause", "pause"),
        (GIB * 105 // 100 + 1, "pause", "stop_opening"),
        (4 * GIB + 1, "warn", "warn"),
        (4 * GIB * 105 // 100 + 1, "warn", "ok"),
        (100 * GIB, "pause", "ok"),
        (100 * GIB, "what?", "ok"),
    ],
)
def test_a_level_is_left_only_five_percent_above_its_threshold(
    free_bytes: int, before: str, after: str
):
    assert after == guard_level(free_bytes, before, RULES)


@given(st.integers(0, 8 * GIB), st.sampled_from(LEVELS))
def test_a_second_look_at_the_same_room_changes_nothing(free_bytes: int, before: str):
    once = guard_level(free_bytes, before, RULES)

    assert once == guard_level(free_bytes, once, RULES)


@given(st.integers(0, 8 * GIB), st.sampled_from(LEVELS))
def test_the_guard_is_never_milder_than_the_thresholds(free_bytes: int, before: str):
    bare = guard_level(free_bytes, "ok", RULES)

    assert LEVELS.index(guard_level(free_bytes, before, RULES)) >= LEVELS.index(bare)


def test_the_levels_are_those_that_collectors_obey():
    assert tuple(GUARD_LEVELS) == LEVELS


def samples(*points: tuple[float, int, int]) -> list[Sample]:
    """Samples from (hours after T0, free GiB, data GiB)."""
    return [Sample(T0 + int(h * HOUR_NS), free * GIB, data * GIB) for h, free, data in points]


def test_growth_and_the_time_left_follow_from_first_and_last():
    told = forecast(samples((0, 101, 10), (2, 97, 14), (4, 93, 18)), RULES)

    assert 2 * GIB == told.growth_bytes_per_hour
    assert 46.0 == told.hours_left
    assert 4 * 3600 == told.span_s


def test_free_space_that_others_eat_shortens_the_time_left():
    told = forecast(samples((0, 101, 10), (1, 91, 11)), RULES)

    assert GIB == told.growth_bytes_per_hour
    assert 9.0 == told.hours_left


def test_a_disk_that_empties_has_no_end():
    assert None is forecast(samples((0, 90, 11), (2, 95, 10)), RULES).hours_left


@pytest.mark.parametrize("history", [[], samples((0, 9, 1)), samples((0, 9, 1), (0.1, 8, 2))])
def test_too_little_history_says_nothing(history: list[Sample]):
    told = forecast(history, RULES)

    assert None is told.growth_bytes_per_hour
    assert not fills_soon(told)


@pytest.mark.parametrize(
    ("hours", "free_gib", "soon"), [(1, 40, True), (0.5, 40, False), (1, 60, False)]
)
def test_an_end_within_two_days_by_an_hour_of_history_is_soon(
    hours: float, free_gib: int, soon: bool
):
    per_span = Sample(T0, (free_gib + 1) * GIB + int(hours * GIB), 0)
    after = Sample(T0 + int(hours * HOUR_NS), (free_gib + 1) * GIB, int(hours * GIB))

    assert soon == fills_soon(forecast([per_span, after], RULES))


def test_a_clock_that_ran_backwards_makes_no_forecast():
    told = forecast(list(reversed(samples((0, 9, 1), (5, 8, 2)))), RULES)

    assert None is told.hours_left


def test_history_keeps_the_last_hours_in_order_and_nothing_from_the_future():
    known = samples((9, 1, 1), (1, 3, 3), (5, 2, 2), (11, 0, 0))

    kept = recent(known, T0 + 10 * HOUR_NS, 6)

    assert samples((5, 2, 2), (9, 1, 1)) == kept
