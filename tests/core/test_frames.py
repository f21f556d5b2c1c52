"""Holds core.stream.frames: any bytes are a frame, and its bytes come back from its rows."""

import gzip
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.core.stream.frames import (
    PROBLEMS,
    Event,
    Frame,
    connection_part,
    event_row,
    frame_of,
    read_frame,
    read_frame_row,
    rest_row,
    row_head,
    snapshot_row,
)

PART = connection_part('streamer-00."run".3', 1)
HEAD = row_head(1786728432337000001, 77, PART, 5)
TEXT = st.sampled_from(["", "book", "price_change", "ü\n", "0xa", "1786728438403", '"\\', "[]"])
VALUE = st.recursive(TEXT | st.none() | st.booleans() | st.integers(), st.lists, max_leaves=4)
ITEM = st.dictionaries(st.sampled_from(["asset_id", "price", "size", "side", "odd"]), TEXT)
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "event_type": VALUE,
        "market": TEXT,
        "asset_id": VALUE,
        "timestamp": TEXT | st.integers(),
        "price_changes": st.lists(ITEM, max_size=3) | VALUE,
        "new\nkey": VALUE,
    },
)
FRAME = st.tuples(
    EVENT | st.lists(EVENT | VALUE, max_size=4) | VALUE,
    st.sampled_from([None, 0, 2]),
    st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", ":\n")]),
    st.booleans(),
    st.sampled_from(["", " ", "\n", "\r\n\t"]),
).map(
    lambda each: (
        each[4] + json.dumps(each[0], indent=each[1], separators=each[2], ensure_ascii=each[3])
    ).encode()
)


def _rows(frame: Frame) -> list[bytes]:
    return [event_row(HEAD, event) for event in frame.events]


@given(FRAME)
@example(b"[]")
@example(b"[1,2]")
@example(b"[ ]")
@example(b'[{"market":"0xa"}]')
@example(b'[{"market":"0xa"}, {}]')
@example('{"market":"ü","event_type":"a\\u000ab"}'.encode())
def test_a_whole_frame_comes_back_from_its_rows(text):
    frame = read_frame(text)
    lines = _rows(frame)

    assert all(line.count(b"\n") == 1 and line.endswith(b"\n") for line in lines)
    if frame.is_whole:
        assert text == frame_of(read_frame_row(line) for line in reversed(lines))


@given(FRAME)
def test_a_frame_that_is_not_whole_is_not_what_its_rows_say(text):
    frame = read_frame(text)
    if not frame.is_whole:
        rows = [read_frame_row(line) for line in _rows(frame)]
        assert text != frame_of(rows) or not rows


@given(st.binary(max_size=60) | FRAME)
@example(b"")
@example(b"PONG")
@example(b"{" + b"[" * 100_000)
@example(b'{"x":' * 5_000)
@example(b"[" * 100_000)
@example(b'{"market":"\xff"}')
@example(b'["\xff"]')
@example(b'{"event_type":1}{')
@example(b'{"market":"\\ud800"}')
@example(b"\xef\xbb\xbf{}")
@example(b'{"timestamp":1e999}')
def test_any_bytes_are_events_or_a_named_problem(text):
    frame = read_frame(text)

    assert bool(frame.events) == (frame.problem == "")
    assert frame.problem == "" or frame.problem in PROBLEMS
    assert all(each.problem == "" or each.problem in PROBLEMS for each in frame.events)


@given(FRAME)
def test_the_events_of_a_frame_are_those_of_a_json_parser(text):
    told = json.loads(text)
    frame = read_frame(text)
    expected = told if isinstance(told, list) else [told] if isinstance(told, dict) else []

    assert expected == [json.loads(event.raw) for event in frame.events]
    assert frame.is_array == isinstance(told, list)
    for position, (value, event) in enumerate(zip(expected, frame.events, strict=True)):
        assert event.position == (position if frame.is_array else None)
        if not event.problem:
            assert event.market == value.get("market", "")
            assert event.type == value.get("event_type", "")
            assert len(event.changes) == len(value.get("price_changes", []))


def test_rows_carry_who_received_what_and_when():
    event = read_frame(b'[{"event_type":"new\\nkind","market":"0xa"},{}]').events[0]
    row = read_frame_row(event_row(HEAD, event))

    assert row.recv_wall_ns == 1786728432337000001
    assert (row.recv_mono_ns, row.connection, row.leg) == (77, 'streamer-00."run".3', 1)
    assert (row.seq, row.position, row.type, row.origin) == (5, 0, "new\nkind", "event")


@pytest.mark.parametrize("raw", [b'{"a":"\xc3\xbc"}', b'{\n"a":1}'])
def test_books_of_ours_and_of_rest_are_told_apart_by_their_member(raw):
    seed = read_frame_row(snapshot_row(HEAD, "opened", "verified", raw))
    rest = read_frame_row(rest_row(HEAD, "r-1", 3, "agrees", raw))
    odd = Event(raw, None, "snapshot", "", "", "", 0, (), read_frame(b"{}").events[0].told)

    assert (seed.origin, seed.why, seed.hash_verdict, seed.raw) == (
        *("snapshot", "opened", "verified"),
        raw,
    )
    assert (rest.origin, rest.request, rest.position, rest.verdict, rest.raw) == (
        *("rest", "r-1", 3, "agrees"),
        raw,
    )
    assert read_frame_row(event_row(HEAD, odd)).origin == "event"


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"seq":1}', b"\xff", b"[" * 100_000])
def test_what_is_no_row_is_refused(line):
    with pytest.raises(msgspec.MsgspecError):
        read_frame_row(line)


def test_each_real_event_is_read_as_what_it_is(captures: Path):
    lines = (captures / "stream" / "one-frame-of-each-type-2026-08-14.jsonl").read_text()
    read = {}
    for line in filter(None, lines.splitlines()):
        kept = json.loads(line)
        frame = read_frame(kept["raw"].encode())
        read[kept["name"]] = frame.events[0]
        assert (frame.is_whole, len(frame.events), frame.events[0].problem) == (True, 1, "")

    assert {each.type for each in read.values()} == {
        *("book", "price_change", "last_trade_price", "best_bid_ask"),
        *("tick_size_change", "market_resolved", ""),
    }
    assert ["0.06", "0.94"] == [each.price for each in read["priceChangeFrame"].changes]
    assert "0.585" == read["lastTradeFrame"].told.price
    assert "0.001" == read["tickSizeChangeFrame"].told.new_tick_size
    assert 1786728432337 == read["bookFrame"].timestamp_ms


def test_every_captured_book_comes_back_from_its_row(captures: Path):
    with gzip.open(captures / "stream" / "btc-5m-three-markets-2026-04-16.jsonl.gz") as lines:
        raws = [json.loads(line)["raw"].encode() for line in lines]

    assert 7437 == len(raws)
    for raw in raws:
        frame = read_frame(raw)
        assert frame.is_whole
        assert raw == frame_of([read_frame_row(event_row(HEAD, frame.events[0]))])
