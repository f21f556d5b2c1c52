"""The truth of the market channel: what was produced, and what went where.

Writes:   in the venue's state directory, append only, one JSON object a line, flushed after each
          look of the channel (some milliseconds):
          changes.jsonl  {n, at_wall_ns, kind, condition_id, token_id, timestamp, hash, items,
                          custom} one row per token of every event produced; a market is produced
                          from its first subscription until it is closed, subscribed or not.
                          `n` numbers the events, from 1; `hash` is of the token's book after the
                          event, "" where the event does not say; items [[price, size, side]…].
          sent.jsonl     {kind, connection, at_wall_ns, …}, connections numbered from 1:
            opened       a handshake was accepted
            subscribed   operation, tokens, custom
            dump         books [[token, timestamp, hash]…] sent; withheld [token…], fault;
                         unknown [token…]: the venue has no book of these; silent is true above
                         the ceiling of assets: no dump at all
            sent         n[]: handed to the socket, in this order
            withheld     n[], fault: not sent, or not as produced
            closed       cause (a fault, `peer`, `stopped`, or what the client did wrong), code
                         (null: no close frame), unsent_bytes: handed over and still here
Promises: every event of a token subscribed on an open connection is in exactly one `sent` (twice
          under duplicate) or `withheld` row of it, except `custom` ones it did not ask for.
"""

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.venue.states import Event, Item, Told

Book = tuple[str, str, str]
"""token id, timestamp, hash"""


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One line of changes.jsonl. `token_id` is "" for a global event."""

    n: int
    at_wall_ns: int
    kind: str
    condition_id: str
    token_id: str
    timestamp: str
    hash: str
    items: tuple[Item, ...]
    custom: bool


@dataclass(frozen=True, slots=True)
class SentRow:
    """One line of sent.jsonl; what a kind does not have is empty."""

    kind: str
    connection: int
    at_wall_ns: int
    n: tuple[int, ...] = ()
    fault: str = ""
    operation: str = ""
    tokens: tuple[str, ...] = ()
    custom: bool = False
    books: tuple[Book, ...] = ()
    withheld: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    silent: bool = False
    cause: str = ""
    code: int | None = None
    unsent_bytes: int = 0


class ChannelTruth:
    """Reads the channel's part of a state directory, of a running venue or an ended one."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def changes(self) -> list[ChangeRow]:
        """Every event produced so far, per token."""
        return [
            ChangeRow(**{**line, "items": tuple(Item(*item) for item in line["items"])})
            for line in self._lines("changes.jsonl")
        ]

    def sent(self, connection: int | None = None) -> list[SentRow]:
        """What happened on the connections so far, or on one of them."""
        rows = [_sent_row(line) for line in self._lines("sent.jsonl")]
        return [row for row in rows if connection in (None, row.connection)]

    def arrived(self, connection: int) -> set[int]:
        """Numbers of the events handed to one connection's socket."""
        return {n for row in self.sent(connection) if row.kind == "sent" for n in row.n}

    def withheld(self, connection: int) -> dict[int, str]:
        """Numbers of the events withheld from one connection, with the fault that did it."""
        rows = [row for row in self.sent(connection) if row.kind == "withheld"]
        return {n: row.fault for row in rows for n in row.n}

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Whole lines only: the last may be in the making."""
        path = self.state_dir / name
        if path.exists():
            for line in path.read_bytes().split(b"\n")[:-1]:
                yield json.loads(line)


class ChannelLedger:
    """The writing side; used by the channel's thread."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.truth = ChannelTruth(state_dir)
        self._numbered = max((row.n for row in self.truth.changes()), default=0)
        self._connected = max((row.connection for row in self.truth.sent()), default=0)
        self._lock = threading.Lock()
        self._changes = (state_dir / "changes.jsonl").open("ab")
        self._sent = (state_dir / "sent.jsonl").open("ab")

    def connection(self) -> int:
        """The number of a connection now opened."""
        self._connected += 1
        return self._connected

    def produced(self, event: Event, at_wall_ns: int) -> int:
        """Write an event's rows; returns its number."""
        self._numbered += 1
        head = (
            f'{{"n":{self._numbered},"at_wall_ns":{at_wall_ns},"kind":"{event.kind}",'
            f'"condition_id":"{event.condition_id}","timestamp":"{event.timestamp}",'
            f'"custom":{"true" if event.custom else "false"},"token_id":"'
        )
        rows = [_told_text(head, told) for told in event.told or (Told("", ""),)]
        self._write(self._changes, "".join(rows))
        return self._numbered

    def numbers(self, kind: str, connection: int, at_wall_ns: int, numbers: Sequence[int]) -> None:
        """Write a `sent` row, or a `withheld` one when `kind` is a fault."""
        what = '"kind":"sent"' if kind == "sent" else f'"kind":"withheld","fault":"{kind}"'
        text = ",".join(map(str, numbers))
        row = f'{{{what},"connection":{connection},"at_wall_ns":{at_wall_ns},"n":[{text}]}}\n'
        self._write(self._sent, row)

    def happened(self, kind: str, connection: int, at_wall_ns: int, **fields: object) -> None:
        """Write any other row of sent.jsonl."""
        row = {"kind": kind, "connection": connection, "at_wall_ns": at_wall_ns, **fields}
        self._write(self._sent, json.dumps(row, separators=(",", ":")) + "\n")

    def flush(self) -> None:
        """Bring to the files what was written: changes first."""
        with self._lock:
            for file in (self._changes, self._sent):
                if not file.closed:
                    file.flush()

    def close(self) -> None:
        """Close the files; later rows are lost."""
        with self._lock:
            self._changes.close()
            self._sent.close()

    def _write(self, file: Any, text: str) -> None:
        with self._lock:
            if not file.closed:
                file.write(text.encode())


def _told_text(head: str, told: Told) -> str:
    items = ",".join([f'["{item.price}","{item.size}","{item.side}"]' for item in told.items])
    return f'{head}{told.token_id}","hash":"{told.hash}","items":[{items}]}}\n'


def _sent_row(line: dict[str, Any]) -> SentRow:
    for name in ("n", "tokens", "withheld", "unknown"):
        if name in line:
            line[name] = tuple(line[name])
    if "books" in line:
        line["books"] = tuple(tuple(book) for book in line["books"])
    return SentRow(**line)
