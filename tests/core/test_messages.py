"""Holds core.polling.messages: any answer becomes a cause, or books, refusals and missing tokens."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.core.causes import REQUEST_CAUSES
from workers.core.polling.messages import BooksAnswer, read_books

ASKED = {"1": "0xa", "2": "0xa", "3": "0xb"}
DEEP = b"[" * 100_000
TEXT = st.sampled_from(["1", "2", "3", "4", "", "0xa", "0xb", "ü", "\\u00e9"])
BOOK = st.fixed_dictionaries(
    {},
    optional={
        "asset_id": TEXT | st.integers() | st.none(),
        "market": TEXT | st.none(),
        "timestamp": st.integers() | TEXT,
        "bids": st.lists(st.text(max_size=3), max_size=2),
        "odd": st.recursive(st.none() | st.booleans(), st.lists, max_leaves=4),
    },
)
ANSWER = st.lists(BOOK | st.integers() | st.text(max_size=4) | st.none(), max_size=6)
SPACED = st.tuples(ANSWER, st.sampled_from([None, 0, 2]), st.booleans()).map(
    lambda each: json.dumps(each[0], indent=each[1], ensure_ascii=each[2]).encode()
)
COMPACT = ANSWER.map(lambda each: json.dumps(each, separators=(",", ":")).encode())


def _book(token: str, market: str, **more: object) -> bytes:
    book = {"market": market, "asset_id": token, "timestamp": "1778997825875", **more}
    return json.dumps(book, separators=(",", ":")).encode()


def _assert_parts(body: bytes, answer: BooksAnswer) -> None:
    """Every book of the body is in one place, and every asked token in one place."""
    positions = [each.position for each in (*answer.books, *answer.refused)]
    answered = {each.token_id for each in answer.books}
    named = answered | {each.token_id for each in answer.refused}

    assert list(range(len(json.loads(body)))) == sorted(positions)
    assert len(answered) == len(answer.books)
    assert ASKED.keys() - named == set(answer.missing)
    assert all(each.market == ASKED[each.token_id] for each in answer.books)


@given(st.binary(max_size=200) | SPACED | COMPACT)
@example(DEEP)
@example(b"[" + b'{"a":' * 5000)
@example(b'[{"asset_id":"1","market":"0xa","x":' + DEEP)
@example(b'["\xff"]')
@example(b'[{"asset_id":"\xff"}]')
@example(b"")
@example(b"\xef\xbb\xbf[]")
@example(b'[{"asset_id":"1","market":"0xa","timestamp":1e999}]')
def test_any_bytes_are_a_cause_or_parts_that_cover_them(body):
    answer = read_books(body, ASKED)

    assert answer.cause in REQUEST_CAUSES
    if answer.cause == "ok":
        _assert_parts(body, answer)
    else:
        assert ((), (), (), "kept") == (
            answer.books,
            answer.refused,
            answer.missing,
            answer.layout,
        )


@given(COMPACT | SPACED)
def test_layout_array_means_the_body_can_be_rebuilt(body):
    answer = read_books(body, ASKED)
    parts = sorted((*answer.books, *answer.refused), key=lambda each: each.position)
    rebuilt = b"[" + b",".join(each.raw for each in parts) + b"]"

    if answer.layout == "array":
        assert body == rebuilt
    elif b"\n" not in body:
        assert body != rebuilt


@pytest.mark.parametrize("body", [b"[]", b"[" + _book("1", "0xa") + b"]"])
def test_a_compact_answer_has_layout_array(body):
    assert "array" == read_books(body, ASKED).layout


@pytest.mark.parametrize("body", [b"[ ]", b" []", b"[]\n", b"[\r" + _book("1", "0xa") + b"]"])
def test_an_answer_with_spaces_is_kept_whole(body):
    assert ("ok", "kept") == (read_books(body, ASKED).cause, read_books(body, ASKED).layout)


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"", "bad_json"),
        (b"<html>", "bad_json"),
        (b"{}", "schema"),
        (b"null", "schema"),
        (b'{"error":"x"}', "schema"),
        (b"[", "bad_json"),
        (b"[]x", "bad_json"),
        (b"[NaN]", "bad_json"),
        (b'["\xff"]', "bad_utf8"),
        (b'["\xed\xa0\x80"]', "bad_utf8"),
        (DEEP, "bad_json"),
    ],
)
def test_what_is_not_a_list_of_values_has_a_cause(body, cause):
    assert cause == read_books(body, ASKED).cause


@pytest.mark.parametrize(
    ("raws", "reasons"),
    [
        ([_book("9", "0xa")], ["foreign"]),
        ([_book("1", "0xb")], ["wrong_market"]),
        ([_book("1", "0xa"), _book("1", "0xa")], ["duplicate"]),
        ([_book("1", "0xb"), _book("1", "0xa")], ["wrong_market"]),
        ([b"{}"], ["no_token"]),
        ([b"7", b"null", b'"x"', b"[]"], ["no_token"] * 4),
        ([b'{"asset_id":1,"market":"0xa"}'], ["no_token"]),
        ([b'{"asset_id":"","market":"0xa"}'], ["no_token"]),
    ],
)
def test_a_book_that_may_not_be_stored_is_refused_with_a_reason(raws, reasons):
    answer = read_books(b"[" + b",".join(raws) + b"]", ASKED)

    assert reasons == [each.reason for each in answer.refused]
    assert raws == [
        each.raw
        for each in sorted((*answer.books, *answer.refused), key=lambda each: each.position)
    ]


def test_books_keep_their_bytes_order_and_time():
    raws = [_book("3", "0xb", bids=[["0.10", "5"]]), _book("1", "0xa", note="é")]

    answer = read_books(b"[" + b",".join(raws) + b"]", ASKED)

    assert raws == [each.raw for each in answer.books]
    assert [("3", 0, 1778997825875), ("1", 1, 1778997825875)] == [
        (each.token_id, each.position, each.timestamp_ms) for each in answer.books
    ]
    assert ("2",) == answer.missing
