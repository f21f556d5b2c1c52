"""Holds core.settings.settings: closed, bounded, explained, free of contradictions, written one way."""

import json
import re
from typing import get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import inspect as shapes

from workers.core.settings.pages import comment_of, page, render, shipped_file
from workers.core.settings.rules import ORDERS, conflicts, slug_fault, value_at
from workers.core.settings.scope import SHAPES
from workers.core.settings.settings import (
    Collector,
    Discovery,
    Schedule,
    Selection,
    Series,
    Settings,
    Venue,
    Watchdog,
)
from workers.core.settings.table import Entry, entries_of, fault, groups, must_be_given, shown
from workers.core.universe.slugs import slug_of, windows

SERIES = shapes.type_info(Series)
ENTRIES = [entry for group in groups() for entry in group.entries] + [*entries_of(SERIES, "each")]
LEAVES = [each for each in ENTRIES if not isinstance(each.kind, shapes.VarTupleType)]
WORDS_OF_TIME = {"_s": "Seconds", "_ms": "Milliseconds"}
BIG = 1 << 62


def with_series(**changed: object) -> Settings:
    given = {"name": "a", "series_id": "1", "slug": "a-{start_unix}", "period_s": 300, **changed}
    return Settings(selection=Selection(series=(msgspec.convert(given, Series),)))


def complaints(settings: Settings) -> list[str]:
    return [f"{each.paths[0]}: {each.message}" for each in conflicts(settings)]


def test_the_defaults_agree_with_each_other():
    assert [] == complaints(Settings())


def test_the_defaults_are_inside_their_own_bounds():
    assert Settings() == msgspec.convert(msgspec.to_builtins(Settings()), Settings)


@pytest.mark.parametrize("kind", [Settings, *get_type_hints(Settings).values(), Series])
def test_every_section_is_frozen_and_closed_to_unknown_keys(kind):
    if kind is str:
        return
    config = kind.__struct_config__

    assert (True, True) == (config.frozen, config.forbid_unknown_fields)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.path)
def test_every_key_says_why(entry: Entry):
    assert re.fullmatch(r"[A-Z].{15,}[.!]", entry.reason), entry.reason


@pytest.mark.parametrize("entry", LEAVES, ids=lambda entry: entry.path)
def test_every_number_has_both_bounds_and_every_text_a_pattern_or_lengths(entry: Entry):
    if isinstance(entry.kind, shapes.StrType):
        assert entry.kind.pattern in SHAPES or None not in (
            entry.kind.min_length,
            entry.kind.max_length,
        )
    else:
        assert None not in (entry.kind.ge, entry.kind.le)


@pytest.mark.parametrize("entry", LEAVES, ids=lambda entry: entry.path)
def test_a_time_is_explained_in_the_unit_of_its_name(entry: Entry):
    is_rate = entry.key.endswith("_per_s")
    suffix = next((end for end in ("_ms", "_s") if entry.key.endswith(end) and not is_rate), None)

    assert suffix is None or WORDS_OF_TIME[suffix] in entry.reason


def test_a_venue_address_with_a_user_query_or_closing_slash_is_refused():
    entry = next(each for each in LEAVES if each.key == "gamma_url")
    bad = ["https://u:p@host", "https://host/", "https://host/?a=1", "ftp://host", "host", ""]

    assert all(fault(text, text, entry.kind) for text in bad)
    assert fault("http://127.0.0.1:8080/a/b", "", entry.kind) is None


@pytest.mark.parametrize("entry", LEAVES, ids=lambda entry: entry.path)
@given(
    value=st.one_of(
        st.integers(-3, 70_000),
        st.integers(-BIG, BIG),
        st.floats(),
        st.booleans(),
        st.none(),
        st.text("ab-{}09_ \n./:", max_size=40),
    )
)
def test_a_value_without_a_fault_is_one_msgspec_takes(entry: Entry, value: object):
    if fault(value, str(value), entry.kind) is None:
        section = Series if entry.section == "each" else getattr(Settings(), entry.section, None)
        whole = {"name": "a", "series_id": "1", "slug": "a", "period_s": 1}
        data = {**(whole if section is Series else {}), entry.key: value}
        target = section if section is Series else type(section) if section else Settings

        msgspec.convert(data, target)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: f"{order.low}-{order.high}")
def test_each_relation_of_two_settings_is_refused_just_past_its_edge(order):
    """The lower one is raised until it breaks the relation, in the units of its own name."""
    section, _, key = order.low.partition(".")
    low_ms, high_ms = ("_ms" in path[-3:] for path in (order.low, order.high))
    scale = 1000 if high_ms and not low_ms else 0.001 if low_ms and not high_ms else 1
    if not (order.low.endswith(("_s", "_ms"))):
        scale = 1
    edge = value_at(Settings(), order.high) / scale

    def named(value: float) -> bool:
        inner = msgspec.structs.replace(getattr(Settings(), section), **{key: value})
        found = conflicts(msgspec.structs.replace(Settings(), **{section: inner}))
        return any(each.paths == (order.low, order.high) for each in found)

    assert named(edge + 1)
    assert order.strictly == named(edge)
    assert not named(edge - edge / 100)


def test_a_relation_names_both_values_and_the_reason():
    settings = Settings(schedule=Schedule(hot_interval_ms=500, warm_interval_ms=10_000))

    relation = "500 must be below schedule.hot_interval_ms (500)"
    reason = "or a tick is still on time when the next one is due"
    assert [f"collector.late_tolerance_ms: {relation}: {reason}"] == complaints(settings)


def test_the_warm_interval_is_a_multiple_of_the_hot_one():
    settings = Settings(schedule=Schedule(hot_interval_ms=1500))

    assert any("multiple" in each for each in complaints(settings))


def test_the_rate_allows_one_request_per_hot_tick():
    settings = Settings(collector=Collector(requests_per_10s=9))

    assert any("at least 10" in each for each in complaints(settings))


def test_the_disk_levels_descend():
    watchdog = Watchdog(disk_warn_free_bytes=1, disk_stop_opening_free_bytes=2)

    assert any("disk_stop_opening" in each for each in complaints(Settings(watchdog=watchdog)))


def test_plain_http_goes_to_this_machine_only():
    for url in ("http://127.0.0.1:81", "http://localhost/x", "https://example.com"):
        assert [] == complaints(Settings(venue=Venue(clob_url=url)))
    for url in ("http://example.com", "http://127.0.0.1.example.com", "http://localhost.x"):
        assert ["venue.clob_url"] == [
            each.paths[0] for each in conflicts(Settings(venue=Venue(clob_url=url)))
        ]


@pytest.mark.parametrize("path", ["~/var", "$HOME/var", "a\0b"])
def test_a_data_directory_that_would_not_mean_what_it_says_is_refused(path):
    assert ["data_dir"] == [each.paths[0] for each in conflicts(Settings(data_dir=path))]


def test_something_must_be_selected():
    empty = Settings(selection=Selection(series=()))

    assert ["selection: selects nothing; name a series, a tag or a slug"] == complaints(empty)
    assert [] == complaints(Settings(selection=Selection(series=(), slugs=("one",))))


def test_nothing_is_selected_twice():
    one = Settings().selection.series[0]
    selection = Selection(series=(one, one), tags=("a", "b", "a"))
    found = [each.paths[0] for each in conflicts(Settings(selection=selection))]

    assert [
        "selection.tags[2]",
        "selection.series[1].name",
        "selection.series[1].series_id",
        "selection.series[1].slug",
    ] == found


@pytest.mark.parametrize("series", Settings().selection.series, ids=lambda series: series.name)
def test_the_default_slug_patterns_are_the_ones_core_slugs_fills(series: Series):
    (window,) = windows(series.period_s, now_ms=1_773_261_600_000, ahead=0)

    assert re.fullmatch("[a-z0-9-]+", slug_of(series.slug, window))


@pytest.mark.parametrize(
    ("pattern", "needle"),
    [
        ("a-{start}", "unknown placeholder {start}"),
        ("a-{}", "unknown placeholder {}"),
        ("a-{start_unix", "brace"),
        ("a-start_unix}", "brace"),
        ("A-{start_unix}", "a to z"),
        ("a/{start_unix}", "a to z"),
    ],
)
def test_a_slug_pattern_that_cannot_be_filled_is_refused(pattern, needle):
    assert needle in (slug_fault(pattern) or "")
    assert ["selection.series[0].slug"] == [
        each.paths[0] for each in conflicts(with_series(slug=pattern))
    ]


@pytest.mark.parametrize(
    ("pattern", "period_s", "apart"),
    [
        ("a", 300, False),
        ("a-{month}-{day}", 86_400, False),
        ("a-{month}-{day}-{year}", 86_400, True),
        ("a-{month}-{day}-{year}", 3600, False),
        ("a-{month}-{day}-{year}-{hour12}{ampm}", 3600, True),
        ("a-{month}-{day}-{hour12}{ampm}", 3600, False),
        ("a-{month}-{day}-{year}-{hour12}{ampm}", 900, False),
        ("a-{start_unix}", 1, True),
    ],
)
def test_a_slug_pattern_must_tell_windows_apart(pattern, period_s, apart):
    found = complaints(with_series(slug=pattern, period_s=period_s))

    assert apart == (found == [])


def test_the_page_and_the_shipped_file_name_every_key_with_its_reason():
    text, shipped = page(), shipped_file()
    for entry in LEAVES:
        assert f"| `{entry.key}` |" in text
        assert entry.reason in text
    for entry in (each for each in ENTRIES if each.section != "each"):
        assert f"{entry.key}:" in shipped
        assert all(line in shipped for line in comment_of(entry))


def test_the_page_names_every_relation():
    text = page()

    assert all(f"`{order.low}` | {order.relation} | `{order.high}`" in text for order in ORDERS)


def test_a_default_is_shown_where_there_is_one():
    assert {"name", "series_id", "slug", "period_s"} == {
        each.key for each in ENTRIES if must_be_given(each)
    }


def test_rendered_text_quotes_what_yaml_would_misread():
    settings = Settings(data_dir='NO "x" \\ \u2028 é')

    assert 'data_dir: "NO \\U00000022x\\U00000022 \\U0000005c \\U00002028 é"' in render(settings)


def test_whole_seconds_are_written_without_a_fraction():
    text = render(Settings(discovery=Discovery(interval_s=2.0, request_timeout_s=0.5)))

    assert "  interval_s: 2\n" in text
    assert "  request_timeout_s: 0.5\n" in text


def test_an_address_is_never_repeated():
    assert "pw" not in shown("https://user:pw@host")


def test_the_schema_is_plain_json():
    assert "Settings" in json.dumps(msgspec.json.schema(Settings))
