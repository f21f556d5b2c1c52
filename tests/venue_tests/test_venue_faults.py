"""The fault menu: every kind is seen to happen on the wire, and is named in the truth."""

import gzip
import http.client
import json
import time
import zlib
from collections.abc import Callable

import pytest

from tests.venue import Venue, faults
from tests.venue.bookhash import book_hash
from tests.venue_tests.peers import Hand, Reply, ask, drain, get, post_books, raw, window_at
from tests.venue_tests.test_venue_gamma_faults import PROVEN as GAMMA

PROVEN: set[str] = set()


def proves(*kinds: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Marks a test as the proof of these kinds; the last test counts them."""
    PROVEN.update(kinds)
    return lambda test: test


def spoiled(venue: Venue, kind: str, **params: object) -> Reply:
    """A batch of ten books with this fault, which the truth must name."""
    tokens = [token for ahead in range(5) for token in window_at(venue, ahead).token_ids]
    venue.faults.add(kind, "books", **params)
    reply = post_books(venue, tokens)
    assert (kind,) == venue.answers()[-1].faults
    return reply


@proves("status")
@pytest.mark.parametrize("code", [400, 404, 425, 429, 500, 502, 503, 504, 520])
@pytest.mark.parametrize(
    "after", [None, "3", "Fri, 20 Nov 2026 12:00:30 GMT", "99999999999999", "soon"]
)
def test_any_status_with_any_retry_after(venue: Venue, code: int, after: str | None) -> None:
    reply = spoiled(venue, "status", code=code, retry_after=after)

    assert (code, after) == (reply.status, reply.headers.get("retry-after"))
    assert reply.json()["error"]


def test_a_retry_after_can_be_a_date_from_now(venue: Venue) -> None:
    reply = spoiled(venue, "status", code=429, retry_after_in_s=30)

    assert "Fri, 20 Nov 2026 12:00:30 GMT" == reply.headers["retry-after"]


def test_a_status_can_carry_its_own_body(venue: Venue) -> None:
    assert b"" == spoiled(venue, "status", code=503, body="").body


@proves("html")
@pytest.mark.parametrize("code", [200, 403])
def test_a_block_page_is_html(venue: Venue, code: int) -> None:
    reply = spoiled(venue, "html", code=code)

    assert code == reply.status
    assert reply.headers["content-type"].startswith("text/html")
    assert b"Cloudflare" in reply.body


@proves("garbage", "nan", "bad_utf8")
def test_bodies_that_are_not_json(venue: Venue) -> None:
    with pytest.raises(json.JSONDecodeError):
        spoiled(venue, "garbage", count=1).json()
    with pytest.raises(UnicodeDecodeError):
        spoiled(venue, "bad_utf8", count=1).body.decode()
    body = spoiled(venue, "nan", count=1).body
    assert b":NaN" in body
    assert 10 == len(json.loads(body))  # Python's reader is lenient; a strict one must refuse


@proves("empty_200", "empty_array", "wrong_type")
def test_bodies_that_are_json_of_another_shape_or_nothing(venue: Venue) -> None:
    empty = spoiled(venue, "empty_200", count=1)
    assert (200, b"") == (empty.status, empty.body)
    assert b"[]" == spoiled(venue, "empty_array", count=1).body
    assert {"data", "count"} == set(spoiled(venue, "wrong_type", count=1).json())
    odd = spoiled(venue, "wrong_type", count=1, content_type="text/plain")
    assert ("text/plain", 10) == (odd.headers["content-type"], len(odd.json()))


@proves("gzip_bomb", "bad_gzip", "huge_body")
def test_bodies_that_are_too_much(venue: Venue) -> None:
    bomb = spoiled(venue, "gzip_bomb", count=1, mib=8)
    assert "gzip" == bomb.headers["content-encoding"]
    assert len(bomb.body) < 20_000
    assert 8 * 1024 * 1024 + 2 == len(gzip.decompress(bomb.body))
    bad = spoiled(venue, "bad_gzip", count=1)
    assert "gzip" == bad.headers["content-encoding"]
    with pytest.raises((OSError, zlib.error)):
        gzip.decompress(bad.body)
    assert 3 * 1024 * 1024 + 2 == len(spoiled(venue, "huge_body", count=1, mib=3).body)


@proves("redirect")
def test_a_redirect_leads_to_another_host(venue: Venue) -> None:
    reply = spoiled(venue, "redirect")

    assert (301, "http://elsewhere.invalid/books") == (reply.status, reply.headers["location"])


@proves("omit", "duplicate", "foreign", "reorder")
def test_a_batch_with_the_wrong_set_of_books(venue: Venue) -> None:
    def answered(kind: str, **params: object) -> list[str]:
        return [book["asset_id"] for book in spoiled(venue, kind, count=1, **params).json()]

    whole = {t for ahead in range(5) for t in window_at(venue, ahead).token_ids}
    gone = window_at(venue).token_ids[1]
    assert whole - {gone} == set(answered("omit", tokens=[gone]))
    assert 7 == len(answered("omit", number=3))
    assert [] == answered("omit", number=-1)
    twice = answered("duplicate")
    assert (11, 10) == (len(twice), len(set(twice)))
    assert 1 == len(set(answered("foreign")) - whole)
    order = answered("reorder")
    assert sorted(order, key=lambda token: token[::-1]) == order


@proves("ghost", "wrong_market", "empty_sides", "odd_times")
def test_books_that_are_wrong_under_a_right_hash(venue: Venue) -> None:
    right = {b["asset_id"]: b for b in spoiled(venue, "reorder", count=1).json()}
    for kind, params, key in (
        ("ghost", {"age_ms": 90_000}, "bids"),
        ("wrong_market", {}, "market"),
        ("empty_sides", {}, "asks"),
        ("odd_times", {"timestamp": "100000000"}, "timestamp"),
    ):
        books = spoiled(venue, kind, count=1, **params).json()
        (odd,) = [book for book in books if book != right[book["asset_id"]]]
        assert odd["hash"] == book_hash(odd)
        assert odd[key] != right[odd["asset_id"]][key]
        if kind == "ghost":
            assert ("0.01", "0.99") == (odd["bids"][-1]["price"], odd["asks"][-1]["price"])
            assert 90_000 == int(right[odd["asset_id"]]["timestamp"]) - int(odd["timestamp"])


@proves("bad_hash")
def test_a_hash_that_does_not_verify(venue: Venue) -> None:
    books = spoiled(venue, "bad_hash").json()

    assert 1 == sum(book["hash"] != book_hash(book) for book in books)


@proves("number_tokens")
def test_a_token_as_a_number(venue: Venue) -> None:
    books = spoiled(venue, "number_tokens", number=-1).json()

    assert {int} == {type(book["asset_id"]) for book in books}


@proves("drift")
@pytest.mark.parametrize(
    ("mode", "seen"),
    [
        ("extra", {"newField", "another_new_field"}),
        ("missing", set()),
        ("renamed", {"tick_sizeV2"}),
        ("type", set()),
    ],
)
def test_schema_drift_of_a_book(venue: Venue, mode: str, seen: set[str]) -> None:
    (odd,) = [
        book
        for book in spoiled(venue, "drift", mode=mode, key="tick_size").json()
        if len(book) != 10 or not isinstance(book.get("tick_size"), str)
    ]

    usual = {"market", "asset_id", "timestamp", "hash", "bids", "asks", "min_order_size"}
    assert seen == set(odd) - usual - {"tick_size", "neg_risk", "last_trade_price"}


def test_book_faults_reach_the_single_route_too(venue: Venue) -> None:
    path = f"/book?token_id={window_at(venue).token_ids[0]}"
    venue.faults.add("omit", "book", count=1)
    venue.faults.add("bad_hash", "book", after_requests=1)

    gone, odd = get(venue, path), get(venue, path)

    assert 404 == gone.status
    assert odd.json()["hash"] != book_hash(odd.json())


# --- the sending -----------------------------------------------------------------------------


@proves("delay", "slow_headers", "slow_body")
@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("delay", {"seconds": 0.2}),
        ("slow_headers", {"bytes": 40, "every_s": 0.05}),
        ("slow_body", {"bytes": 3, "every_s": 0.05}),
    ],
)
def test_a_slow_answer_is_whole_in_the_end(
    venue: Venue, kind: str, params: dict[str, float]
) -> None:
    venue.faults.add(kind, "time", **params)
    begun_s = time.monotonic()

    reply = get(venue, "/time")

    assert time.monotonic() - begun_s > 0.15
    assert str(venue.now_ms() // 1000).encode() == reply.body
    assert (kind, True) == (venue.answers()[-1].fault, venue.answers()[-1].delivered)


@proves("hang")
def test_a_hang_never_answers_and_is_in_the_truth_at_once(venue: Venue) -> None:
    venue.faults.add("hang", "time")
    with raw(venue) as connection:
        (row,) = venue.answers(at_least=1)
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(1)

    assert ("hang", False, None) == (row.fault, row.delivered, row.sent_wall_ns)


def test_a_hang_ends_with_the_venue(venue: Venue) -> None:
    venue.faults.add("hang", "time")
    connection = raw(venue)
    venue.answers(at_least=1)

    venue.stop()

    try:
        assert b"" == drain(connection)
    except ConnectionResetError:
        connection.close()


@proves("reset")
def test_a_reset_before_and_in_the_middle_of_an_answer(venue: Venue) -> None:
    venue.faults.add("reset", "time", count=1)
    with pytest.raises(ConnectionResetError):
        drain(raw(venue))
    venue.faults.add("reset", "any", at="middle")
    path = f"/book?token_id={window_at(venue).token_ids[0]}"
    with raw(venue, f"GET {path} HTTP/1.1\r\nHost: v\r\n\r\n".encode()) as connection:
        head = connection.recv(17)
        with pytest.raises(ConnectionResetError):
            drain(connection)

    assert b"HTTP/1.1 200 OK\r\n" == head
    assert [False, False] == [row.delivered for row in venue.answers()]


@proves("truncate")
def test_a_truncated_body_is_shorter_than_it_says(venue: Venue) -> None:
    venue.faults.add("truncate", "book", keep=0.25)

    with pytest.raises(http.client.IncompleteRead) as caught:
        get(venue, f"/book?token_id={window_at(venue).token_ids[0]}")

    (row,) = venue.answers()
    assert (row.bytes, False) == (
        len(caught.value.partial) + (caught.value.expected or 0),
        row.delivered,
    )
    assert row.bytes // 4 == len(caught.value.partial)


@proves("close_after")
def test_a_kept_connection_that_is_closed_after_a_good_answer(venue: Venue) -> None:
    venue.faults.add("close_after", "time")

    answer = drain(raw(venue))

    assert b"Connection: keep-alive" in answer
    assert answer.endswith(str(venue.now_ms() // 1000).encode())
    assert venue.answers()[0].delivered


# --- rules -----------------------------------------------------------------------------------


def test_a_rule_spoils_so_many_requests_after_so_many(venue: Venue) -> None:
    number = venue.faults.add("status", "time", count=2, after_requests=1, code=503)

    assert [200, 503, 503, 200] == [get(venue, "/time").status for _ in range(4)]
    assert 2 == venue.faults.applied(number)


def test_a_rule_holds_between_two_moments_of_the_venues_clock(venue: Venue, hand: Hand) -> None:
    at_ms = hand.at_ms
    venue.faults.add("status", "any", from_ms=at_ms + 10, until_ms=at_ms + 20)
    statuses = []
    for ms in (9, 10, 19, 20):
        hand.at_ms = at_ms + ms
        statuses.append(get(venue, "/time").status)

    assert [200, 503, 503, 200] == statuses


def test_a_rule_with_a_probability_spoils_a_share_the_seed_decides(venue: Venue) -> None:
    venue.faults.add("status", "time", probability=0.3)

    bad = sum(get(venue, "/time").status == 503 for _ in range(100))

    assert 15 <= bad <= 45


def test_a_rule_spoils_only_its_route(venue: Venue) -> None:
    venue.faults.add("status", "books")
    venue.faults.add("status", "slug", code=500)

    assert 200 == get(venue, "/time").status
    assert 503 == post_books(venue, ["1"]).status
    assert 500 == get(venue, f"/events/slug/{window_at(venue).slug}").status
    assert 200 == get(venue, "/events/keyset").status


def test_rules_add_up(venue: Venue) -> None:
    venue.faults.add("duplicate", "books")
    venue.faults.add("bad_hash", "books", number=-1)
    venue.faults.add("delay", "books", seconds=0)

    books = post_books(venue, window_at(venue).token_ids).json()

    assert 3 == len(books)
    assert all(book["hash"] != book_hash(book) for book in books)
    assert ("duplicate", "bad_hash", "delay") == venue.answers()[0].faults


def test_rules_are_set_listed_and_taken_away_over_http(venue: Venue) -> None:
    rule = {"kind": "status", "route": "time", "code": 418, "count": 5}

    number = ask(venue, "POST", "/_fault", body=rule).json()["id"]
    status = get(venue, "/time").status
    (listed,) = get(venue, "/_faults").json()
    ask(venue, "DELETE", f"/_fault/{number}")
    after = get(venue, "/time").status
    ask(venue, "POST", "/_fault", body=rule)
    ask(venue, "DELETE", "/_faults")

    assert (418, 200, 200) == (status, after, get(venue, "/time").status)
    assert (1, {"code": 418}) == (listed["applied"], listed["params"])


@pytest.mark.parametrize(
    "rule", [{}, {"kind": "nothing"}, {"kind": "status", "route": "nowhere"}, [], "x"]
)
def test_a_rule_that_is_not_on_the_menu_is_refused(venue: Venue, rule: object) -> None:
    assert 400 == ask(venue, "POST", "/_fault", body=rule).status


def test_every_kind_on_the_menu_is_proven_on_the_wire() -> None:

    assert set() == faults.REST_KINDS - PROVEN - GAMMA
