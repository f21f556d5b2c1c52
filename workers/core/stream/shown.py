"""Rows of `frames` segments as items of lines: what one connection showed of each token.

Promises  the same event of the venue has the same key on every connection, and two events of one
          token have the same only if they tell the same
"""

import hashlib
from collections.abc import Iterator

import msgspec

from workers.core.stream.follow import Item
from workers.core.stream.frames import Change, Event, FrameRow, read_frame


class Shown(msgspec.Struct, frozen=True):
    """What an item is of: its row, its event, and the token's items if it is a `price_change`."""

    row: FrameRow
    event: Event
    changes: tuple[Change, ...] = ()


def items_of(row: FrameRow) -> Iterator[tuple[str, Item]]:
    """The items of a row, each with its token; nothing when the row tells of no token."""
    for event in read_frame(row.raw).events:
        if event.type == "price_change" and row.origin == "event":
            yield from _changes(row, event)
        elif event.token_id:
            yield event.token_id, _whole_or_other(row, event)


def _changes(row: FrameRow, event: Event) -> Iterator[tuple[str, Item]]:
    by_token: dict[str, tuple[Change, ...]] = {}
    for change in event.changes:
        by_token[change.token_id] = (*by_token.get(change.token_id, ()), change)
    for token_id, changes in by_token.items():
        told = msgspec.json.encode((event.timestamp, changes))
        yield (
            token_id,
            Item(
                row.connection,
                row.recv_wall_ns,
                event.timestamp_ms,
                hashlib.sha1(told, usedforsecurity=False).digest(),
                state=changes[-1].hash,
                of=Shown(row, event, changes),
            ),
        )


def _whole_or_other(row: FrameRow, event: Event) -> Item:
    is_ours = row.origin != "event"
    is_whole = is_ours or event.type == "book"
    return Item(
        row.connection,
        row.recv_wall_ns,
        event.timestamp_ms,
        hashlib.sha1(event.raw, usedforsecurity=False).digest(),
        state=event.told.hash if is_whole else "",
        is_whole=is_whole,
        # Only the dump tells the tick; later books are events of the market (VENUE §5.3).
        is_copy=is_ours or (is_whole and event.told.tick_size is not None),
        of=Shown(row, event),
    )
