"""Promises of core.universe.markets: any JSON is a market, a pending one or a refusal; the mapping is exact."""

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.gamma_samples import (
    ASKED,
    NOW_MS,
    RULES,
    START_MS,
    START_S,
    as_sent,
    event_object,
    market,
    market_object,
    ms,
    read,
)
from workers.core.polling.cadence import Phase
from workers.core.settings.settings import Schedule
from workers.core.universe import slugs
from workers.core.universe.gamma import read_page
from workers.core.universe.markets import (
    KEYSET,
    SLUG,
    Asked,
    Market,
    Reading,
    Rules,
    read_events,
    read_market,
)
from workers.core.universe.refusals import QUIET, REASONS, Pending, Refusal
from workers.core.universe.slugs import Expected, Window

ANY_ASKED = Asked(source=KEYSET)


def reason(found: object) -> str:
    assert isinstance(found, Refusal), found
    assert found.reason in REASONS
    return found.reason


def test_a_market_is_read_with_its_window_tokens_and_phases() -> None:
    found = market()

    assert f"btc-updown-5m-{START_S}" == found.slug
    assert "btc-5m" == found.series
    assert [("Up", "1"), ("Down", "2")] == [(t.outcome, t.token_id[-1]) for t in found.tokens]
    assert ("2026-03-11T20:40:00.000Z", "2026-03-11T20:45:00.000Z") == (
        found.window_start_utc,
        found.window_end_utc,
    )
    assert ("0.01", "listed", "warm", KEYSET) == (
        found.tick_size,
        found.status,
        found.tier,
        found.source,
    )
    assert (
        Phase("warm", START_MS - 300_000, START_MS - 10_000, 10_000),
        Phase("hot", START_MS - 10_000, START_MS + 305_000, 1000),
        Phase("warm", START_MS + 305_000, START_MS + 360_000, 10_000),
    ) == found.phases
    assert "2026-03-11T20:35:00.000Z" == found.record_from_utc
    assert "2026-03-11T20:46:00.000Z" == found.record_until_utc


def test_the_listing_time_is_not_the_window() -> None:
    found = market(startDate="2026-03-10T20:48:12.32406Z")

    assert START_MS == found.window.start_ms
    assert "2026-03-10T20:48:12.324Z" == found.listed_at_utc


@pytest.mark.parametrize(
    ("changes", "event"),
    [
        ({"eventStartTime": None}, {}),
        ({"eventStartTime": None}, {"startTime": None}),
        ({"eventStartTime": None, "endDate": None}, {"startTime": None}),
        ({"eventStartTime": "2026-03-11 20:40:00+00"}, {}),
        ({"endDate": "2026-03-11T20:45:00+00:00:00"}, {}),
    ],
)
def test_the_window_is_found_or_computed_when_a_time_is_missing_or_odd(
    changes: dict[str, Any], event: dict[str, Any]
) -> None:
    body = market_object(**changes)

    found = read(body, event_object(market_object(), markets=[body], **event))

    assert isinstance(found, Market), found
    assert Window(START_MS, START_MS + 300_000) == found.window


def test_an_hourly_window_without_its_start_is_computed_from_its_end() -> None:
    body = market_object(
        slug="bitcoin-up-or-down-march-11-2026-5pm-et",
        eventStartTime=None,
        endDate="2026-03-11T22:00:00Z",
    )
    event = event_object(body, startTime=None, series=[{"id": "10114"}])

    found = read(body, event)

    assert isinstance(found, Market), found
    assert ("btc-1h", ms("2026-03-11T21:00:00Z")) == (found.series, found.window.start_ms)


def test_a_day_is_as_long_as_new_york_makes_it() -> None:
    body = market_object(
        slug="bitcoin-up-or-down-on-march-8-2026",
        eventStartTime="2026-03-07T17:00:00Z",
        endDate="2026-03-08T16:00:00Z",
    )

    found = read(body, event_object(body, series=[{"id": "41"}]), now_ms=ms("2026-03-08T12:00:00Z"))

    assert isinstance(found, Market), found
    assert "btc-daily" == found.series


@pytest.mark.parametrize("numbers", ["[11, 22]", [11, 22], "[1.5e77, 2.5e77]", ["11", 22]])
def test_a_token_id_that_is_a_number_is_refused(numbers: object) -> None:
    assert "token_number" == reason(read(market_object(clobTokenIds=numbers)))


def test_token_ids_longer_than_any_integer_are_kept_digit_by_digit() -> None:
    ids = ["9" * 78, "8" * 77 + "7"]

    found = market(clobTokenIds=json.dumps(ids))

    assert ids == [each.token_id for each in found.tokens]


def test_lists_may_be_real_arrays() -> None:
    assert (
        market().tokens
        == market(
            clobTokenIds=json.loads(market_object()["clobTokenIds"]), outcomes=["Up", "Down"]
        ).tokens
    )


@pytest.mark.parametrize("empty", ["[]", "", None, []])
def test_position_ids_stand_in_for_empty_token_ids(empty: object) -> None:
    found = market(clobTokenIds=empty, positionIds='["p-1", "p-2"]')

    assert ["p-1", "p-2"] == [each.token_id for each in found.tokens]


@pytest.mark.parametrize(
    "changes",
    [
        {"clobTokenIds": "[]"},
        {"clobTokenIds": None},
        {"acceptingOrders": None},
        {"acceptingOrders": False},
        {"enableOrderBook": False},
    ],
)
def test_a_market_that_the_venue_has_not_finished_is_pending(changes: dict[str, Any]) -> None:
    found = read(market_object(**changes))

    assert isinstance(found, Pending)
    assert f"btc-updown-5m-{START_S}" == found.slug


def test_an_event_without_a_market_yet_is_pending() -> None:
    events = read_page(b'[{"slug": "btc-updown-5m-1773261600", "markets": []}]').events

    found = read_events(events, asked=ASKED, rules=RULES, now_ms=NOW_MS)

    assert [Pending("btc-updown-5m-1773261600", "has no market yet")] == list(found)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"slug": None}, "bad_slug"),
        ({"slug": 7}, "bad_slug"),
        ({"slug": "a b"}, "bad_slug"),
        ({"slug": "\u0430"}, "bad_slug"),
        ({"conditionId": None}, "bad_id"),
        ({"conditionId": 12}, "bad_id"),
        ({"closed": "false"}, "bad_type"),
        ({"enableOrderBook": 1}, "bad_type"),
        ({"acceptingOrders": "yes"}, "bad_type"),
        ({"endDate": 1773261900}, "bad_time"),
        ({"endDate": "soon"}, "bad_time"),
        ({"eventStartTime": []}, "bad_time"),
        ({"outcomes": "Up,Down"}, "bad_list"),
        ({"outcomes": "[1, 2]"}, "bad_list"),
        ({"clobTokenIds": {"a": 1}}, "bad_list"),
        ({"clobTokenIds": '["a b", "c"]'}, "bad_token"),
        ({"clobTokenIds": '["", "c"]'}, "bad_token"),
        ({"clobTokenIds": '["1", "1"]'}, "duplicate_token"),
        ({"outcomes": '["Up", "Up"]'}, "duplicate_token"),
        ({"outcomes": '["Up", ""]'}, "duplicate_token"),
        ({"outcomes": '["Up"]'}, "not_two_outcomes"),
        ({"outcomes": "[]"}, "not_two_outcomes"),
        ({"outcomes": '["Up", "Down", "Flat"]'}, "not_two_outcomes"),
        ({"clobTokenIds": '["1", "2", "3"]'}, "not_two_outcomes"),
        ({"clobTokenIds": '["1"]'}, "not_two_outcomes"),
        ({"endDate": "2026-03-11T20:55:00Z"}, "window_length"),
        ({"eventStartTime": "2026-03-11T20:35:00Z"}, "wrong_window"),
        ({"startDate": "2026-03-11T20:40:00Z", "endDate": "2025-03-11T20:45:00Z"}, "window_length"),
        ({"closed": True}, "closed"),
    ],
)
def test_a_market_that_cannot_be_believed_is_refused_with_its_reason(
    changes: dict[str, Any], expected: str
) -> None:
    assert expected == reason(read(market_object(**changes)))


@pytest.mark.parametrize("value", [None, 1, "x", [], [market_object()], True])
def test_a_market_that_is_no_object_is_refused(value: object) -> None:
    assert "not_an_object" == reason(read(value, {}))


def test_a_field_that_decides_nothing_never_loses_a_market() -> None:
    found = market(question=["?"], startDate="soon", orderPriceMinTickSize="a lot", more={"x": 1})

    assert ("", None, None) == (found.question, found.listed_at_utc, found.tick_size)


@pytest.mark.parametrize(
    ("size", "text"),
    [("0.01", "0.01"), ("0.001", "0.001"), ("1e-3", "0.001"), ('"0.1"', "0.1"), ("1E-4000", None)],
)
def test_a_tick_size_is_exact_text(size: str, text: str | None) -> None:
    body = json.dumps([market_object(orderPriceMinTickSize=7)]).replace(": 7", f": {size}")
    (raw,) = read_page(body.encode()).events

    found = read_market(raw, event_object(), asked=ASKED, rules=RULES, now_ms=NOW_MS)

    assert isinstance(found, Market), found
    assert text == found.tick_size


def test_a_zombie_is_refused_quietly() -> None:
    zombie = market_object(enableOrderBook=False, acceptingOrders=None)

    found = read(zombie, now_ms=START_MS + 90 * 86_400_000)

    assert "ended" == reason(found)
    assert "not_accepting" == reason(read(zombie, now_ms=START_MS + 301_000))
    assert {"ended", "not_accepting", "closed"} == set(QUIET)


def test_a_market_is_recorded_until_its_tail_is_over() -> None:
    assert isinstance(read(market_object(), now_ms=START_MS + 359_999), Market)
    assert "ended" == reason(read(market_object(), now_ms=START_MS + 360_000))


def test_a_market_of_another_series_is_refused_unless_anything_was_asked_for() -> None:
    event = event_object(market_object(), series=[{"id": "999"}])

    assert "wrong_series" == reason(read(market_object(), event))
    found = read(market_object(), event, asked=ANY_ASKED)
    assert isinstance(found, Market)
    assert "other" == found.series


def test_a_market_is_never_filed_under_a_series_of_another_length() -> None:
    event = event_object(market_object(), series=[{"id": "10192"}])

    assert "window_length" == reason(read(market_object(), event))


@pytest.mark.parametrize("series", [None, [], "10684", [7]])
def test_an_event_that_names_no_series_is_filed_by_its_name(series: object) -> None:
    found = read(market_object(), event_object(market_object(), series=series))

    assert isinstance(found, Market)
    assert "btc-5m" == found.series


def test_an_hourly_name_that_finds_last_years_market_is_refused() -> None:
    asked_for = Expected(
        "bitcoin-up-or-down-march-11-5pm-et",
        Window(ms("2026-03-11T21:00:00Z"), ms("2026-03-11T22:00:00Z")),
    )
    body = market_object(
        slug="bitcoin-up-or-down-march-11-5pm-et",
        eventStartTime="2025-03-11T21:00:00Z",
        endDate="2025-03-11T22:00:00Z",
    )
    asked = Asked(source=SLUG, series_id="10114", expected=asked_for)

    found = read(body, event_object(body, series=[{"id": "10114"}]), asked=asked)

    assert "wrong_window" == reason(found)
    assert reason(found) not in QUIET


def test_a_look_up_that_answers_with_another_event_is_refused() -> None:
    asked_for = Expected("btc-updown-5m-1", Window(START_MS, START_MS + 300_000))

    found = read(market_object(), asked=Asked(source=SLUG, expected=asked_for))

    assert "wrong_window" == reason(found)


def test_a_market_of_no_series_is_open_from_its_listing_to_its_end() -> None:
    body = market_object(slug="fed-in-june", eventStartTime=None, endDate="2026-06-17T00:00:00Z")
    event = {"slug": "fed", "markets": [body]}

    found = read(body, event, asked=ANY_ASKED)

    assert isinstance(found, Market)
    assert (ms("2026-03-10T20:48:12.324Z"), "other", "fed") == (
        found.window.start_ms,
        found.series,
        found.event_slug,
    )
    assert "no_start" == reason(read(body | {"startDate": ""}, event, asked=ANY_ASKED))
    assert "no_end" == reason(read(body | {"endDate": ""}, event, asked=ANY_ASKED))


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(sorted(market_object())), json_values), json_values)
def test_any_json_is_a_market_a_pending_one_or_a_refusal(
    changes: dict[str, Any], anything: object
) -> None:
    body = market_object() | changes
    event = event_object(market_object()) | {"series": anything, "startTime": anything}

    for raw, holder in ((body, event), (body, anything), (anything, event)):
        found = read_market(
            as_sent(raw), as_sent(holder), asked=ANY_ASKED, rules=RULES, now_ms=NOW_MS
        )
        assert isinstance(found, Market | Pending | Refusal)
        assert not isinstance(found, Refusal) or found.reason in REASONS
        assert msgspec.json.encode(found)


@given(json_values)
def test_any_event_is_judged(event: object) -> None:
    found = read_events((as_sent(event),), asked=ANY_ASKED, rules=RULES, now_ms=NOW_MS)

    assert all(isinstance(each, Market | Pending | Refusal) for each in found)


@pytest.mark.parametrize(
    "schedule",
    [
        Schedule(warm_lead_s=0, hot_lead_s=0, hot_tail_s=0, warm_tail_s=0),
        Schedule(warm_lead_s=10, hot_lead_s=10, hot_tail_s=60, warm_tail_s=60),
    ],
)
def test_phases_without_length_are_left_out(schedule: Schedule) -> None:
    rules = Rules(RULES.series, schedule)
    found = read_market(
        as_sent(market_object()),
        as_sent(event_object()),
        asked=ASKED,
        rules=rules,
        now_ms=NOW_MS,
    )

    assert isinstance(found, Market)
    assert ["hot"] == [phase.tier for phase in found.phases]


# -- the captures: 2026-03-11 20:30:50 UTC, every open BTC up/down market of that minute --


def captured(captures: Path, name: str) -> list[dict[str, Any]]:
    data = gzip.decompress((captures / "gamma" / name).read_bytes())
    return [json.loads(line) for line in data.splitlines()]


def test_the_captured_open_markets_are_all_read_but_for_the_zombies(captures: Path) -> None:
    objects = [
        each["market"] for each in captured(captures, "open-btc-updown-markets-2026-03-11.jsonl.gz")
    ]
    now_ms = ms("2026-03-11T20:30:50Z")

    found = [
        read_market(as_sent(raw), None, asked=ANY_ASKED, rules=RULES, now_ms=now_ms)
        for raw in objects
    ]

    markets = [each for each in found if isinstance(each, Market)]
    refused = Counter(each.reason for each in found if isinstance(each, Refusal))
    # 13 zombies of December 2025, and two hourly markets whose window was just over.
    assert {"ended": 15} == dict(refused)
    assert {"btc-5m": 286, "btc-15m": 96, "btc-4h": 7, "btc-1h": 49, "btc-daily": 1} == dict(
        Counter(each.series for each in markets)
    )
    assert 2 * len(markets) == len({t.token_id for each in markets for t in each.tokens})


def test_the_captured_names_are_the_computed_ones(captures: Path) -> None:
    """In March 2026 hourly and daily names had no year yet (VENUE §2.2)."""
    patterns = {each.name: each.slug.replace("-{year}", "") for each in RULES.series}
    now_ms = ms("2026-03-11T20:30:50Z")
    for each in captured(captures, "open-btc-updown-markets-2026-03-11.jsonl.gz"):
        found = read_market(each["market"], None, asked=ANY_ASKED, rules=RULES, now_ms=now_ms)
        if isinstance(found, Market):
            assert found.slug == slugs.slug_of(patterns[found.series], found.window)


def test_the_captured_closed_markets_are_refused_as_closed(captures: Path) -> None:
    objects = captured(captures, "closed-btc-5m-markets-2026-06-08.jsonl.gz")

    found = [
        read_market(each["raw"], None, asked=ANY_ASKED, rules=RULES, now_ms=NOW_MS)
        for each in objects
    ]

    assert {"closed": 292} == dict(Counter(reason(each) for each in found))


def test_captured_events_of_other_kinds_are_read(captures: Path) -> None:
    found: list[Reading] = []
    for name in ("event-2026-05-17.json", "event-updown-2026-06-23.json", "search-2026-05-17.json"):
        page = read_page((captures / "gamma" / name).read_bytes())
        assert "ok" == page.cause
        found += read_events(
            page.events, asked=ANY_ASKED, rules=RULES, now_ms=ms("2026-05-17T06:00:00Z")
        )

    refused = [each.reason for each in found if isinstance(each, Refusal)]
    assert ["closed"] * 4 == refused
    assert 11 == sum(isinstance(each, Market) for each in found)
