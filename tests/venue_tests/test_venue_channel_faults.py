"""Faults on the market channel: each is seen to happen on the wire, and is named in the truth."""

import json
from collections.abc import Callable

import pytest

from tests.venue import Venue, faults
from tests.venue.channel_truth import ChannelTruth
from tests.venue_tests.channel_peers import (
    Connect,
    Peer,
    Rebuilt,
    each_event,
    of_kind,
    wait_for,
)
from tests.venue_tests.peers import Hand, ask, get, regular, window_at

PROVEN: set[str] = set()


def proves(*kinds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test as the proof of these kinds; the last test counts them."""
    PROVEN.update(kinds)
    return lambda test: test


@pytest.fixture
def begun(venue: Venue, peer: Peer) -> Rebuilt:
    """The first connection has subscribed the open window and rebuilt its books."""
    peer.subscribe(window_at(venue).token_ids)
    books = Rebuilt({market.condition_id: market.token_ids for market in regular(venue)})
    return books.take(peer.settled())


def produced(truth: ChannelTruth) -> set[int]:
    return {row.n for row in truth.changes() if not row.custom}


def condition_ids(frames: list[bytes]) -> set[str]:
    return {event["market"] for event in each_event(frames)}


@proves("freeze")
def test_one_market_freezes_and_pong_stays(venue: Venue, hand: Hand, peer: Peer) -> None:
    frozen, living = window_at(venue), window_at(venue, 1)
    peer.subscribe([*frozen.token_ids, *living.token_ids])
    peer.settled()
    number = venue.faults.add("freeze", "channel", market=frozen.condition_id)
    hand.at_ms += 120_000
    still = condition_ids(peer.settled())
    venue.faults.remove(number)
    hand.at_ms += 5_000

    assert {living.condition_id} == still
    assert {frozen.condition_id} <= condition_ids(peer.settled())
    withheld = venue.channel_truth.withheld(1)
    assert produced(venue.channel_truth) == venue.channel_truth.arrived(1) | withheld.keys()
    assert {"freeze"} == {*withheld.values()}


def test_one_of_two_connections_freezes(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt, connect: Connect
) -> None:
    other = connect(venue)
    other.subscribe(window_at(venue).token_ids)
    other.settled()
    venue.faults.add("freeze", "channel", connection=1)
    hand.at_ms += 5_000

    assert [] == peer.settled()
    assert other.settled()
    assert produced(venue.channel_truth) == venue.channel_truth.arrived(2)


@proves("drop")
def test_a_dropped_change_is_missed_by_the_rebuilt_book(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt
) -> None:
    venue.faults.add("drop", "channel", count=1)
    while not (withheld := venue.channel_truth.withheld(1)):
        hand.at_ms += 100
        begun.take(peer.settled())
    hand.at_ms += 1_000
    begun.take(peer.settled())

    assert ["drop"] == [*withheld.values()]
    assert produced(venue.channel_truth) == venue.channel_truth.arrived(1) | withheld.keys()
    dropped = [row for row in venue.channel_truth.changes() if row.n in withheld]
    assert "price_change" != dropped[0].kind or begun.failed


@proves("duplicate", "reorder")
def test_duplicates_and_another_order_lose_nothing(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt
) -> None:
    venue.faults.add("duplicate", "channel", probability=0.2)
    venue.faults.add("reorder", "channel", probability=0.1, by=2)
    hand.at_ms += 10_000
    frames = peer.settled()
    venue.faults.clear()
    hand.at_ms += 2_000
    frames += peer.settled()
    rows = [row for row in venue.channel_truth.sent(1) if row.kind == "sent"]
    order = [n for row in rows for n in row.n]

    assert produced(venue.channel_truth) == {*order}
    assert len(order) > len({*order})
    assert order != sorted(order)
    assert len(order) == len([*each_event(frames)])
    assert {"reorder"} == {*venue.channel_truth.withheld(1).values()}


def test_an_event_put_back_comes_so_many_frames_later(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt
) -> None:
    venue.faults.add("reorder", "channel", count=1, by=3)
    hand.at_ms += 5_000
    peer.settled()
    rows = [row for row in venue.channel_truth.sent(1) if row.kind == "sent"]
    order = [n for row in rows for n in row.n]

    assert 3 == order.index(min(order))
    assert order[4:] == sorted(order[4:])


@proves("bad_json", "bad_utf8", "foreign")
@pytest.mark.parametrize("kind", ["bad_json", "bad_utf8", "foreign"])
def test_an_event_comes_damaged_in_a_whole_frame(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt, kind: str
) -> None:
    venue.faults.add(kind, "channel", count=1)
    hand.at_ms += 5_000
    first, *others = peer.settled()

    if kind == "foreign":
        assert condition_ids(others).isdisjoint(condition_ids([first]))
    else:
        with pytest.raises(ValueError):  # noqa: PT011 - of JSON or of UTF-8
            json.loads(first.decode())
    assert [kind] == [*venue.channel_truth.withheld(1).values()]


@proves("half_frame")
@pytest.mark.parametrize("at", ["fin", "reset"])
def test_the_connection_is_cut_inside_a_frame(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt, at: str
) -> None:
    venue.faults.add("half_frame", "channel", after_requests=3, count=1, at=at)
    hand.at_ms += 5_000
    ended = peer.end()

    assert None is ended.code
    assert at == "reset" or ended.left_bytes > 100
    assert "half_frame" == venue.channel_truth.sent(1)[-1].cause
    assert ["half_frame"] == [*venue.channel_truth.withheld(1).values()]
    assert 3 == len(venue.channel_truth.arrived(1))


@proves("slow")
def test_a_slow_connection_keeps_most_bytes_back(venue: Venue, peer: Peer) -> None:
    venue.faults.add("slow", "channel", bytes_per_s=100)
    peer.subscribe(window_at(venue).token_ids)
    wait_for(lambda: [r for r in venue.channel_truth.sent(1) if r.kind == "dump"])
    peer.close()
    wait_for(lambda: venue.channel_truth.sent(1)[-1].kind == "closed")

    assert venue.channel_truth.sent(1)[-1].unsent_bytes > 2_000


def test_a_connection_that_is_slow_no_more_gets_the_rest(venue: Venue, peer: Peer) -> None:
    number = venue.faults.add("slow", "channel", bytes_per_s=100)
    peer.subscribe(window_at(venue).token_ids)
    wait_for(lambda: [r for r in venue.channel_truth.sent(1) if r.kind == "dump"])
    venue.faults.remove(number)

    assert 2 == len(json.loads(peer.text()))


@proves("deaf")
def test_a_ping_can_stay_unanswered(venue: Venue, peer: Peer, begun: Rebuilt) -> None:
    number = venue.faults.add("deaf", "channel", count=1)
    peer.say(b"PING")
    peer.subscribe(["123"])

    assert b"[]" == peer.text()
    assert 1 == venue.faults.applied(number)
    assert [] == peer.settled()


@proves("storm")
def test_a_storm_cuts_as_many_connections_as_it_has_strength(
    venue: Venue, connect: Connect
) -> None:
    venue.faults.add("storm", "channel", count=3)

    assert [None] * 3 == [connect(venue).end().code for _ in range(3)]
    survivor = connect(venue)
    survivor.subscribe(window_at(venue).token_ids)
    assert 1 == len(survivor.settled())
    closed = [row for row in venue.channel_truth.sent() if row.kind == "closed"]
    assert [("storm", None)] * 3 == [(row.cause, row.code) for row in closed]


@proves("close")
def test_a_connection_is_closed_with_a_code(venue: Venue, peer: Peer, begun: Rebuilt) -> None:
    venue.faults.add("close", "channel", connection=1, code=1012)

    assert 1012 == peer.end().code


@proves("kill_on")
def test_a_killer_ends_every_connection_that_subscribes_it(venue: Venue, connect: Connect) -> None:
    killer, harmless = window_at(venue), window_at(venue, 1)
    venue.faults.add("kill_on", "channel", token=killer.token_ids[1], after_ms=1)
    first, second, third = connect(venue), connect(venue), connect(venue)
    first.subscribe([*harmless.token_ids, *killer.token_ids])
    second.subscribe(harmless.token_ids)
    third.subscribe(killer.token_ids[:1])

    assert None is first.end().code
    assert "kill_on" == venue.channel_truth.sent(1)[-1].cause
    assert [1, 1] == [len(second.settled()), len(third.settled())]


@proves("stale_book")
def test_the_first_book_can_be_an_old_one(venue: Venue, hand: Hand, peer: Peer) -> None:
    first, second = window_at(venue).token_ids
    old = get(venue, f"/book?token_id={first}").json()["hash"]
    hand.at_ms += 3_000
    venue.faults.add("stale_book", "channel", token=first, age_ms=3_000)
    peer.subscribe([first, second])
    books = {book["asset_id"]: book["hash"] for book in json.loads(peer.text())}

    assert old == books[first] != get(venue, f"/book?token_id={first}").json()["hash"]
    assert books[second] == get(venue, f"/book?token_id={second}").json()["hash"]
    dump = next(row for row in venue.channel_truth.sent() if row.kind == "dump")
    assert ((first,), "stale_book") == (dump.withheld, dump.fault)


@proves("missing_book")
def test_the_first_book_can_be_missing(venue: Venue, hand: Hand, peer: Peer) -> None:
    first, second = window_at(venue).token_ids
    venue.faults.add("missing_book", "channel", token=first, count=1)
    peer.subscribe([first, second])
    frames = peer.settled()
    hand.at_ms += 5_000
    frames += peer.settled()

    assert [second] == [book["asset_id"] for book in json.loads(frames[0])]
    changes = of_kind(frames[1:], "price_change")
    assert {first, second} == {item["asset_id"] for e in changes for item in e["price_changes"]}


@proves("refuse")
def test_a_handshake_can_be_refused(venue: Venue, connect: Connect) -> None:
    venue.faults.add("refuse", "channel", status=429, count=1)

    assert [429, 101] == [connect(venue).status, connect(venue).status]


def test_nothing_is_lost_from_the_truth_under_a_mix(
    venue: Venue, hand: Hand, peer: Peer, begun: Rebuilt
) -> None:
    for kind in ("drop", "duplicate", "reorder", "bad_json"):
        venue.faults.add(kind, "channel", probability=0.1)
    hand.at_ms += 20_000
    peer.settled()
    truth = venue.channel_truth

    assert produced(truth) == truth.arrived(1) | truth.withheld(1).keys()
    assert {"drop", "reorder", "bad_json"} == {*truth.withheld(1).values()}


def test_a_fault_of_the_channel_is_set_over_http(venue: Venue, peer: Peer, begun: Rebuilt) -> None:
    ask(venue, "POST", "/_fault", body={"kind": "storm", "route": "channel", "connection": 1})

    assert None is peer.end().code
    assert "storm" == venue.channel_truth.sent(1)[-1].cause


@pytest.mark.parametrize(("kind", "route"), [("freeze", "books"), ("status", "channel")])
def test_a_kind_goes_with_its_route(venue: Venue, kind: str, route: str) -> None:
    with pytest.raises(ValueError, match="need one of"):
        venue.faults.add(kind, route)


def test_every_kind_on_the_channels_menu_is_proven_on_the_wire() -> None:
    assert set() == faults.CHANNEL_KINDS - PROVEN
