"""Promises of core.universe.survey and core.universe.crosscheck: every question asked to its end, every gap said."""

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.core.gamma_samples import NOW_MS, START_MS, event_object, market_object
from workers.core.settings.scope import DEFAULT_SERIES
from workers.core.settings.settings import Discovery, Selection, Settings
from workers.core.universe.crosscheck import Found
from workers.core.universe.markets import Market
from workers.core.universe.survey import TRIES, Survey, is_passing

FIVE = 300_000
ONE = Selection(series=DEFAULT_SERIES[:1])
CURRENT, NEXT, AFTER = (f"btc-updown-5m-{(START_MS + n * FIVE) // 1000}" for n in (-1, 0, 1))


def settings_of(selection: Selection = ONE, **discovery: Any) -> Settings:
    return Settings(selection=selection, discovery=Discovery(**discovery))


def survey_of(selection: Selection = ONE, **discovery: Any) -> Survey:
    return Survey(settings_of(selection, **discovery), now_ms=NOW_MS)


def page(*starts_ms: int, cursor: str | None = None, **changes: Any) -> bytes:
    events = [event_object(market_object(each, **changes)) for each in starts_ms]
    return json.dumps({"events": events, "next_cursor": cursor}).encode()


def whole() -> bytes:
    return page(START_MS - FIVE, START_MS, START_MS + FIVE)


def query(survey: Survey) -> dict[str, list[str]]:
    question = survey.question()
    assert question is not None
    return parse_qs(urlsplit(question.target).query)


def run(survey: Survey, *answers: tuple[str, bytes]) -> Found:
    for cause, body in answers:
        assert survey.question() is not None, "asked too little"
        survey.take(cause, body, now_ms=NOW_MS)
    assert survey.question() is None, "asked too much"
    return survey.found()


def targets(survey: Survey) -> list[str]:
    found = []
    while (question := survey.question()) is not None:
        found.append(f"{question.name} {urlsplit(question.target).path}")
        survey.take("http_404", b"", now_ms=NOW_MS)
    return found


def test_a_series_is_asked_for_by_its_id_open_ones_only_around_now() -> None:
    survey = survey_of(horizon_s=1800, lookback_s=600, page_limit=50)

    question = survey.question()

    assert question is not None
    assert ("GET /events/keyset", "btc-5m") == (question.endpoint, question.name)
    assert {
        "series_id": ["10684"],
        "closed": ["false"],
        "order": ["endDate"],
        "ascending": ["true"],
        "limit": ["50"],
        "end_date_min": ["2026-03-11T20:29:00Z"],
        "end_date_max": ["2026-03-11T21:14:00Z"],
    } == query(survey)


def test_the_horizon_of_a_long_series_reaches_past_its_window() -> None:
    survey = survey_of(Selection(series=DEFAULT_SERIES[4:]), horizon_s=3600)

    assert ["2026-03-12T22:39:00Z"] == query(survey)["end_date_max"]


def test_everything_selected_is_asked_for_once() -> None:
    selection = Selection(series=DEFAULT_SERIES[:2], tags=("fed",), slugs=("a-b", "c"))

    assert [
        "btc-5m /events/keyset",
        "btc-15m /events/keyset",
        "tag:fed /events/keyset",
        "slug:a-b /events/slug/a-b",
        "slug:c /events/slug/c",
    ] == targets(survey_of(selection, slug_check_windows=0))


def test_a_tag_is_asked_for_without_an_end() -> None:
    survey = survey_of(Selection(series=(), tags=("fed",)))

    assert ["fed"] == query(survey)["tag_slug"]
    assert "end_date_max" not in query(survey)


def test_pages_are_followed_by_their_cursor_to_the_end() -> None:
    survey = survey_of()

    survey.take("ok", page(START_MS - FIVE, cursor="one+&"), now_ms=NOW_MS)
    assert ["one+&"] == query(survey)["after_cursor"]
    survey.take("ok", page(START_MS, cursor="two"), now_ms=NOW_MS)
    assert ["two"] == query(survey)["after_cursor"]
    found = run(survey, ("ok", page(START_MS + FIVE)))

    assert [CURRENT, NEXT, AFTER] == [each.slug for each in found.listings[0].readings]
    assert "ok" == found.listings[0].cause


@pytest.mark.parametrize("cursors", [["a", "a"], ["a", "b", "a"]])
def test_a_cursor_that_comes_back_ends_the_listing_as_a_failure(cursors: list[str]) -> None:
    survey = survey_of(slug_check_windows=0)

    found = run(survey, *(("ok", page(START_MS, cursor=each)) for each in cursors))

    assert "cursor_loop" == found.listings[0].cause
    assert len(cursors) == len(found.listings[0].readings)


def test_a_listing_that_never_ends_is_cut() -> None:
    survey = survey_of(slug_check_windows=0, max_pages=3)

    found = run(survey, *(("ok", page(START_MS, cursor=str(n))) for n in range(3)))

    assert "max_pages" == found.listings[0].cause


@pytest.mark.parametrize("cause", ["timeout", "reset", "http_500", "http_429", "truncated"])
def test_a_passing_failure_is_asked_again_and_then_named(cause: str) -> None:
    mended = run(survey_of(slug_check_windows=0), (cause, b""), ("ok", whole()))
    failed = run(survey_of(slug_check_windows=0), *[(cause, b"")] * TRIES)

    assert "ok" == mended.listings[0].cause
    assert cause == failed.listings[0].cause


@pytest.mark.parametrize("cause", ["http_422", "http_403", "html", "redirect", "http_404"])
def test_a_refusal_is_not_asked_again(cause: str) -> None:
    assert not is_passing(cause)
    found = run(survey_of(slug_check_windows=0), (cause, b""))

    assert cause == found.listings[0].cause


def test_a_failing_later_page_keeps_the_ones_before_it() -> None:
    first = ("ok", page(START_MS, cursor="x"))

    found = run(survey_of(slug_check_windows=0), first, *[("timeout", b"")] * TRIES)

    assert ("timeout", 1) == (found.listings[0].cause, len(found.listings[0].readings))


@pytest.mark.parametrize(("body", "cause"), [(b"<", "bad_json"), (b"{}", "schema")])
def test_a_body_that_is_no_page_is_a_failure(body: bytes, cause: str) -> None:
    survey = survey_of()

    assert cause == survey.take("ok", body, now_ms=NOW_MS)
    assert survey.question() is not None


def test_a_whole_listing_needs_no_look_up() -> None:
    found = run(survey_of(), ("ok", whole()))

    assert ((), ()) == (found.lookups, found.disagreements)


def test_a_hole_in_the_listing_is_looked_up_by_its_computed_name_and_said() -> None:
    survey = survey_of()
    survey.take("ok", page(START_MS - FIVE, START_MS + FIVE), now_ms=NOW_MS)

    question = survey.question()
    assert question is not None
    assert f"/events/slug/{NEXT}" == question.target
    found = run(survey, ("ok", json.dumps(event_object(market_object())).encode()))

    assert isinstance(found.lookups[0].readings[0], Market)
    assert [(NEXT, "is not listed, but has its own page")] == [
        (each.slug, each.detail) for each in found.disagreements
    ]


def test_a_name_that_nobody_knows_is_said() -> None:
    found = run(survey_of(), ("ok", page(START_MS - FIVE, START_MS)), ("http_404", b""))

    assert [(AFTER, "is neither listed nor found by name")] == [
        (each.slug, each.detail) for each in found.disagreements
    ]


def test_a_look_up_that_fails_says_nothing() -> None:
    failed = [("http_500", b"")] * TRIES

    found = run(survey_of(), ("ok", page(START_MS - FIVE, START_MS)), *failed)

    assert () == found.disagreements


def test_a_failed_listing_is_not_disagreed_with_but_its_names_are_looked_up() -> None:
    one = json.dumps(event_object(market_object())).encode()
    answers = [("http_422", b""), ("http_404", b""), ("ok", one), ("http_404", b"")]

    found = run(survey_of(), *answers)

    assert () == found.disagreements
    assert [CURRENT, NEXT, AFTER] == [each.name for each in found.lookups]


def test_a_window_listed_under_another_name_is_said_and_not_looked_up() -> None:
    series = DEFAULT_SERIES[2]
    body = market_object(
        slug="bitcoin-up-or-down-march-11-4pm-et",
        eventStartTime="2026-03-11T20:00:00Z",
        endDate="2026-03-11T21:00:00Z",
    )
    event = event_object(body, series=[{"id": series.series_id}])
    survey = survey_of(Selection(series=(series,)), slug_check_windows=1, horizon_s=600)

    found = run(survey, ("ok", json.dumps([event]).encode()))

    assert [
        (
            "bitcoin-up-or-down-march-11-2026-4pm-et",
            "is listed as bitcoin-up-or-down-march-11-4pm-et",
        )
    ] == [(each.slug, each.detail) for each in found.disagreements]


def test_names_beyond_the_horizon_are_not_expected() -> None:
    survey = survey_of(horizon_s=400, slug_check_windows=50)

    found = run(survey, ("ok", whole()))

    assert () == found.lookups


def test_a_selected_event_that_does_not_exist_is_said() -> None:
    found = run(survey_of(Selection(series=(), slugs=("gone",))), ("http_404", b""))

    assert ["slug:gone"] == [each.slug for each in found.disagreements]


def test_a_round_given_up_has_a_cause_for_everything_it_did_not_ask() -> None:
    survey = survey_of(Selection(series=DEFAULT_SERIES[:3]))
    survey.take("ok", whole(), now_ms=NOW_MS)

    survey.abandon("breaker_open")

    assert survey.question() is None
    assert ["ok", "breaker_open", "breaker_open"] == [e.cause for e in survey.found().listings]
