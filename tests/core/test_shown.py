"""Holds core.stream.shown: rows of a segment go into the lines of their tokens."""

import msgspec

from tests.core.told import OTHER, TOKEN, Book, event
from workers.core.stream.follow import Cover, Line
from workers.core.stream.frames import (
    Event,
    FrameRow,
    connection_part,
    event_row,
    read_frame_row,
    rest_row,
    row_head,
    snapshot_row,
)
from workers.core.stream.shown import Shown, items_of


def _head(connection: str, at: int) -> bytes:
    return row_head(at, at, connection_part(connection, 0), at)


def _row(connection: str, at: int, told: Event) -> FrameRow:
    return read_frame_row(event_row(_head(connection, at), told))


def test_two_connections_that_show_the_same_become_one_line():
    book = Book()
    story = [book.dump(), book.change("BUY", 45, "3"), book.later(), book.change("BUY", 45, "0")]
    line = Line([Cover(0, 100, "a"), Cover(0, 100, "b")])
    rows = [_row(name, 2 * at + ("ab".index(name)), told)
            for at, told in enumerate(story) for name in "ab"]  # fmt: skip
    steps = [step for row in rows for _, item in items_of(row) for step in line.took(item)]

    assert ["book", "price_change", "book", "price_change"] == [
        step.item.of.event.type for step in steps
    ]
    assert [True, False, False, False] == [step.begins for step in steps]
    assert [True, False, False, False] == [step.item.is_copy for step in steps]
    assert {"a": 3, "b": 3} == (line.finish(), dict(line.shown))[1]


def test_each_token_gets_its_own_items_of_a_change():
    book = Book()
    mine, again = book.put("BUY", 45, "3"), book.put("BUY", 46, "3", after_ms=0)
    told = book.told(mine, {**mine, "asset_id": OTHER}, again)
    items = dict(items_of(_row("a", 1, told)))

    assert [TOKEN, OTHER] == list(items)
    assert (2, again["hash"]) == (len(items[TOKEN].of.changes), items[TOKEN].state)
    assert items[TOKEN].key != items[OTHER].key


def test_books_of_ours_and_of_rest_are_copies():
    raw = Book().rest()
    rows = [snapshot_row(_head("a", 1), "opened", "verified", raw),
            rest_row(_head("a", 1), "r", 0, "agrees", raw)]  # fmt: skip
    for row in rows:
        ((token_id, item),) = items_of(read_frame_row(row))
        assert (TOKEN, True, True) == (token_id, item.is_whole, item.is_copy)
        assert Book().hash == item.state


def test_a_trade_is_an_item_without_a_state_and_a_global_event_is_none():
    trade = event({"event_type": "last_trade_price", "asset_id": TOKEN, "timestamp": "5"})
    ((_, item),) = items_of(_row("a", 1, trade))

    assert ("", False, 5) == (item.state, item.is_whole, item.timestamp_ms)
    assert [] == list(items_of(_row("a", 1, event({"event_type": "new_market"}))))
    assert isinstance(item.of, Shown)
    assert msgspec.structs.asdict(item)["connection"] == "a"
