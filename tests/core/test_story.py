"""Holds core.archive.story: what a writer counted is what its rows say when they are read again."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.archive.segments import spliced_row
from workers.core.archive.story import ManifestMarket, Story, Told, believed, read_row, retell

MARKET = ManifestMarket(slug="m", condition_id="0xa", series="s", tokens={"1": "Up", "2": "Down"})
MARKETS = {"0xa": MARKET}
RAWS = st.sampled_from(
    [
        b'{"market":"0xa","bids":[]}',
        b'{\n "market": "0xa"\n}',
        b'{"market":"0xa"\r\n}',
        b'{\r"market":"0xa"}',
        '{"market":"0xa","t":"é\u2028\x85"}'.encode(),
        b'{"market":"0xa","t":"\\n\\r"}',
    ]
)
TICKS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.sets(st.sampled_from(["1", "2"]), min_size=1),
        st.sampled_from(["verified", "failed", "absent"]),
        st.sets(st.sampled_from(["CROSSED", "EMPTY"])),
        RAWS,
    ),
    min_size=1,
    max_size=12,
)


def _written(ticks) -> tuple[Story, bytes]:
    """A books segment as a collector tells and writes it."""
    story, stream, due_ms = Story(MARKET), b"", 1_776_000_000_000
    for number, (gap, tokens, verdict, flags, raw) in enumerate(ticks, 1):
        due_ms += gap * 1000
        for token in sorted(tokens):
            request, wall_ns = f"collector-00.1776.{number}", due_ms * 1_000_000 + 5
            envelope = {"due_ms": due_ms, "recv_wall_ns": wall_ns, "request": request}
            envelope |= {"status": 200, "token_id": token, "hash": verdict, "flags": sorted(flags)}
            stream += spliced_row(msgspec.json.encode(envelope), "book", raw)
            story.saw_row(due_ms, wall_ns)
            story.saw_request(request, 200)
            story.saw_book(token, due_ms, verdict, flags)
    return story, stream


@given(TICKS)
def test_what_is_told_again_is_what_the_writer_told(ticks):
    story, stream = _written(ticks)

    assert story.told() == retell("books", stream, MARKETS).told()


@given(TICKS, st.sampled_from(["late", "timeout"]), st.integers(1, 5))
def test_only_failed_ticks_cannot_be_told_again(ticks, cause, count):
    story, stream = _written(ticks)
    story.failed[cause] += count

    told, again = story.told(), retell("books", stream, MARKETS).told()

    assert told.ticks.captured + count == told.ticks.due
    assert msgspec.structs.replace(told, ticks=again.ticks) == again


@given(TICKS)
def test_every_row_of_a_writer_is_believed(ticks):
    _, stream = _written(ticks)

    assert (len(stream), "") == believed("books", stream)


@given(TICKS)
def test_a_manifest_brings_the_told_part_back(ticks):
    told = _written(ticks)[0].told()

    assert told == msgspec.json.decode(msgspec.json.encode(told), type=Told)


def test_a_ledger_counts_requests_and_not_its_other_rows():
    stream = (
        b'{"kind":"started","at_wall_ns":1000000,"run":"5","worker":"c"}\n'
        b'{"kind":"request","id":"c.5.1","due_ms":7,"recv_wall_ns":8000000,"status":200}\n'
        b'{"kind":"request","id":"c.5.2","due_ms":9,"recv_wall_ns":9000000,"status":null}\n'
        b'{"kind":"stopped","at_wall_ns":11000000}\n'
    )

    told = retell("ledger", stream).told()

    assert (4, 2, {"200": 1, "none": 1}) == (told.rows, told.requests, told.statuses)
    assert (1, 11, "5", 1, 2) == (
        told.first_due_ms,
        told.last_due_ms,
        told.run,
        told.first_request,
        told.last_request,
    )


def test_a_market_nobody_knows_is_named_by_its_id_alone():
    _, stream = _written([(0, {"1"}, "verified", set(), b'{"market":"0xa"}')])

    assert "0xa" == retell("books", stream).told().market.condition_id
    assert "" == retell("books", stream).told().market.slug


GOOD = b'{"due_ms":7,"request":"c.5.1","token_id":"1","hash":"verified","book":{"market":"0xa"}}\n'


@pytest.mark.parametrize(
    "line",
    [
        GOOD.replace(b"verified", b"verifiee"),
        GOOD.replace(b"c.5.1", b"c.5"),
        GOOD.replace(b"c.5.1", b""),
        GOOD.replace(b"c.5.1", b"c.5.x"),
        GOOD.replace(b"c.5.1", b"c.5." + b"9" * 5000),
        GOOD.replace(b":7,", b":-7,"),
        GOOD.replace(b":7,", b":7.5,"),
        GOOD.replace(b":7,", b":999999999999999999,"),
        GOOD.replace(b":7,", b":" + b"9" * 60 + b","),
        b"[]\n",
        b"\xff\n",
        b'{"book":' + b"[" * 9999 + b"\n",
        b"\n",
    ],
)
def test_rows_are_believed_up_to_the_first_that_means_nothing(line):
    good_bytes, problem = believed("books", GOOD + line + GOOD)

    assert len(GOOD) == good_bytes
    assert f"not a row of ours at byte {good_bytes}" in problem


@given(st.binary(max_size=200))
def test_any_stream_is_believed_or_not_without_an_exception(stream):
    for kind in ("books", "ledger"):
        good_bytes, _ = believed(kind, stream)
        retell(kind, stream[:good_bytes]).told()


def test_the_verbatim_book_comes_back():
    for raw in (b'{"a":1}', b'{\n"a":1}', '{"a":"é"\r}'.encode()):
        assert raw == read_row(spliced_row(b'{"due_ms":1}', "book", raw)).raw_book()


EVENT = b'{"market":"0xab","asset_id":"1","event_type":"rest"}'
HEAD = b'"recv_mono_ns":1,"connection":"streamer-00.77.1","leg":0,"seq":1,'
FRAMES = [
    b'{"recv_wall_ns":5000000,%b"type":"rest","event":%b}\n' % (HEAD, EVENT),
    b'{"recv_wall_ns":7000000,%b"type":"rest","request":"streamer-00.77.3","book":%b}\n'
    % (HEAD, EVENT),
    b'{"recv_wall_ns":9000000,%b"type":"snapshot","snapshot":{"market":"0xab"}}\n' % HEAD,
]


def test_frames_rows_are_counted_by_type_and_only_our_own_rest_rows_are_of_a_request():
    told = retell("frames", b"".join(FRAMES)).told()

    assert ({"rest": 2, "snapshot": 1}, 3, "77") == (told.types, told.rows, told.run)
    assert (1, 3, {"200": 1}) == (told.requests, told.first_request, told.statuses)
    assert (5, 9, 5_000_000) == (told.first_due_ms, told.last_due_ms, told.first_wall_ns)


@pytest.mark.parametrize("row", FRAMES)
def test_a_salvaged_frames_segment_is_named_by_whatever_its_first_row_holds(row: bytes):
    named = ManifestMarket(slug="m", condition_id="0xab", series="s", tokens={"1": "Up"})

    assert named == retell("frames", row, {"0xab": named}).told().market
