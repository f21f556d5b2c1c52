"""Promises of core.universe.slugs: names and windows follow from the clock, New York time from its rule."""

import zoneinfo
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.instants import parse_utc
from workers.core.settings.scope import DEFAULT_SERIES
from workers.core.settings.settings import Series
from workers.core.universe import slugs
from workers.core.universe.slugs import Window

BY_NAME = {each.name: each for each in DEFAULT_SERIES}


def expected_slugs(name: str, at: str, *, ahead: int) -> list[str]:
    series = BY_NAME[name]
    found = slugs.expected(series.slug, series.period_s, now_ms=parse_utc(at), ahead=ahead)
    return [each.slug for each in found]


@pytest.mark.parametrize(
    ("name", "at", "slug"),
    [
        ("btc-5m", "2026-03-11T20:42:12Z", "btc-updown-5m-1773261600"),
        ("btc-15m", "2026-03-11T20:30:00Z", "btc-updown-15m-1773261000"),
        ("btc-4h", "2026-03-11T23:59:59Z", "btc-updown-4h-1773259200"),
        ("btc-1h", "2026-03-12T04:30:00Z", "bitcoin-up-or-down-march-12-2026-12am-et"),
        ("btc-1h", "2026-03-12T16:00:00Z", "bitcoin-up-or-down-march-12-2026-12pm-et"),
        ("btc-1h", "2026-12-31T23:00:00Z", "bitcoin-up-or-down-december-31-2026-6pm-et"),
        ("btc-1h", "2027-01-01T04:59:59Z", "bitcoin-up-or-down-december-31-2026-11pm-et"),
        ("btc-daily", "2026-03-11T16:00:00Z", "bitcoin-up-or-down-on-march-12-2026"),
        ("btc-daily", "2026-03-11T15:59:59Z", "bitcoin-up-or-down-on-march-11-2026"),
        ("btc-daily", "2026-12-31T17:00:00Z", "bitcoin-up-or-down-on-january-1-2027"),
    ],
)
def test_the_current_name_follows_from_the_clock(name: str, at: str, slug: str) -> None:
    assert [slug] == expected_slugs(name, at, ahead=0)


def test_the_next_names_follow_the_current_one() -> None:
    found = expected_slugs("btc-5m", "2026-03-11T20:40:00Z", ahead=2)

    assert [f"btc-updown-5m-{second}" for second in (1773261600, 1773261900, 1773262200)] == found


def test_the_hour_that_spring_skips_has_no_name() -> None:
    found = expected_slugs("btc-1h", "2026-03-08T06:30:00Z", ahead=1)

    assert [
        "bitcoin-up-or-down-march-8-2026-1am-et",
        "bitcoin-up-or-down-march-8-2026-3am-et",
    ] == found


def test_the_hour_that_autumn_repeats_is_looked_up_once_as_the_first() -> None:
    series = BY_NAME["btc-1h"]
    found = slugs.expected(
        series.slug, series.period_s, now_ms=parse_utc("2026-11-01T05:10:00Z"), ahead=2
    )

    assert [
        ("bitcoin-up-or-down-november-1-2026-1am-et", parse_utc("2026-11-01T05:00:00Z")),
        ("bitcoin-up-or-down-november-1-2026-2am-et", parse_utc("2026-11-01T07:00:00Z")),
    ] == [(each.slug, each.window.start_ms) for each in found]


@pytest.mark.parametrize(
    ("at", "hours"),
    [("2026-03-07T18:00:00Z", 23), ("2026-10-31T18:00:00Z", 25), ("2026-06-01T18:00:00Z", 24)],
)
def test_a_day_from_noon_to_noon_has_as_many_hours_as_new_york_has(at: str, hours: int) -> None:
    (window,) = slugs.windows(86_400, now_ms=parse_utc(at), ahead=0)

    assert hours * slugs.HOUR_MS == window.end_ms - window.start_ms
    assert window == slugs.window_ending(window.end_ms, 86_400)


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        ("2026-03-08T06:59:59Z", -5),
        ("2026-03-08T07:00:00Z", -4),
        ("2026-11-01T05:59:59Z", -4),
        ("2026-11-01T06:00:00Z", -5),
        ("2027-03-14T07:00:00Z", -4),
        ("2027-11-07T06:00:00Z", -5),
    ],
)
def test_new_york_changes_its_clocks_by_the_rule_of_2007(at: str, hours: int) -> None:
    assert hours * 3600 == slugs.eastern_offset_s(parse_utc(at))


@given(st.datetimes(datetime(2007, 1, 1), datetime(2037, 12, 31)))  # noqa: DTZ001
def test_the_rule_agrees_with_the_time_zone_database(moment: datetime) -> None:
    try:
        zone = zoneinfo.ZoneInfo("America/New_York")
    except zoneinfo.ZoneInfoNotFoundError:
        pytest.skip("no time zone database on this machine; the rule does not need one")
    aware = moment.replace(tzinfo=UTC)
    at_ms = int(aware.timestamp()) * 1000

    offset = aware.astimezone(zone).utcoffset()

    assert offset is not None
    assert offset == timedelta(seconds=slugs.eastern_offset_s(at_ms))


@given(
    st.sampled_from(DEFAULT_SERIES),
    st.integers(1_577_836_800_000, 2_200_000_000_000),
    st.integers(0, 12),
)
def test_windows_follow_each_other_without_a_hole_from_the_current_one(
    series: Series, now_ms: int, ahead: int
) -> None:
    found = slugs.windows(series.period_s, now_ms=now_ms, ahead=ahead)

    assert ahead + 1 == len(found)
    assert found[0].start_ms <= now_ms < found[0].end_ms
    assert [each.end_ms for each in found[:-1]] == [each.start_ms for each in found[1:]]
    assert list(found) == [slugs.window_ending(each.end_ms, series.period_s) for each in found]


@given(st.integers(1_577_836_800, 4_102_444_799))
def test_a_name_with_a_unix_second_gives_its_start_back(start_s: int) -> None:
    pattern = BY_NAME["btc-5m"].slug
    window = Window(start_s * 1000, start_s * 1000 + 300_000)

    assert window.start_ms == slugs.start_of(pattern, slugs.slug_of(pattern, window))


@pytest.mark.parametrize(
    "slug",
    [
        "btc-updown-15m-1773261600",
        "btc-updown-5m-",
        "btc-updown-5m-17732616OO",
        "btc-updown-5m-1773261600-2",
        "eth-updown-5m-1773261600",
        "btc-updown-5m-1773261600",
    ],
)
def test_a_name_of_another_pattern_has_no_start(slug: str) -> None:
    assert slugs.start_of("btc-updown-5m-{start_unix}-x", slug) is None
    assert slugs.start_of("bitcoin-up-or-down-on-{month}-{day}-{year}", slug) is None
