"""One derived file in the making: rows in any order, a sorted Parquet file out.

Writes    drafts beside the place of the file, `.…tmp`
Promises  memory is bounded whatever the number of rows: what does not fit is sorted, set aside in
          a run of its own, and merged at the end; the bytes are the same as without that
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from workers.core.tables.columns import Table
from workers.core.tables.manifests import Source
from workers.edge import durable, parquet
from workers.edge.derived.merging import merged

#: Rows are held up to about this many bytes, and once more while they are sorted.
RUN_BYTES = 16 << 20
#: Files that are merged at once: each costs its row group and 4 MB of pyarrow's own.
FAN_IN = 4
#: A run is read back once, in small groups.
_RUN_GROUP_ROWS = 250


class Draft:
    """Rows of one table and hour; its one owner adds, then finishes or abandons it."""

    def __init__(self, path: Path, table: Table, run_bytes: int = RUN_BYTES) -> None:
        self.path, self.rows = path, 0
        self._table, self._run_bytes = table, run_bytes
        self._held: list[Any] = []
        self._held_bytes = 0
        self._runs: list[Path] = []
        self._numbers = 0
        self._sink: parquet.Sink | None = None

    def add(self, portion: Any) -> None:  # noqa: ANN401 - an Arrow table; pyarrow has one owner
        """More rows, in any order."""
        if not len(portion):
            return
        self._held.append(portion)
        self._held_bytes += portion.nbytes
        self.rows += len(portion)
        if self._held_bytes > self._run_bytes:
            self._set_aside()

    def add_rows(self, rows: Sequence[Sequence[object]]) -> None:
        """The same from values."""
        if rows:
            self.add(parquet.from_rows(self._table, rows))

    def settle(self) -> None:
        """Whatever was added comes before whatever follows: it can be written for good."""
        if self._held and self._runs:
            self._set_aside()
        while len(self._runs) > FAN_IN:
            some, path = self._runs[:FAN_IN], self._run_path()
            merge(self._table, some, path, [], _RUN_GROUP_ROWS)
            self._runs = [*self._runs[FAN_IN:], path]
            _remove(some)
        if self._sink is None:
            self._sink = parquet.Sink(self.path, self._table)
        self._pour(self._sink)
        for portion in merged(self._table, self._runs):
            self._sink.add(portion)
        _remove(self._runs)
        self._runs = []

    def finish(self, sources: Sequence[Source]) -> Path:
        """The finished draft."""
        self.settle()
        if self._sink is not None:
            self._sink.close([msgspec.to_builtins(each) for each in sorted(sources)])
        parquet.let_go()
        return self.path

    def abandon(self) -> None:
        """Remove whatever was written."""
        if self._sink is not None:
            self._sink.abandon()
        _remove([*self._runs, self.path])
        self._held = []

    def _run_path(self) -> Path:
        self._numbers += 1
        return self.path.with_name(f"{self.path.name.removesuffix('.tmp')}.{self._numbers}.tmp")

    def _set_aside(self) -> None:
        """What is held becomes a run."""
        self._runs.append(self._run_path())
        sink = parquet.Sink(self._runs[-1], self._table, _RUN_GROUP_ROWS)
        self._pour(sink)
        sink.close([])
        parquet.let_go()

    def _pour(self, sink: parquet.Sink) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        for group in parquet.in_order(self._table, held):
            sink.add(group)


def merge(
    table: Table,
    paths: Sequence[Path],
    target: Path,
    sources: Sequence[dict[str, object]],
    row_group_rows: int = parquet.ROW_GROUP_ROWS,
) -> int:
    """Merge sorted files into one; returns its rows."""
    sink = parquet.Sink(target, table, row_group_rows)
    for portion in merged(table, paths):
        sink.add(portion)
    rows = sink.close(sources)
    parquet.let_go()
    return rows


def _remove(paths: Sequence[Path]) -> None:
    for path in paths:
        durable.remove(path)
