"""Real streams through the market channel, verbatim and in time, and the official client on it."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.venue import ReplayWorld, Tempo, Venue, recordings
from tests.venue_tests.channel_peers import Connect, Rebuilt, each_event, of_kind
from tests.venue_tests.peers import Hand, get
from tests.venue_tests.test_venue_clients import interpreter
from tests.venue_tests.test_venue_replay import part

CHANGES = "stream/price-changes-2025-10-30.jsonl"

__all__ = ["interpreter", "part"]  # fixtures


def heard(
    world: ReplayWorld, venue: Venue, hand: Hand, connect: Connect, until_ms: int
) -> tuple[list[bytes], list[bytes]]:
    """The books on subscribing to every market at its first book, and the frames until then."""
    first, frames = [], []
    peer = connect(venue)
    for market in sorted(world.listed(0), key=lambda market: market.start_ms):
        followed = None
        while followed is None and hand.at_ms < until_ms:
            hand.at_ms += 5
            followed = world.follow(market.token_ids[0], hand.at_ms)
        peer.subscribe(market.token_ids)
        books, *more = peer.settled()
        first.append(books)
        frames += more
    hand.at_ms = until_ms
    return first, frames + peer.settled()


def test_all_35_recorded_price_changes_verify(
    captures: Path, tmp_path: Path, hand: Hand, connect: Connect
) -> None:
    recording = recordings.load(captures / CHANGES)
    world = ReplayWorld(recording, born_ms=hand.at_ms, lead_ms=10)
    with Venue(tmp_path, world=world, clock_ns=hand.ns) as venue:
        first, frames = heard(world, venue, hand, connect, hand.at_ms + 5_000)
        token_id = recording.books[0].state.token_id
        rest = get(venue, f"/book?token_id={token_id}").json()
    books = Rebuilt({world.listed(0)[0].condition_id: world.listed(0)[0].token_ids})
    books.take([*first, *frames])

    assert (36, 0) == (books.verified, books.failed)
    assert 35 == len(of_kind(frames, "price_change"))
    assert rest["hash"] == books.books[token_id]["hash"]
    rows = (captures / CHANGES).read_text().splitlines()[1:]
    items = [item for event in each_event(frames) for item in event["price_changes"]]
    assert [json.loads(row)["change"] for row in rows] == items


def test_recorded_books_come_byte_for_byte(
    part: recordings.Recording, tmp_path: Path, hand: Hand, connect: Connect
) -> None:
    world = ReplayWorld(part, born_ms=hand.at_ms, lead_ms=10, speed=10)
    with Venue(tmp_path, world=world, clock_ns=hand.ns) as venue:
        _, heard_frames = heard(world, venue, hand, connect, hand.at_ms + 120_000)
    # A dump is an array of the venue's making; on a busy machine it comes after a book.
    frames = [frame for frame in heard_frames if frame.startswith(b"{")]
    events = [book.event for book in part.books if book.event is not None]

    assert len(part.books) == len(events)
    for market in world.listed(0):
        told = [f for f in frames if json.loads(f)["market"] == market.condition_id]
        recorded = [event.raw for event in events if event.condition_id == market.condition_id]
        assert len(told) > 100
        assert recorded[-len(told) :] == told


def test_the_official_client_reads_the_channel(interpreter: Path, tmp_path: Path) -> None:
    """On the real clock and with real websockets: it must drop nothing it was sent."""
    script = Path(__file__).with_name("official_channel.py")
    with Venue(tmp_path, lines=("btc-5m",), tempo=Tempo(changes_per_s=100)) as venue:
        tokens: Sequence[str] = venue.open_markets()[1].token_ids
        done = subprocess.run(
            [str(interpreter), str(script), venue.ws_url, *tokens],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        said = json.loads(done.stdout)
        produced = {row.hash for row in venue.channel_truth.changes()}

    assert 0 == said["dropped"]
    assert {"book", "price_change", "last_trade_price"} <= {*said["kinds"]}
    assert {*said["hashes"]} <= produced
    assert len(said["hashes"]) > 30
