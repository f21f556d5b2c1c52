"""Reads the rows of a derived file. Used by tests only."""

from pathlib import Path
from typing import Any

from workers.core.tables.tables import TABLES
from workers.edge import parquet


def rows_of(path: Path, table: str) -> list[dict[str, Any]]:
    """Every row, by the names of its columns."""
    return [row for group in parquet.groups(path, TABLES[table]) for row in group.to_pylist()]
