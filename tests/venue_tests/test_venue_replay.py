"""The replayed world: real books under their real hashes, moved to now."""

import gzip
import json
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.venue import ReplayWorld, Truth, Venue, dates, recordings
from tests.venue.bookhash import book_hash
from tests.venue.recordings import Explainer, Recording
from tests.venue_tests.peers import Hand, get, post_books

ROOT = Path(__file__).parents[2]
STREAM = "stream/btc-5m-three-markets-2026-04-16.jsonl.gz"
POLLS = "rest/post-books-six-polls-2026-03-11.jsonl"
ROWS = 400  # of the 7,437: the whole file takes two seconds


@pytest.fixture(scope="module")
def part(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The beginning of each of the three markets of the stream."""
    lines = gzip.decompress((captures / STREAM).read_bytes()).splitlines()
    slugs = [json.loads(line)["slug"] for line in lines]
    chosen = _first_of_each(lines, slugs)
    path = tmp_path_factory.mktemp("part") / "part.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(chosen)))
    return recordings.load(path)


def _first_of_each(lines: list[bytes], slugs: list[str]) -> list[bytes]:
    taken: dict[str, int] = {}
    found = []
    for line, slug in zip(lines, slugs, strict=True):
        taken[slug] = taken.get(slug, 0) + 1
        if taken[slug] <= ROWS // 3:
            found.append(line)
    return found


def test_every_websocket_book_is_completed_to_its_real_hash(part: Recording) -> None:
    assert 0 == part.unexplained
    assert 3 * (ROWS // 3) == len(part.books)
    assert all(book_hash(json.loads(book.state.raw)) == book.state.digest for book in part.books)


def test_the_whole_stream_is_explained(captures: Path) -> None:
    recording = recordings.load(captures / STREAM)

    assert (7_437, 0, 3) == (len(recording.books), recording.unexplained, len(recording.pairs))


@pytest.mark.parametrize(
    ("name", "books", "markets"),
    [
        (POLLS, 60, 10),
        ("rest/post-books-2026-05-17.json", 10, 5),
        ("rest/get-book-2026-06-23.json", 1, 1),
    ],
)
def test_rest_captures_are_taken_as_they_are(
    captures: Path, name: str, books: int, markets: int
) -> None:
    recording = recordings.load(captures / name)

    assert (books, 0, markets) == (
        len(recording.books), recording.unexplained, len(recording.pairs),
    )  # fmt: skip


def test_a_damaged_book_is_not_explained(part: Recording) -> None:
    book = json.loads(part.books[0].state.raw)
    book["bids"][0]["size"] += "1"

    assert None is Explainer().explain(book)


def test_a_damaged_rest_book_is_left_out(tmp_path: Path, part: Recording) -> None:
    book = json.loads(part.books[0].state.raw)
    path = tmp_path / "post-books.json"
    path.write_text(json.dumps([book, book | {"last_trade_price": "0.001"}]))

    recording = recordings.load(path)

    assert (1, 1) == (len(recording.books), recording.unexplained)


def test_gamma_lists_the_real_markets_in_shifted_windows(
    tmp_path: Path, hand: Hand, part: Recording
) -> None:
    world = ReplayWorld(part, born_ms=hand.at_ms, lead_ms=5_000, speed=10)
    with Venue(tmp_path, world=world, clock_ns=hand.ns) as venue:
        page = get(venue, "/events/keyset?series_id=10684&order=endDate&ascending=true").json()

    inner = [event["markets"][0] for event in page["events"]]
    assert [f"btc-updown-5m-{1_776_329_100 + n * 300}" for n in range(3)] == [
        market["slug"] for market in inner
    ]
    assert [dates.iso(hand.at_ms + 5_000 + n * 30_000) for n in range(3)] == [
        market["eventStartTime"] for market in inner
    ]
    assert inner[0]["conditionId"].startswith("0xc6d0759442ed65ee")
    assert json.loads(inner[0]["clobTokenIds"])[0].startswith("17642340064927")


def test_books_are_served_at_their_own_pace_and_the_last_is_kept(
    tmp_path: Path, hand: Hand, part: Recording
) -> None:
    world = ReplayWorld(part, born_ms=hand.at_ms, lead_ms=5_000, speed=2)
    first = [book for book in part.books if book.slug == part.books[0].slug]
    token = first[0].state.token_id
    with Venue(tmp_path, world=world, clock_ns=hand.ns) as venue:
        before = post_books(venue, [token]).body
        bodies = {}
        for index in (0, 7, len(first) - 1):
            hand.at_ms = world.pace.moved(first[index].from_ms)
            bodies[index] = post_books(venue, [token]).json()[0]
        hand.at_ms += 10_000
        kept = post_books(venue, [token]).json()[0]

    assert b"[]" == before
    for index, body in bodies.items():
        assert first[index].state.digest == body["hash"] == book_hash(body)
    assert bodies[len(first) - 1] == kept


def test_the_token_the_recorder_lost_is_omitted_or_mirrored(
    tmp_path: Path, hand: Hand, part: Recording
) -> None:
    for second, count in (("omit", 1), ("mirror", 2)):
        world = ReplayWorld(part, born_ms=hand.at_ms, second=second)  # type: ignore[arg-type]
        at = Hand(world.pace.moved(part.books[0].from_ms))
        with Venue(tmp_path / second, world=world, clock_ns=at.ns) as venue:
            books = post_books(venue, venue.markets()[0].token_ids).json()
        assert count == len(books)
        assert all(book_hash(book) == book["hash"] for book in books)
        assert len({book["timestamp"] for book in books}) == 1


def test_a_mirrored_book_is_the_one_the_venue_had(captures: Path) -> None:
    """On the real pairs of the REST polls, our mirror has the real hash of the other token."""
    recording = recordings.load(captures / POLLS)
    seen = {(b.state.token_id, b.state.timestamp): b.state.digest for b in recording.books}
    compared = 0
    for book in recording.books:
        for other in recording.pairs[book.state.condition_id]:
            real = seen.get((other, book.state.timestamp))
            if other != book.state.token_id and real:
                assert real == recordings.mirrored(book.state, other).digest
                compared += 1

    assert 60 == compared


def test_polls_are_served_in_turn(tmp_path: Path, hand: Hand, captures: Path) -> None:
    recording = recordings.load(captures / POLLS)
    world = ReplayWorld(recording, born_ms=hand.at_ms, lead_ms=0)
    token = recording.books[0].state.token_id
    moments = sorted({book.from_ms for book in recording.books})
    served = []
    with Venue(tmp_path, world=world, clock_ns=hand.ns) as venue:
        for moment in moments:
            hand.at_ms = world.pace.moved(moment)
            served.append(post_books(venue, [token]).json()[0]["hash"])

    mine = [book for book in recording.books if book.state.token_id == token]
    assert [book.state.digest for book in mine] == served


def test_the_process_replays_a_file(tmp_path: Path, captures: Path) -> None:
    command = [
        sys.executable, "-m", "tests.venue", "--state-dir", str(tmp_path),
        "--replay", str(captures / POLLS), "--replay-lead-s", "0",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            page = json.loads(urllib.request.urlopen(f"{url}/events/keyset", timeout=10).read())
            tokens = json.loads(page["events"][0]["markets"][0]["clobTokenIds"])
            book = json.loads(
                urllib.request.urlopen(f"{url}/book?token_id={tokens[0]}", timeout=10).read()
            )
        finally:
            process.send_signal(signal.SIGTERM)

    assert book["hash"] == book_hash(book)
    assert [book["hash"]] == [row.hash for row in Truth(tmp_path).states()]
