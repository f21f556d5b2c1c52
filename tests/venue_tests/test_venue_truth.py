"""The ledger of the truth: one row for each request, true to the bytes that were sent."""

import hashlib
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.venue import Truth, Venue
from tests.venue.answers import Request, from_json
from tests.venue.bookhash import book_hash
from tests.venue.truth import Ledger, Sending
from tests.venue_tests.peers import ask, get, post_books, raw, window_at

ROOT = Path(__file__).parents[2]


def test_a_row_says_what_was_asked_and_what_was_answered(venue: Venue) -> None:
    asked = [*window_at(venue).token_ids, "12345"]
    body = [{"token_id": token_id} for token_id in asked]

    headers = {"X-Request-Id": "collector-00.1.7", "User-Agent": "witness"}
    reply = ask(venue, "POST", "/books", body=body, headers=headers)
    (row,) = venue.answers()

    assert (1, "books", "POST", "/books") == (row.n, row.route, row.method, row.path)
    assert ("collector-00.1.7", "witness") == (row.request_id, row.user_agent)
    assert tuple(asked) == row.asked
    assert (200, None, True) == (row.status, row.fault, row.delivered)
    assert hashlib.sha256(reply.body).hexdigest() == row.sha256
    assert len(reply.body) == row.bytes == row.wire_bytes
    assert [(book["asset_id"], book["hash"], book["timestamp"]) for book in reply.json()] == [
        (book.token_id, book.hash, book.timestamp) for book in row.books
    ]


def test_every_state_served_is_written_once(venue: Venue) -> None:
    tokens = window_at(venue).token_ids
    for _ in range(2):
        post_books(venue, tokens)
    books = post_books(venue, tokens).json()
    venue.answers()

    assert sorted(book["hash"] for book in books) == sorted(s.hash for s in venue.truth.states())


def test_listed_markets_are_written(venue: Venue) -> None:
    get(venue, "/events/keyset")
    venue.answers()
    market = window_at(venue)

    (row,) = [row for row in venue.truth.markets() if row.slug == market.slug]

    assert (market.condition_id, market.token_ids) == (row.condition_id, row.token_ids)
    assert (market.start_ms, market.end_ms, market.closed_ms) == (
        row.start_ms, row.end_ms, row.closed_ms,
    )  # fmt: skip


def test_requests_are_numbered_in_order_and_over_a_restart_of_the_ledger(tmp_path: Path) -> None:
    for _ in range(2):
        with Venue(tmp_path, lines=("btc-5m",)) as venue:
            get(venue, "/time")
            get(venue, "/ok")
            venue.answers()

    assert [1, 2, 3, 4] == [row.n for row in Truth(tmp_path).answers()]


def test_control_routes_are_not_in_the_ledger(venue: Venue) -> None:
    get(venue, "/_faults")

    assert [] == venue.answers()


def test_the_books_of_a_spoiled_answer_are_the_ones_in_its_body(venue: Venue) -> None:
    tokens = window_at(venue).token_ids
    venue.faults.add("ghost", "books", number=1)

    books = post_books(venue, tokens).json()
    (row,) = venue.answers()

    assert ("ghost",) == row.faults
    assert {book["hash"] for book in books} == {book.hash for book in row.books}
    assert all(book_hash(book) == book["hash"] for book in books)


def test_one_connection_carries_many_requests(venue: Venue) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", venue.port, timeout=10)
    for _ in range(5):
        exchange(connection)
    before = connection.sock
    exchange(connection)

    assert before is connection.sock is not None
    connection.close()


def exchange(connection: http.client.HTTPConnection) -> None:
    connection.request("GET", "/time")
    connection.getresponse().read()


def test_a_stopped_venue_is_gone_and_comes_back_on_its_port(venue: Venue) -> None:
    kept = http.client.HTTPConnection("127.0.0.1", venue.port, timeout=10)
    exchange(kept)

    venue.stop()
    with pytest.raises(OSError):  # noqa: PT011 - refused, reset or closed, as the kernel likes
        raw(venue).close()
    with pytest.raises((OSError, http.client.HTTPException)):
        exchange(kept)
    kept.close()
    venue.start()

    assert 200 == get(venue, "/time").status


def test_nobody_else_gets_the_ports_of_a_stopped_venue(venue: Venue) -> None:
    venue.stop()

    for port in (venue.port, venue.channel_port):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


def test_the_ledger_closes_behind_the_row_of_a_request_that_is_being_answered(
    tmp_path: Path,
) -> None:
    ledger = Ledger(tmp_path)
    request = Request("GET", "/time", "", {}, b"", at_wall_ns=1)
    sending = Sending(ledger.number(), "time", request, from_json(1), 1)
    slow = threading.Timer(0.05, ledger.record, [sending], {"sent_wall_ns": 2})
    slow.start()

    ledger.close()
    slow.join()

    assert [(1, True)] == [(row.n, row.delivered) for row in Truth(tmp_path).answers()]


def test_many_clients_at_once_each_get_a_row(venue: Venue) -> None:
    tokens = [token for ahead in range(10) for token in window_at(venue, ahead).token_ids]

    def poll() -> None:
        for _ in range(10):
            assert 20 == len(post_books(venue, tokens).json())

    threads = [threading.Thread(target=poll) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert list(range(1, 41)) == [row.n for row in venue.answers()]


def test_the_process_says_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.venue", "--state-dir", str(tmp_path), "--scale", "15"]
    rule = json.dumps({"kind": "status", "route": "time", "code": 503})
    with subprocess.Popen(
        [*command, "--fault", rule], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            connection = http.client.HTTPConnection("127.0.0.1", said["port"], timeout=10)
            connection.request("GET", "/time")
            status = connection.getresponse().status
            connection.close()
        finally:
            process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=10)

    assert (503, 0) == (status, code)
    assert f"http://127.0.0.1:{said['port']}" == said["url"]
    assert re.fullmatch(r"ws://127\.0\.0\.1:\d+/ws/market", said["ws_url"])
    assert ["status"] == [row.fault for row in Truth(tmp_path).answers()]
