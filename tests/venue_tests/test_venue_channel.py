"""The market channel says what VENUE 5 says, and the same books as the REST routes."""

import json
from pathlib import Path

import pytest

from tests.venue import Tempo, Venue
from tests.venue.markets import Market
from tests.venue.simulate import Simulation
from tests.venue_tests.channel_peers import (
    Connect,
    Ended,
    Peer,
    Rebuilt,
    each_event,
    of_kind,
    wait_for,
)
from tests.venue_tests.peers import Hand, get, regular, window_at

DUMP_KEYS = [
    "market", "asset_id", "timestamp", "hash", "bids", "asks", "tick_size", "last_trade_price",
    "event_type",
]  # fmt: skip
LATER_KEYS = ["market", "asset_id", "bids", "asks", "hash", "timestamp", "event_type"]


def rebuilt(venue: Venue) -> Rebuilt:
    return Rebuilt({market.condition_id: market.token_ids for market in regular(venue)})


def rest_hash(venue: Venue, token_id: str) -> str:
    found: str = get(venue, f"/book?token_id={token_id}").json()["hash"]
    return found


def test_the_books_come_as_one_array_with_tick_and_last_trade(venue: Venue, peer: Peer) -> None:
    tokens = [*window_at(venue).token_ids, *window_at(venue, 1).token_ids]
    peer.subscribe(tokens)
    books = json.loads(peer.text())

    assert tokens == [book["asset_id"] for book in books]
    assert all(DUMP_KEYS == list(book) for book in books)
    assert [rest_hash(venue, token_id) for token_id in tokens] == [book["hash"] for book in books]
    assert 4 == rebuilt(venue).take([json.dumps(books).encode()]).verified


def test_unknown_tokens_get_an_empty_array_and_nothing_breaks(venue: Venue, peer: Peer) -> None:
    token_id = window_at(venue).token_ids[0]
    peer.subscribe(["123"])
    peer.say({"operation": "subscribe", "assets_ids": ["456", token_id]})

    assert b"[]" == peer.text()
    assert [token_id] == [book["asset_id"] for book in json.loads(peer.text())]


def test_no_books_come_where_none_are_wanted(venue: Venue, peer: Peer) -> None:
    peer.subscribe(window_at(venue).token_ids, initial_dump=False)

    assert [] == peer.settled()


@pytest.mark.parametrize("said", [b"PING", b"hello", {"assets_ids": "x", "type": "market"}, {}])
def test_anything_before_a_subscription_closes_with_1008(peer: Peer, said: object) -> None:
    peer.say(said)
    ended = peer.end()

    assert (1008, "invalid subscription payload") == (ended.code, ended.reason)


def test_thousands_of_ids_in_one_frame_end_the_connection_without_a_word(peer: Peer) -> None:
    peer.subscribe([str(number) for number in range(2_001)])

    assert None is peer.end().code


def test_another_path_is_not_found(venue: Venue, connect: Connect) -> None:
    assert 404 == connect(venue, "/ws/user").status


def test_every_change_leads_to_the_hash_it_tells(venue: Venue, hand: Hand, peer: Peer) -> None:
    """Asked for books in between, as a recorder does: it must lose nothing by that."""
    market = window_at(venue)
    peer.subscribe(market.token_ids)
    books = rebuilt(venue).take(peer.settled())
    for _ in range(40):
        hand.at_ms += 400
        rest_hash(venue, market.token_ids[0])
        frames = peer.settled()
        books.take(frames)
        told = {token_id: book["hash"] for token_id, book in books.books.items()}
        assert {token_id: rest_hash(venue, token_id) for token_id in market.token_ids} == told
        for frame in of_kind(frames, "price_change"):
            assert set(market.token_ids) == {item["asset_id"] for item in frame["price_changes"]}

    assert 0 == books.failed
    assert books.verified > 200


def test_a_book_after_a_trade_leaves_its_tail_to_be_found(
    venue: Venue, hand: Hand, peer: Peer
) -> None:
    """Its hash holds a last trade price that mostly nobody has been told yet."""
    peer.subscribe(window_at(venue).token_ids)
    books = rebuilt(venue).take(peer.settled())
    hand.at_ms += 20_000
    frames = peer.settled()
    books.take(frames)
    later = of_kind(frames, "book")

    assert all(LATER_KEYS == list(book) for book in later)
    assert len(later) == 2 * len(of_kind(frames, "last_trade_price")) > 20
    assert 0 == books.failed
    assert 0.3 * len(later) < books.searched < len(later)


def test_some_events_of_one_moment_come_as_an_array(venue: Venue, hand: Hand, peer: Peer) -> None:
    peer.subscribe(window_at(venue).token_ids)
    peer.settled()
    hand.at_ms += 20_000
    arrays = [json.loads(frame) for frame in peer.settled() if frame.startswith(b"[")]

    assert {"book", "last_trade_price"} <= {event["event_type"] for a in arrays for event in a}


def test_the_tick_becomes_fine_late_in_a_window(venue: Venue, hand: Hand, peer: Peer) -> None:
    market = window_at(venue)
    path = Simulation(market, seed=1).path
    fine_ms = path.live_from_ms + path.fine_from * path.epoch_ms
    assert fine_ms < market.end_ms
    hand.at_ms = fine_ms - 2_000
    peer.subscribe(market.token_ids)
    books = rebuilt(venue).take(peer.settled())
    hand.at_ms = fine_ms + 2_000
    frames = peer.settled()
    books.take(frames)
    events = [*each_event(frames)]
    at = next(n for n, e in enumerate(events) if e["event_type"] == "tick_size_change")
    fine = [e for e in events[at:] if e["event_type"] == "book"][:2]

    assert {"0.01": "0.001"} == {events[at]["old_tick_size"]: events[at]["new_tick_size"]}
    assert {*market.token_ids} == {e["asset_id"] for e in events[at : at + 2]}
    assert any(len(level["price"]) == 5 for level in fine[0]["bids"])
    assert 0 == books.failed


def test_only_who_asks_for_custom_features_gets_them(
    venue: Venue, hand: Hand, peer: Peer, connect: Connect
) -> None:
    market = window_at(venue)
    hand.at_ms = market.end_ms - 10_000
    other = connect(venue)
    peer.subscribe(market.token_ids, custom_feature_enabled=True)
    other.subscribe(market.token_ids)
    peer.settled()
    other.settled()
    hand.at_ms = market.closed_ms + 300_000
    frames = peer.settled()
    for _ in range(3):
        hand.at_ms += 300
        frames += peer.settled()
    resolved = [e for e in of_kind(frames, "market_resolved") if e["market"] == market.condition_id]

    assert of_kind(frames, "best_bid_ask")
    assert 3 == len(resolved)
    assert {market.token_ids[market.winner]} == {event["winning_asset_id"] for event in resolved}
    fresh = of_kind(frames, "new_market")
    newest = max(fresh, key=lambda event: int(event["timestamp"]))
    assert 3 == fresh.count(newest)
    plain = {event["event_type"] for event in each_event(other.settled())}
    assert {"book", "price_change", "last_trade_price"} == plain


def test_naming_a_subscribed_token_again_only_sets_the_flag(
    venue: Venue, hand: Hand, peer: Peer
) -> None:
    token_id = window_at(venue).token_ids[0]
    peer.subscribe([token_id])
    peer.settled()
    peer.subscribe([token_id], custom_feature_enabled=True)

    assert [] == peer.settled()
    hand.at_ms += 30_000
    assert of_kind(peer.settled(), "best_bid_ask")


def test_unsubscribed_is_silent_and_subscribed_again_begins_with_a_book(
    venue: Venue, hand: Hand, peer: Peer
) -> None:
    tokens = window_at(venue).token_ids
    peer.subscribe(tokens)
    peer.settled()
    peer.say({"operation": "unsubscribe", "assets_ids": [tokens[0]]})
    hand.at_ms += 5_000
    assert {tokens[1]} == {book["asset_id"] for book in of_kind(peer.settled(), "book")}
    peer.say({"operation": "unsubscribe", "assets_ids": [tokens[1]]})
    peer.settled()
    hand.at_ms += 5_000
    assert [] == peer.settled()
    peer.say({"operation": "subscribe", "assets_ids": [*tokens]})
    books = rebuilt(venue).take(peer.settled())
    hand.at_ms += 5_000
    books.take(peer.settled())

    assert books.verified > 10
    assert 0 == books.failed


def test_a_token_subscribed_before_it_has_a_book_gets_one_when_it_has(
    venue: Venue, hand: Hand, peer: Peer
) -> None:
    coming: list[Market] = []
    while not coming:
        hand.at_ms += 60_000
        coming = [m for m in regular(venue) if m.book_from_ms > venue.now_ms()]
    market = coming[0]
    peer.subscribe(market.token_ids)
    assert [b"[]"] == peer.settled()
    hand.at_ms = market.book_from_ms + 1_000
    books = rebuilt(venue).take(peer.settled())
    hand.at_ms += 300_000

    assert {*market.token_ids} == {*books.books}
    assert 0 == books.take(peer.settled()).failed


def test_above_750_assets_changes_come_and_books_never(
    venue: Venue, hand: Hand, peer: Peer
) -> None:
    peer.subscribe([str(number) for number in range(749)])
    assert [b"[]"] == peer.settled()
    peer.say({"operation": "subscribe", "assets_ids": [*window_at(venue).token_ids]})
    assert [] == peer.settled()
    hand.at_ms += 2_000

    assert of_kind(peer.settled(), "price_change")
    assert [False, True] == [r.silent for r in venue.channel_truth.sent() if r.kind == "dump"]


def test_followed_or_not_a_market_has_the_same_books(venue: Venue) -> None:
    market = window_at(venue)
    followed = Simulation(market, seed=1)
    followed.take(market.start_ms)
    for after_ms in (5_000, 100_000, 290_000):
        alone = Simulation(market, seed=1)
        now_ms = market.start_ms + after_ms

        assert alone.states(now_ms) == followed.take(now_ms).states


def test_a_late_look_finds_every_change_an_eager_one_does(venue: Venue) -> None:
    """Over the borders of epochs too, where a fresh ladder would hide what was skipped."""
    market = window_at(venue)
    late, eager = Simulation(market, seed=1), Simulation(market, seed=1)
    begin_ms, end_ms = market.start_ms + 10_000, market.start_ms + 60_000
    late.take(begin_ms)
    eager.take(begin_ms)
    moments = [m for now in range(begin_ms, end_ms + 1, 20) for m in eager.take(now).moments]

    assert len(moments) > 300
    assert tuple(moments) == late.take(end_ms).moments


def test_the_truth_has_every_event_and_where_it_went(venue: Venue, hand: Hand, peer: Peer) -> None:
    market = window_at(venue)
    peer.subscribe(market.token_ids[:1])
    peer.settled()
    hand.at_ms += 10_000
    frames = peer.settled()
    changes = venue.channel_truth.changes()
    mine = [row for row in changes if row.token_id == market.token_ids[0] and not row.custom]

    assert len({row.n for row in mine}) == len([*each_event(frames)])
    assert {row.n for row in mine} == venue.channel_truth.arrived(1)
    assert rest_hash(venue, market.token_ids[0]) == [row.hash for row in mine if row.hash][-1]
    peer.close()
    wait_for(lambda: venue.channel_truth.sent(1)[-1].kind == "closed")
    kinds = [row.kind for row in venue.channel_truth.sent(1)]
    assert ["opened", "subscribed", "dump"] == kinds[:3]
    assert {"sent"} == set(kinds[3:-1])
    assert "closed" == kinds[-1]


def test_what_happens_while_nobody_is_connected_is_in_the_truth(
    venue: Venue, hand: Hand, connect: Connect
) -> None:
    first = connect(venue)
    first.subscribe(window_at(venue).token_ids)
    first.settled()
    venue.stop()
    with pytest.raises(Ended):
        first.text()
    hand.at_ms += 10_000
    venue.start()
    second = connect(venue)
    second.subscribe(window_at(venue).token_ids)
    books = rebuilt(venue).take(second.settled())
    hand.at_ms += 10_000
    books.take(second.settled())

    produced = {row.n for row in venue.channel_truth.changes() if not row.custom}
    later = venue.channel_truth.arrived(2)
    assert later < produced
    assert {*range(min(produced), min(later))} & produced == produced - later
    assert 0 == books.failed


def test_the_rate_is_the_one_asked_for(tmp_path: Path, hand: Hand, connect: Connect) -> None:
    tempo = Tempo(changes_per_s=200, trade_share=0.05)
    with Venue(tmp_path, lines=("btc-5m",), clock_ns=hand.ns, tempo=tempo) as venue:
        peer = connect(venue)
        peer.subscribe(window_at(venue).token_ids)
        books = rebuilt(venue).take(peer.settled())
        hand.at_ms += 2_000
        frames = peer.settled()
        changes = len(of_kind(frames, "price_change"))
        trades = len(of_kind(frames, "last_trade_price"))

    assert 340 < changes + trades < 460
    assert 0.02 < trades / changes < 0.10
    assert 0 == books.take(frames).failed
