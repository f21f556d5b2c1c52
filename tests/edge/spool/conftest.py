"""What the spool tests may ask for."""

from pathlib import Path

import pytest

from tests.edge.spool.bench import Bench
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An empty data directory with a recorder."""
    return Bench(DataDir(tmp_path / "data"))


@pytest.fixture(autouse=True)
def _let_go() -> object:
    yield
    locks.release_all()
