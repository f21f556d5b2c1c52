"""Holds core.health.alerts: told once, kept in silence, recovered once, whatever the clock does."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.events import EVENTS
from workers.core.health.alerts import DETAIL_MAX, FINDINGS_MAX, Active, Finding, Outcome, weigh
from workers.core.health.conditions import ALERTS

S = 1_000_000_000
T0 = 1_800_000_000 * S
INSTANT = "worker_fatal"
PATIENT = "supervisord_unreachable"
STICKY = "venue_failing"
GRACE_S, HOLD_S = ALERTS[PATIENT].grace_s, ALERTS[STICKY].hold_s


def finding(alert: str = INSTANT, **said: object) -> Finding:
    return Finding(**{"alert": alert, "detail": "it is so", "worker": "collector-00"} | said)


def walk(*looks: tuple[float, list[Finding]]) -> list[Outcome]:
    """Outcomes of looks, each at seconds after T0 with what it found."""
    outcomes: list[Outcome] = []
    for at_s, found in looks:
        known = outcomes[-1].active if outcomes else []
        outcomes.append(weigh(known, found, T0 + int(at_s * S)))
    return outcomes


def test_a_condition_is_raised_when_it_is_first_seen():
    (first,) = walk((0, [finding()]))

    assert [INSTANT] == [each.alert for each in first.raised]
    assert [] == first.recovered


def test_a_condition_that_lasts_is_never_raised_again_but_counted():
    outcomes = walk(*[(10 * each, [finding()]) for each in range(5)])

    assert [1, 0, 0, 0, 0] == [len(each.raised) for each in outcomes]
    assert 4 == outcomes[-1].active[0].suppressed


def test_a_condition_that_is_gone_recovers_once_with_how_long_it_lasted():
    outcomes = walk((0, [finding()]), (40, [finding()]), (50, []), (60, []))

    assert [0, 0, 1, 0] == [len(each.recovered) for each in outcomes]
    assert 50 == outcomes[2].recovered[0].lasted_s(T0 + 50 * S)
    assert [] == outcomes[2].active


def test_a_condition_shorter_than_its_grace_is_never_told():
    outcomes = walk((0, [finding(PATIENT)]), (GRACE_S - 1, [finding(PATIENT)]), (GRACE_S, []))

    assert [] == [each for outcome in outcomes for each in outcome.raised + outcome.recovered]


def test_a_condition_is_told_when_its_grace_is_over():
    outcomes = walk((0, [finding(PATIENT)]), (GRACE_S, [finding(PATIENT)]))

    assert [0, 1] == [len(each.raised) for each in outcomes]


def test_an_operators_grace_stands_before_the_catalogues():
    outcomes = walk(
        (0, [finding(grace_s=60)]), (59, [finding(grace_s=60)]), (60, [finding(grace_s=60)])
    )

    assert [0, 0, 1] == [len(each.raised) for each in outcomes]


def test_what_flaps_within_its_hold_is_one_condition():
    flapping = [(at_s, [finding(STICKY)] if at_s % 20 == 0 else []) for at_s in range(0, 200, 10)]

    outcomes = walk(*flapping)

    assert 1 == sum(len(each.raised) for each in outcomes)
    assert 0 == sum(len(each.recovered) for each in outcomes)


def test_what_flaps_within_its_hold_still_uses_up_its_grace():
    """A process that dies at each start is BACKOFF at one look and STARTING at the next."""
    one = finding("worker_backoff", grace_s=60)

    outcomes = walk(*[(at_s, [one] if at_s % 20 == 0 else []) for at_s in range(0, 90, 10)])

    assert [60] == [10 * each for each, outcome in enumerate(outcomes) if outcome.raised]


def test_nothing_is_raised_by_a_look_that_did_not_find_it():
    gone = ALERTS["worker_backoff"].hold_s / 2
    one = finding("worker_backoff", grace_s=gone)

    outcomes = walk((0, [one]), (gone, []))

    assert [] == outcomes[1].raised


def test_a_held_condition_recovers_when_its_hold_is_over():
    outcomes = walk((0, [finding(STICKY)]), (HOLD_S - 1, []), (HOLD_S, []))

    assert [0, 0, 1] == [len(each.recovered) for each in outcomes]


@pytest.mark.parametrize("other", [{"worker": "collector-01"}, {"subject": "x"}, {"alert": STICKY}])
def test_alert_worker_and_subject_make_a_condition(other: dict[str, str]):
    (outcome,) = walk((0, [finding(), finding(**other)]))

    assert 2 == len(outcome.raised)


def test_the_detail_follows_the_newest_look_and_tells_nobody():
    outcomes = walk((0, [finding(detail="a")]), (1, [finding(detail="b")]))

    assert "b" == outcomes[1].active[0].detail
    assert [] == outcomes[1].raised


def test_a_clock_set_back_neither_raises_again_nor_holds_for_ever():
    outcomes = walk((0, [finding(STICKY)]), (-9000, [finding(STICKY)]), (-8000, []))

    assert [1, 0, 0] == [len(each.raised) for each in outcomes]
    assert 1 == len(outcomes[2].recovered)
    assert 1000 == outcomes[2].recovered[0].lasted_s(T0 - 8000 * S)


def test_a_clock_set_back_over_the_last_sight_does_not_hold_it():
    outcomes = walk((0, [finding(STICKY)]), (-9000, []))

    assert 1 == len(outcomes[1].recovered)


def test_a_flood_of_findings_is_cut():
    (outcome,) = walk((0, [finding(subject=str(each)) for each in range(10_000)]))

    assert FINDINGS_MAX == len(outcome.active)


def test_long_texts_are_cut():
    (outcome,) = walk((0, [finding(detail="x" * 10**6, subject="y" * 10**6)]))

    assert DETAIL_MAX == len(outcome.active[0].detail) == len(outcome.active[0].subject)


def test_a_long_subject_is_the_same_condition_at_the_next_look():
    outcomes = walk(*[(each, [finding(subject="y" * 10**4)]) for each in range(3)])

    assert [1, 0, 0] == [len(each.raised) for each in outcomes]


def test_conditions_are_read_back_as_they_were_written():
    (outcome,) = walk((0, [finding()]))

    assert outcome.active == msgspec.json.decode(
        msgspec.json.encode(outcome.active), type=list[Active]
    )


@given(
    st.lists(st.tuples(st.integers(0, 100), st.sets(st.sampled_from(sorted(ALERTS)), max_size=4)))
)
def test_raises_and_recoveries_alternate_for_every_condition(steps: list[tuple[int, set[str]]]):
    active: list[Active] = []
    open_now: set[str] = set()
    wall_ns = T0
    for pause_s, names in steps:
        wall_ns += pause_s * S
        outcome = weigh(active, [finding(name) for name in sorted(names)], wall_ns)
        active = outcome.active

        ended = {each.alert for each in outcome.recovered}
        begun = {each.alert for each in outcome.raised}
        assert ended <= open_now
        assert not begun & open_now
        open_now = open_now - ended | begun
        assert open_now == {each.alert for each in active if each.is_raised}


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_every_alert_says_who_acts_what_it_means_and_what_to_do(name: str):
    alert = ALERTS[name]

    assert alert.level in {"error", "warning"}
    assert alert.meaning
    assert alert.action
    assert 0 <= alert.grace_s <= 60
    assert 0 <= alert.hold_s <= 3600


def test_raising_and_recovering_are_catalogued_events():
    assert {"alert_raised", "alert_recovered", "guard_changed"} <= EVENTS.keys()


def test_a_shard_is_known_by_its_workers_name_where_nobody_says_it():
    named = {"collector-01": 1, "streamer-00": 0, "discovery": None, "-": None}

    begun = weigh([], [Finding(alert="worker_fatal", detail="", worker=each) for each in named], 1)

    assert named == {each.worker: each.shard for each in begun.active}
