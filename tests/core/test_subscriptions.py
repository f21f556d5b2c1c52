"""Holds core.stream.subscriptions: who stands on which connection, what is sent, who is isolated."""

from collections.abc import Iterable

import msgspec

from tests.core.scripted import market
from workers.core.instants import ms_text
from workers.core.stream.subscriptions import STRIKES_IN_A_STORM, Groups, Roster, commands
from workers.core.universe.markets import Market

START_MS = 1_776_326_400_000
END_MS = START_MS + 300_000


def windowed(name: str, start_ms: int = START_MS) -> Market:
    end_ms = start_ms + 300_000
    return msgspec.structs.replace(
        market(condition_id=name, tokens=(f"{name}-up", f"{name}-down")),
        window_start_utc=ms_text(start_ms),
        window_end_utc=ms_text(end_ms),
        record_until_utc=ms_text(end_ms + 60_000),
    )


def many(number: int) -> list[Market]:
    return [windowed(f"m{each}") for each in range(number)]


def roster(*markets: Market, now_ms: int = START_MS) -> Roster:
    found = Roster(lead_s=60, tail_s=360)
    found.load(markets, now_ms)
    return found


def test_a_market_is_wanted_from_its_lead_to_its_tail():
    known = roster(windowed("m"))

    moments = {
        START_MS - 60_001: 0,
        START_MS - 60_000: 1,
        END_MS + 359_999: 1,
        END_MS + 360_000: 0,
    }
    assert moments == {at_ms: len(known.wanted(at_ms)) for at_ms in moments}


def test_a_resolved_market_is_wanted_no_more():
    known = roster(windowed("m"), windowed("n"))

    known.resolved("m")

    assert ["n"] == [each.condition_id for each in known.wanted(END_MS)]


def test_a_market_that_discovery_forgot_after_its_recording_keeps_its_tail():
    known = roster(windowed("m"))

    known.load([], END_MS + 60_000)
    assert 1 == len(known.wanted(END_MS + 61_000))
    known.load([], END_MS + 360_000)
    assert () == known.wanted(END_MS + 300_000)


def test_a_market_that_discovery_dropped_before_its_end_is_dropped():
    known = roster(windowed("m"))

    known.load([], START_MS + 1)

    assert () == known.wanted(START_MS + 2)


def test_no_group_has_more_tokens_than_a_connection_may_carry():
    groups = Groups(400)

    groups.want(many(450))

    assert [400, 400, 100] == [len(each.token_ids()) for each in groups.by_number.values()]


def test_a_market_stays_in_its_group_and_room_is_used_again():
    groups, markets = Groups(4), many(5)
    groups.want(markets[:4])
    before = {number: set(each.markets) for number, each in groups.by_number.items()}

    groups.want([*markets[1:4], markets[4]])

    assert {1: {"m0", "m1"}, 2: {"m2", "m3"}} == before
    assert {1: {"m1", "m4"}, 2: {"m2", "m3"}} == {
        number: set(each.markets) for number, each in groups.by_number.items()
    }


def test_a_group_without_markets_goes():
    groups = Groups(4)
    groups.want(many(3))

    groups.want(many(1))

    assert [1] == [*groups.by_number]


def isolate(groups: Groups, killers: Iterable[str], rounds: int = 40) -> None:
    """Let connections live or die as their markets decide."""
    for _ in range(rounds):
        for number, group in [*groups.by_number.items()]:
            if set(group.markets) & set(killers):
                groups.died_early(number)
            else:
                groups.lived(number)


def test_a_market_that_kills_its_connection_is_found_by_halving():
    groups = Groups(400)
    groups.want(many(200))

    isolate(groups, ["m77"])

    assert ["m77"] == groups.isolated()
    assert len(groups.by_number) < 20
    assert 400 == sum(len(each.token_ids()) for each in groups.by_number.values())


def test_two_killers_in_two_halves_are_both_found():
    groups = Groups(400)
    groups.want(many(200))

    isolate(groups, ["m3", "m177"], rounds=80)

    assert {"m3", "m177"} == set(groups.isolated())


def test_a_storm_that_kills_everything_halves_little():
    groups = Groups(400)
    groups.want(many(200))

    for _ in range(STRIKES_IN_A_STORM):
        for number in [*groups.by_number]:
            groups.died_early(number)

    assert len(groups.by_number) <= 4
    assert [] == groups.isolated()


def test_a_new_market_does_not_join_a_suspect_group():
    groups = Groups(400)
    groups.want(many(2))
    groups.died_early(1)

    groups.want([*many(2), windowed("new")])

    assert ["new"] == [*groups.by_number[2].markets]


def test_the_first_message_is_a_market_subscription_and_the_rest_are_chunks():
    found = [*commands(None, [str(each) for each in range(250)], chunk=100)]

    told = [msgspec.json.decode(each.text) for each in found]
    assert [100, 100, 50] == [len(each["assets_ids"]) for each in told]
    assert ["market", None, None] == [each.get("type") for each in told]
    assert [None, "subscribe", "subscribe"] == [each.get("operation") for each in told]
    assert {(True, True)} == {
        (each["initial_dump"], each["custom_feature_enabled"]) for each in told
    }


def test_only_the_difference_is_sent():
    found = [*commands({"a": 0, "b": 0}, ["b", "c"], chunk=100)]

    assert [("subscribe", ["c"]), ("unsubscribe", ["a"])] == [
        (each.operation, each.token_ids) for each in found
    ]
    assert [] == [*commands({"a": 0}, ["a"], chunk=100)]
