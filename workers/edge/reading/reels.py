"""The rows of one segment of the stream, from its own lines or from derived tables.

Reads     what `edge.reading.vault` and `edge.reading.tables` give
Promises  rows name the raw file and line they stand in, wherever they are read from
Never     mixes the two: a segment is read from one of them
"""

import re
from collections.abc import Iterator
from operator import itemgetter
from typing import Any

import msgspec

from workers.core.stream.frames import FrameRow, read_frame_row
from workers.core.tables.reprints import Line, line_of, tick, trade
from workers.core.tables.stream import CHANGES, SNAPSHOTS, TICKS, TRADES
from workers.edge.reading.findings import Findings
from workers.edge.reading.shelf import Piece
from workers.edge.reading.tables import Frame, Tables
from workers.edge.reading.vault import Held

_RECEIVED = re.compile(rb'\{"recv_wall_ns":(\d{1,19}),')
_SEED = b'"type":"snapshot"'
_FACTS = (b'"type":"last_trade_price"', b'"type":"tick_size_change"')
#: When it was received, its number, and the row; a line is taken apart when it is needed.
Told = tuple[int, int, bytes | FrameRow]
#: Token, connection, leg and time of a book that a segment begins with.
Seed = tuple[str, str, int, int]


class Reel:
    """One segment that is here: its rows, up to a damage."""

    def __init__(self, piece: Piece, held: Held) -> None:
        self.piece, self._held = piece, held
        self.path, self.size = held.path, len(held.rows)

    def rows(self, token_id: str) -> Iterator[Told]:
        """Each row that names a token, or a market."""
        wanted, received = token_id.encode(), 0
        for row, line in enumerate(self._held.rows.split(b"\n")):
            if wanted in line:
                found = _RECEIVED.match(line)
                received = int(found[1]) if found else received
                yield received, row, line

    def facts(self, condition_id: str) -> Iterator[Told]:
        """Trades and new ticks."""
        for received, row, line in self.rows(condition_id):
            if isinstance(line, bytes) and any(each in line for each in _FACTS):
                yield received, row, line

    def seeds(self) -> Iterator[Seed]:
        """The books that it begins with."""
        start, rows = 0, self._held.rows
        while (end := rows.find(b"\n", start)) >= 0:
            line = rows[start:end]
            if _SEED not in line:
                return
            row = read_frame_row(line)
            start = end + 1
            asset = msgspec.json.decode(row.raw, type=_Named).asset_id
            yield asset, row.connection, row.leg, row.recv_wall_ns

    def table(self, _: str) -> str:
        """The derived file that rows are from: none."""
        return ""


class Print:
    """One segment as its tables have it."""

    def __init__(self, piece: Piece, path: str, tables: dict[str, tuple[str, Frame]]) -> None:
        self.piece, self.path = piece, path
        self.size = -1
        self._tables = tables
        self._lines: dict[str, Line] = {}
        self._lists: dict[str, list[dict[str, Any]]] = {}

    def line(self, token_id: str) -> Line:
        """A token's line."""
        if token_id not in self._lines:
            steps = [*self._of(SNAPSHOTS.name, token_id), *self._of(CHANGES.name, token_id)]
            self._lines[token_id] = line_of(self.piece.name.worker, _in_place(steps))
        return self._lines[token_id]

    def steps(self, token_id: str) -> list[dict[str, Any]]:
        """Rows of a token's line, in its order."""
        found = [*self._of(SNAPSHOTS.name, token_id), *self._of(CHANGES.name, token_id)]
        lined = [each for each in found if each["line"] is not None]
        return sorted(lined, key=itemgetter("step"))

    def rows(self, token_id: str) -> Iterator[Told]:
        """Each row of a token's line in its order, and its trades and new ticks where they came."""
        facts = [each for each in self._facts() if each[3] == token_id]
        received = 0
        for number, row in self.line(token_id).rows:
            received = max(received, row.recv_wall_ns)
            while facts and facts[0][0] <= received:
                yield facts.pop(0)[:3]
            yield received, number, row
        for each in facts:
            yield each[:3]

    def facts(self, _: str) -> Iterator[Told]:
        """Trades and new ticks."""
        for each in self._facts():
            yield each[:3]

    def _facts(self) -> list[tuple[int, int, FrameRow, str]]:
        worker, found = self.piece.name.worker, []
        for name, made in ((TRADES.name, trade), (TICKS.name, tick)):
            for each in self._of(name):
                told = made(worker, each)
                found.append((each["recv_wall_ns"], each["row"], told, each["token_id"]))
        return sorted(found, key=itemgetter(0, 1))

    def seeds(self) -> Iterator[Seed]:
        """The books that it begins with."""
        opened = [
            e for e in self._of(SNAPSHOTS.name) if (e["kind"], e["why"]) == ("seed", "opened")
        ]
        for each in sorted(opened, key=itemgetter("row")):
            yield each["token_id"], each["connection"], each["leg"], each["recv_wall_ns"]

    def table(self, name: str) -> str:
        """The derived file that rows are from."""
        return self._tables[name][0] if name in self._tables else ""

    def _of(self, name: str, token_id: str = "") -> list[dict[str, Any]]:
        if name not in self._lists:
            self._lists[name] = self._tables[name][1].to_pylist() if name in self._tables else []
        rows = self._lists[name]
        return [each for each in rows if not token_id or each["token_id"] == token_id]


def printed(piece: Piece, tables: Tables, findings: Findings) -> Print | None:
    """A segment as its tables have it; None when they do not have it, or not all of it."""
    manifest = piece.manifest
    if manifest is None:
        return None
    found = {}
    for table in (CHANGES, SNAPSHOTS, TRADES, TICKS):
        rows = tables.rows(manifest, findings, table)
        if rows is not None:
            found[table.name] = rows
        elif table is not TICKS:
            return None
    return Print(piece, manifest.path, found)


def _in_place(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows by step, but a copy beside the line where it came: a cover may begin with it."""
    placed, reached_ns = [], 0
    for each in sorted(steps, key=itemgetter("step")):
        received_ns = each["recv_wall_ns"]
        if each["line"] is not None:
            received_ns = reached_ns = max(reached_ns, received_ns)
        placed.append((received_ns, each))
    return [each for _, each in sorted(placed, key=itemgetter(0))]


class _Named(msgspec.Struct, frozen=True):
    asset_id: str = ""
