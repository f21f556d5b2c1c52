"""Price changes that go from derived hours for their age: what stays, what is told, what is safe."""

from pathlib import Path

import pytest

from tests.derived_rows import rows_of
from tests.edge.derived.raw import batch, segments
from tests.edge.derived.streams import two_legs
from tests.tools.archives import HOUR_MS
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR
from workers.core.tables.manifests import TableManifest
from workers.core.tables.tables import TABLES_OF_KIND
from workers.edge.derived import build, hours, mending, pruning, shelf
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir

OVER_MS = HOUR_MS + MS_PER_HOUR


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """Two legs in two segments, derived."""
    data = two_legs(tmp_path)
    build.build(batch(data), HOUR_MS, "frames", segments(data, "frames"))
    locks.release_all()
    return data


def the(data: DataDir, table: str = "changes") -> TableManifest:
    (found,) = shelf.standing(data, table, HOUR_MS)
    return found


def others(data: DataDir) -> dict[str, bytes]:
    """Every other file of the archive."""
    places = (path for top in ("raw", "derived") for path in (data.root / top).rglob("*"))
    found = {data.relative(path): path for path in places if path.is_file()}
    return {n: path.read_bytes() for n, path in found.items() if "/changes/" not in n}


def test_changes_of_an_hour_go_and_all_else_stays(data: DataDir):
    whole, before = the(data), others(data)

    made = pruning.prune(batch(data), HOUR_MS, frozenset())

    assert the(data) == made
    assert (0, whole.rows, whole.sources) == (made.rows, made.pruned, made.sources)
    assert [] == rows_of(data.root / made.path, "changes")
    assert [whole.name] == made.replaces
    assert not (data.root / whole.path).exists()
    assert before == others(data)
    assert pruning.prune(batch(data), HOUR_MS, frozenset()) is None


def test_an_hour_is_due_once_it_is_so_old_and_until_it_is_pruned(data: DataDir):
    assert [] == hours.prunable(data, OVER_MS - 1)
    assert [HOUR_MS] == hours.prunable(data, OVER_MS)
    pruning.prune(batch(data), HOUR_MS, frozenset())
    assert [] == hours.prunable(data, OVER_MS)


def test_a_file_that_waits_for_the_uploader_stays_until_it_was_copied(data: DataDir):
    whole = the(data)
    shelf.issue(data, whole)

    made = pruning.prune(batch(data), HOUR_MS, frozenset())

    assert the(data) == made
    assert (data.root / whole.path).exists()


def test_an_hour_of_several_files_is_not_pruned(tmp_path: Path):
    data = two_legs(tmp_path)
    for each in segments(data, "frames"):
        build.build(batch(data), HOUR_MS, "frames", [each])
    assert 2 == len(shelf.standing(data, "changes", HOUR_MS))

    assert [] == hours.prunable(data, OVER_MS)
    assert pruning.prune(batch(data), HOUR_MS, frozenset()) is None

    mending.compact(batch(data), HOUR_MS, "changes")
    assert [HOUR_MS] == hours.prunable(data, OVER_MS)


def test_a_segment_that_comes_late_is_pruned_too_and_all_are_counted(tmp_path: Path):
    data = two_legs(tmp_path)
    early, late = segments(data, "frames")
    build.build(batch(data), HOUR_MS, "frames", [early])
    first = pruning.prune(batch(data), HOUR_MS, frozenset()).pruned
    build.build(batch(data), HOUR_MS, "frames", [late])

    merged = mending.compact(batch(data), HOUR_MS, "changes")
    assert (first, True) == (merged.pruned, merged.rows > 0)

    made = pruning.prune(batch(data), HOUR_MS, frozenset())
    assert (0, first + merged.rows) == (made.rows, made.pruned)


def test_rebuilding_brings_every_row_back(data: DataDir):
    whole = the(data)
    packed = (data.root / whole.path).read_bytes()
    pruning.prune(batch(data), HOUR_MS, frozenset())

    mending.rebuild(batch(data), HOUR_MS, "frames", segments(data, "frames"))

    assert (0, whole.rows) == (the(data).pruned, the(data).rows)
    assert packed == (data.root / the(data).path).read_bytes()


@pytest.mark.parametrize("gone", ["data", "manifest", "other"])
def test_what_could_not_be_made_again_is_kept(data: DataDir, gone: str):
    whole, manifest = the(data), segments(data, "frames")[0].manifest
    path = data.root / manifest.path
    beside = path.with_name(f"{manifest.name}.manifest.json")
    if gone == "other":
        told = beside.read_text()
        beside.write_text(told.replace(manifest.sha256, "0" * 64))
    else:
        (path if gone == "data" else beside).unlink()

    with pytest.raises(Refused, match=r"prune changes: .*") as error:
        pruning.prune(batch(data), HOUR_MS, frozenset())

    assert "restore" in error.value.hint
    assert the(data) == whole
    assert [] == [*(data.root / whole.path).parent.glob(".*")]


def test_a_segment_that_was_let_go_on_proof_is_no_obstacle(data: DataDir):
    found = {each.manifest.path for each in segments(data, "frames")}
    for each in found:
        (data.root / each).unlink()

    assert the(data).rows == pruning.prune(batch(data), HOUR_MS, found).pruned


def test_only_changes_are_ever_pruned(data: DataDir):
    pruning.prune(batch(data), HOUR_MS, frozenset())
    for table in TABLES_OF_KIND["frames"]:
        for each in shelf.standing(data, table, HOUR_MS):
            assert (table == "changes") == (each.pruned > 0)
