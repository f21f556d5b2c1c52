"""A small streamed archive, made by the code that makes the big one: link, tape and diary.

Used by tests only. The events are told by `tests.core.told.Book`; a connection is a `Link` that
is handed messages, as the streamer's feed hands them.
"""

from collections.abc import Iterator

import msgspec

from tests.core.told import MARKET, OTHER, TOKEN, Book
from tests.tools.archives import BOOT_MS, HOUR_MS, Fleet, S, Worker, market
from workers.core.stream.frames import Event
from workers.core.stream.happenings import CLOSED, HEARD, OPENED, Happening
from workers.core.stream.rows import Subscription
from workers.core.stream.watching import Patience
from workers.core.universe.markets import Market
from workers.edge.spool.directory import DataDir
from workers.edge.streaming.link import Link
from workers.edge.streaming.tape import Tape

MS = 1_000_000
PATIENCE = Patience(freeze_after_s=5, confirm_s=1.5, missing_book_s=10)


class Streamer(Worker):
    """One run of a streamer that carries markets; times are Unix ms."""

    def __init__(self, data: DataDir, at_ms: int, *markets: Market) -> None:
        super().__init__(data, "streamer-00", at_ms, 0, 1)
        self.carried = {each.condition_id: each for each in markets}
        self.tape = Tape(self.recorder, self._seeds)
        for each in markets:
            self.tape.carry(each)
        self.links: list[Link] = []
        self._opened = 0

    def _seeds(self, named: str, wall_ns: int) -> Iterator[tuple[bytes, str]]:
        for link in self.links:
            for line in link.snapshots(named, wall_ns, wall_ns - BOOT_MS * MS, "opened"):
                yield line, link.name

    def open(self, at_ms: int, leg: int = 0) -> Link:
        """A connection that is open and has subscribed to everything."""
        self._opened += 1
        name = f"streamer-00.{self.writer.run}.{self._opened}"
        link = Link(name, leg, tape=self.tape, diary=self.diary, patience=PATIENCE)
        link.opened(Happening(OPENED, name, at_ms * MS, mono(at_ms)), "ws://venue")
        tokens = [e.token_id for each in self.carried.values() for e in each.tokens]
        row = Subscription(
            connection=name, at_wall_ns=at_ms * MS, operation="subscribe", token_ids=tokens
        )
        self.diary.write(row, at_ms * MS)
        link.carry(self.carried, mono(at_ms))
        self.links.append(link)
        return link

    def hear(self, link: Link, at_ms: int, event: Event | bytes) -> None:
        """One message."""
        data = event if isinstance(event, bytes) else event.raw
        seq = link.frames + 1
        link.hear(Happening(HEARD, link.name, at_ms * MS, mono(at_ms), seq=seq, data=data))

    def heard(self, at_ms: int) -> None:
        """Every book is checked; what was heard is in the open files."""
        for link in self.links:
            link.verify(at_ms * MS, mono(at_ms))
            tell_of_others(link, at_ms)
            link.write_heard(at_ms * MS)
        self.tape.write_out()
        self.flush(at_ms)

    def lose(self, link: Link, at_ms: int, cause: str, heard_ms: int) -> None:
        """A connection ends."""
        tell_of_others(link, heard_ms)
        link.closed(
            Happening(
                CLOSED,
                link.name,
                at_ms * MS,
                mono(at_ms),
                cause=cause,
                heard_wall_ns=heard_ms * MS,
            )
        )
        self.links.remove(link)

    def seal(self, at_ms: int) -> None:
        """Publish everything so far."""
        self.tape.seal("pause")
        self.publish(at_ms, "size")

    def end(self, at_ms: int) -> None:
        """Stop as asked."""
        for link in [*self.links]:
            link.verify(at_ms * MS, mono(at_ms))
            self.lose(link, at_ms, "stop", at_ms)
        self.tape.write_out()
        self.stop(at_ms)


def tell_of_others(link: Link, at_ms: int) -> None:
    """Something was said about another market of the connection at that moment."""
    link.reached.book(at_ms)


def mono(at_ms: int) -> int:
    """The monotonic clock of a moment."""
    return (at_ms - BOOT_MS) * MS


def told_market(of: Market) -> Market:
    """A market whose first outcome is the token of `tests.core.told`."""
    first, second = of.tokens
    tokens = (
        msgspec.structs.replace(first, token_id=TOKEN),
        msgspec.structs.replace(second, token_id=OTHER),
    )
    return msgspec.structs.replace(of, condition_id=MARKET, tokens=tokens)


def streamed(fleet: Fleet) -> tuple[Streamer, Book, Market]:
    """A streamer before its first connection, a book that tells itself, and its market."""
    book = Book(ms=HOUR_MS)
    found = told_market(market(1))
    fleet.publish_universe(HOUR_MS - 10 * S, found)
    return Streamer(fleet.data, HOUR_MS - 5 * S, found), book, found
