"""The fault menu on Gamma's objects and pages, each kind seen on the wire."""

import json
from typing import Any

import pytest

from tests.venue import Venue, dates
from tests.venue_tests.peers import Hand, get, window_at

LISTING = "/events/keyset?series_id=10684&order=endDate&ascending=true&limit=10&end_date_min="
PROVEN = {
    "swapped", "ids_changed", "three_outcomes", "drift", "cursor_loop", "empty_page",
    "stale_page", "arrays", "position_ids", "hydration", "odd_times", "number_tokens",
    "no_series",
}  # fmt: skip


def page(venue: Venue) -> dict[str, Any]:
    found: dict[str, Any] = get(venue, LISTING + dates.iso(venue.now_ms())).json()
    return found


def spoiled(venue: Venue, kind: str, **params: object) -> list[dict[str, Any]]:
    """The markets of one page with this fault, which the truth must name."""
    venue.faults.add(kind, "events", **params)
    found = page(venue)
    assert (kind,) == venue.answers()[-1].faults
    return [event["markets"][0] for event in found["events"]]


def tokens(market: dict[str, Any]) -> list[str]:
    found: list[str] = json.loads(market["clobTokenIds"])
    return found


def right(venue: Venue) -> list[dict[str, Any]]:
    return [event["markets"][0] for event in page(venue)["events"]]


def test_the_tokens_of_another_market(venue: Venue) -> None:
    was = right(venue)

    now = spoiled(venue, "swapped")

    assert [m["slug"] for m in was] == [m["slug"] for m in now]
    assert tokens(was[1]) == tokens(now[0])


def test_outcomes_the_other_way_round(venue: Venue) -> None:
    was = right(venue)

    now = spoiled(venue, "swapped", mode="outcomes")

    assert ["Down", "Up"] == json.loads(now[0]["outcomes"])
    assert tokens(was[0]) == tokens(now[0])


def test_other_ids_under_one_slug_and_only_there(venue: Venue) -> None:
    was = right(venue)

    now = spoiled(venue, "ids_changed", slugs=[was[2]["slug"]])

    assert was[2]["slug"] == now[2]["slug"]
    assert was[2]["conditionId"] != now[2]["conditionId"]
    assert not set(tokens(was[2])) & set(tokens(now[2]))
    assert tokens(was[1]) == tokens(now[1])


def test_a_third_outcome(venue: Venue) -> None:
    (first, *_) = spoiled(venue, "three_outcomes")

    assert (3, 3) == (len(json.loads(first["outcomes"])), len(set(tokens(first))))


@pytest.mark.parametrize(
    ("mode", "has", "lacks"),
    [
        ("extra", "newField", "clobTokenIdsV2"),
        ("missing", "outcomes", "clobTokenIds"),
        ("renamed", "clobTokenIdsV2", "clobTokenIds"),
    ],
)
def test_schema_drift_of_a_market(venue: Venue, mode: str, has: str, lacks: str) -> None:
    (first, *_) = spoiled(venue, "drift", mode=mode)

    assert has in first
    assert lacks not in first


def test_a_changed_type(venue: Venue) -> None:
    (first, *_) = spoiled(venue, "drift", mode="type", key="endDate")

    assert isinstance(first["endDate"], list)


def test_real_arrays_where_text_is_usual(venue: Venue) -> None:
    (first, *_) = spoiled(venue, "arrays")

    assert ["Up", "Down"] == first["outcomes"]
    assert 2 == len(first["clobTokenIds"])


def test_position_ids_in_place_of_token_ids(venue: Venue) -> None:
    was = right(venue)

    (first, *_) = spoiled(venue, "position_ids")

    assert ([], tokens(was[0])) == (tokens(first), json.loads(first["positionIds"]))


def test_tokens_not_there_yet(venue: Venue) -> None:
    assert "[]" == spoiled(venue, "hydration")[0]["clobTokenIds"]


def test_tokens_as_numbers(venue: Venue) -> None:
    was = right(venue)

    now = spoiled(venue, "number_tokens")

    assert [int(token) for token in tokens(was[0])] == json.loads(now[0]["clobTokenIds"])


@pytest.mark.parametrize(
    ("mode", "end"),
    [
        ("offset", "+00:00:00"),
        ("space", "+00"),
        ("fraction", ".1234567Z"),
        ("nonsense", "soon"),
    ],
)
def test_odd_times(venue: Venue, mode: str, end: str) -> None:
    (first, *_) = spoiled(venue, "odd_times", mode=mode)

    assert first["endDate"].endswith(end)
    assert first["eventStartTime"].endswith(end)


def test_missing_times(venue: Venue) -> None:
    assert not {"endDate", "eventStartTime"} & set(spoiled(venue, "odd_times", mode="missing")[0])


def test_no_series(venue: Venue) -> None:
    venue.faults.add("no_series", "events")

    assert [] == page(venue)["events"][0]["series"]


def test_a_cursor_that_leads_in_a_circle(venue: Venue) -> None:
    venue.faults.add("cursor_loop", "events")
    first = page(venue)

    second = get(venue, f"{LISTING}{dates.iso(venue.now_ms())}&after_cursor={first['next_cursor']}")

    assert first == second.json()


def test_an_empty_page(venue: Venue) -> None:
    venue.faults.add("empty_page", "events")

    assert {"events": []} == page(venue)


def test_a_page_of_some_time_ago(venue: Venue, hand: Hand) -> None:
    market = window_at(venue, ahead=280)
    hand.at_ms = market.listed_ms + 1_000
    path = f"/events/keyset?start_time_min={dates.iso(market.start_ms)}&series_id=10684"

    assert [market.slug] == [event["slug"] for event in get(venue, path).json()["events"]]
    venue.faults.add("stale_page", "events", age_s=60)
    assert [] == get(venue, path).json()["events"]


def test_gamma_faults_reach_the_slug_routes(venue: Venue) -> None:
    venue.faults.add("hydration", "slug")
    slug = window_at(venue).slug

    assert "[]" == get(venue, f"/markets/slug/{slug}").json()["clobTokenIds"]
    assert "[]" == get(venue, f"/events/slug/{slug}").json()["markets"][0]["clobTokenIds"]
