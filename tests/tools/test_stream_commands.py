"""Holds the commands on a streamed archive: the source is told, and events come as they were."""

import json

import pytest

from tests.core.told import TOKEN, event
from tests.edge.reading.test_stream import SLUG, Truth, begun
from tests.remotes.servers import Local
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.offloading import Yard
from workers.edge.spool import locks
from workers.edge.spool import reader as spool_reader


@pytest.fixture
def played(fleet) -> tuple[Fleet, Truth]:
    """Ten seconds of a stream with two legs, and one trade."""
    streamer, truth, links = begun(fleet, legs=2)
    for at_ms in range(HOUR_MS + 200, HOUR_MS + 10 * S, 200):
        truth.tell(streamer, links, at_ms)
    trade = event(
        {
            "market": "0xabc",
            "asset_id": TOKEN,
            "price": "0.48",
            "size": "5.5",
            "side": "BUY",
            "timestamp": str(HOUR_MS + 10 * S),
            "event_type": "last_trade_price",
        }
    )
    for lag, link in enumerate(links):
        streamer.hear(link, HOUR_MS + 10 * S + lag, trade)
    streamer.end(HOUR_MS + 20 * S)
    locks.release_all()
    return fleet, truth


def test_the_book_command_tells_the_source_and_its_proof(played, capsys):
    fleet, truth = played

    assert 0 == fleet.orderbooks("book", SLUG, "--at", "open+5s")
    told = capsys.readouterr().out
    assert 0 == fleet.orderbooks("book", SLUG, "--at", "open+5s", "--json")
    answer = json.loads(capsys.readouterr().out)

    assert "source    stream" in told
    assert "last proven" in told
    assert ("stream", "SYNCED") == (answer["source"], answer["state"])
    assert answer["proof"] in {"verified", "explained"}
    (changes,) = answer["provenance"]["changes"]
    assert changes["first_row"] <= changes["last_row"]
    assert answer["book"]["hash"] == json.loads(truth.at(HOUR_MS + 5 * S))["hash"]


def test_a_replay_as_the_venue_emits_the_events_in_the_venues_bytes(played, capfdbinary):
    fleet, _ = played
    assert 0 == fleet.orderbooks("replay", SLUG, "--as", "venue", "--to", "open+15s")
    lines = capfdbinary.readouterr().out.split(b"\n")[:-1]
    (segment,) = fleet.segments("frames")
    heard = [
        row[row.index(b'"event":') + 8 : -1]
        for row in spool_reader.read_stream(segment).data.split(b"\n")[:-1]
    ]

    kinds = [json.loads(line)["event_type"] for line in lines if line]
    assert {"book", "price_change", "last_trade_price"} == set(kinds)
    # The dump is told whole, as it is to whoever subscribes; all others are the venue's bytes.
    assert list(dict.fromkeys(heard[2:])) == [line for line in lines if line][1:]


def test_lines_of_a_replay_tell_the_source_and_what_led_to_each_book(played, capfdbinary):
    fleet, truth = played
    assert 0 == fleet.orderbooks("replay", SLUG, "--to", "open+15s")
    rows = [json.loads(line) for line in capfdbinary.readouterr().out.split(b"\n")[1:-2]]

    books = [row for row in rows if row["kind"] == "book"]
    assert {"stream"} == {row["source"] for row in books}
    assert len(truth.states) == len(books)
    assert {"price_change", "book"} >= {row["event"]["event_type"] for row in books}
    assert 1 == sum(row["kind"] == "event" for row in rows)


def test_coverage_tells_of_the_stream_beside_the_ticks(played, capsys):
    fleet, _ = played
    fleet.orderbooks("coverage", "--json")
    report = json.loads(capsys.readouterr().out)
    fleet.orderbooks("coverage")
    told = capsys.readouterr().out

    (market,) = report["stream"]["markets"]
    assert {"starting": 22.0 + 2.0} == market["missed_s"]
    assert market["wanted_s"] == market["covered_s"] + sum(market["missed_s"].values())
    assert {"0": 20.0, "1": 20.0} == market["legs_s"]
    assert report["due"] == sum(report["totals"].values())
    assert "the stream, in seconds of tokens" in told


def test_the_changes_between_two_books_are_counted_and_the_hash_agrees(played, capsys):
    fleet, _ = played

    assert 0 == fleet.orderbooks("diff", SLUG, "--at", "open+2s", "--and", "open+4s", "--json")
    told = json.loads(capsys.readouterr().out)

    assert told["hash_agrees"]
    assert 5 <= told["told"] <= 10


def test_coverage_tells_the_stream_by_what_is_here_when_publications_were_offloaded(
    played, capsys, tmp_path
):
    fleet, _ = played
    fleet.publish_universe(HOUR_MS + 15 * S, *fleet.universe.markets)
    span = ("--from", "2026-04-16T08:00", "--to", "2026-04-16T08:01")

    def told() -> dict:
        capsys.readouterr()
        fleet.orderbooks("coverage", "--json", *span)
        return json.loads(capsys.readouterr().out)

    before = told()
    with Local(tmp_path / "far") as remote:
        yard = Yard(fleet, remote, tmp_path)
        yard.ship_all()
        gone = yard.let_go(lambda each: "--universe--" in each.name)
    after = told()

    assert gone.files
    assert (False, True) == (before["is_stream_cut"], after["is_stream_cut"])
    # The account begins with the newest publication, the one that is here.
    assert [(20.0, 40.0), (5.0, 10.0)] == [
        (each["stream"]["covered_s"], each["stream"]["wanted_s"]) for each in (before, after)
    ]
    fleet.orderbooks("coverage", *span)
    assert "of the stream only what is here is told" in capsys.readouterr().out
