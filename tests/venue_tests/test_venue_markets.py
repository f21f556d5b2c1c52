"""Markets of the loopback venue: names, windows and lives as the real venue's."""

import gzip
import json
from pathlib import Path

import pytest

from tests.venue import Venue, dates, markets
from tests.venue.walk import Path as PricePath
from tests.venue_tests.peers import NOON_MS, Hand, regular, window_at


@pytest.mark.parametrize(("name", "length_s"), [("btc-5m", 20), ("btc-15m", 60), ("btc-4h", 960)])
def test_a_scaled_window_is_aligned_to_its_own_length(name: str, length_s: int) -> None:
    line = markets.series(name, scale=15)

    starts = list(line.starts(NOON_MS + 7, NOON_MS + 7 + 5 * line.window_ms))

    assert length_s * 1000 == line.window_ms
    assert 5 == len(starts)
    assert {0} == {start % line.window_ms for start in starts}


def test_hourly_and_daily_series_are_never_scaled() -> None:
    assert 3_600_000 == markets.series("btc-1h", scale=15).window_ms
    assert 86_400_000 == markets.series("btc-1d", scale=15).window_ms


def test_a_scale_that_does_not_divide_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match="need whole seconds"):
        markets.series("btc-5m", scale=7)


def test_an_unknown_series_is_refused() -> None:
    with pytest.raises(ValueError, match="choosing a series"):
        markets.series("btc-30m")


@pytest.mark.parametrize(
    ("name", "start", "slug"),
    [
        ("btc-5m", "2026-06-07T23:55:00Z", "btc-updown-5m-1780876500"),
        ("btc-1h", "2026-11-21T02:00:00Z", "bitcoin-up-or-down-november-20-2026-9pm-et"),
        ("btc-1h", "2026-07-04T16:00:00Z", "bitcoin-up-or-down-july-4-2026-12pm-et"),
        ("btc-1h", "2026-11-20T05:00:00Z", "bitcoin-up-or-down-november-20-2026-12am-et"),
        ("btc-1d", "2026-03-11T16:00:00Z", "bitcoin-up-or-down-on-march-12-2026"),
    ],
)
def test_slugs_are_written_as_the_venue_writes_them(name: str, start: str, slug: str) -> None:
    assert slug == markets.series(name).slug_at(dates.parse_iso(start))


def test_real_titles_and_windows_come_out_of_the_clock_alone(captures: Path) -> None:
    """Every closed 5-minute market of one real day, from its start to its question."""
    line = markets.series("btc-5m")
    path = captures / "gamma" / "closed-btc-5m-markets-2026-06-08.jsonl.gz"
    real = [json.loads(row)["raw"] for row in gzip.decompress(path.read_bytes()).splitlines()]

    for one in real:
        start_ms = dates.parse_iso(one["eventStartTime"])
        assert one["slug"] == line.slug_at(start_ms)
        assert one["question"] == line.title_at(start_ms)
        assert dates.parse_iso(one["endDate"]) == line.end(start_ms)


def test_real_hourly_titles_come_out_of_the_clock_alone(captures: Path) -> None:
    """From both sides of the change to summer time; slugs of March had no year yet."""
    line = markets.series("btc-1h")
    path = captures / "gamma" / "open-btc-updown-markets-2026-03-11.jsonl.gz"
    rows = [json.loads(row)["market"] for row in gzip.decompress(path.read_bytes()).splitlines()]
    hourly = [row for row in rows if row["slug"].endswith("-et")]

    assert 51 == len(hourly)
    for one in hourly:
        start_ms = dates.parse_iso(one["eventStartTime"])
        assert one["slug"] == line.slug_at(start_ms).replace("-2026", "")
        assert one["question"] == line.title_at(start_ms)


def test_a_daily_window_runs_from_noon_to_noon_in_new_york_over_a_change_of_the_clocks() -> None:
    line = markets.series("btc-1d")
    start_ms = dates.parse_iso("2026-10-31T16:00:00Z")

    assert "2026-11-01T17:00:00Z" == dates.iso(line.end(start_ms))


def test_the_same_seed_is_the_same_market_and_another_seed_is_not() -> None:
    line = markets.series("btc-5m")

    one, again = markets.market(line, NOON_MS, seed=3), markets.market(line, NOON_MS, seed=3)
    other = markets.market(line, NOON_MS, seed=4)

    assert one == again
    assert one.condition_id != other.condition_id
    assert not set(one.token_ids) & set(other.token_ids)


def test_ids_have_the_form_of_the_venues() -> None:
    one = markets.market(markets.series("btc-5m"), NOON_MS, seed=1)

    assert 66 == len(one.condition_id)
    assert all(token.isdigit() and 70 < len(token) <= 78 for token in one.token_ids)


def test_a_day_of_windows_is_listed_ahead(venue: Venue) -> None:
    ahead = [m for m in regular(venue) if m.start_ms >= venue.now_ms()]
    counts = {
        name: sum(m.series.name == name for m in ahead) for name in ("btc-5m", "btc-15m", "btc-1h")
    }

    assert 280 <= counts["btc-5m"] <= 290
    assert 90 <= counts["btc-15m"] <= 97
    assert 47 <= counts["btc-1h"] <= 49


def test_new_windows_appear_as_the_clock_goes_on(venue: Venue, hand: Hand) -> None:
    before = {market.slug for market in venue.markets()}

    hand.at_ms += 3_600_000

    assert 12 == sum("-5m-" in m.slug for m in venue.markets() if m.slug not in before)


def test_a_book_exists_from_some_time_after_listing_until_some_time_after_the_end(
    venue: Venue, hand: Hand
) -> None:
    market = window_at(venue, ahead=1)
    token_id = market.token_ids[0]
    times = {
        "before": market.book_from_ms - 1,
        "first": market.book_from_ms,
        "last": market.closed_ms - 1,
        "closed": market.closed_ms,
    }

    has = {name: venue.world.state(token_id, at_ms) is not None for name, at_ms in times.items()}

    assert {"before": False, "first": True, "last": True, "closed": False} == has
    assert market.listed_ms < market.book_from_ms < market.start_ms < market.end_ms
    assert 15_000 <= market.closed_ms - market.end_ms <= 85_000


def test_the_price_ends_at_the_winner_and_most_ticks_become_fine() -> None:
    line = markets.series("btc-5m")
    made = [markets.market(line, NOON_MS + n * 300_000, seed=1) for n in range(60)]
    paths = [PricePath(market, 1) for market in made]

    right = sum(
        (path.middle(path.market.end_ms) > 500) == (path.market.winner == 0) for path in paths
    )
    fine = sum(path.fine_from < len(path.odds) for path in paths)

    assert 60 == right
    assert 30 < fine <= 60
