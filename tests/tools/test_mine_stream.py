"""Holds `orderbooks mine` on a streamed day: the stream where it covered, polls elsewhere."""

import json
from collections import Counter
from fractions import Fraction
from itertools import pairwise

import pytest

from tests.core.told import TOKEN
from tests.edge.derived.raw import batch
from tests.edge.reading.test_stream import SLUG, Truth, begun
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.test_mine import mine, of_token
from workers.core.report.stats import rounded
from workers.edge.derived import pruning
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks

DAY = "2026-04-16"
MS, NS = 1_000_000, 1_000_000_000


@pytest.fixture(scope="module")
def mixed(tmp_path_factory) -> tuple[Fleet, Truth]:
    """A minute of polls; the stream for 20 s of it, in two segments, and again for five."""
    fleet = Fleet(tmp_path_factory.mktemp("mixed") / "var")
    streamer, truth, (link,) = begun(fleet)
    collector = fleet.collector(HOUR_MS - 5 * S)
    for at_ms in range(HOUR_MS + 250, HOUR_MS + 20 * S + 250, 250):
        truth.tell(streamer, [link], at_ms)
        if at_ms % S == 0:
            streamer.heard(at_ms + 10)
        if at_ms == HOUR_MS + 10 * S:
            streamer.seal(at_ms + 100)
    streamer.lose(link, HOUR_MS + 20_300, "reset", HOUR_MS + 20_250)
    again = streamer.open(HOUR_MS + 40 * S)
    streamer.hear(again, HOUR_MS + 40_200, truth.book.dump())
    streamer.heard(HOUR_MS + 40_300)
    streamer.lose(again, HOUR_MS + 40_600, "reset", HOUR_MS + 40_500)
    collector.ticks(HOUR_MS, HOUR_MS + 60 * S)
    streamer.end(HOUR_MS + 60 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet, truth


def covered(fleet: Fleet) -> list[tuple[int, int]]:
    """When the token was covered, by what coverage says of its gaps."""
    (told,) = open_archive(fleet.data.root).stream_coverage(HOUR_MS, HOUR_MS + 60 * S)
    gaps = [each.gap for each in told.gaps if each.token_id == TOKEN]
    ends = [HOUR_MS * MS, *(each.until_wall_ns for each in gaps)]
    found = zip(ends, (each.from_wall_ns for each in gaps), strict=False)
    return [(begin, end) for begin, end in found if begin < end]


def best(levels: list[dict[str, str]]) -> tuple[Fraction, Fraction]:
    return Fraction(levels[-1]["price"]), Fraction(levels[-1]["size"])


class Expected:
    """The sums of a token, by hand."""

    def __init__(self) -> None:
        self.ns = self.streamed_ns = 0
        self.bid_size, self.spread, self.bid_usdc = (Fraction(0) for _ in range(3))
        self.widths: Counter[str] = Counter()

    def add(self, bids: list[dict[str, str]], asks: list[dict[str, str]], ns: int) -> None:
        bid, ask = best(bids), best(asks)
        self.ns += ns
        self.bid_size += bid[1] * ns
        self.bid_usdc += sum(Fraction(e["price"]) * Fraction(e["size"]) for e in bids) * ns
        self.spread += (ask[0] - bid[0]) * ns
        self.widths[str((ask[0] - bid[0]) * 100)] += ns


def expected(stands: list[tuple[int, dict]], spans: list[tuple[int, int]]) -> Expected:
    """The stream's states in its spans, and polls elsewhere."""
    found = Expected()
    ends = [*(at for at, _ in stands[1:]), HOUR_MS * MS + 60 * NS]
    for (at, book), end in zip(stands, ends, strict=True):
        ns = sum(max(0, min(end, until) - max(at, begin)) for begin, until in spans)
        found.add(book["bids"], book["asks"], ns)
        found.streamed_ns += ns
    # Polls whose state holds: from the first behind the stream on, but not across its second part.
    for second in (each for each in range(21, 59) if each != 40):
        bid = {"price": f"0.4{(second - 1) % 10}", "size": "100.5"}
        found.add([bid], [{"price": "0.55", "size": "7"}], NS)
    return found


def test_figures_are_of_the_stream_where_it_covered_and_of_polls_elsewhere(mixed, capsys):
    fleet, truth = mixed
    spans = covered(fleet)
    stands = [(received * MS, json.loads(raw)) for received, raw in truth.states]
    stands.append((HOUR_MS * MS + 40_200 * MS, stands[-1][1]))
    by_hand = expected(stands, spans)
    streamed, total = by_hand.streamed_ns, by_hand.ns

    code, report = mine(fleet, capsys, DAY)
    found = of_token(report, SLUG, "Up")

    assert 0 == code
    within = [at for at, _ in stands if any(begin <= at < until for begin, until in spans)]
    assert (60, 60, 60) == (found["due"], found["captured"], found["states"])
    assert rounded(Fraction(streamed, NS), 9) == found["stream_s"]
    assert rounded(Fraction(total, NS), 9) == found["observed_s"]
    assert rounded(Fraction(streamed, total), 6) == found["stream_share"]
    assert rounded(by_hand.bid_size / total, 6) == found["best_bid_shares"]
    assert rounded(by_hand.bid_usdc / total, 6) == found["all_bid_usdc"]
    assert rounded(by_hand.spread / total, 6) == found["spread_usdc"]
    assert {
        name: rounded(Fraction(ns, NS), 9) for name, ns in by_hand.widths.items() if ns
    } == found["seconds_at_ticks"]
    # A seed of ours is no state, nor is a dump that tells the state that stood.
    assert len(within) - 1 == found["stream_states"]
    books = [(each["bids"], each["asks"]) for at, each in stands if at in set(within)]
    changes = sum(one != other for one, other in pairwise(books))
    assert changes == found["stream_changes"]
    assert changes + len(range(21, 60)) == found["changes"]


def test_states_outside_of_the_time_asked_for_are_not_counted(mixed, capsys):
    fleet, _ = mixed
    times = (f"2026-04-16T08:00:{second}" for second in (15, 18))

    _, report = mine(fleet, capsys, "--from", next(times), "--to", next(times))
    found = of_token(report, SLUG, "Up")

    assert (12, "3.000000000", "3.000000000") == (
        found["stream_states"],
        found["stream_s"],
        found["observed_s"],
    )


def test_a_token_without_a_stream_is_polled_alone_and_a_page_says_the_share(mixed, capsys):
    fleet, _ = mixed
    _, report = mine(fleet, capsys, DAY)
    other = of_token(report, SLUG, "Down")
    fleet.orderbooks("mine", DAY)
    page = capsys.readouterr().out

    assert ("0.000000", "59.000000000") == (other["stream_share"], other["observed_s"])
    up = of_token(report, SLUG, "Up")
    assert f"{rounded(Fraction(up['stream_share']) * 100, 2)}%" in page


def test_a_damaged_table_of_the_stream_is_said_and_polls_are_counted_instead(mixed, capsys):
    fleet, _ = mixed
    (path,) = (fleet.data.root / "derived/changes").glob("*/*/*/*.parquet")
    whole = path.read_bytes()
    for each in (fleet.data.root / "derived/token_stats").rglob("*.parquet"):
        each.unlink()
    path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    try:
        _, report = mine(fleet, capsys, DAY)
    finally:
        path.write_bytes(whole)

    assert any("the stream is counted in part" in each for each in report["notes"])
    assert "0.000000" == of_token(report, SLUG, "Up")["stream_share"]


@pytest.fixture
def alone(tmp_path) -> tuple[Fleet, Truth]:
    """Ten seconds of the stream that are published, ten that are not; nobody polls."""
    fleet = Fleet(tmp_path / "var")
    streamer, truth, (link,) = begun(fleet)
    for at_ms in range(HOUR_MS + 250, HOUR_MS + 20 * S, 250):
        truth.tell(streamer, [link], at_ms)
        if at_ms == HOUR_MS + 10 * S:
            streamer.seal(at_ms + 50)
    streamer.heard(HOUR_MS + 20 * S)
    locks.release_all()
    return fleet, truth


def test_a_day_of_the_stream_alone_is_mined_as_far_as_it_is_published(alone, capsys):
    fleet, truth = alone
    code = fleet.orderbooks("mine", DAY)
    refused = capsys.readouterr().err
    assert (2, True) == (code, "orderbooks normalize" in refused), refused
    assert "1 segments and no derived table" in refused
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()

    _, report = mine(fleet, capsys, DAY)
    found = of_token(report, SLUG, "Up")

    # The segment that is still written begins with the next event.
    until = HOUR_MS * MS + 10_250 * MS
    stands = [(received * MS, json.loads(raw)) for received, raw in truth.states]
    by_hand = Expected()
    for (at, book), (end, _) in pairwise(stands):
        by_hand.add(book["bids"], book["asks"], max(0, min(end, until) - at))
    assert (0, 0, "1.000000") == (found["captured"], found["states"], found["stream_share"])
    assert rounded(Fraction(by_hand.ns, NS), 2) == rounded(Fraction(found["observed_s"]), 2)
    assert rounded(by_hand.bid_size / by_hand.ns, 6) == found["best_bid_shares"]
    assert rounded(by_hand.spread / by_hand.ns, 6) == found["spread_usdc"]
    assert sum(at < until for at, _ in stands) == found["stream_states"]
    assert "in part" in report["notes"][0]

    pruning.prune(batch(fleet.data), HOUR_MS, frozenset())
    _, report = mine(fleet, capsys, DAY)
    assert of_token(report, SLUG, "Up")["stream_share"] is None
    assert any("were pruned: raw has them" in each for each in report["notes"]), report["notes"]
