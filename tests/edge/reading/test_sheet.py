"""Holds edge.reading.sheet: rows are found and read as they were written, whatever stands in them."""

from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.books import raw
from workers.core.polling import rows
from workers.core.polling.answers import Answer
from workers.core.polling.messages import Book
from workers.edge.reading.sheet import Sheet

AT_MS = 1_776_326_400_000
ANSWER = Answer(
    cause="ok",
    status=200,
    body=b"",
    wire_bytes=0,
    send_wall_ns=AT_MS * 1_000_000,
    recv_wall_ns=AT_MS * 1_000_000 + 1,
    send_mono_ns=1,
    recv_mono_ns=2,
)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.lists(st.tuples(texts, texts, texts), min_size=1, max_size=4))
@example([("\\", "request", "0.1.0"), ("1001", "a\\", "\n"), ('"', '","', "\x00")])
def test_any_text_in_an_envelope_comes_back_as_it_was_written(told):
    lines = [
        rows.books_row(
            rows.answer_head(ANSWER, request, AT_MS, version),
            Book(0, token, "0x1", AT_MS, raw([], [])),
            "verified",
            (),
        )
        for token, request, version in told
    ]

    sheet = Sheet(b"".join(lines))

    spots = sorted(
        (spot for _, spot in sheet.in_order(frozenset(sheet.index.tokens))),
        key=lambda spot: spot.row,
    )
    assert "" == sheet.damage
    assert [(token, request) for token, request, _ in told] == [
        (row.token_id, row.request) for row in map(sheet.row, spots)
    ]
    assert {raw([], [])} == {sheet.row(each).raw for each in spots}
