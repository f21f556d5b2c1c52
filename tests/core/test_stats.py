"""Figures weighted by time against a walk over every millisecond; nothing crosses a gap."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.core.books.amounts import MICROS
from workers.core.coverage.plans import DueTicks, Plan
from workers.core.polling.cadence import Phase
from workers.core.reading.evidence import FRESH_INTERVALS
from workers.core.report import stats
from workers.core.report.stats import Seen
from workers.core.report.token_stats import RANKED_NS, TOKEN_STATS, TokenStats, ranked, with_sums

MS = 1_000_000
#: A busy machine takes its time.
RULES = settings(deadline=None)
WARM, HOT = 40, 10
#: Due each 40 ms in [0, 120) and [320, 400), each 10 ms in [120, 200); nothing in [200, 320).
PLAN = Plan(
    1,
    0,
    (Phase("warm", 0, 120, WARM), Phase("hot", 120, 200, HOT), Phase("warm", 320, 400, WARM)),
)
TICKS = DueTicks([PLAN], 0, 400)
DUE = [*range(0, 120, WARM), *range(120, 200, HOT), *range(320, 400, WARM)]
LEVELS = st.lists(
    st.tuples(st.integers(1, MICROS - 1), st.integers(0, 5_000_000)),
    max_size=3,
    unique_by=lambda each: each[0],
).map(lambda levels: tuple(sorted(levels)))


@st.composite
def states(draw) -> list[Seen]:
    """Rows of some due ticks, a few ms late, now and then beside the grid or behind a clock step."""
    asked = sorted(draw(st.sets(st.sampled_from([*DUE, 7, 133, 250]))))
    found, step_ms = [], 0
    for due_ms in asked:
        step_ms += draw(st.sampled_from([0] * 9 + [600, -600]))
        recv_ms = due_ms + draw(st.integers(0, 9))
        found.append(
            Seen(
                due_ms=due_ms,
                recv_wall_ns=(recv_ms + step_ms) * MS,
                recv_mono_ns=recv_ms * MS,
                tick_micros=draw(st.sampled_from([None, 10_000, 1_000])),
                bids=draw(LEVELS),
                asks=draw(LEVELS.map(lambda levels: levels[::-1])),
            )
        )
    return found


def known_at(rows: list[Seen], at_ms: int) -> Seen | None:
    """The state that is known to hold in [at, at + 1 ms), by the words of the definition."""
    before = [each for each in rows if each.recv_mono_ns <= at_ms * MS]
    behind = [each for each in rows if each.recv_mono_ns > at_ms * MS]
    if not before or not behind:
        return None
    one, later = before[-1], behind[0]
    if any(one.due_ms < due_ms < later.due_ms for due_ms in DUE):
        return None
    moved = (later.recv_wall_ns - one.recv_wall_ns) - (later.recv_mono_ns - one.recv_mono_ns)
    if abs(moved) >= stats.CLOCK_STEP_NS:
        return None
    intervals = [interval_of(one.due_ms), interval_of(later.due_ms)]
    if later.recv_mono_ns - one.recv_mono_ns > FRESH_INTERVALS * max(intervals) * MS:
        return None
    return one


def interval_of(due_ms: int) -> int:
    """Of the newest phase that has begun."""
    return [each.interval_ms for each in PLAN.phases if each.from_ms <= due_ms][-1]


@RULES
@given(states())
def test_every_sum_is_that_of_a_walk_over_every_millisecond(rows: list[Seen]):
    rows = [
        each
        for at, each in enumerate(rows)
        if not at or each.recv_mono_ns > rows[at - 1].recv_mono_ns
    ]
    sums, spreads = stats.summed(TICKS, rows)
    held = [each for at_ms in range(420) if (each := known_at(rows, at_ms)) is not None]
    two = [each for each in held if each.bids and each.asks]

    assert sums["held_ns"] == len(held) * MS
    assert sums["two_sided_ns"] == len(two) * MS
    for side in ("bid", "ask"):
        ladders = [each.bids if side == "bid" else each.asks for each in held]
        best = [each[-1] for each in ladders if each]
        every = [level for each in ladders for level in each]
        assert sums[f"best_{side}_size_x_ns"] == sum(s for _, s in best) * MS
        assert sums[f"best_{side}_notional_x_ns"] == sum(p * s for p, s in best) * MS
        assert sums[f"{side}_size_x_ns"] == sum(s for _, s in every) * MS
        assert sums[f"{side}_notional_x_ns"] == sum(p * s for p, s in every) * MS
    spread_of = [each.asks[-1][0] - each.bids[-1][0] for each in two]
    assert sums["spread_x_ns"] == sum(spread_of) * MS
    expected = Counter(
        (spread, each.tick_micros) for spread, each in zip(spread_of, two, strict=True)
    )
    assert {key: ns // MS for key, ns in spreads.items()} == expected
    assert sums["captured"] == len({each.due_ms for each in rows} & set(DUE))


@RULES
@given(states(), st.sampled_from(DUE))
def test_time_across_a_missed_tick_counts_nowhere(rows: list[Seen], missed_ms: int):
    kept = [each for each in rows if each.due_ms != missed_ms]
    before = [each for each in kept if each.due_ms < missed_ms]
    behind = [each for each in kept if each.due_ms > missed_ms]
    both = [stats.summed(TICKS, part)[0]["held_ns"] for part in (before, behind)]

    assert stats.summed(TICKS, kept)[0]["held_ns"] == sum(both)


@pytest.mark.parametrize("due_ms", [*range(-5, 420)])
def test_a_place_counts_the_due_ticks_up_to_it(due_ms: int):
    place = stats.place_of(TICKS, due_ms)

    assert place.rank == sum(each <= due_ms for each in DUE)
    assert place.is_due == (due_ms in DUE)


def at(due_ms: int, wall_ms: int | None = None, mono_ms: int | None = None) -> Seen:
    return Seen(
        due_ms=due_ms,
        recv_wall_ns=(due_ms if wall_ms is None else wall_ms) * MS,
        recv_mono_ns=(due_ms if mono_ms is None else mono_ms) * MS,
        tick_micros=10_000,
        bids=((480_000, 1_000_000),),
        asks=((550_000, 3_000_000),),
    )


def test_a_state_holds_until_the_row_of_the_very_next_due_tick():
    assert 10 * MS == stats.held_ns(TICKS, at(120), at(130))
    assert 0 == stats.held_ns(TICKS, at(120), at(140))


def test_where_nothing_was_due_a_state_holds_for_two_intervals_at_most():
    assert 0 == stats.held_ns(TICKS, at(190), at(320))
    assert 20 * MS == stats.held_ns(TICKS, at(130), at(140, 150, 150))
    assert 0 == stats.held_ns(TICKS, at(130), at(140, 151, 151))


def test_nothing_holds_across_a_clock_step_or_a_boot():
    assert 0 == stats.held_ns(TICKS, at(120), at(130, wall_ms=130 + 250))
    assert 0 == stats.held_ns(TICKS, at(120), at(130, wall_ms=130 - 250))
    assert 0 == stats.held_ns(TICKS, at(120), at(130, mono_ms=5))


@RULES
@given(st.integers(0, 10**15), st.integers(0, 10**15))
def test_the_imbalance_of_the_other_outcome_is_its_negative(bid: int, ask: int):
    found = stats.imbalance_micros(bid, ask)

    assert found == -stats.imbalance_micros(ask, bid)
    assert abs(found) <= MICROS
    exact = Fraction(bid - ask, bid + ask) * MICROS if bid + ask else 0
    assert abs(found - exact) < 1
    assert abs(found) <= abs(exact)


@RULES
@given(st.fractions(), st.integers(0, 8))
def test_a_rounded_fraction_is_the_nearest_decimal(value: Fraction, digits: int):
    text = stats.rounded(value, digits)

    assert text is not None
    assert abs(Fraction(text) - value) * 2 <= Fraction(1, 10**digits)
    assert len(text.partition(".")[2]) == digits
    assert not text.startswith("-0.") or Fraction(text) < 0


def test_an_average_of_nothing_is_none_and_not_zero():
    assert stats.mean(0, 0) is None
    assert stats.rounded(None, 2) is None


@RULES
@given(st.lists(st.integers(), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_measured_value_with_enough_below_it(values: list[int], percent: int):
    found = stats.percentile(sorted(values), percent)

    assert found in values
    assert sum(each <= found for each in values) * 100 >= percent * len(values)
    assert sum(each < found for each in values) * 100 < percent * len(values)


def row(name: str, **fields: int) -> TokenStats:
    made = TokenStats(slug=name, series="s", condition_id=name, token_id=name, outcome="Up", due=10)
    sums = stats.Sums(held_ns=RANKED_NS, two_sided_ns=RANKED_NS)
    for key, value in fields.items():
        sums[key] = value
    return with_sums(made, sums, stats.Spreads())


def test_a_ranking_has_the_best_first_and_ties_by_name():
    rows = [row("b", changes=5), row("a", changes=5), row("c", changes=9), row("d")]

    assert ["c", "a"] == [each.slug for each in ranked(rows, "activity", 2)]


def test_the_tightest_has_the_smallest_spread():
    rows = [row("wide", spread_x_ns=9 * RANKED_NS), row("tight", spread_x_ns=RANKED_NS)]

    assert ["tight", "wide"] == [each.slug for each in ranked(rows, "tightness", 2)]


def test_what_was_hardly_seen_is_not_ranked():
    assert [] == ranked([row("a", changes=5, two_sided_ns=RANKED_NS - 1)], "activity", 2)


def test_a_row_has_the_columns_of_the_table_in_their_order():
    assert TokenStats.__struct_fields__ == tuple(each.name for each in TOKEN_STATS.columns)
