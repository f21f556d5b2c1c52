"""Holds bench.missed: each measure on sequences worked out by hand, and the figures of the page."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.bench import missed
from tests.bench.missed import ORDERS, Message, Track
from tests.core.books import raw
from tests.test_docs import section, text
from workers.core.books.book import changes_between, read_book

T = 1_776_326_400_000
SHARE = 10**6
BUY_100, BUY_1000 = ORDERS.index(("buy", 100)), ORDERS.index(("buy", 1000))
SELL_100, SELL_1000 = ORDERS.index(("sell", 100)), ORDERS.index(("sell", 1000))


def message(at_ms, bids, asks, recv_ms=0) -> Message:
    """A book of (cents, shares) levels, the best one last."""
    levels = [[(cents * 10_000, shares * SHARE) for cents, shares in side] for side in (bids, asks)]
    return Message(recv_ms, read_book(raw(*levels, timestamp_ms=T + at_ms)))


def track(starts_ms, *, values=(), worth=()) -> Track:
    """One view for all, and one order."""
    return Track(list(starts_ms), [list(values)], [list(worth)])


def test_a_state_is_a_run_of_equal_levels_and_the_last_run_only_ends_the_one_before():
    plain, deep = [(47, 5), (48, 5)], [(47, 6), (48, 5)]
    size, price = [(47, 5), (48, 7)], [(47, 5), (49, 7)]
    bids = [plain, plain, deep, plain, plain, size, price]

    found = missed.track_of([message(at * 100, one, [(55, 9)]) for at, one in enumerate(bids)],
                            missed.venue_ms)  # fmt: skip

    assert [T, T + 200, T + 300, T + 500, T + 600] == found.starts_ms
    assert [[0, 1, 0, 2], [0, 0, 0, 1], [0, 0, 0, 0]] == found.views


def test_the_best_price_of_an_empty_side_is_a_price_too():
    asks = [[(55, 9)], [], [(55, 8)], [(54, 8)], [(53, 1)]]

    found = missed.track_of([message(at, [(48, 5)], one) for at, one in enumerate(asks)],
                            missed.venue_ms)  # fmt: skip

    assert [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 0, 2]] == found.views


def test_states_are_told_by_the_clock_that_is_asked_for():
    messages = [message(at, [(40 + at, 5)], [], recv_ms=at * 7) for at in range(3)]

    assert [0, 7, 14] == missed.track_of(messages, missed.recorder_ms).starts_ms
    assert [T, T + 1, T + 2] == missed.track_of(messages, missed.venue_ms).starts_ms


def test_an_order_is_worth_its_whole_fill_or_nothing():
    book = message(0, [(48, 100), (49, 50)], [(52, 1000), (51, 60)])
    found = missed.track_of([book, message(1, [], [])], missed.venue_ms).worth

    assert [-51_400_000 * SHARE] == found[BUY_100], "60 at 51 cents and 40 at 52"
    assert [-519_400_000 * SHARE] == found[BUY_1000]
    assert [48_500_000 * SHARE] == found[SELL_100], "50 at 49 cents and 50 at 48"
    assert [None] == found[SELL_1000]


def test_polls_stand_on_the_grid_from_the_first_state_to_before_the_end_of_the_last():
    states = track([250, 1100, 2101, 3250])

    assert [(1100, 1), (2100, 1), (3100, 2)] == missed.polls_of(states, 1000, 100)
    assert [(2100, 1)] == missed.polls_of(states, 2000, 100)
    assert [(250, 0), (1250, 1), (2250, 2)] == missed.polls_of(states, 1000, 250)


def test_a_state_is_missed_when_no_poll_falls_into_its_life():
    states = track([0, 900, 950, 1000, 2500, 2900, 3000])
    polls = missed.polls_of(states, 1000, 0)

    assert [50, 50, 400, 100] == missed.unseen(states, polls)


def test_a_state_that_ends_in_the_millisecond_it_began_is_missed():
    states = track([0, 1000, 1000, 2000])

    assert [0] == missed.unseen(states, missed.polls_of(states, 1000, 0))


def test_a_change_is_missed_when_it_makes_no_difference_between_polls():
    states = track([0, 100, 200, 1000, 2000, 2500, 3000], values=[0, 1, 0, 1, 1, 0])
    polls = missed.polls_of(states, 1000, 0)

    assert (3, 4) == missed.unseen_changes(states, polls, 0), "of 0 1 0 1 1 0 is seen 0 1 1"


def test_a_value_that_went_and_came_back_between_polls_was_no_change_to_them():
    states = track([0, 400, 700, 1500], values=[0, 1, 0])

    assert (2, 2) == missed.unseen_changes(states, missed.polls_of(states, 1000, 0), 0)


def test_time_is_wrong_while_the_polled_value_is_not_the_true_one():
    states = track([0, 400, 700, 1000, 2600, 2900], values=[0, 1, 0, 2, 3])
    polls = missed.polls_of(states, 1000, 0)

    assert (300, 2000) == missed.wrong_ms(states, polls, 0), "what follows the last poll is no time"


def test_a_price_is_gone_while_a_worse_one_or_none_is_there():
    states = track([0, 200, 500, 800, 1500, 2100], worth=[-50, -51, -49, None, -50])
    polls = missed.polls_of(states, 1000, 0)

    assert [0, 3, 4] == [at for _, at in polls]
    assert (500, 1000) == missed.gone_ms(states, polls, 0), "the second poll showed no price"


def test_a_second_is_better_by_its_best_moment_against_the_poll_before_and_against_both():
    states = track([0, 500, 900, 1000, 2000, 2100], worth=[-50, -48, -60, -49, -53])
    polls = missed.polls_of(states, 1000, 0)

    assert [(2, 1), (0, 0)] == missed.gains(states, polls, 0)


def test_the_second_half_of_two_seconds_is_held_against_the_polls_around_both():
    states = track([0, 300, 1000, 1600, 1700, 2000, 2500], worth=[-50, -49, -52, -47, -52, -48])
    polls = missed.polls_of(states, 2000, 0)

    assert [(1, -1), (3, 1)] == missed.gains(states, polls, 0)


def test_a_poll_that_shows_no_price_is_worse_than_any_and_a_second_without_one_is_not_fillable():
    states = track([0, 300, 400, 1000, 2000, 2500], worth=[None, 7, None, None, 9])
    polls = missed.polls_of(states, 1000, 0)

    assert [(None, None)] == missed.gains(states, polls, 0), "the second from 1000 on had none"
    assert [(None, -2)] == missed.gains(
        track([0, 300, 400, 1000, 2500], worth=[None, 7, None, 9]), polls[:2], 0
    )


def test_a_gain_counts_from_the_least_on():
    gains = [None, -3, 0, 9, 10, 11]

    assert (3, 6) == missed.better(gains, 10)
    assert (4, 6) == missed.better(gains, 1)


def test_a_cent_is_a_cent_a_share_of_the_whole_order():
    plain, cheap = [(50, 1000)], [(50, 1000), (49, 100)]
    books = [(0, plain), (500, cheap), (600, plain), (1000, plain), (1500, [])]
    messages = [message(at, [(1, 1 + at)], asks) for at, asks in books]
    states = missed.track_of(messages, missed.venue_ms)

    found = missed.of_orders(states, missed.polls_of(states, 1000, T % 1000))

    for name, by_a_cent in (("buy 100", 1), ("buy 1,000", 0)):
        assert (1, 1) == found[f"{name} better"] == found[f"{name} unseen"]
        assert (by_a_cent, 1) == found[f"{name} better by a cent"]
        assert (by_a_cent, 1) == found[f"{name} unseen by a cent"]
        assert (0, 1000) == found[f"{name} gone"]
    assert ((1, 1), (0, 1)) == (found["sell 100 better"], found["sell 100 unseen"]), "it stays"


def test_an_order_that_no_book_fills_has_no_second_to_miss():
    messages = [message(at, [(40, 1 + at)], [(60, 1)]) for at in (0, 700, 1400, 2100)]
    states = missed.track_of(messages, missed.venue_ms)

    found = missed.of_orders(states, missed.polls_of(states, 1000, T % 1000))

    assert (0, 0) == found["buy 1,000 unseen"] == found["buy 1,000 gone"]
    assert "0.0 %" == missed.mean([found["buy 1,000 gone"]])


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8), st.integers(0, 50))
def test_over_all_phases_a_state_is_missed_as_often_as_its_life_is_short(lives, first):
    starts = [first + sum(lives[:at]) for at in range(len(lives) + 1)]
    states = track(starts)
    every_ms = missed.PHASES

    found = [missed.unseen(states, missed.polls_of(states, every_ms, at)) for at in range(every_ms)]

    short = sum(1 - min(Fraction(1), Fraction(life, every_ms)) for life in lives)
    assert short == Fraction(sum(map(len, found)), every_ms)


def test_the_phases_lie_evenly_and_tokens_are_summed_in_each():
    assert list(range(0, 2000, 100)) == list(missed.offsets_ms(2000))

    found = missed.together([{"a": [(1, 4), (2, 4)]}, {"a": [(3, 4), (1, 2)]}])

    assert {"a": [(4, 8), (3, 6)]} == found
    assert "50.0 % (50.0, 50.0, 50.0)" == missed.spread(found["a"])
    assert "35.0 % (10.0, 30.0, 65.0)" == missed.spread([(1, 10), (65, 100), (3, 10)])


def test_the_capture_is_what_the_page_says_it_is(captures):
    tokens = list(missed.read(captures / missed.NAME).values())
    gaps_ms = [one[1].recv_ms - one[0].recv_ms for each in tokens for one in pairwise(each)]
    venue_gaps_ms = [
        missed.venue_ms(two) - missed.venue_ms(one)
        for each in tokens
        for one, two in pairwise(each)
    ]

    assert (3, 7437) == (len(tokens), sum(map(len, tokens)))
    assert (10_548, 3000) == (max(gaps_ms), max(venue_gaps_ms))
    assert min(venue_gaps_ms) > 0
    grown = [
        any(each.after_micros > each.before_micros for each in changes_between(one.book, two.book))
        for token in tokens
        for one, two in pairwise(token)
    ]
    assert sum(grown) > len(grown) / 2, "no trade puts more on a level"


def test_the_figures_of_the_page_are_what_is_computed(captures):
    page = section(text("docs/METHODOLOGY.md"), "What polling misses")

    for name, rows in missed.measure(captures / missed.NAME).items():
        assert rows in page, f"{name}: `python -m tests.bench.missed` prints it"
