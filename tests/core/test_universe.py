"""Promises of core.universe.universe and core.universe.text: read back whole, shown without harm."""

import msgspec
import pytest

from tests.core.gamma_samples import NOW_MS, START_MS, market
from workers.core.archive import manifests
from workers.core.health.heartbeats import Condition
from workers.core.universe.refusals import Pending, Refusal
from workers.core.universe.text import SHOWN, universe_text
from workers.core.universe.universe import SCHEMA, Universe, manifest_markets, read_universe

UNIVERSE = Universe(
    seq=7,
    published_at_utc="2026-03-11T20:39:00.000Z",
    published_ms=NOW_MS,
    fetched_at_utc="2026-03-11T20:39:00.000Z",
    markets=(market(), market(START_MS + 300_000)),
    refused=(Refusal("old", "ended", "window ended 2025", "2026-03-11T20:00:00.000Z"),),
)


def test_a_universe_is_read_back_as_the_same_value() -> None:
    data = manifests.encode(UNIVERSE)

    assert UNIVERSE == read_universe(data)
    assert data == manifests.encode(read_universe(data))


def test_the_shape_is_the_one_that_collectors_and_the_documents_name() -> None:
    fields = msgspec.to_builtins(UNIVERSE)

    assert SCHEMA == "orderbooks.universe/1" == fields["schema"]
    assert [
        "schema",
        "seq",
        "published_at_utc",
        "published_ms",
        "fetched_at_utc",
        "stale_since_utc",
        "stale_reason",
        "markets",
        "refused",
    ] == list(fields)
    assert [
        "slug",
        "question",
        "condition_id",
        "tokens",
        "series",
        "event_slug",
        "listed_at_utc",
        "window_start_utc",
        "window_end_utc",
        "tick_size",
        "status",
        "source",
        "fetched_at_utc",
        "record_from_utc",
        "record_until_utc",
        "tier",
        "phases",
    ] == list(fields["markets"][0])
    assert ["token_id", "outcome"] == list(fields["markets"][0]["tokens"][0])
    assert ["tier", "from_ms", "until_ms", "interval_ms"] == list(fields["markets"][0]["phases"][0])


def test_keys_of_a_later_version_are_ignored() -> None:
    later = manifests.encode(UNIVERSE).replace(b'"seq": 7', b'"seq": 7, "more": {"a": [1]}')

    assert UNIVERSE == read_universe(later)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}x",
        b"[]",
        b'{"schema": "orderbooks.universe/2"}',
        b'{"seq": "7"}',
        b'{"markets": [{}]}',
        b'{"stale_reason": "\xff"}',
        b'{"x": ' + b"[" * 5000,
    ],
)
def test_what_is_no_universe_is_refused(data: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_universe(data)


def test_manifests_name_a_market_by_its_condition_with_its_outcomes() -> None:
    found = manifest_markets(UNIVERSE)

    first = UNIVERSE.markets[0]
    assert {each.condition_id for each in UNIVERSE.markets} == set(found)
    assert ["Up", "Down"] == list(found[first.condition_id].tokens.values())
    assert first.tokens[0].token_id in found[first.condition_id].tokens


def test_the_page_shows_each_market_with_tier_window_and_short_tokens() -> None:
    text = universe_text(UNIVERSE, now_ms=START_MS)

    assert (
        "| btc-updown-5m-1773261600 | hot | open | 2026-03-11 20:40:00 – 20:45:00 "
        "| Up 177326…1111, Down 177326…2222 | 0.01 |"
    ) in text.splitlines()
    assert "# Universe 7" in text
    assert "| old | ended: its recording would be over" in text
    assert "STALE" not in text


def test_the_page_says_what_is_stale_pending_and_wrong() -> None:
    stale = msgspec.structs.replace(UNIVERSE, stale_since_utc="since", stale_reason="why")

    text = universe_text(
        stale,
        pending=(Pending("new", "no token ids yet"),),
        conditions=(Condition(alert="mapping_refused", detail="x no_end"),),
        now_ms=START_MS,
    )

    assert "**STALE since since: why**" in text
    assert "* new: no token ids yet" in text
    assert "* mapping_refused: x no_end" in text


def test_remote_text_cannot_break_the_page() -> None:
    evil = msgspec.structs.replace(UNIVERSE, refused=(Refusal("a|`b\n# c", "no_end", "|", "t"),))

    text = universe_text(evil, now_ms=START_MS)

    (line,) = [line for line in text.splitlines() if "# c" in line]
    assert line.startswith("| a/'b # c | no_end: ")
    assert 5 == line.count("|")


def test_a_long_page_is_cut_and_says_so() -> None:
    one = UNIVERSE.markets[0]
    many = tuple(msgspec.structs.replace(one, slug=f"m-{n}") for n in range(SHOWN + 20))

    text = universe_text(msgspec.structs.replace(UNIVERSE, markets=many), now_ms=START_MS)

    assert "… and 20 more in universe.json" in text
    assert f"m-{SHOWN}" not in text
