"""Holds core.reading.evidence: which state follows from what, and that nothing weaker hides it."""

import itertools

import pytest

from workers.core.books.bookhash import Verdict
from workers.core.coverage.canvas import Gap
from workers.core.coverage.plans import Known, Plan
from workers.core.polling.cadence import Phase
from workers.core.reading.evidence import Intervals, Sighting, State, causes_text, judged

GAP = Gap("m", 1000, 3000, 3000, {"FAILED(http_503)": 3})
FINE = {"age_ns": 900_000_000, "verdict": Verdict.VERIFIED, "interval_ms": 1000}


@pytest.mark.parametrize(
    ("change", "state", "cause"),
    [
        ({}, State.SYNCED, ""),
        ({"age_ns": 2_000_000_000}, State.SYNCED, ""),
        ({"age_ns": 2_000_000_001}, State.SUSPECT, "late"),
        ({"verdict": Verdict.FAILED}, State.SUSPECT, "hash failed"),
        ({"verdict": Verdict.ABSENT}, State.SUSPECT, "hash absent"),
        ({"flags": ["time_went_back"]}, State.SUSPECT, "time_went_back"),
        ({"unreadable": "inexact"}, State.SUSPECT, "unreadable: inexact"),
        ({"interval_ms": None}, State.SUSPECT, "no publication says when it was due"),
        ({"interval_ms": None, "last_interval_ms": 1000}, State.SYNCED, ""),
        (
            {"interval_ms": None, "last_interval_ms": 1000, "age_ns": 3_000_000_000},
            State.GAP,
            "not_due",
        ),
        ({"gap": GAP}, State.GAP, "FAILED(http_503)"),
        ({"age_ns": None, "verdict": None}, State.GAP, "not_due"),
        ({"damage": ["x", "y"]}, State.LABELLED, "x; y"),
    ],
)
def test_the_state_follows_from_what_was_seen(change, state, cause):
    assert (state, cause) == judged(Sighting(**{**FINE, **change}))


def test_a_stronger_state_is_never_hidden_by_a_weaker_one():
    doubts = {
        State.LABELLED: {"damage": ["bad"]},
        State.GAP: {"gap": GAP},
        State.SUSPECT: {"verdict": Verdict.FAILED},
    }
    for count in (1, 2, 3):
        for states in itertools.combinations(doubts, count):
            fields = {key: value for each in states for key, value in doubts[each].items()}

            assert states[0] == judged(Sighting(**{**FINE, **fields}))[0]


def test_causes_are_counted_where_there_are_several():
    assert "FAILED(timeout)×2 DOWN(crashed)×1" == causes_text(
        {"FAILED(timeout)": 2, "DOWN(crashed)": 1}
    )


def test_a_tick_that_a_manifest_has_and_no_row_shows_is_unreadable():
    assert "UNREADABLE" == causes_text({"CAPTURED": 4})


def test_the_interval_is_the_one_in_force():
    plans = [
        Plan(1, 0, (Phase("warm", 0, 10_000, 1000), Phase("hot", 10_000, 20_000, 200))),
        Plan(2, 15_000, (Phase("hot", 0, 20_000, 500),)),
    ]
    known = Known("m", "0x", "s", ("1", "2"), plans)

    for moments in ((9_999, 10_000, 15_000, 20_000, 1), (20_000, 15_000, 14_999, 10_000, 1)):
        intervals = Intervals(known)
        wanted = {9_999: 1000, 10_000: 200, 15_000: 500, 20_000: None, 1: 1000, 14_999: 200}

        assert [wanted[each] for each in moments] == [intervals.at(each) for each in moments]
    assert Intervals(None).at(5) is None
