"""Parquet files of the derived tables: written sorted, read. The one owner of pyarrow.

Reads     Parquet files made here
Writes    drafts under the names it is given; who calls publishes them
Promises  the same rows give the same bytes, in whatever portions they come; a file is written a
          row group at a time; schema, units, meanings and sources stand in its metadata
Fails     Refused for a file that is none of ours; OSError as the system gave it
Never     guesses a type: columns are those of `core.tables.tables`
"""

import ctypes
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

# Read when pyarrow is loaded. Its own pool keeps what it was given: 25 MB more at the peak of a
# large segment, and no faster (tests/bench/normalize.py). The system's gives back what `let_go`
# asks for.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workers.core.archive.story import ManifestMarket
from workers.core.errors import Refused
from workers.core.tables.chunks import Chunk
from workers.core.tables.columns import BOOKS, Column, Table

#: Level 3 is as small as 6 and twice as fast; ids are repeated, numbers hardly are: a dictionary
#: of numbers makes them 40 % larger.
_ZSTD_LEVEL = 3
#: Rows that a reader must take in to get one; a token has 3,600 in an hour at 1 s.
ROW_GROUP_ROWS = 1000
_TYPES = {
    "text": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "bool": pa.bool_(),
}


def _type_of(kind: str) -> pa.DataType:
    inner = kind.removeprefix("list<").removesuffix(">")
    if inner == kind:
        return _TYPES[kind]
    return pa.list_(pa.field("element", _TYPES[inner], nullable=False))


def _field(column: Column) -> pa.Field:
    told = {"unit": column.unit, "meaning": column.meaning}
    return pa.field(column.name, _type_of(column.kind), column.nullable, metadata=told)


@cache
def schema_of(table: Table) -> pa.Schema:
    """The Arrow schema of a table, with units and meanings."""
    told = {"orderbooks.schema": table.schema, "orderbooks.about": table.about}
    return pa.schema([_field(column) for column in table.columns], metadata=told)


def from_rows(table: Table, rows: Sequence[Sequence[object]]) -> pa.Table:
    """A portion of a table from values, row by row in the order of its columns."""
    schema = schema_of(table)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(list(each), field.type) for each, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def from_chunk(chunk: Chunk, segment: str, market: ManifestMarket) -> pa.Table:
    """A portion of `books` from flat arrays, in order, without a Python object for each value."""
    schema = schema_of(BOOKS)
    numbers = _in_order(chunk)
    prices = pa.array(chunk.levels.prices, pa.int32())
    sizes = pa.array(chunk.levels.sizes, pa.int64())
    given: dict[str, Any] = {
        "outcome": _coded([market.tokens.get(each, "") for each in chunk.tokens], numbers["token"]),
        "token_id": _coded(chunk.tokens, numbers["token"]),
        "hash": pa.array(chunk.hashes, pa.string()).take(numbers["at"]),
        "hash_verdict": _coded(chunk.verdicts, numbers["verdict"]),
        "flags": _coded(chunk.flag_sets, numbers["flags"], "list<text>"),
        "collector_version": _coded(chunk.versions, numbers["version"]),
        "texts": _texts(chunk).take(numbers["at"]),
    }
    for name in _AS_THEY_ARE:
        given[name] = numbers[name]
    for name, kind in _OF_TAIL.items():
        given[name] = _coded([getattr(each, name) for each in chunk.tails], numbers["tail"], kind)
    for side, ids, ends in (
        ("bid", chunk.bid_ids, chunk.bid_ends),
        ("ask", chunk.ask_ids, chunk.ask_ends),
    ):
        lists = pa.ListArray.from_arrays(_numbers(ends), _numbers(ids)).take(numbers["at"])
        last = _last(lists)
        for what, values in (("price", prices), ("size", sizes)):
            kind = schema.field(name := f"{side}_{what}_micros").type
            taken = values.take(lists.values)
            given[name] = pa.ListArray.from_arrays(lists.offsets, taken, type=kind)
            given[f"best_{side}_{_BEST[what]}"] = values.take(last)
    given["mid_half_micros"] = pc.add(given["best_bid_micros"], given["best_ask_micros"])
    given["spread_micros"] = pc.subtract(given["best_ask_micros"], given["best_bid_micros"])
    for name, value in (
        *(("source", "rest"), ("slug", market.slug), ("series", market.series)),
        *(("condition_id", market.condition_id), ("segment", segment)),
    ):
        given[name] = pa.repeat(pa.scalar(value, pa.string()), chunk.rows)
    return pa.Table.from_arrays([given[name] for name in schema.names], schema=schema)


_BEST = {"price": "micros", "size": "size_micros"}
_AS_THEY_ARE = ("due_ms", "recv_wall_ns", "recv_mono_ns", "send_wall_ns", "venue_ms", "row")
_OF_TAIL = {
    "tick_micros": "int32",
    "min_order_size_micros": "int64",
    "neg_risk": "bool",
    "last_trade_price_micros": "int32",
}


def _in_order(chunk: Chunk) -> dict[str, pa.Array]:
    """The numbers of a chunk's rows in the table's order; `at` is where each row stands in it."""
    ranks = {token: rank for rank, token in enumerate(sorted(chunk.tokens))}
    rank = pa.array([ranks[each] for each in chunk.tokens], pa.int64())
    keys = {name: _numbers(getattr(chunk, name)) for name in ("token", "recv_wall_ns", "row")}
    keys["token"] = rank.take(keys["token"])
    at = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    names = (*_AS_THEY_ARE, "token", "tail", "verdict", "version", "flags")
    return {"at": at} | {name: _numbers(getattr(chunk, name)).take(at) for name in names}


def _texts(chunk: Chunk) -> pa.Array:
    if not chunk.texts:
        return pa.nulls(chunk.rows, pa.string())
    return pa.array([chunk.texts.get(at) for at in range(chunk.rows)], pa.string())


def _numbers(values: "array[int]") -> pa.Array:
    """An array's numbers; copied, so that it may grow."""
    kind = pa.int32() if values.typecode == "i" else pa.int64()
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values.tobytes())])


def _coded(values: Sequence[object], codes: pa.Array, kind: str = "text") -> pa.Array:
    return pa.array(list(values), _type_of(kind)).take(codes)


def _last(lists: pa.ListArray) -> pa.Array:
    """The last element of each list; null where there is none."""
    stops = lists.offsets
    starts, stops = stops.slice(0, len(stops) - 1), stops.slice(1)
    some = pc.if_else(pc.greater(stops, starts), pc.subtract(stops, 1), None)
    return lists.values.take(some)


def in_order(table: Table, portions: list[pa.Table]) -> Iterator[pa.Table]:
    """The rows of portions in the table's order, some at a time; the list is emptied.

    Portions of `books` are of one market each and in order: market by market, only one is there
    twice, and one that comes in a single portion not even that.
    """
    first = table.order[0]
    if table is not BOOKS:
        yield from _sorted(table, portions)
        return
    portions.sort(key=lambda each: str(each[first][0]), reverse=True)
    while portions:
        name, market = portions[-1][first][0], []
        while portions and portions[-1][first][0] == name:
            market.append(portions.pop())
        yield from market if len(market) == 1 else _sorted(table, market)


def _sorted(table: Table, portions: list[pa.Table]) -> Iterator[pa.Table]:
    if not portions:
        return
    whole = pa.concat_tables(portions).combine_chunks()
    portions.clear()
    # A portion of `books` is of one market: its first key is the same in every row.
    keys = table.order[1:] if table is BOOKS else table.order
    order = pc.sort_indices(whole, sort_keys=[(name, "ascending") for name in keys])
    for start in range(0, len(order), ROW_GROUP_ROWS):
        yield whole.take(order.slice(start, ROW_GROUP_ROWS))


class Sink:
    """A Parquet file being written: rows in, in order; row groups out."""

    def __init__(self, path: Path, table: Table, row_group_rows: int = ROW_GROUP_ROWS) -> None:
        self.rows = 0
        self._schema = schema_of(table)
        self._group_rows = row_group_rows
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        texts = [each for each in table.columns if each.kind == "text" and each.name != "hash"]
        lists = [each for each in table.columns if each.kind == "list<text>"]
        flat = [each.name for each in table.columns if not each.kind.startswith("list")]
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=_ZSTD_LEVEL,
            use_dictionary=[
                *(each.name for each in texts),
                *(f"{each.name}.list.element" for each in lists),
            ],
            write_statistics=flat,
        )

    def add(self, portion: pa.Table) -> None:
        """More rows, behind all those before in the table's order."""
        self._pending.append(portion)
        self._pending_rows += len(portion)
        self.rows += len(portion)
        if self._pending_rows >= self._group_rows:
            self._write(self._group_rows)

    def _write(self, at_least: int) -> None:
        waiting = pa.concat_tables(self._pending)
        start = 0
        while len(waiting) - start >= at_least:
            group = waiting.slice(start, self._group_rows)
            if not len(group):
                break
            self._writer.write_table(group.combine_chunks(), self._group_rows)
            start += len(group)
        rest = waiting.slice(start)
        self._pending, self._pending_rows = [rest] if len(rest) else [], len(rest)

    def close(self, sources: Sequence[dict[str, object]]) -> int:
        """End the file, saying what it was made from; returns its rows."""
        if self._pending:
            self._write(1)
        told = json.dumps(list(sources), sort_keys=True, separators=(",", ":"))
        self._writer.add_key_value_metadata({"orderbooks.sources": told})
        self._writer.close()
        return self.rows

    def abandon(self) -> None:
        """Let go of the file without ending it."""
        self._pending = []
        self._writer.close()


def opened(path: Path, table: Table) -> pq.ParquetFile:
    """A file of a table, for `of_today`.

    Raises:
        Refused: no Parquet, another schema number, a column that is not what it has to be.
    """
    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        own = file.schema_arrow
    except (pa.ArrowException, ValueError) as error:
        raise Refused(f"read {path}: {str(error)[:200]}") from error
    told = (own.metadata or {}).get(b"orderbooks.schema", b"").decode()
    wrong = [] if told == table.schema else [f"schema is {told!r}, expected {table.schema!r}"]
    for each in schema_of(table):
        found = own.field(each.name).type if each.name in own.names else None
        if found != each.type and not (found is None and each.nullable):
            wrong.append(f"column {each.name} is {found}, expected {each.type}")
    if wrong:
        raise Refused(f"read {path}: its {wrong[0]}; `orderbooks rebuild` makes it anew")
    return file


def of_today(file: pq.ParquetFile, table: Table, numbers: Sequence[int]) -> pa.Table:
    """Some row groups with the columns of today: null where one was added since."""
    found, names = file.read_row_groups(list(numbers), use_threads=False), schema_of(table).names
    for at, each in enumerate(schema_of(table)):
        if each.name not in found.schema.names:
            found = found.add_column(at, each, pa.nulls(len(found), each.type))
    return found.select(names)


def groups(path: Path, table: Table) -> Iterator[pa.Table]:
    """The row groups of a file, one after the other; Refused for damage, wherever it is."""
    file = opened(path, table)
    try:
        with file:
            for number in range(file.metadata.num_row_groups):
                yield of_today(file, table, [number])
    except (pa.ArrowException, ValueError, OSError) as error:
        raise Refused(f"read {path}: {str(error)[:200]}") from error


def let_go() -> None:
    """Give memory that is not in use back to the system: 20 MB after some thousand books."""
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
