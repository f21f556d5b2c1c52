"""Holds core.archive.ledger: rows come back as written, and the body of any answer is kept, bounded."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.archive.ledger import (
    ClockStepped,
    Loaded,
    Request,
    Skipped,
    Started,
    Stopped,
    encode_row,
    read_row,
    request_row,
)
from workers.core.archive.story import read_row as read_any_row
from workers.core.polling.answers import Answer
from workers.core.polling.messages import RefusedBook

ROWS = [
    Started(
        at_wall_ns=1,
        at_mono_ns=2,
        worker="collector-00",
        shard=0,
        shards=1,
        run="7",
        pid=8,
        boot_id="b",
        version="0",
        config_sha256="c",
    ),
    Loaded(at_wall_ns=1_000_000, seq=1, markets=["0xa"]),
    Skipped(at_wall_ns=1, from_due_ms=2, until_due_ms=3, cause="late", markets=None),
    ClockStepped(at_wall_ns=1, at_mono_ns=2, step_ns=-3),
    Stopped(at_wall_ns=1, at_mono_ns=2, reason="asked"),
]


def _answer(body: bytes, status: int | None = 500) -> Answer:
    return Answer(
        cause="http_500",
        status=status,
        body=body,
        wire_bytes=len(body),
        send_wall_ns=1,
        recv_wall_ns=2,
        send_mono_ns=3,
        recv_mono_ns=4,
    )


def _row(answer: Answer, layout: str = "kept", most: int = 1 << 20) -> Request:
    return request_row(
        "collector-00.7.1",
        1000,
        "POST /books",
        answer,
        cause=answer.cause,
        layout=layout,
        kept_bytes_max=most,
        refused=[RefusedBook("9", "foreign", 3, '{"é":"\\n"}'.encode())],
    )


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_a_row_is_one_line_and_comes_back(row):
    line = encode_row(row)

    assert row == read_row(line)
    assert (1, True) == (line.count(b"\n"), line.endswith(b"\n"))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: type(row).__name__)
def test_every_row_can_be_counted(row):
    assert row.at_wall_ns == read_any_row(encode_row(row)).wall_ns()


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_body_is_kept_up_to_the_bound(body, most):
    row = read_row(encode_row(_row(_answer(body), most=most)))

    assert isinstance(row, Request)
    assert body[:most] == row.kept_body()
    assert min(len(body), most) == row.body_kept_bytes
    assert (len(body), hashlib.sha256(body).hexdigest()) == (row.body_bytes, row.sha256)


@pytest.mark.parametrize("layout", ["array", "pages", "none"])
def test_a_body_that_lies_elsewhere_is_not_kept_twice(layout):
    row = _row(_answer(b"[]"), layout)

    assert (layout, None, None, 0) == (
        row.layout,
        row.body_text,
        row.body_b64,
        row.body_kept_bytes,
    )


def test_an_answer_without_a_body_has_layout_none():
    assert "none" == _row(_answer(b"")).layout


def test_no_answer_has_no_digest():
    assert None is _row(_answer(b"", status=None)).sha256


def test_a_refused_book_comes_back_byte_for_byte():
    row = read_row(encode_row(_row(_answer(b"x"))))

    assert isinstance(row, Request)
    assert '{"é":"\\n"}' == row.refused[0].raw


@pytest.mark.parametrize(
    "line", [b"", b"{}", b"[]", b'{"kind":"other"}', b'{"kind":"stopped"}', b"\xff", b"[" * 99999]
)
def test_a_line_that_is_no_row_is_refused(line):
    with pytest.raises(msgspec.MsgspecError):
        read_row(line)


@given(st.binary(max_size=60))
def test_any_bytes_are_a_row_or_refused(line):
    try:
        read_row(line)
    except msgspec.MsgspecError:
        return
