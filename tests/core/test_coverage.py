"""Holds core.coverage.coverage: every due tick has one state, for the reason the archive gives."""

import pytest

from tests.core.scripted import CONDITION, DOWN, END_MS, START_MS, UP, Script, market, other_shard
from tests.core.scripted import universe as published
from workers.core.archive.labels import Acknowledged
from workers.core.archive.ledger import RefusedRaw
from workers.core.coverage.coverage import written_ms
from workers.core.polling.cadence import Phase
from workers.core.universe.shards import shard_of

S = 1000


@pytest.fixture
def script() -> Script:
    """A collector that started and loaded the market before it was due."""
    made = Script()
    made.started(START_MS - 3 * S)
    made.loaded(START_MS - 2 * S)
    return made


def test_a_tick_with_a_row_of_both_tokens_is_captured(script):
    script.polled(START_MS, END_MS)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 60} == script.counts()


def test_a_failed_request_gives_its_cause_to_the_tick(script):
    script.polled(START_MS, START_MS + 50 * S)
    script.asked(START_MS + 50 * S, cause="http_503")
    script.asked(START_MS + 51 * S, cause="timeout")
    script.polled(START_MS + 52 * S, END_MS)

    assert {"CAPTURED": 58, "FAILED(http_503)": 1, "FAILED(timeout)": 1} == script.counts()


def test_a_token_the_venue_left_out_is_absent_and_the_market_not_captured(script):
    script.polled(START_MS, START_MS + 59 * S)
    script.asked(START_MS + 59 * S, missing=[DOWN])
    script.caught(START_MS + 59 * S, UP)

    assert {"CAPTURED": 59, "VENUE_ABSENT": 1} == script.counts()


def test_a_refused_book_gives_its_reason_unless_a_good_one_came_too(script):
    refused = {"position": 0, "raw": "{}"}
    wrong = {"token_id": UP, "reason": "wrong_market", **refused}
    twice = {"token_id": UP, "reason": "duplicate", **refused}
    script.polled(START_MS, START_MS + 58 * S)
    script.asked(START_MS + 58 * S, refused=[RefusedRaw(**wrong)])
    script.caught(START_MS + 58 * S, DOWN)
    script.asked(START_MS + 59 * S, refused=[RefusedRaw(**twice)])
    script.caught(START_MS + 59 * S)

    assert {"CAPTURED": 59, "FAILED(wrong_market)": 1} == script.counts()


def test_a_book_refused_as_a_duplicate_still_promises_the_first_one(script):
    twice = RefusedRaw(token_id=UP, reason="duplicate", position=1, raw="{}")
    script.polled(START_MS, START_MS + 59 * S)
    script.asked(START_MS + 59 * S, refused=[twice])
    script.caught(START_MS + 59 * S, DOWN)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 59, "UNEXPLAINED": 1} == script.counts()


@pytest.mark.parametrize(
    ("cause", "state"),
    [
        ("late", "FAILED(late)"),
        ("backoff", "FAILED(backoff)"),
        ("breaker_open", "FAILED(breaker_open)"),
        ("disk_full", "PAUSED(disk_full)"),
        ("disk_guard", "PAUSED(disk_guard)"),
        ("clock_step", "PAUSED(clock_step)"),
    ],
)
def test_a_skipped_tick_says_why_both_ends_included(script, cause, state):
    script.polled(START_MS, START_MS + 10 * S)
    script.skipped(START_MS + 10 * S, START_MS + 14 * S, cause)
    script.polled(START_MS + 15 * S, END_MS)

    assert {"CAPTURED": 55, state: 5} == script.counts()


def test_a_skip_of_other_markets_says_nothing_of_this_one(script):
    script.polled(START_MS, START_MS + 59 * S)
    script.skipped(START_MS + 59 * S, START_MS + 59 * S, "rate_budget", markets=["0xother"])
    script.stopped(END_MS + 60 * S)

    assert {"CAPTURED": 59, "UNEXPLAINED": 1} == script.counts()


def test_nothing_on_disk_while_the_worker_lived_and_knew_the_market_is_unexplained(script):
    script.polled(START_MS, START_MS + 20 * S)
    script.polled(START_MS + 23 * S, END_MS)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 57, "UNEXPLAINED": 3} == script.counts()


@pytest.mark.parametrize(
    ("now_ms", "written_until_ms"),
    [
        (START_MS + 9 * S + 500, START_MS + 9 * S),  # the tick of the last row is not over
        (START_MS + 300 * S, START_MS + 240 * S),  # a minute later it is
        (START_MS + 5 * S, START_MS + 5 * S),  # nothing is written that is not due yet
    ],
)
def test_the_tick_of_the_last_row_of_a_living_worker_may_yet_be_written(
    script, now_ms, written_until_ms
):
    script.polled(START_MS, START_MS + 9 * S)
    script.asked(START_MS + 9 * S, asked=["another market's, the first of two requests"])
    script.judged()
    (life,) = script.lives.listed()
    life.is_running = True

    until_ms = written_ms(script.plans.markets[CONDITION], [life], now_ms)

    assert written_until_ms == until_ms
    if now_ms < END_MS:
        assert {"CAPTURED"} == set(script.counts(until_ms=until_ms))


def test_a_worker_that_ended_or_has_another_shard_holds_nothing_back(script):
    script.polled(START_MS, START_MS + 9 * S)
    script.judged()
    (life,) = script.lives.listed()
    known, now_ms = script.plans.markets[CONDITION], START_MS + 20 * S

    assert now_ms == written_ms(known, [life], now_ms)
    life.is_running, life.shards, life.shard = True, 2, other_shard()
    assert now_ms == written_ms(known, [life], now_ms)


def test_without_any_worker_the_market_was_not_started():
    assert {"DOWN(not_started)": 60} == Script().counts()


def test_a_worker_of_another_shard_does_not_answer_for_it():
    script = Script()
    script.started(START_MS - S, shard=other_shard(), shards=2)
    script.loaded(START_MS - S, markets=[])

    assert {"DOWN(not_started)": 60} == script.counts()


def test_after_its_last_row_a_worker_is_stopped_until_the_next_one_loads(script):
    script.polled(START_MS, START_MS + 10 * S)
    script.stopped(START_MS + 9 * S + 300)
    script.started(START_MS + 20 * S + 300)
    script.loaded(START_MS + 20 * S + 400)
    script.polled(START_MS + 21 * S, END_MS)

    assert {"CAPTURED": 49, "DOWN(stopped)": 11} == script.counts()


def test_the_ticks_of_the_step_a_stop_interrupts_are_the_stops(script):
    script.polled(START_MS, START_MS + 10 * S)
    script.asked(START_MS + 10 * S, cause="timeout", took_ms=4000)
    script.stopped(START_MS + 14 * S + 5)

    assert {"CAPTURED": 10, "FAILED(timeout)": 1, "DOWN(stopped)": 49} == script.counts()


def test_a_long_silence_before_a_stop_is_not_the_stops(script):
    script.polled(START_MS, START_MS + 10 * S)
    script.stopped(START_MS + 50 * S)

    found = script.counts()

    assert {"CAPTURED": 10, "UNEXPLAINED": 25, "DOWN(stopped)": 25} == found


def test_a_killed_worker_is_alive_until_its_last_ledger_row(script):
    script.polled(START_MS, START_MS + 30 * S)
    script.started(START_MS + 35 * S + 1)
    script.loaded(START_MS + 35 * S + 2)
    script.polled(START_MS + 36 * S, END_MS)

    assert {"CAPTURED": 54, "DOWN(crashed)": 6} == script.counts()


def test_a_promised_row_that_died_with_a_killed_worker_is_lost_in_the_crash(script):
    script.polled(START_MS, START_MS + 30 * S)
    script.asked(START_MS + 30 * S)

    assert {"CAPTURED": 30, "FAILED(lost_in_crash)": 1, "DOWN(crashed)": 29} == script.counts()


def test_a_promised_row_that_a_living_worker_never_wrote_is_unexplained(script):
    script.polled(START_MS, START_MS + 59 * S)
    script.asked(START_MS + 59 * S)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 59, "UNEXPLAINED": 1} == script.counts()


def test_a_promised_row_is_lost_when_a_segment_of_the_run_was_cut_short(script):
    script.polled(START_MS, START_MS + 59 * S)
    script.asked(START_MS + 59 * S)
    script.stopped(END_MS + S)
    script.judged()
    script.lives.cut_short("collector-00", script.run)

    assert {"CAPTURED": 59, "FAILED(lost_in_crash)": 1} == script.counts()


def test_the_rows_a_cut_ledger_lost_are_lost_and_not_unexplained(script):
    script.polled(START_MS, START_MS + 20 * S)
    script.judged()
    script.lives.ledger_cut_short("collector-00")
    script.polled(START_MS + 25 * S, END_MS)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 55, "FAILED(lost_in_crash)": 5} == script.counts()


def test_a_worker_must_poll_the_first_tick_after_it_loaded_the_market():
    script = Script(published(1, START_MS - S, market()))
    script.started(START_MS - 2 * S)
    script.loaded(START_MS + 5 * S)
    script.polled(START_MS + 7 * S, END_MS)
    script.stopped(END_MS + S)

    found = script.counts()

    assert {"DOWN(undiscovered)": 6, "UNEXPLAINED": 1, "CAPTURED": 53} == found


def test_a_worker_that_never_loads_a_universe_is_starting():
    script = Script()
    script.started(START_MS + 10 * S)
    script.stopped(END_MS + 60 * S)

    assert {"DOWN(not_started)": 10, "DOWN(starting)": 50} == script.counts()


def test_a_worker_that_loaded_a_universe_without_the_market_has_not_discovered_it():
    late = published(2, START_MS + 10 * S + 500, market())
    script = Script(published(1, START_MS - 5 * S), late)
    script.started(START_MS - 4 * S)
    script.loaded(START_MS - 3 * S, seq=1, markets=[])
    script.loaded(START_MS + 10 * S + 700, seq=2)
    script.polled(START_MS + 11 * S, END_MS)
    script.stopped(END_MS + S)

    assert {"DOWN(undiscovered)": 11, "CAPTURED": 49} == script.counts()


def test_nothing_was_due_before_the_first_publication():
    script = Script(published(1, START_MS + 40 * S, market()))

    assert {"DOWN(not_started)": 20} == script.counts()


def test_a_changed_plan_holds_from_its_publication_and_binds_a_worker_from_its_load():
    slow = market(Phase("warm", START_MS, END_MS, 10 * S))
    script = Script(published(1, START_MS, slow), published(2, START_MS + 30 * S, market()))
    script.started(START_MS - 2 * S)
    script.loaded(START_MS - S, seq=1)
    script.polled(START_MS, START_MS + 31 * S, step_ms=10 * S)
    script.loaded(START_MS + 33 * S + 10, seq=2)
    script.polled(START_MS + 34 * S, END_MS)
    script.stopped(END_MS + S)

    found = script.counts()

    assert {"CAPTURED": 3 + 1 + 26, "DOWN(undiscovered)": 3} == found


def test_after_resharding_the_gap_belongs_to_the_worker_that_stopped(script):
    script.polled(START_MS, START_MS + 10 * S)
    script.stopped(START_MS + 9 * S + 200)
    script.started(START_MS + 12 * S + 1, shard=shard_of(CONDITION, 2), shards=2)
    script.loaded(START_MS + 12 * S + 2)
    script.polled(START_MS + 13 * S, END_MS)
    script.stopped(END_MS + S)

    assert {"CAPTURED": 57, "DOWN(stopped)": 3} == script.counts()


def test_an_acknowledged_stretch_hides_no_capture(script):
    script.polled(START_MS, START_MS + 30 * S)
    script.stopped(START_MS + 29 * S + 100)
    script.labels = [Acknowledged("*", START_MS + 20 * S, START_MS + 50 * S)]

    assert {"CAPTURED": 30, "ACKNOWLEDGED": 20, "DOWN(stopped)": 10} == script.counts()


def test_rows_that_a_label_calls_invalid_are_not_captured(script):
    script.polled(START_MS, END_MS)
    script.stopped(END_MS + S)
    script.invalid, script.captured = script.captured, {}

    assert {"FAILED(labelled_invalid)": 60} == script.counts()


def test_a_capture_stands_above_every_failure_of_the_same_tick(script):
    script.polled(START_MS, END_MS)
    script.asked(START_MS, cause="http_500")
    script.skipped(START_MS, START_MS, "late")
    script.stopped(END_MS + S)

    assert {"CAPTURED": 60} == script.counts()


def test_failures_stand_above_absence_and_absence_above_pauses(script):
    script.polled(START_MS, START_MS + 58 * S)
    for at_ms in (START_MS + 58 * S, START_MS + 59 * S):
        script.asked(at_ms, missing=[UP, DOWN])
    script.skipped(START_MS + 58 * S, START_MS + 58 * S, "late")
    script.skipped(START_MS + 59 * S, START_MS + 59 * S, "disk_full")

    assert {"CAPTURED": 58, "FAILED(late)": 1, "VENUE_ABSENT": 1} == script.counts()


def test_hours_are_of_the_utc_clock_and_gaps_reach_to_the_next_capture(script):
    hour_ms = START_MS - START_MS % 3_600_000
    phases = (Phase("hot", hour_ms + 3_570 * S, hour_ms + 3_630 * S, S),)
    script = Script(published(1, hour_ms, market(*phases)))
    script.started(hour_ms)
    script.loaded(hour_ms)
    script.polled(hour_ms + 3_570 * S, hour_ms + 3_598 * S)
    script.skipped(hour_ms + 3_598 * S, hour_ms + 3_601 * S, "backoff")
    script.polled(hour_ms + 3_602 * S, hour_ms + 3_630 * S)

    found = script.judged(until_ms=hour_ms + 7_200 * S)

    assert [
        (hour_ms, {"CAPTURED": 28, "FAILED(backoff)": 2}),
        (hour_ms + 3_600 * S, {"CAPTURED": 28, "FAILED(backoff)": 2}),
    ] == [(each.from_ms, each.counts) for each in found.hours]
    assert [(4 * S, {"FAILED(backoff)": 4})] == [(g.length_ms, g.counts) for g in found.gaps]
