"""Sorted files read as one sorted sequence, a row group of each at a time.

Reads     Parquet files made here
Promises  memory is one row group of each file; rows come in the table's order
Fails     Refused for a file that is none of ours
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from workers.core.tables.columns import Table
from workers.edge import parquet

Key = tuple[Any, ...]


class _Cursor:
    """A sorted file, read a row group at a time from its beginning."""

    def __init__(self, path: Path, table: Table) -> None:
        self._file, self._table = parquet.opened(path, table), table
        self._order = table.order
        self._next_group = 0
        self._group: Any = None
        self._at = 0
        self._advance()

    def _advance(self) -> None:
        self._group, self._at = None, 0
        while self._group is None and self._next_group < self._file.metadata.num_row_groups:
            found = parquet.of_today(self._file, self._table, [self._next_group])
            self._next_group += 1
            self._group = found if len(found) else None
        if self._group is None:
            self._file.close()

    @property
    def is_over(self) -> bool:
        return self._group is None

    def key(self, at: int | None = None) -> Key:
        group = self._group
        assert group is not None  # noqa: S101 - asked only while not over
        place = self._at if at is None else at
        return tuple(group[name][place].as_py() for name in self._order)

    def take(self, limit: Key | None) -> Any:  # noqa: ANN401 - an Arrow table
        """The rows up to and with `limit`, as far as this row group has them; at least one."""
        group = self._group
        assert group is not None  # noqa: S101 - as above
        low, high = self._at + 1, len(group)
        if limit is not None and self.key(high - 1) > limit:
            while low < high:
                middle = (low + high) // 2
                low, high = (low, middle) if self.key(middle) > limit else (middle + 1, high)
        end = high
        found = group.slice(self._at, end - self._at)
        self._at = end
        if end == len(group):
            self._advance()
        return found


def merged(table: Table, paths: Iterable[Path]) -> Iterator[Any]:
    """The rows of sorted files as one sorted sequence of portions.

    Memory: one row group of each file.
    """
    cursors = [cursor for path in paths if not (cursor := _Cursor(path, table)).is_over]
    while cursors:
        cursors.sort(key=_Cursor.key)
        first = cursors[0]
        yield first.take(cursors[1].key() if len(cursors) > 1 else None)
        if first.is_over:
            cursors.pop(0)
