"""Derived tables as a source of answers: the rows of a segment whose raw file is not here, frames.

A table counts for a segment when a manifest in force names it with the SHA-256 that the segment's
own manifest carries. Its file is hashed like a raw one: once, and again when it has changed.

Reads     derived files and their manifests
Promises  a row of a table leads to its raw row, and its hash can be computed again from it
Never     writes; imports pyarrow before a table is asked for
"""

# ruff: noqa: PLC0415 - pyarrow takes 60 MB and 0.2 s: only who needs a table loads it

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.runs import Run, Runs
from workers.core.archive.story import ManifestMarket
from workers.core.books.book import Book, with_hash
from workers.core.books.bookhash import Verdict
from workers.core.books.ladders import ladder_of
from workers.core.errors import Refused
from workers.core.tables.columns import BOOKS, Table
from workers.core.tables.manifests import (
    MANIFEST_SUFFIX,
    TableManifest,
    in_force,
    read_manifest,
    table_folder,
)
from workers.edge.derived import source
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders
from workers.edge.reading.sheet import Row, Spot
from workers.edge.reading.vault import Vault

#: A pyarrow.Table: pyarrow has one owner, and no types.
Frame = Any
#: Flags of the raw row; the others are of checks, which judge no answer here.
RAW_FLAGS = frozenset({"time_went_back", "verdict_differs"})
#: What is found of a segment whose rows no table has.
IN_NO_TABLE = "in no table: orderbooks normalize"
#: Rows are made from columns together, in batches; two tokens are read by turns.
_BATCH, _BATCHES_KEPT = 64, 4
_NO_MARKET = ManifestMarket(slug="", condition_id="", series="", tokens={})


class TableSheet:
    """The rows of one segment as a table has them; asked like `sheet.Sheet`."""

    def __init__(self, table: Frame) -> None:
        self._table = table
        self._batches: dict[int, list[dict[str, Any]]] = {}
        self.damage = ""
        self.spots: dict[str, list[Spot]] = {}
        names = ("token_id", "recv_wall_ns", "row", "due_ms")
        columns = (table.column(name).to_pylist() for name in names)
        for at, (token, recv_ns, row, due_ms) in enumerate(zip(*columns, strict=True)):
            self.spots.setdefault(token, []).append(Spot(recv_ns, row, due_ms, at))
        self._times = {
            token: [each.recv_wall_ns for each in sorted(spots)]
            for token, spots in self.spots.items()
        }
        self.runs: dict[str, list[Run]] = {}
        for token, spots in self.spots.items():
            runs = Runs(token)
            for each in sorted(spots, key=lambda spot: spot.row):
                runs.add(each.due_ms)
            self.runs[token] = runs.listed()
            spots.sort()

    def last_before(self, token_id: str, at_ns: int) -> Spot | None:
        """The row of a token received last, at a moment or before it."""
        at = bisect_right(self._times.get(token_id, []), at_ns)
        return self.spots[token_id][at - 1] if at else None

    def in_order(self, tokens: frozenset[str]) -> Iterator[tuple[str, Spot]]:
        """Every row of these tokens by time."""
        found = [(spot, token) for token in tokens for spot in self.spots.get(token, [])]
        for spot, token in sorted(found):
            yield token, spot

    def row(self, spot: Spot) -> Row:
        """The row at a spot, with its book made from columns."""
        fields = self._fields(spot.start)
        return Row(
            spot.row,
            fields["token_id"],
            spot.due_ms,
            fields["send_wall_ns"],
            spot.recv_wall_ns,
            "",
            _verdict(fields["hash_verdict"]),
            tuple(each for each in fields["flags"] if each in RAW_FLAGS),
            b"",
            book_of(fields),
        )

    def onward(self) -> Callable[[Spot], Row]:
        """The same rows: its neighbours are made with each."""
        return self.row

    def _fields(self, at: int) -> dict[str, Any]:
        """One row of the table; its neighbours are made with it, they will be asked for next."""
        batch = at // _BATCH
        if batch not in self._batches:
            while len(self._batches) >= _BATCHES_KEPT:
                del self._batches[next(iter(self._batches))]
            self._batches[batch] = self._table.slice(batch * _BATCH, _BATCH).to_pylist()
        return self._batches[batch][at % _BATCH]


def _verdict(text: str) -> Verdict:
    return Verdict(text) if text in set(Verdict) else Verdict.FAILED


def book_of(fields: dict[str, Any]) -> Book:
    """A book from one row of the table `books`."""
    texts = fields["texts"]
    return Book(
        condition_id=fields["condition_id"],
        token_id=fields["token_id"],
        venue_ms=fields["venue_ms"],
        hash=fields["hash"],
        bids=ladder_of(fields["bid_price_micros"], fields["bid_size_micros"], max),
        asks=ladder_of(fields["ask_price_micros"], fields["ask_size_micros"], min),
        tick_micros=fields["tick_micros"],
        min_order_size_micros=fields["min_order_size_micros"],
        neg_risk=fields["neg_risk"],
        last_trade_price_micros=fields["last_trade_price_micros"],
        spelling=b"" if texts is None else with_hash(texts.encode(), fields["hash"]),
    )


class Tables:
    """The derived tables of an archive."""

    def __init__(self, folders: Folders, vault: Vault) -> None:
        self._folders, self._vault = folders, vault
        self._read: dict[str, TableManifest] = {}

    def of(
        self, manifest: SegmentManifest, findings: Findings, table: Table = BOOKS
    ) -> TableManifest | None:
        """The derived file that holds a segment's rows, all of them, or None."""
        found = self._file(manifest, findings, table)
        return None if found is None or found.pruned else found

    def is_pruned(self, manifest: SegmentManifest, findings: Findings, table: Table) -> bool:
        """True when a segment's rows in a table have gone for their age."""
        found = self._file(manifest, findings, table)
        return found is not None and found.pruned > 0

    def _file(
        self, manifest: SegmentManifest, findings: Findings, table: Table
    ) -> TableManifest | None:
        place = table_folder(table.name, source.hour_of(manifest.path))
        found = []
        for name in self._folders.names(place):
            if not name.startswith(".") and name.endswith(MANIFEST_SUFFIX):
                read = self._manifest(f"{place}/{name}", findings)
                found += [read] if read else []
        for each in in_force(found):
            for made_of in each.sources:
                if (made_of.name, made_of.sha256) == (manifest.name, manifest.sha256):
                    return None if made_of.bad else each
        return None

    def _manifest(self, place: str, findings: Findings) -> TableManifest | None:
        # A published name is never written again: one reading is enough.
        if place not in self._read:
            try:
                self._read[place] = read_manifest((self._vault.data.root / place).read_bytes())
            except FileNotFoundError:
                return None
            except msgspec.MsgspecError as error:
                findings.damaged(place, str(error))
                return None
        return self._read[place]

    def rows(
        self, manifest: SegmentManifest, findings: Findings, of: Table = BOOKS
    ) -> tuple[str, Frame] | None:
        """The path of the derived file and a segment's rows in it; None when none has them.

        A derived file that is damaged is a finding, and holds nothing.
        """
        from workers.edge import parquet

        found = self.of(manifest, findings, of)
        if found is None:
            return None
        path = self._vault.data.root / found.path
        try:
            damage = self._vault.difference(path, found.bytes, found.sha256)
            file = None if damage else parquet.opened(path, of)
        except (OSError, Refused) as error:
            damage, file = str(error), None
        if file is None:
            findings.damaged(found.path, damage)
            return None
        market = manifest.told.market or _NO_MARKET
        groups = _groups(file, market.condition_id if of.order[0] == "condition_id" else None)
        table = parquet.of_today(file, of, groups)
        segments = table.column("segment").to_pylist()
        own = [at for at, name in enumerate(segments) if name == manifest.name]
        return found.path, chosen(table, own)


def chosen(table: Frame, rows: list[int]) -> Frame:
    """Some rows of a table."""
    # An empty list has no type that `take` would accept.
    return table.take(rows) if rows else table.slice(0, 0)


def _groups(file: Any, condition_id: str | None) -> list[int]:  # noqa: ANN401 - no types
    """The row groups that may hold a market's rows, of a file that is sorted by it; else all."""
    metadata = file.metadata
    if condition_id is None:
        return list(range(metadata.num_row_groups))
    at = file.schema_arrow.names.index("condition_id")
    found = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        column = next(
            group.column(each)
            for each in range(at, group.num_columns)
            if group.column(each).path_in_schema == "condition_id"
        )
        told = column.statistics
        if told is None or told.min <= condition_id <= told.max:
            found.append(number)
    return found
