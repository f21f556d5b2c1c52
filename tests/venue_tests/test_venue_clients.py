"""The official clients take the loopback venue for the real one.

They live in an environment of their own (see clients.in): `.venv-clients` in the project's root,
or the interpreter named by ORDERBOOKS_CLIENTS_PYTHON. Without one these tests are skipped.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.venue import Venue, dates
from tests.venue.markets import Market
from tests.venue_tests.peers import Hand, get, window_at

ROOT = Path(__file__).parents[2]
Answers = Mapping[str, Any]


@pytest.fixture(scope="module")
def interpreter() -> Path:
    named = os.environ.get("ORDERBOOKS_CLIENTS_PYTHON")
    path = Path(named) if named else ROOT / ".venv-clients" / "bin" / "python"
    if not path.exists():
        pytest.skip("no environment with the official clients: see tests/venue_tests/clients.in")
    return path


@pytest.fixture(scope="module")
def still_venue(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One venue for all: its clock stands, so that every answer is of the same book."""
    with Venue(tmp_path_factory.mktemp("v"), lines=("btc-5m",), clock_ns=Hand().ns) as venue:
        yield venue


@pytest.fixture(scope="module")
def market(still_venue: Venue) -> Market:
    return window_at(still_venue)


@pytest.fixture(scope="module")
def answers(interpreter: Path, still_venue: Venue, market: Market) -> Answers:
    """What both clients said, each asked once."""
    script = Path(__file__).with_name("official_clients.py")
    arguments = [still_venue.url, *market.token_ids, market.slug]
    done = subprocess.run(
        [str(interpreter), str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    said: Answers = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def book(still_venue: Venue, market: Market) -> dict[str, Any]:
    found: dict[str, Any] = get(still_venue, f"/book?token_id={market.token_ids[0]}").json()
    return found


def test_py_clob_client_finds_the_hash_of_every_book(answers: Answers, market: Market) -> None:
    hashes = answers["py_clob_client"]["hashes"]

    assert sorted([market.token_ids[0], *market.token_ids]) == sorted(row[0] for row in hashes)
    assert all(sent == computed for _, sent, computed in hashes)


def test_py_clob_client_agrees_with_the_book(answers: Answers, book: dict[str, Any]) -> None:
    said = answers["py_clob_client"]
    bid, ask = book["bids"][-1]["price"], book["asks"][-1]["price"]

    assert [bid, ask] == said["best"]
    assert (Decimal(bid) + Decimal(ask)) / 2 == Decimal(said["midpoint"]["mid"])
    assert Decimal(ask) - Decimal(bid) == Decimal(said["spread"]["spread"])
    assert Decimal(bid) == Decimal(said["price"]["price"])
    assert book["tick_size"] == said["tick"]
    assert book["neg_risk"] is said["neg_risk"]
    assert Decimal(book["last_trade_price"]) == Decimal(said["last"]["price"])


def test_py_clob_client_reads_the_plural_and_small_routes(answers: Answers, market: Market) -> None:
    said = answers["py_clob_client"]

    assert set(market.token_ids) == set(said["midpoints"]) == set(said["spreads"])
    assert set(market.token_ids) == {row["token_id"] for row in said["lasts"]}
    assert Decimal(1) == sum(Decimal(mid) for mid in said["midpoints"].values())
    assert ("OK", Hand().at_ms // 1000) == (said["ok"], said["time"])


def test_polymarket_client_lists_every_event_of_the_series(
    answers: Answers, still_venue: Venue
) -> None:
    now_ms = still_venue.now_ms()
    listed = sorted(
        (m for m in still_venue.markets() if not m.is_closed(now_ms)), key=lambda m: m.end_ms
    )

    assert [m.slug for m in listed] == answers["polymarket_client"]["events"]


def test_polymarket_client_understands_an_event_and_its_market(
    answers: Answers, market: Market
) -> None:
    said = answers["polymarket_client"]
    text = json.dumps(said["event"])

    assert market.slug == said["event"]["slug"]
    assert market.slug == said["market"]["slug"]
    assert all(token in text for token in market.token_ids)
    assert market.condition_id in text
    assert dates.iso(market.end_ms)[:19] in text


def test_polymarket_client_reads_the_books(
    answers: Answers, book: dict[str, Any], market: Market
) -> None:
    said = answers["polymarket_client"]

    assert book["hash"] == said["book"]["hash"]
    assert dict(said["books"])[market.token_ids[0]] == book["hash"]
    assert set(market.token_ids) == set(dict(said["books"]))
    assert Decimal(said["price"]) == Decimal(book["bids"][-1]["price"])
    assert Decimal(said["midpoint"]) == Decimal(answers["py_clob_client"]["midpoint"]["mid"])
    assert Decimal(said["spread"]) == Decimal(answers["py_clob_client"]["spread"]["spread"])
