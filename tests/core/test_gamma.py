"""Promises of core.universe.gamma: any bytes give a page with a named cause; fields are believed or named."""

import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.universe import gamma
from workers.core.universe.gamma import Page, read_page
from workers.core.universe.refusals import WrongField


@pytest.mark.parametrize(
    ("body", "page"),
    [
        (b'{"events": [{}], "next_cursor": "abc"}', Page("ok", ({},), "abc")),
        (b'{"events": []}', Page("ok")),
        (b'{"events": [], "next_cursor": ""}', Page("ok")),
        (b'{"events": [], "next_cursor": null, "more": 1}', Page("ok")),
        (b'{"data": [1], "pagination": {}}', Page("ok", (1,))),
        (b"[]", Page("ok")),
        (b'{"slug": "a", "markets": []}', Page("ok", ({"slug": "a", "markets": []},))),
        (b'{"events": {}}', Page("schema")),
        (b'{"events": [], "next_cursor": 7}', Page("schema")),
        (b'{"error": "order fields are not valid"}', Page("schema")),
        (b"null", Page("schema")),
        (b'"events"', Page("schema")),
        (b"", Page("bad_json")),
        (b"<html>", Page("bad_json")),
        (b'{"events": [', Page("bad_json")),
        (b'{"events": [NaN]}', Page("bad_json")),
        (b'["\xff"]', Page("bad_utf8")),
        (b"[" * 5000 + b"]" * 5000, Page("bad_json")),
        (b"[1e99999999999999999999]", Page("bad_json")),
        (b"[" + b"9" * 5000 + b"]", Page("bad_json")),
    ],
)
def test_a_body_is_a_page_with_a_named_cause(body: bytes, page: Page) -> None:
    assert page == read_page(body)


@given(st.binary(max_size=200))
def test_no_bytes_raise(body: bytes) -> None:
    assert read_page(body).cause in {"ok", "schema", "bad_json", "bad_utf8"}


def test_a_number_with_a_point_stays_exact() -> None:
    assert (Decimal("0.001"),) == read_page(b"[0.001]").events


@pytest.mark.parametrize("value", [["1", "2"], '["1", "2"]', ' [ "1","2" ] '])
def test_a_list_may_be_an_array_or_json_in_a_string(value: object) -> None:
    assert ("1", "2") == gamma.texts({"ids": value}, "ids", "token_number")


@pytest.mark.parametrize("value", [None, "", "[]", [], "null"])
def test_an_empty_list_may_be_written_in_many_ways(value: object) -> None:
    assert () == gamma.texts({"ids": value}, "ids", "token_number")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("[12, 13]", "token_number"),
        ([12, "13"], "token_number"),
        ("[1e77]", "token_number"),
        ("[null]", "token_number"),
        ("not json", "bad_list"),
        ("{}", "bad_list"),
        ("12", "bad_list"),
        (7, "bad_list"),
        ({}, "bad_list"),
        (False, "bad_list"),
    ],
)
def test_a_list_of_anything_but_strings_is_not_believed(value: object, reason: str) -> None:
    with pytest.raises(WrongField) as caught:
        gamma.texts({"ids": value}, "ids", "token_number")

    assert reason == caught.value.reason


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2026-03-11T20:40:00Z", 1_773_261_600_000),
        ("2026-03-11 20:40:00+00", 1_773_261_600_000),
        ("2026-03-11T20:40:00+00:00:00", 1_773_261_600_000),
        ("2026-03-11T20:40:00.1Z", 1_773_261_600_100),
        ("2026-03-11T20:40:00.12345678Z", 1_773_261_600_123),
        (None, None),
        ("", None),
    ],
)
def test_the_odd_timestamps_of_the_venue_are_read(text: object, ms: int | None) -> None:
    assert ms == gamma.moment({"t": text}, "t")


@pytest.mark.parametrize(
    "value",
    [
        "soon",
        "2026-13-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        "9999-01-01T00:00:00Z",
        1773261600,
        [],
    ],
)
def test_a_time_that_cannot_be_is_not_believed(value: object) -> None:
    with pytest.raises(WrongField) as caught:
        gamma.moment({"t": value}, "t")

    assert "bad_time" == caught.value.reason


@given(st.text(max_size=400) | st.integers() | st.none())
def test_remote_text_is_one_printable_line(value: object) -> None:
    shown = gamma.printable(value)

    assert shown == "" or shown.isprintable()
    assert len(shown) <= 300
    assert json.dumps(gamma.shown(value))
