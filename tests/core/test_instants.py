"""Holds core.instants: text and Unix time, both ways, UTC only."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.instants import compact_text, hour_parts, moment_ms, ms_text, parse_utc, utc_text

MS = st.integers(0, 253_402_300_799_999)  # until the end of the year 9999


@given(MS)
def test_millisecond_text_comes_back_as_the_same_moment(ms):
    assert ms == parse_utc(ms_text(ms))


@given(MS, st.integers(0, 999_999))
def test_microsecond_text_is_cut_to_the_millisecond(ms, below_ns):
    assert ms == parse_utc(utc_text(ms * 1_000_000 + below_ns))


@given(MS, MS)
def test_names_sort_by_time(one, other):
    assert (one < other) == (compact_text(one) < compact_text(other))


@given(st.integers(0, 4_000_000_000), st.integers(-14 * 60, 14 * 60))
def test_an_offset_is_taken_off(seconds, minutes):
    zone = timezone(timedelta(minutes=minutes))
    text = datetime.fromtimestamp(seconds, UTC).astimezone(zone).isoformat()

    assert seconds * 1000 == parse_utc(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01", 0),
        ("1970-01-01T00:00:01", 1000),
        (" 1970-01-01 00:00:01+00 ", 1000),
        ("1970-01-01T00:00:00.1Z", 100),
        ("1970-01-01T00:00:00.123456789Z", 123),
        ("1970-01-01T00:00:00+00:00:00", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00-0100", 3_600_000),
        ("2016-12-31T23:59:60Z", 1_483_228_799_000),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000),
    ],
)
def test_the_forms_of_the_venue_are_read(text, expected):
    assert expected == parse_utc(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026", "2026-13-01", "2026-02-30", "2026-01-01T24:00:00Z", "0000-01-01"),
        *("2026-01-01T00:00Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Z trailing"),
        *("٢٠٢٦-01-01", "2026-01-01T00:00:00 UTC", "1770000000000"),
    ],
)
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_utc(text)


def test_texts_look_as_documented():
    assert "1970-01-01T00:00:00.000000Z" == utc_text(0)
    assert "20261121T023001123Z" == compact_text(parse_utc("2026-11-21T02:30:01.123Z"))
    assert ("2026-11-21", "02") == hour_parts(parse_utc("2026-11-21T02:59:59.999Z"))
    assert ("2026-11-21", "03") == hour_parts(parse_utc("2026-11-21T03:00:00Z"))


@pytest.mark.parametrize(
    ("text", "ago_ms"), [("now", 0), ("90s", 90_000), ("now-90s", 90_000), ("2d", 172_800_000)]
)
def test_now_and_a_span_back_from_it_are_moments(text, ago_ms):
    assert ago_ms == 10**12 - moment_ms(text, 10**12)
