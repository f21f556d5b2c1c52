"""What `orderbooks snapshot` asks of a running streamer, and what it is answered."""

import msgspec

from workers.core.archive.segments import safe_subject

READY, DONE = ".ready", ".done"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: so many books were written at that moment, into that segment."""

    slug: str
    at_utc: str
    books: int
    segment: str


def order_name(slug: str, state: str) -> str:
    """The name of an order's file."""
    return f"{safe_subject(slug)}{state}"
