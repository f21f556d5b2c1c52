"""A raw archive of the stream for tests: frames segments made by the recorder and row builders.

Used by tests only.
"""

from collections.abc import Sequence
from pathlib import Path

from tests.core.told import MARKET, OTHER, TOKEN, Book, event
from tests.tools.archives import HOUR_MS, Fleet, S, Worker
from workers.core.archive.story import ManifestMarket
from workers.core.stream.frames import (
    connection_part,
    event_row,
    read_frame,
    rest_row,
    row_head,
    snapshot_row,
)
from workers.core.stream.rows import StreamRow
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Stream

NS_PER_MS = 1_000_000
RUN = str(HOUR_MS - 10 * S)


def name_of(number: int) -> str:
    """A connection of this run."""
    return f"streamer-00.{RUN}.{number}"


class Tape:
    """What connections of one market brought, line by line; `at_ms` goes on with each line."""

    def __init__(self, root: Path, market: ManifestMarket) -> None:
        self.data: DataDir = Fleet(root).data
        self.at_ms = HOUR_MS
        self.lines: list[bytes] = []
        self._worker = Worker(self.data, "streamer-00", int(RUN), 0, 1)
        self._stream = Stream(subject=market.slug or "m", kind="frames", market=market)
        self._seqs: dict[int, int] = {}

    def _head(self, connection: int) -> bytes:
        self.at_ms += 1
        part = connection_part(name_of(connection), connection % 2)
        wall_ns = self.at_ms * NS_PER_MS
        return row_head(wall_ns, wall_ns - 5, part, self._seqs.setdefault(connection, 0))

    def heard(self, connection: int, frame: bytes) -> None:
        """One message, as a connection brought it."""
        self._seqs[connection] = self._seqs.get(connection, 0) + 1
        head = self._head(connection)
        for each in read_frame(frame).events:
            self.put(event_row(head, each), each.type, connection)

    def seed(self, connection: int, raw: bytes, why: str = "opened") -> None:
        """A book of ours."""
        line = snapshot_row(self._head(connection), why, "verified", raw)
        self.put(line, "snapshot", connection)

    def rest(self, connection: int, raw: bytes, verdict: str = "agrees") -> None:
        """A book that REST told."""
        request = f"streamer-00.{RUN}.7"
        self.put(rest_row(self._head(connection), request, 0, verdict, raw), "rest", connection)

    def put(self, line: bytes, kind: str = "", connection: int = 1) -> None:
        """A line as it is."""
        self.lines.append(line)
        recorder, wall_ns = self._worker.recorder, self.at_ms * NS_PER_MS
        segment = recorder.append(self._stream, line, due_ms=self.at_ms, wall_ns=wall_ns)
        segment.story.saw_event(kind, name_of(connection))

    def wrote(self, row: StreamRow) -> None:
        """A row of the ledger."""
        self._worker.diary.write(row, self.at_ms * NS_PER_MS)

    def cut(self) -> None:
        """The next line is in another segment."""
        self._worker.publish(self.at_ms, "size")

    def close(self) -> DataDir:
        """Everything published."""
        self._worker.stop(self.at_ms + 1)
        locks.release_all()
        return self.data


def market_of(condition_id: str, token_ids: Sequence[str]) -> ManifestMarket:
    """A market by its ids."""
    outcomes = dict(zip(token_ids, ("Up", "Down"), strict=False))
    return ManifestMarket(
        slug="btc-updown-5m-1", condition_id=condition_id, series="btc-5m", tokens=outcomes
    )


OWN = market_of(MARKET, [TOKEN, OTHER])


def two_legs(root: Path) -> DataDir:
    """60 changes in two segments; each leg loses every twentieth; books and trades."""
    tape, book = Tape(root, OWN), Book()
    for leg in (1, 2):
        tape.heard(leg, book.dump().raw)
    for number in range(1, 61):
        if number == 30:
            tape.cut()
            tape.seed(1, book.rest())
            tape.seed(2, book.rest())
        told = book.change("BUY", 20 + number % 25, f"{number}.5")
        for leg in (1, 2):
            if number % 20 != 10 * leg - 4:
                tape.heard(leg, told.raw)
            if number % 20 == 10 * leg - 2:
                tape.rest(leg, book.rest(), "not_synced")
        if number % 20 == 0:
            for leg in (1, 2):
                tape.heard(leg, trade(book))
            told = book.later()
            for leg in (1, 2):
                tape.heard(leg, told.raw)
    return tape.close()


def trade(book: Book) -> bytes:
    """A fill at this moment."""
    told = {
        "market": MARKET,
        "asset_id": TOKEN,
        "price": "0.48",
        "size": "12.25",
        "fee_rate_bps": "0",
        "side": "BUY",
        "timestamp": str(book.ms),
        "event_type": "last_trade_price",
        "transaction_hash": "0xfeed",
    }
    return event(told).raw
