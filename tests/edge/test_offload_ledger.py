"""Whoever misses a file asks the ledger of retention, and opens of it what can know of the file."""

import sys
from pathlib import Path

import msgspec
import pytest

from tests.tools.archives import HOUR_MS, Worker, whole_minute
from workers.core.archive.segments import segment_folder
from workers.core.instants import MS_PER_HOUR, utc_text
from workers.core.offload.offload import GoneRow, RetentionManifest
from workers.edge.derived import gaps
from workers.edge.derived.shelf import Batch
from workers.edge.offload import ledger
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Stream

HOURS = 12
_opened: list[str] | None = None


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _opened is not None:
        _opened.append(str(arguments[0]))


sys.addaudithook(_hear)


@pytest.fixture
def opened():
    """The retention files that this process opens."""
    global _opened  # noqa: PLW0603 - an audit hook cannot be taken away again
    _opened = []
    yield lambda: [each for each in _opened or [] if "retention" in each]
    _opened = None


def path_of(hour: int) -> str:
    return f"{segment_folder('books', HOUR_MS + hour * MS_PER_HOUR)}/x.jsonl.gz"


class Sweeps:
    """An uploader that lets go of the files of an hour, one sweep an hour."""

    def __init__(self, root: Path) -> None:
        self.data = DataDir(root)
        self.data.prepare()
        self._worker = Worker(self.data, "uploader", HOUR_MS, None, None)

    def sweep(self, at_hour: int, hour: int) -> None:
        """A row, in `at_hour`, on the file of `hour`; it is on the disk, not yet published."""
        at_ms = HOUR_MS + at_hour * MS_PER_HOUR
        row = RetentionManifest(
            batch=f"uploader.1.{at_hour}",
            step="listed",
            remote="far:",
            at_utc=utc_text(at_ms * 1_000_000),
            files=[GoneRow(path=path_of(hour), bytes=1, sha256="s", proof="sha256", reason="over")],
            bytes=1,
        )
        stream = Stream(subject="uploader", kind="retention")
        line = msgspec.json.encode(row) + b"\n"
        self._worker.recorder.append(stream, line, due_ms=at_ms, wall_ns=at_ms * 1_000_000)
        self._worker.flush(at_ms)

    def publish(self, at_hour: int) -> None:
        """Seal what is open."""
        self._worker.publish(HOUR_MS + at_hour * MS_PER_HOUR)


@pytest.fixture
def sweeps(tmp_path: Path):
    """Each hour's file went three hours later; all is published."""
    made = Sweeps(tmp_path)
    for hour in range(HOURS):
        made.sweep(hour + 3, hour)
        made.publish(hour + 3)
    yield made
    locks.release_all()


def test_nothing_is_opened_before_a_file_is_missed(sweeps: Sweeps, opened):
    gone = ledger.Gone(sweeps.data)
    assert [] == opened()
    assert path_of(HOURS - 1) in gone
    assert 0 < len(opened())


def test_what_retention_wrote_before_the_hour_of_a_file_is_not_opened(sweeps: Sweeps, opened):
    gone = ledger.Gone(sweeps.data)
    found = gone.get(path_of(8))
    assert found is not None
    assert ("far:", "uploader.1.11") == (found.remote, found.batch)
    # Of hours 8 to 14 those that something was written in, manifest and data.
    assert 2 * 7 == len(opened())
    assert path_of(10) in gone
    assert 2 * 7 == len(opened())
    assert path_of(4) in gone
    assert 2 * 11 == len(opened())


def test_a_file_that_a_clock_set_back_let_go_before_its_hour_is_found(sweeps: Sweeps):
    sweeps.sweep(HOURS + 3, HOURS + 9)
    sweeps.publish(HOURS + 3)
    assert path_of(HOURS + 9) in ledger.Gone(sweeps.data)
    assert path_of(HOURS + 8) not in ledger.Gone(sweeps.data)


def test_a_file_that_went_after_the_first_question_is_found_by_the_second(sweeps: Sweeps):
    gone = ledger.Gone(sweeps.data)
    assert path_of(HOURS) not in gone
    sweeps.sweep(HOURS + 3, HOURS)
    assert path_of(HOURS) in gone, "in an open segment"
    sweeps.sweep(HOURS + 4, HOURS + 1)
    sweeps.publish(HOURS + 4)
    assert path_of(HOURS + 1) in gone, "in a published one"


def test_it_says_what_the_whole_list_says(sweeps: Sweeps):
    gone = ledger.Gone(sweeps.data)
    for path, row in ledger.released(sweeps.data, []).items():
        assert row == gone.get(path)
    assert HOURS == len(ledger.released(sweeps.data, []))
    assert "" not in gone
    assert "health/x" not in gone


def test_an_hour_that_is_here_is_closed_without_retention(tmp_path: Path, opened):
    fleet = whole_minute(tmp_path)
    sweeps = Sweeps(tmp_path)
    for hour in range(3):
        sweeps.sweep(hour, hour)
        sweeps.publish(hour)
    locks.release_all()
    before = opened()
    gaps.anew(Batch(fleet.data, {"orderbooks": "0"}, 1), HOUR_MS, ledger.Gone(fleet.data))
    assert before == opened()
