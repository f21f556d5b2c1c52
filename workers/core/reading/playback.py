"""A replay for clients: what each scene changes for them, and what they are sent.

Promises  what the stream told goes out in the venue's bytes, to whoever has the state before it;
          any other book goes out whole; an event goes out once to each client
"""

from collections.abc import Mapping

import msgspec

from workers.core.reading.evidence import POLLS, STREAM, State
from workers.core.reading.replay import Kind, Scene
from workers.core.stream.market_channel import event_of

_SENT_MAX = 256


class Step(msgspec.Struct, frozen=True):
    """What a scene changes for clients: a book, a gap and its cause, or no book any more.

    `event` is what the stream told: of a book what led to it, alone a trade or a new tick.
    """

    at_ns: int
    token_id: str
    book: bytes = b""
    gap: str = ""
    event: bytes = b""
    source: str = POLLS


def step_of(scene: Scene) -> Step:
    """The step of a scene; a LABELLED book is not served, it is a gap."""
    answer = scene.answer
    if scene.kind == Kind.EVENT:
        return Step(answer.at_ns, answer.token_id, event=answer.event)
    if scene.kind == Kind.BOOK and answer.state != State.LABELLED:
        told = answer.event, answer.source
        return Step(answer.at_ns, answer.token_id, scene.raw, "", *told)
    is_silence = scene.kind in (Kind.SILENCE, Kind.BOOK) and answer.state != State.LABELLED
    return Step(answer.at_ns, answer.token_id, gap="" if is_silence else answer.cause or "gap")


class Present:
    """The book of each token that has one at the replay's moment."""

    def __init__(self, books: Mapping[str, bytes]) -> None:
        self.books = dict(books)
        self._sources: dict[str, str] = {}

    def take(self, step: Step) -> bytes:
        """Go on by one step; the event that subscribers are sent, or empty when nothing changed.

        What the stream told is sent as it was, to whoever has the state before it; any other book
        is sent whole.
        """
        if step.event and not step.book:
            return step.event
        source = self._sources.pop(step.token_id, "")
        if not step.book:
            self.books.pop(step.token_id, None)
            return b""
        self._sources[step.token_id] = step.source
        if self.books.get(step.token_id) == step.book:
            return b""
        self.books[step.token_id] = step.book
        return step.event if step.event and source == STREAM else event_of(step.book)


class Sent:
    """What one client was sent lately: one event of the stream may tell of two tokens."""

    def __init__(self) -> None:
        self._events: dict[bytes, None] = {}

    def is_new(self, event: bytes) -> bool:
        """True unless these bytes were among the last events."""
        is_new = event not in self._events
        self._events[event] = None
        if len(self._events) > _SENT_MAX:
            del self._events[next(iter(self._events))]
        return is_new
