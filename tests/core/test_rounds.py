"""Promises of core.universe.rounds: nothing recorded is lost or remapped by an answer; doubt is said."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.gamma_samples import ASKED, NOW_MS, START_MS, market, market_object, read
from workers.core.universe.crosscheck import Answer, Disagreement, Found
from workers.core.universe.markets import KEYSET, SLUG, Asked, Market, Reading
from workers.core.universe.refusals import Pending, Refusal
from workers.core.universe.rounds import REFUSED_LIMIT, Outcome, next_universe
from workers.core.universe.slugs import Expected, Window
from workers.core.universe.universe import Universe

FIVE = 300_000
HORIZON_S = 3600


def listing(*readings: Reading, cause: str = "ok", name: str = "btc-5m") -> Answer:
    return Answer(name=name, asked=ASKED, cause=cause, readings=readings)


def looked_up(*readings: Reading) -> Answer:
    expected = Expected("x", Window(0, 1))
    asked = Asked(source=SLUG, series_id="10684", expected=expected)
    return Answer(name="x", asked=asked, cause="ok", readings=readings)


def after(previous: Universe, *answers: Answer, now_ms: int = NOW_MS) -> Outcome:
    listings = tuple(each for each in answers if each.asked.expected is None)
    lookups = tuple(each for each in answers if each.asked.expected is not None)
    found = Found(listings=listings, lookups=lookups)
    return next_universe(previous, found, horizon_s=HORIZON_S, now_ms=now_ms)


def markets(count: int, *, now_ms: int = NOW_MS) -> list[Market]:
    return [market(START_MS + n * FIVE, now_ms=now_ms) for n in range(count)]


def recorded(count: int = 4) -> Universe:
    return after(Universe(), listing(*markets(count))).universe


def alerts(outcome: Outcome) -> list[str]:
    return [each.alert for each in outcome.conditions]


def test_the_first_round_is_published_with_its_markets_in_the_order_of_their_windows() -> None:
    outcome = after(Universe(), listing(*reversed(markets(3))))

    assert outcome.changed
    assert (1, NOW_MS) == (outcome.universe.seq, outcome.universe.published_ms)
    assert [each.slug for each in markets(3)] == [each.slug for each in outcome.universe.markets]
    assert [] == alerts(outcome)


def test_a_first_round_without_an_answer_is_published_as_stale() -> None:
    outcome = after(Universe(), listing(cause="connect"))

    assert (1, True) == (outcome.universe.seq, outcome.changed)
    assert "not answered: btc-5m connect" == outcome.universe.stale_reason
    assert ["universe_stale", "gamma_unreachable"] == alerts(outcome)


def test_the_same_answer_a_second_time_changes_nothing() -> None:
    before = recorded()

    outcome = after(before, listing(*markets(4, now_ms=NOW_MS + 30_000)), now_ms=NOW_MS + 30_000)

    assert not outcome.changed
    assert (1, NOW_MS) == (outcome.universe.seq, outcome.universe.published_ms)
    assert before.fetched_at_utc < outcome.universe.fetched_at_utc


def test_time_alone_changes_tier_and_status_but_not_the_sequence() -> None:
    now_ms = START_MS + 1000

    outcome = after(recorded(), listing(*markets(4, now_ms=now_ms)), now_ms=now_ms)

    assert not outcome.changed
    assert ("hot", "open") == (
        outcome.universe.markets[0].tier,
        outcome.universe.markets[0].status,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("orderPriceMinTickSize", 0.001), ("question", "Bitcoin, up or down?")],
)
def test_a_changed_market_raises_the_sequence(name: str, value: Any) -> None:
    first, *rest = markets(4)
    changed = market(START_MS, **{name: value})
    assert changed != first

    outcome = after(recorded(), listing(changed, *rest))

    assert (2, True) == (outcome.universe.seq, outcome.changed)


def test_a_market_that_a_later_page_omits_stays_until_its_recording_is_over() -> None:
    before, rest = recorded(), markets(4)[1:]
    gone, until_ms = before.markets[0].slug, before.markets[0].record_until_ms

    kept = after(before, listing(*rest), now_ms=until_ms - 1)
    over = after(kept.universe, listing(*rest), now_ms=until_ms)

    assert gone in [each.slug for each in kept.universe.markets]
    assert (gone,) == over.left
    assert gone not in [each.slug for each in over.universe.markets]


def test_a_market_enters_when_its_recording_comes_within_the_horizon() -> None:
    far = market(START_MS + 20 * FIVE)

    early = after(recorded(), listing(*markets(4), far))
    later = after(early.universe, listing(*markets(4), far), now_ms=far.record_from_ms - 3_600_000)

    assert () == early.entered
    assert (far.slug,) == later.entered


ABSURD = {
    "empty": [listing()],
    "failed": [listing(cause="http_500")],
    "half a listing": [listing(*markets(4), cause="timeout")],
    "a looping cursor": [listing(*markets(4), cause="cursor_loop")],
    "another series": [
        listing(Refusal("a", "wrong_series", "", ""), Refusal("b", "wrong_series", "", ""))
    ],
    "shrunk": [listing(*markets(1))],
    "only zombies": [listing(Refusal("a", "ended", "", ""))],
}


@pytest.mark.parametrize("kind", sorted(ABSURD))
def test_an_absurd_answer_makes_the_universe_stale_and_never_smaller(kind: str) -> None:
    before = recorded()

    outcome = after(before, *ABSURD[kind], now_ms=NOW_MS + 30_000)

    assert [each.slug for each in before.markets] == [e.slug for e in outcome.universe.markets]
    assert outcome.universe.stale_since_utc is not None
    assert outcome.universe.stale_reason
    assert before.fetched_at_utc == outcome.universe.fetched_at_utc
    assert "universe_stale" in alerts(outcome)
    assert (2, True) == (outcome.universe.seq, outcome.changed)


def test_a_listing_of_nothing_but_the_markets_of_another_recorded_series_is_absurd() -> None:
    quarter = listing(*markets(4), name="btc-15m")

    outcome = after(recorded(), quarter)

    assert "btc-15m lists only markets of other series" == outcome.universe.stale_reason


def test_staleness_lasts_from_its_first_round_and_mends_by_itself() -> None:
    stale = after(recorded(), listing(), now_ms=NOW_MS + 30_000)
    still = after(stale.universe, listing(cause="dns"), now_ms=NOW_MS + 60_000)
    mended = after(still.universe, listing(*markets(4)), now_ms=NOW_MS + 90_000)

    assert not still.changed
    assert stale.universe.stale_since_utc == still.universe.stale_since_utc
    assert (None, None) == (mended.universe.stale_since_utc, mended.universe.stale_reason)
    assert ([], 3) == (alerts(mended), mended.universe.seq)


def test_half_of_the_open_markets_is_still_believed() -> None:
    assert after(recorded(), listing(*markets(2))).universe.stale_since_utc is None


def test_a_stale_round_still_lets_new_markets_in() -> None:
    new = markets(5)[4]

    outcome = after(recorded(), listing(new))

    assert (new.slug,) == outcome.entered
    assert outcome.universe.stale_since_utc is not None


def test_markets_of_a_series_that_is_no_longer_selected_do_not_make_a_listing_look_shrunk() -> None:
    before = recorded()
    quarters = msgspec.structs.replace(
        before,
        markets=tuple(msgspec.structs.replace(each, series="btc-15m") for each in before.markets),
    )

    outcome = after(quarters, listing(market(START_MS + 9 * FIVE)))

    assert outcome.universe.stale_since_utc is None


def tokens(first: str, second: str) -> str:
    return json.dumps([first, second])


UP, DOWN = (each.token_id for each in market().tokens)
REMAPPED: dict[str, tuple[dict[str, Any], str]] = {
    "another condition": ({"conditionId": "0xother"}, "mapping_changed"),
    "another token": ({"clobTokenIds": tokens(UP, "77")}, "mapping_changed"),
    "other names": ({"outcomes": '["Yes", "No"]'}, "mapping_changed"),
    "tokens swapped": ({"clobTokenIds": tokens(DOWN, UP)}, "outcomes_swapped"),
    "outcomes swapped": ({"outcomes": '["Down", "Up"]'}, "outcomes_swapped"),
    "both swapped": (
        {"outcomes": '["Down", "Up"]', "clobTokenIds": tokens(DOWN, UP)},
        "outcomes_swapped",
    ),
}


@pytest.mark.parametrize("kind", sorted(REMAPPED))
def test_a_mapping_that_changes_is_refused_and_the_old_one_kept(kind: str) -> None:
    changes, reason = REMAPPED[kind]
    before, rest = recorded(), markets(4)[1:]

    outcome = after(before, listing(market(**changes), *rest))

    assert before.markets == outcome.universe.markets
    assert [reason] == [each.reason for each in outcome.universe.refused]
    assert ["mapping_refused"] == alerts(outcome)
    assert before.markets[0].slug in outcome.conditions[0].detail


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clobTokenIds": tokens(UP, "77")}, "token_taken"),
        ({"clobTokenIds": tokens("77", UP)}, "token_taken"),
        ({"conditionId": market().condition_id}, "condition_taken"),
    ],
)
def test_a_token_or_condition_of_a_recorded_market_goes_to_no_other(
    changes: dict[str, Any], reason: str
) -> None:
    thief = market(START_MS + 4 * FIVE, **changes)

    outcome = after(recorded(), listing(*markets(4), thief))

    assert thief.slug not in [each.slug for each in outcome.universe.markets]
    assert [(thief.slug, reason)] == [(e.slug, e.reason) for e in outcome.universe.refused]


def test_two_new_markets_of_one_answer_cannot_share_a_token() -> None:
    thief = market(START_MS + FIVE, clobTokenIds=tokens("77", DOWN))

    outcome = after(Universe(), listing(market(), thief))

    assert ["token_taken"] == [each.reason for each in outcome.universe.refused]
    assert [market().slug] == [each.slug for each in outcome.universe.markets]


def test_a_refusal_of_a_recorded_market_keeps_it() -> None:
    first, *rest = markets(4)
    broken = read(market_object(clobTokenIds="[1, 2]"))

    outcome = after(recorded(), listing(broken, *rest))

    assert first.slug in [each.slug for each in outcome.universe.markets]
    assert ["mapping_refused"] == alerts(outcome)


def test_a_recorded_market_that_is_closed_stays_and_says_so() -> None:
    first, *rest = markets(4)

    outcome = after(recorded(), listing(Refusal(first.slug, "closed", "", ""), *rest))
    again = after(outcome.universe, listing(*rest))

    assert ("closed", 2, True) == (
        outcome.universe.markets[0].status,
        outcome.universe.seq,
        outcome.changed,
    )
    assert ("closed", False) == (again.universe.markets[0].status, again.changed)
    assert () == outcome.universe.refused


def test_a_pending_market_is_not_refused_and_enters_when_it_is_complete() -> None:
    new = markets(5)[4]

    waiting = after(recorded(), listing(*markets(4), Pending(new.slug, "no token ids yet")))
    complete = after(waiting.universe, listing(*markets(5)))

    assert (Pending(new.slug, "no token ids yet"),) == waiting.pending
    assert ((), False) == (waiting.universe.refused, waiting.changed)
    assert ((new.slug,), ()) == (complete.entered, complete.pending)


def test_a_recorded_market_that_hydrates_anew_stays_as_it_was() -> None:
    before = recorded()
    pending = [Pending(each.slug, "no token ids yet") for each in before.markets]

    outcome = after(before, listing(*pending))

    assert before.markets == outcome.universe.markets
    assert "lists 0 of 4 known open markets" == outcome.universe.stale_reason


def test_quiet_refusals_are_shown_but_alert_nobody_and_are_no_news() -> None:
    zombie = Refusal("zombie", "ended", "2025", "t")

    outcome = after(Universe(), listing(*markets(2), zombie))
    gone = after(outcome.universe, listing(*markets(2)))

    assert (zombie,) == outcome.universe.refused
    assert [] == alerts(outcome)
    assert not gone.changed


def test_a_refusal_keeps_the_time_it_was_first_seen_and_goes_when_it_is_over() -> None:
    first = after(Universe(), listing(*markets(2), Refusal("z", "no_end", "d", "one")))
    second = after(first.universe, listing(*markets(2), Refusal("z", "no_end", "d", "two")))
    over = after(second.universe, listing(*markets(2)))

    assert ["one"] == [each.at_utc for each in second.universe.refused]
    assert not second.changed
    assert ((), True) == (over.universe.refused, over.changed)


def test_the_refusals_are_bounded_and_the_loud_ones_come_first() -> None:
    many = [Refusal(f"z{n:04d}", "ended", "", "") for n in range(REFUSED_LIMIT + 50)]

    outcome = after(Universe(), listing(*markets(2), *many, Refusal("zz", "no_end", "", "")))

    assert REFUSED_LIMIT == len(outcome.universe.refused)
    assert "zz" == outcome.universe.refused[0].slug


def test_a_market_found_only_by_its_name_is_recorded_and_keeps_that_source() -> None:
    new = msgspec.structs.replace(market(START_MS + 4 * FIVE), source=SLUG)

    found = after(recorded(), listing(*markets(4)), looked_up(new))
    listed = after(found.universe, listing(*markets(5)))

    assert SLUG == found.universe.markets[-1].source
    assert SLUG == listed.universe.markets[-1].source
    assert not listed.changed


def test_a_disagreement_is_a_condition_with_the_name_in_it() -> None:
    found = Found(
        listings=(listing(*markets(2)),),
        disagreements=(Disagreement("btc-updown-5m-1", "is neither listed nor found by name"),),
    )

    outcome = next_universe(Universe(), found, horizon_s=HORIZON_S, now_ms=NOW_MS)

    assert ["discovery_disagrees"] == alerts(outcome)
    assert "btc-updown-5m-1 is neither" in outcome.conditions[0].detail


def test_a_selected_event_that_does_not_exist_is_no_reason_to_doubt_the_listing() -> None:
    missing = Answer(name="slug:gone", asked=Asked(source=SLUG), cause="http_404")

    assert after(recorded(), listing(*markets(4)), missing).universe.stale_since_utc is None
    gone = Answer(name="tag:gone", asked=Asked(source=KEYSET), cause="http_404")
    assert after(recorded(), listing(*markets(4)), gone).universe.stale_since_utc is not None


@st.composite
def readings(draw: st.DrawFn) -> list[Reading]:
    """Any answer: markets as they are, remapped, pending or refused."""
    found: list[Reading] = []
    for n in draw(st.lists(st.integers(0, 6), max_size=8)):
        other = draw(st.integers(0, 6))
        kind = draw(st.sampled_from(["market", "stolen", "pending", "refused", "closed"]))
        whole = market(START_MS + n * FIVE, now_ms=START_MS)
        stolen = market(START_MS + other * FIVE, now_ms=START_MS).tokens
        choices: dict[str, Reading] = {
            "market": whole,
            "stolen": msgspec.structs.replace(whole, tokens=stolen),
            "pending": Pending(whole.slug, ""),
            "refused": Refusal(whole.slug, "bad_type", "", ""),
            "closed": Refusal(whole.slug, "closed", "", ""),
        }
        found.append(choices[kind])
    return found


@settings(max_examples=60)
@given(st.lists(st.tuples(readings(), st.integers(0, 400_000)), min_size=2, max_size=5))
def test_no_sequence_of_answers_loses_or_remaps_a_recorded_market(
    rounds: list[tuple[list[Reading], int]],
) -> None:
    universe, now_ms = Universe(), NOW_MS
    for answers, passed_ms in rounds:
        now_ms += passed_ms
        outcome = after(universe, listing(*answers), now_ms=now_ms)
        later = {each.slug: each for each in outcome.universe.markets}
        for old in universe.markets:
            if old.record_until_ms > now_ms:
                assert (old.condition_id, old.tokens) == (
                    later[old.slug].condition_id,
                    later[old.slug].tokens,
                )
        owned = [token.token_id for each in later.values() for token in each.tokens]
        assert len(owned) == len(set(owned))
        assert outcome.universe.seq - universe.seq == int(outcome.changed)
        universe = outcome.universe
