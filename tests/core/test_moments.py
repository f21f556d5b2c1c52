"""Holds core.reading.moments: times, markets and outcomes in every form people have them in."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.errors import NeedsAPerson
from workers.core.instants import utc_text
from workers.core.reading.moments import designation_of, is_relative, moment_ns, outcome_at, settled
from workers.core.universe.slugs import Window

S = 1_000_000_000
OPEN = 1_776_326_400 * S
WINDOW = Window(1_776_326_400_000, 1_776_326_700_000)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-04-16T08:00:00Z", OPEN),
        ("2026-04-16T08:00", OPEN),
        ("2026-04-16T08:00Z", OPEN),
        ("2026-04-16T10:00:00+02:00", OPEN),
        ("2026-04-16T08:00:00.052123456Z", OPEN + 52_123_456),
        ("2026-04-16T08:00:00.5Z", OPEN + S // 2),
        ("1776326400", OPEN),
        ("1776326400.25", OPEN + S // 4),
        (1_776_326_400, OPEN),
        ("1776326400052", OPEN + 52_000_000),
        ("1776326400052.5", OPEN + 52_500_000),
        ("1776326400000001", OPEN + 1000),
        ("1776326400000000001", OPEN + 1),
        (datetime(2026, 4, 16, 8, tzinfo=UTC), OPEN),
        (datetime(2026, 4, 16, 10, tzinfo=timezone(timedelta(hours=2))), OPEN),
        ("open", OPEN),
        ("open+30s", OPEN + 30 * S),
        ("open-500ms", OPEN - S // 2),
        ("close-1m30s", OPEN + 210 * S),
        ("close+1h", OPEN + 3900 * S),
    ],
)
def test_a_moment_is_read_in_every_form(text, ns):
    assert ns == moment_ns(text, WINDOW)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("now", OPEN),
        (" now ", OPEN),
        ("now-5s", OPEN - 5 * S),
        ("now-1m500ms", OPEN - 60_500_000_000),
    ],
)
def test_now_is_the_clocks_and_a_moment_without_it_stays_as_it_is(text, ns):
    assert ns == moment_ns(settled(text, OPEN))
    for other in ("open+30s", "now+1s", 1_776_326_400, datetime(2026, 4, 16, 8, tzinfo=UTC)):
        assert other == settled(other, OPEN)


@given(st.integers(0, 4 * 10**18).map(lambda us: us // 1000 * 1000))
def test_what_is_printed_is_read_back(ns):
    assert ns == moment_ns(utc_text(ns))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "177632640000",
        "open+",
        "open+3",
        "open30s",
        "2026-13-01",
        "-5",
        "now",
        "now+1s",
    ],
)
def test_what_is_no_moment_is_refused(text):
    with pytest.raises(NeedsAPerson):
        moment_ns(text, WINDOW)


def test_a_relative_moment_needs_a_window_and_a_datetime_a_zone():
    assert is_relative("close-1m")
    assert not is_relative("2026-04-16")
    with pytest.raises(NeedsAPerson, match="does not say when"):
        moment_ns("open+1s")
    with pytest.raises(NeedsAPerson, match="no zone"):
        moment_ns(datetime(2026, 4, 16))  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("btc-updown-5m-1776326400", ("btc-updown-5m-1776326400",)),
        ("https://polymarket.com/event/a-b?tid=1#x", ("a-b",)),
        ("https://polymarket.com/event/a-b/a-b-c", ("a-b-c", "a-b")),
        ("polymarket.com/market/a-b/", ("a-b",)),
        ("https://www.polymarket.com/de/event/a-b", ("a-b",)),
    ],
)
def test_a_market_is_named_by_slug_or_address(text, names):
    assert names == designation_of(text).names


def test_a_market_is_named_by_its_condition_id():
    assert "0xab" == designation_of("0xAB").condition_id


@pytest.mark.parametrize(
    "text",
    ["", "a b", "../../etc", "https://example.com/event/a", "https://polymarket.com/", "x\n"],
)
def test_what_can_be_no_market_is_refused(text):
    if text == "x\n":
        assert ("x",) == designation_of(text).names
        return
    with pytest.raises(NeedsAPerson):
        designation_of(text)


@pytest.mark.parametrize("wanted", ["Up", "up", "0", 0, "101"])
def test_an_outcome_is_named_by_word_place_or_token(wanted):
    assert ("101", "Up") == outcome_at(wanted, (("101", "Up"), ("102", "Down")))


@pytest.mark.parametrize("wanted", ["Sideways", 2, "-1", ""])
def test_an_outcome_that_is_none_is_refused_and_the_others_named(wanted):
    with pytest.raises(NeedsAPerson) as refused:
        outcome_at(wanted, (("101", "Up"), ("102", "Down")))
    assert "Up, Down" in refused.value.hint
