"""Gamma of the loopback venue: pages, filters, refusals and objects as the real one's."""

import gzip
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.venue import Venue, dates
from tests.venue_tests.peers import Hand, get, window_at


def pages(venue: Venue, query: str) -> list[list[dict[str, Any]]]:
    """Every page of a keyset listing, followed by its cursors."""
    found, cursor = [], ""
    while True:
        page = get(venue, f"/events/keyset?{query}&after_cursor={quote(cursor)}").json()
        found.append(page["events"])
        cursor = page.get("next_cursor", "")
        if not cursor:
            return found


def slugs(venue: Venue, query: str) -> list[str]:
    return [event["slug"] for page in pages(venue, query) for event in page]


def test_cursors_lead_through_every_event_once(venue: Venue) -> None:
    found = pages(venue, "series_id=10684&series_id=10192&order=endDate&ascending=true&limit=100")
    listed = [event["slug"] for page in found for event in page]
    ends = [event["endDate"] for page in found for event in page]

    assert [100] * (len(found) - 1) == [len(page) for page in found[:-1]]
    assert len(listed) == len(set(listed)) > 370
    assert ends == sorted(ends)


def test_a_cursor_holds_its_place_while_markets_come_and_go(venue: Venue, hand: Hand) -> None:
    query = "series_id=10684&order=endDate&ascending=true&limit=50"
    first = get(venue, f"/events/keyset?{query}").json()

    hand.at_ms += 1_800_000
    second = get(venue, f"/events/keyset?{query}&after_cursor={quote(first['next_cursor'])}").json()

    last = first["events"][-1]["endDate"]
    assert all(event["endDate"] > last for event in second["events"])


def test_a_cursor_is_given_only_on_a_full_page(venue: Venue) -> None:
    reply = get(
        venue, "/events/keyset?series_id=10684&limit=100&start_time_min=2026-11-21T11:00:00Z"
    )

    assert len(reply.json()["events"]) < 100
    assert "next_cursor" not in reply.json()


def test_a_page_holds_twenty_unless_asked(venue: Venue) -> None:
    assert 20 == len(get(venue, "/events/keyset").json()["events"])


@pytest.mark.parametrize(
    "query",
    [
        "offset=1",
        "limit=101",
        "limit=0",
        "limit=x",
        "order=end_date",
        "after_cursor=%21%21",
        "end_date_min=soon",
    ],
)
def test_a_bad_query_is_422_with_an_error(venue: Venue, query: str) -> None:
    reply = get(venue, f"/events/keyset?{query}")

    assert 422 == reply.status
    assert reply.json()["error"]


def test_an_offset_over_2000_on_the_old_route_is_422(venue: Venue) -> None:
    assert 200 == get(venue, "/events?offset=2000").status
    assert 422 == get(venue, "/events?offset=2001").status


def test_closed_events_are_shown_only_to_who_asks_and_on_the_old_route(
    venue: Venue, hand: Hand
) -> None:
    market = window_at(venue)
    hand.at_ms = market.closed_ms
    near = f"end_date_min={dates.iso(market.end_ms)}&end_date_max={dates.iso(market.end_ms)}"
    query = f"series_id=10684&{near}"

    assert [] == slugs(venue, query)
    assert [market.slug] == slugs(venue, f"{query}&closed=true")
    assert [market.slug] == [event["slug"] for event in get(venue, f"/events?{query}").json()]


def test_filters_by_series_tag_and_time(venue: Venue) -> None:
    now = dates.iso(venue.now_ms())
    assert all("btc-updown-15m-" in slug for slug in slugs(venue, "series_id=10192&limit=100"))
    assert all("btc-updown-5m-" in slug for slug in slugs(venue, "tag_id=102892&limit=100"))
    assert slugs(venue, "tag_slug=up-or-down&limit=100") == slugs(venue, "tag_id=235&limit=100")
    assert [] == slugs(venue, "tag_id=1")
    assert all(
        event["endDate"] >= now
        for page in pages(venue, f"end_date_min={now}&limit=100")
        for event in page
    )


def test_zombies_are_listed_as_active_and_without_an_order_book(venue: Venue) -> None:
    page = get(venue, "/events/keyset?series_id=10684&order=endDate&ascending=true").json()
    inner = page["events"][0]["markets"][0]

    assert "2025-12-19T16:40:00Z" == inner["endDate"]
    assert (True, False, False) == (inner["active"], inner["closed"], inner["enableOrderBook"])
    assert not {"acceptingOrders", "outcomePrices"} & set(inner)


def test_a_slug_route_gives_one_object_and_a_query_an_array(venue: Venue) -> None:
    slug = window_at(venue).slug

    assert slug == get(venue, f"/events/slug/{slug}").json()["slug"]
    assert slug == get(venue, f"/markets/slug/{slug}").json()["slug"]
    assert [slug] == [event["slug"] for event in get(venue, f"/events?slug={slug}").json()]
    assert [slug] == [market["slug"] for market in get(venue, f"/markets?slug={slug}").json()]


def test_an_unknown_slug_is_404_or_an_empty_array(venue: Venue) -> None:
    assert 404 == get(venue, "/events/slug/btc-updown-5m-1").status
    assert 404 == get(venue, "/markets/slug/btc-updown-5m-1").status
    assert b"[]" == get(venue, "/events?slug=btc-updown-5m-1").body


def test_market_pages_carry_the_event_inside(venue: Venue) -> None:
    market = get(venue, "/markets/keyset?limit=1").json()["markets"][0]

    assert market["slug"] == market["events"][0]["slug"]
    assert "markets" not in market["events"][0]


def test_objects_have_the_keys_and_types_of_a_captured_event(venue: Venue, captures: Path) -> None:
    real = json.loads((captures / "gamma" / "event-updown-2026-06-23.json").read_text())[0]
    ours = get(venue, f"/events/slug/{window_at(venue, ahead=5).slug}").json()

    assert kinds(real) == {key: kind for key, kind in kinds(ours).items() if key in real}
    inner, ours_inner = kinds(real["markets"][0]), kinds(ours["markets"][0])
    assert inner == {key: kind for key, kind in ours_inner.items() if key in inner}
    assert kinds(real["series"][0]) == kinds(ours["series"][0])


def kinds(value: dict[str, Any]) -> dict[str, str]:
    """Key to type name; int and float are one, as in JSON."""
    return {
        key: "number" if type(item) in (int, float) else type(item).__name__
        for key, item in value.items()
    }


def test_a_closed_market_looks_as_the_captured_ones(
    venue: Venue, hand: Hand, captures: Path
) -> None:
    path = captures / "gamma" / "closed-btc-5m-markets-2026-06-08.jsonl.gz"
    real = json.loads(gzip.decompress(path.read_bytes()).splitlines()[0])["raw"]
    market = window_at(venue)
    hand.at_ms = market.closed_ms

    ours = get(venue, f"/markets/slug/{market.slug}").json()

    told = ("active", "closed", "acceptingOrders", "umaResolutionStatus", "automaticallyResolved")
    assert [real[key] for key in told] == [ours[key] for key in told]
    assert len(real["closedTime"]) == len(ours["closedTime"])
    assert ours["closedTime"].endswith("+00")
    assert {"0", "1"} == set(json.loads(ours["outcomePrices"]))


def test_the_window_start_is_not_the_start_date(venue: Venue) -> None:
    market = window_at(venue, ahead=3)
    event = get(venue, f"/events/slug/{market.slug}").json()

    assert dates.iso(market.start_ms) == event["startTime"]
    assert dates.iso(market.start_ms) == event["markets"][0]["eventStartTime"]
    assert event["startDate"] < dates.iso(market.start_ms - 80_000_000)


def test_a_market_whose_book_is_not_there_yet_accepts_no_orders(venue: Venue, hand: Hand) -> None:
    market = window_at(venue, ahead=250)
    hand.at_ms = market.book_from_ms - 1

    ours = get(venue, f"/markets/slug/{market.slug}").json()

    assert ours["acceptingOrders"] is False
    assert json.loads(ours["clobTokenIds"]) == list(market.token_ids)
