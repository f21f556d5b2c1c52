"""Holds core.stream.watching: when a market is doubted, when a race is no alarm, what is asked again."""

import pytest

from workers.core.stream.watching import Patience, Reached, Watch

S = 1_000_000_000
PATIENCE = Patience(freeze_after_s=5, confirm_s=1.5, missing_book_s=10)


@pytest.fixture
def watch() -> Watch:
    """One market with two tokens, subscribed at 0 s."""
    found = Watch(PATIENCE)
    found.subscribed("m", ["up", "down"], 0)
    return found


def test_a_market_in_its_window_is_asked_for_after_its_silence(watch: Watch):
    assert [] == watch.silent(5 * S - 1, {"m"})
    assert ["m"] == watch.silent(5 * S, {"m"})


def test_the_silence_of_a_market_outside_its_window_is_no_news(watch: Watch):
    assert [] == watch.silent(60 * S, set())


def test_an_event_begins_the_silence_anew(watch: Watch):
    watch.heard("m", 4 * S)

    assert [] == watch.silent(9 * S - 1, {"m"})
    assert ["m"] == watch.silent(9 * S, {"m"})


def test_while_it_stays_silent_it_is_asked_for_less_often(watch: Watch):
    asked = [second for second in range(60) if watch.silent(second * S, {"m"})]

    assert [5, 10, 20, 30, 40, 50] == asked


def test_a_newer_book_of_rest_that_the_stream_reaches_in_time_is_a_race(watch: Watch):
    watch.doubt("m", "up", 7_000, 5 * S)

    assert [] == watch.frozen(6 * S, lambda _: 6_999)
    assert [] == watch.frozen(int(6.4 * S), lambda _: 7_000)
    assert [] == watch.frozen(60 * S, lambda _: 0)


def test_a_newer_book_of_rest_that_the_stream_does_not_reach_is_a_freeze_told_once(watch: Watch):
    watch.doubt("m", "up", 7_000, 5 * S)
    watch.doubt("m", "down", 7_000, 5 * S)

    assert ["m"] == watch.frozen(int(6.5 * S), lambda _: 6_999)
    assert [] == watch.frozen(7 * S, lambda _: 6_999)


def test_a_later_doubt_does_not_extend_an_earlier_one(watch: Watch):
    watch.doubt("m", "up", 7_000, 5 * S)
    watch.doubt("m", "up", 9_000, 6 * S)

    assert ["m"] == watch.frozen(int(6.5 * S), lambda _: 0)


def test_a_first_book_is_missed_after_its_time_and_asked_for_ever_more_rarely(watch: Watch):
    watch.has_book("down")

    asked = [second for second in range(200) if watch.lacking(second * S)]

    assert [10, 11, 13, 17, 25, 41, 73, 133, 193] == asked


def test_a_book_that_was_lost_is_asked_for_at_once_or_after_its_delay(watch: Watch):
    for each in ("up", "down"):
        watch.has_book(each)
    watch.lacks("up", 20 * S)
    watch.lacks("down", 20 * S, delay_s=2)

    assert ["up"] == watch.lacking(20 * S)
    assert ["up", "down"] == watch.lacking(22 * S)
    watch.has_book("up")
    assert ["down"] == watch.lacking(24 * S)


def test_what_is_no_longer_subscribed_is_forgotten(watch: Watch):
    watch.doubt("m", "up", 7_000, 0)
    watch.unsubscribed("m", ["up", "down"])

    assert [] == watch.silent(60 * S, {"m"})
    assert [] == watch.lacking(60 * S)
    assert [] == watch.frozen(60 * S, lambda _: 0)


def test_a_connection_has_reached_the_newest_time_it_told():
    reached = Reached()

    assert 0 == reached.told_ms
    for timestamp_ms in (10_000, 15_000, 17_000):
        reached.event(timestamp_ms)
    reached.book(2_000)
    reached.event(100)
    assert 17_000 == reached.told_ms


def test_by_what_went_back_before_there_may_be_something_missing():
    reached = Reached()
    for timestamp_ms in (1_000, 1_500, 1_300, 2_000):
        reached.event(timestamp_ms)

    assert 1_800 == reached.told_ms
