"""Holds `orderbooks quote`: asked of a loopback venue, right, spoiled and gone."""

import json

import pytest

from tests.ports import mute_port
from tests.venue import Venue
from workers.tools import __main__ as command


@pytest.fixture
def venue(tmp_path):
    """A venue at the real pace: windows of five minutes."""
    with Venue(tmp_path / "venue", lines=("btc-5m",)) as running:
        yield running


def quoted(tmp_path, url: str, *words: str) -> int:
    """Run the verb against an address."""
    path = tmp_path / "orderbooks.yaml"
    settings = {
        "data_dir": str(tmp_path / "var"),
        "venue": {"gamma_url": url, "clob_url": url},
    }
    path.write_text(json.dumps(settings))
    return command.main(["quote", "--config", str(path), *words])


def lasting(venue):
    """A market with a book, and hours to go: late in a window a side may have a single level."""
    return venue.open_markets()[-1]


@pytest.mark.parametrize("form", ["{slug}", "https://polymarket.com/event/{slug}?tid=1"])
def test_a_market_is_quoted_by_name_or_address(venue, tmp_path, capsys, form):
    slug = lasting(venue).slug

    assert 0 == quoted(tmp_path, venue.url, form.format(slug=slug), "--json")

    found = json.loads(capsys.readouterr().out)
    assert (slug, ["Up", "Down"]) == (
        found["slug"],
        [each["outcome"] for each in found["outcomes"]],
    )
    for each in found["outcomes"]:
        assert "verified" == each["hash_verdict"]
        assert each["book"]["bids"]
        assert float(each["spread"]) > 0
        assert "-" not in (each["buy"], each["sell"], each["midpoint"])
    assert not (tmp_path / "var").exists()


def test_a_person_sees_prices_and_the_book(venue, tmp_path, capsys):
    assert 0 == quoted(tmp_path, venue.url, lasting(venue).slug, "--levels", "2")

    out = capsys.readouterr().out
    assert 8 == sum(line.startswith(("ask", "bid")) for line in out.splitlines())
    assert "midpoint" in out
    assert "hash verified" in out


def test_a_book_with_a_wrong_hash_is_exit_1(venue, tmp_path, capsys):
    venue.faults.add("bad_hash", route="book")

    assert 1 == quoted(tmp_path, venue.url, lasting(venue).slug, "--json")
    verdicts = {each["hash_verdict"] for each in json.loads(capsys.readouterr().out)["outcomes"]}
    assert "failed" in verdicts


def test_a_market_nobody_lists_is_exit_2_with_a_hint(venue, tmp_path, capsys):
    assert 2 == quoted(tmp_path, venue.url, "no-such-market")
    assert "the venue knows no such market" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["0xab", "a b", "https://example.com/event/x"])
def test_what_is_no_name_of_a_market_is_not_asked(venue, tmp_path, word):
    assert 2 == quoted(tmp_path, venue.url, word)


def test_a_venue_that_fails_is_exit_2(venue, tmp_path, capsys):
    venue.faults.add("status", route="book", code=503)

    assert 2 == quoted(tmp_path, venue.url, lasting(venue).slug)
    assert "http_503" in capsys.readouterr().err


def test_without_a_network_it_says_so(tmp_path, capsys):
    with mute_port() as port:
        assert 2 == quoted(tmp_path, f"http://127.0.0.1:{port}", "some-market")

    assert "is there a network" in capsys.readouterr().err
