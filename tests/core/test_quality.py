"""The parts of a quality report: sums, bins, spans, and a page that remote text cannot break."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.core.coverage.canvas import Gap, Hour
from workers.core.coverage.coverage import MarketCoverage
from workers.core.reading.stretches import stretch_of_day
from workers.core.report import markdown, quality_parts
from workers.core.report.quality import Clock, Report
from workers.core.report.quality_commands import commands
from workers.core.report.quality_page import page
from workers.core.report.stats import percentile

DAY = stretch_of_day("2026-04-16")
#: A busy machine takes its time.
RULES = settings(deadline=None)
ENDPOINTS = ("GET /events/keyset", "POST /books")
ASKED = st.lists(
    st.tuples(
        st.sampled_from(ENDPOINTS),
        st.integers(DAY.from_ms, DAY.until_ms - 1),
        st.sampled_from(["ok", "ok", "ok", "timeout", "http_503"]),
        st.just(200),
        st.integers(0, 200_000_000_000),
    ),
    max_size=60,
)


@RULES
@given(ASKED)
def test_every_request_is_in_one_endpoint_one_hour_and_one_span(asked: list):
    found = quality_parts.requests_of(asked)

    assert {it.endpoint: it.requests for it in found.endpoints} == Counter(it[0] for it in asked)
    own = [each for each in asked if each[0] == found.busiest]
    for spans, length_ms in ((found.hours, 3_600_000), (found.spans, quality_parts.SPAN_MS)):
        expected = Counter(each[1] // length_ms * length_ms for each in own)
        assert {each.from_ms: each.requests for each in spans} == expected


@RULES
@given(ASKED)
def test_every_good_answer_of_the_busiest_endpoint_is_in_the_one_bin_that_holds_it(asked: list):
    found = quality_parts.requests_of(asked)
    good = [each[4] for each in asked if each[0] == found.busiest and each[2] == "ok"]

    assert sum(each.count for each in found.bins) == len(good)
    for each in found.bins:
        end_ns = 1 << 62 if each.until_ns is None else each.until_ns
        assert each.count == sum(each.from_ns <= took_ns < end_ns for took_ns in good)


@RULES
@given(ASKED)
def test_a_latency_is_of_good_answers_alone(asked: list):
    for each in quality_parts.requests_of(asked).endpoints:
        good = sorted(it[4] for it in asked if it[0] == each.endpoint and it[2] == "ok")
        assert (len(good), percentile(good, 99)) == (each.latency.good, each.latency.p99_ns)
        assert each.latency.max_ns == (good[-1] if good else None)


def covered(slug: str, *hours: Hour, gaps: tuple[Gap, ...] = ()) -> MarketCoverage:
    due = sum(sum(each.counts.values()) for each in hours)
    return MarketCoverage(slug, slug, "s", due, list(hours), list(gaps))


def test_the_hours_of_all_markets_add_up_to_the_totals():
    one = covered(
        "a", Hour(0, {"CAPTURED": 5, "DOWN(crashed)": 1}), Hour(3_600_000, {"CAPTURED": 2})
    )
    other = covered("b", Hour(0, {"CAPTURED": 7}))
    found = quality_parts.coverage_of([other, one])

    assert (15, {"CAPTURED": 14, "DOWN(crashed)": 1}) == (found.due, found.totals)
    assert [(0, 13, 12), (3_600_000, 2, 2)] == [
        (each.from_ms, each.due, each.captured) for each in found.hours
    ]
    assert ["a", "b"] == [each.slug for each in found.markets]


def test_states_that_do_not_add_up_are_said_not_to():
    broken = msgspec.structs.replace(covered("a", Hour(0, {"CAPTURED": 5})), due=6)
    report = report_of([broken])

    assert not report.is_whole()
    assert "DO NOT ADD UP" in page(report, {})


def test_a_gap_that_markets_share_is_one_line_and_counts_for_each():
    gap = Gap("x", 1000, 3000, 3000, {"DOWN(crashed)": 2, "FAILED(timeout)": 1})
    markets = [covered(slug, gaps=(msgspec.structs.replace(gap, slug=slug),)) for slug in "ab"]
    found = quality_parts.gaps_of(markets)

    assert 2 == found.count
    assert [["a", "b"]] == [each.slugs for each in found.longest]
    assert {"DOWN(crashed)": (2, 4), "FAILED(timeout)": (2, 2)} == {
        each.state: (each.gaps, each.ticks) for each in found.causes
    }


def report_of(markets: list[MarketCoverage], **parts: object) -> Report:
    given_: dict = {
        "requests": None,
        "books": None,
        "spread": None,
        "clock": Clock([], []),
        "not_derived": [],
        "notes": [],
        **parts,
    }
    return Report(
        from_ms=DAY.from_ms,
        until_ms=DAY.until_ms,
        version="0",
        coverage=quality_parts.coverage_of(markets),
        gaps=quality_parts.gaps_of(markets),
        commands=commands(DAY),
        **given_,
    )


def test_parts_that_are_not_derived_say_which_command_makes_them():
    text = page(report_of([covered("a", Hour(0, {"CAPTURED": 5}))]), {})

    assert 3 == text.count("`orderbooks normalize` makes the tables")
    assert "| CAPTURED | 5 | 100.000 % |" in text
    assert "matplotlib" in text


def test_a_slug_cannot_break_the_page():
    slug = "a|b](http://x) `rm` <b>\n# head"
    gap = Gap(slug, 0, 0, 1000, {"DOWN(crashed)": 1})
    market = covered(slug, Hour(0, {"DOWN(crashed)": 1}), gaps=(gap,))
    asked = [("POST|x\n", DAY.from_ms, "ok", 200, 5)]
    text = page(report_of([market], requests=quality_parts.requests_of(asked)), {})

    assert "a?b?(http://x) ?rm? ?b?" in text
    for line in text.split("\n"):
        assert not line.startswith("# head")
    assert "<b>" not in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for block in tables:
        assert 1 == len({line.count("|") for line in block.split("\n")})


@pytest.mark.parametrize(
    ("count", "total", "said"),
    [(0, 0, "–"), (1, 1, "100.000 %"), (999_999_999, 10**9, "99.999 %"), (0, 7, "0.000 %")],
)
def test_only_what_is_all_of_it_is_a_hundred_percent(count: int, total: int, said: str):
    assert said == markdown.percent(count, total)
