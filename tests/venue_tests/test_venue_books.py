"""Books of the loopback venue: bytes, hashes, mirror, movement, and the routes that send them."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.venue import Venue
from tests.venue.bookhash import book_hash
from tests.venue_tests.peers import Hand, ask, get, post_books, window_at

KEYS = [
    "market", "asset_id", "timestamp", "hash", "bids", "asks",
    "min_order_size", "tick_size", "neg_risk", "last_trade_price",
]  # fmt: skip
REST = {
    "get-book-2026-06-23.json": 1,
    "post-books-2026-05-17.json": 10,
    "post-books-six-polls-2026-03-11.jsonl": 60,
}


def real_books(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        rows = [json.loads(line)["books"] for line in path.read_text().splitlines()]
        return [book for row in rows for book in row]
    found = json.loads(path.read_text())
    return found if isinstance(found, list) else [found]


@pytest.mark.parametrize(("name", "count"), REST.items())
def test_every_real_rest_book_verifies_with_the_venues_own_hash(
    captures: Path, name: str, count: int
) -> None:
    books = real_books(captures / "rest" / name)

    assert count == len(books)
    assert [book["hash"] for book in books] == [book_hash(book) for book in books]


def test_a_hash_sees_a_change_of_any_field(venue: Venue) -> None:
    book = json.loads(get(venue, f"/book?token_id={window_at(venue).token_ids[0]}").body)
    changed: dict[str, object] = {
        "market": "0x1", "asset_id": "1", "timestamp": "1", "bids": [], "asks": [],
        "min_order_size": "6", "tick_size": "0.1", "neg_risk": True, "last_trade_price": "0.001",
    }  # fmt: skip

    hashes = {book_hash(book | {key: value}) for key, value in changed.items()}

    assert len(changed) == len(hashes - {book["hash"]})


def test_a_served_book_has_the_venues_keys_order_and_verifying_hash(venue: Venue) -> None:
    body = get(venue, f"/book?token_id={window_at(venue).token_ids[0]}").body
    book = json.loads(body)
    bids = [float(level["price"]) for level in book["bids"]]
    asks = [float(level["price"]) for level in book["asks"]]

    assert KEYS == list(book)
    assert book["hash"] == book_hash(book)
    assert bids == sorted(bids)
    assert asks == sorted(asks, reverse=True)
    assert bids[-1] < asks[-1]
    assert 60 <= len(bids) + len(asks) <= 110
    assert json.dumps(book, separators=(",", ":")).encode() == body


def test_the_two_tokens_mirror_each_other(venue: Venue) -> None:
    market = window_at(venue)
    up, down = (
        next(book for book in post_books(venue, market.token_ids).json() if book["asset_id"] == one)
        for one in market.token_ids
    )

    turned = [
        {"price": f"{1 - float(level['price']):.3f}", "size": level["size"]} for level in up["bids"]
    ]

    assert turned == [
        {"price": f"{float(level['price']):.3f}", "size": level["size"]} for level in down["asks"]
    ]
    assert up["timestamp"] == down["timestamp"]
    assert up["last_trade_price"] == down["last_trade_price"]
    assert up["hash"] != down["hash"]


def test_an_unchanged_book_is_the_same_bytes(venue: Venue) -> None:
    path = f"/book?token_id={window_at(venue).token_ids[0]}"

    assert get(venue, path).body == get(venue, path).body


def test_an_open_book_changes_about_eleven_times_a_second(venue: Venue, hand: Hand) -> None:
    market = window_at(venue, ahead=1)
    seen = set()
    for ms in range(0, 60_000, 5):
        state = venue.world.state(market.token_ids[0], market.start_ms + ms)
        assert state is not None
        seen.add(state.timestamp)

    assert 400 <= len(seen) <= 900


def test_a_book_far_from_its_window_is_quiet(venue: Venue) -> None:
    market = window_at(venue, ahead=100)
    states = (
        venue.world.state(market.token_ids[0], venue.now_ms() + ms) for ms in range(0, 600_000, 200)
    )

    assert 5 <= len({state.timestamp for state in states if state}) <= 60


def test_a_book_stands_still_after_the_end_of_its_window(venue: Venue) -> None:
    market = window_at(venue)

    ended = venue.world.state(market.token_ids[0], market.end_ms)
    last = venue.world.state(market.token_ids[0], market.closed_ms - 1)

    assert ended is not None
    assert ended == last
    assert int(ended.timestamp) < market.end_ms


def test_a_book_never_goes_back_and_no_state_has_two_contents(venue: Venue) -> None:
    market = window_at(venue, ahead=1)
    contents: dict[int, str] = {}
    last = 0
    for ms in range(-400_000, 300_000, 777):
        now_ms = market.start_ms + ms
        if now_ms < venue.now_ms():
            continue
        state = venue.world.state(market.token_ids[0], now_ms)
        assert state is not None
        assert last <= int(state.timestamp) <= now_ms
        last = int(state.timestamp)
        assert state.digest == contents.setdefault(last, state.digest)


def test_the_state_depends_on_seed_and_moment_not_on_who_asked_before(tmp_path: Path) -> None:
    def state_at(name: str, moments: list[int]) -> bytes:
        hand = Hand()
        with Venue(tmp_path / name, lines=("btc-5m",), clock_ns=hand.ns) as venue:
            market = window_at(venue, ahead=1)
            found = [venue.world.state(market.token_ids[0], market.start_ms + m) for m in moments]
            assert found[-1] is not None
            return found[-1].raw

    assert state_at("once", [200_123]) == state_at("often", [-9, 5, 777, 150_000, 200_000, 200_123])


def test_a_market_whose_price_becomes_extreme_gets_the_fine_tick(venue: Venue) -> None:
    ticks = set()
    for ahead in range(1, 8):
        market = window_at(venue, ahead=ahead)
        state = venue.world.state(market.token_ids[0], market.end_ms - 1)
        assert state is not None
        ticks.add(state.tick)

    assert "0.001" in ticks


def test_a_batch_is_answered_in_another_order_and_without_the_unknown(venue: Venue) -> None:
    asked = [token for ahead in range(5) for token in window_at(venue, ahead).token_ids]

    books = post_books(venue, [*asked, "12345"]).json()
    answered = [book["asset_id"] for book in books]

    assert sorted(asked) == sorted(answered)
    assert asked != answered


def test_two_books_never_come_in_the_order_asked(venue: Venue) -> None:
    asked = list(window_at(venue).token_ids)

    for _ in range(20):
        answered = [book["asset_id"] for book in post_books(venue, asked).json()]
        assert asked[::-1] == answered


def test_tokens_of_zombies_and_closed_markets_are_omitted(venue: Venue, hand: Hand) -> None:
    zombie = next(market for market in venue.markets() if market.kind == "zombie")
    market = window_at(venue)
    hand.at_ms = market.closed_ms

    reply = post_books(venue, [*zombie.token_ids, *market.token_ids])

    assert (200, b"[]") == (reply.status, reply.body)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b'"x"', b"[1]", b"[{}]", b'[{"token_id":1}]', b"\xff"]
)
def test_a_bad_batch_is_refused(venue: Venue, body: bytes) -> None:
    reply = ask(venue, "POST", "/books", body=body)

    assert (400, {"error": "Invalid payload"}) == (reply.status, reply.json())


def test_a_batch_of_500_is_answered(venue: Venue) -> None:
    assert 200 == post_books(venue, [window_at(venue).token_ids[0]] * 500).status


@pytest.mark.parametrize("asked", [["1"] * 501, ["1" * 77] * 499 + ["1" * 9_000]])
def test_a_batch_over_the_limit_of_items_or_bytes_is_refused(
    venue: Venue, asked: list[str]
) -> None:
    reply = post_books(venue, asked)

    assert (400, {"error": "Payload exceeds the limit"}) == (reply.status, reply.json())


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/book?token_id=12345", 404, "No orderbook exists for the requested token id"),
        ("/book?token_id=abc", 400, "Invalid token id"),
        ("/book", 400, "Invalid token id"),
        ("/books?token_ids=12345", 400, "Invalid payload"),
        ("/nothing", 404, "not found"),
    ],
)
def test_errors_are_worded_as_the_venue_words_them(
    venue: Venue, path: str, status: int, error: str
) -> None:
    reply = get(venue, path)

    assert (status, error) == (reply.status, reply.json()["error"])


def test_the_small_routes_agree_with_the_book(venue: Venue, hand: Hand) -> None:
    token = window_at(venue).token_ids[0]
    book = get(venue, f"/book?token_id={token}").json()
    bid, ask_ = float(book["bids"][-1]["price"]), float(book["asks"][-1]["price"])
    answers = {
        name: get(venue, f"/{name}?token_id={token}").json()
        for name in ("midpoint", "spread", "tick-size", "neg-risk", "last-trade-price")
    }

    assert {"mid": f"{(bid + ask_) / 2:g}"} == answers["midpoint"]
    assert {"spread": f"{ask_ - bid:g}"} == answers["spread"]
    assert {"minimum_tick_size": float(book["tick_size"])} == answers["tick-size"]
    assert {"neg_risk": False} == answers["neg-risk"]
    assert float(book["last_trade_price"]) == float(answers["last-trade-price"]["price"])
    assert bid == float(get(venue, f"/price?token_id={token}&side=BUY").json()["price"])
    assert ask_ == float(get(venue, f"/price?token_id={token}&side=SELL").json()["price"])
    assert str(hand.at_ms // 1000).encode() == get(venue, "/time").body
    assert "OK" == get(venue, "/ok").json()


def test_gzip_is_sent_only_to_those_who_accept_it(tmp_path: Path, hand: Hand) -> None:
    with Venue(tmp_path / "v", lines=("btc-5m",), clock_ns=hand.ns, encoding="gzip") as venue:
        path = f"/book?token_id={window_at(venue).token_ids[0]}"

        plain = get(venue, path)
        packed = ask(venue, "GET", path, headers={"Accept-Encoding": "gzip, deflate"})

    assert "content-encoding" not in plain.headers
    assert "gzip" == packed.headers["content-encoding"]
    assert plain.body == gzip.decompress(packed.body)
