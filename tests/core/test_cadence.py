"""Holds core.polling.cadence: the grid, the backoff, the breaker and the bucket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.polling.cadence import (
    Anchor,
    BackoffRules,
    Breaker,
    BreakerState,
    Bucket,
    Phase,
    backoff_s,
    next_due_ms,
    phase_due,
)

RULES = BackoffRules(base_s=1, cap_s=30, blocked_s=60, retry_after_cap_s=300)
ROLL = st.floats(0, 1, exclude_max=True)
S = 1_000_000_000


@given(st.integers(0, 10**13), st.integers(1, 600_000))
def test_the_next_tick_is_the_first_grid_point_after_now(after_ms, interval_ms):
    due_ms = next_due_ms(after_ms, interval_ms)

    assert after_ms < due_ms <= after_ms + interval_ms
    assert 0 == due_ms % interval_ms


@given(st.integers(0, 10**19), st.integers(0, 10**18), st.integers(0, 10**13))
def test_an_anchor_is_exact_both_ways(wall_ns, mono_ns, due_ms):
    anchor = Anchor(wall_ns, mono_ns)

    assert due_ms * 1_000_000 == anchor.wall_at(anchor.mono_of(due_ms))


@given(st.integers(-(10**15), 10**15), st.integers(0, 10**15))
def test_a_step_of_the_wall_clock_is_measured(step_ns, later_ns):
    anchor = Anchor(10**18, 10**12)

    assert step_ns == anchor.step_ns(10**18 + later_ns + step_ns, 10**12 + later_ns)


def test_a_phase_is_half_open_and_on_the_grid():
    phases = (Phase("warm", 1000, 3000, 1000), Phase("hot", 3000, 4000, 500))

    due = [ms for ms in range(0, 5000, 250) if phase_due(phases, ms)]

    assert [1000, 2000, 3000, 3500] == due
    assert "hot" == phase_due(phases, 3000).tier


@given(st.integers(1, 10_000), ROLL)
def test_a_pause_stays_between_zero_and_its_doubling_limit(failures, roll):
    pause_s = backoff_s(failures, "timeout", roll=roll, rules=RULES, retry_after_s=None)

    assert 0 <= pause_s <= min(30, 2.0 ** min(failures - 1, 30))


@given(st.integers(1, 100), ROLL, st.sampled_from(["html", "http_403", "http_451"]))
def test_a_refusal_of_us_pauses_for_half_a_minute_to_eight(failures, roll, cause):
    pause_s = backoff_s(failures, cause, roll=roll, rules=RULES, retry_after_s=None)

    doubled_s = 60 * min(8, 2 ** min(failures - 1, 10))
    assert doubled_s / 2 <= pause_s <= doubled_s


@given(st.floats(allow_nan=True, allow_infinity=True), ROLL)
def test_a_retry_after_is_a_floor_that_is_capped_itself(said_s, roll):
    pause_s = backoff_s(1, "http_429", roll=roll, rules=RULES, retry_after_s=said_s)

    assert 0 <= pause_s <= 301
    if 0 <= said_s <= 300:
        assert pause_s >= said_s


def test_the_breaker_walks_its_table():
    breaker = Breaker(limit=3)
    walked = []
    for number in range(1, 5):
        breaker = breaker.after_failure("timeout", resume_mono_ns=number * 10 * S)
        now = number * 10 * S
        walked.append((breaker.state(now - 1), breaker.blocks(now - 1), breaker.state(now)))

    assert [
        (BreakerState.CLOSED, "backoff", BreakerState.CLOSED),
        (BreakerState.CLOSED, "backoff", BreakerState.CLOSED),
        (BreakerState.OPEN, "breaker_open", BreakerState.HALF_OPEN),
        (BreakerState.OPEN, "breaker_open", BreakerState.HALF_OPEN),
    ] == walked
    assert "" == breaker.blocks(40 * S)
    assert BreakerState.CLOSED == breaker.after_success().state(0)
    assert (0, "", "") == (
        breaker.after_success().failures,
        breaker.after_success().last_cause,
        breaker.after_success().blocks(0),
    )


@given(st.floats(1, 400), st.lists(st.integers(0, S), max_size=300))
def test_the_bucket_never_spends_more_than_its_rate_and_one_burst(per_10s, gaps_ns):
    bucket, now, spent = Bucket.full(per_10s, 0), 0, []
    for gap_ns in gaps_ns:
        now += gap_ns
        after = bucket.take(now)
        if after is not None:
            bucket = after
            spent.append(now)

    burst = max(1.0, per_10s / 10)
    for first in range(len(spent)):
        for last in range(first, len(spent)):
            window_s = (spent[last] - spent[first]) / S
            assert last - first + 1 <= burst + window_s * per_10s / 10 + 1e-6


@pytest.mark.parametrize("per_10s", [1.0, 7.5, 100.0])
def test_the_bucket_gives_its_whole_rate(per_10s):
    bucket, spent = Bucket.full(per_10s, 0), 0
    for now_ms in range(0, 100_000, 10):
        after = bucket.take(now_ms * 1_000_000)
        spent, bucket = (spent + 1, after) if after else (spent, bucket)

    assert spent >= per_10s * 10 - 1
