"""Derived files of an earlier version: read as far as they go, merged, or left with the reason."""

from pathlib import Path

import pytest

from tests.derived_rows import rows_of
from tests.edge.derived.older import aged
from tests.edge.derived.raw import batch, segments
from tests.edge.derived.streams import two_legs
from tests.rig import wait_for
from tests.tools.archives import HOUR_MS
from workers.core.tables.manifests import TableManifest
from workers.edge.derived import build, mending, shelf
from workers.edge.derived.hours import Untidy
from workers.edge.derived.shift import Job, Told, tidy
from workers.edge.spool.directory import DataDir


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    """Two segments of the stream, each in files of its own."""
    found = two_legs(tmp_path)
    for segment in segments(found, "frames"):
        build.build(batch(found), HOUR_MS, "frames", [segment])
    return found


def standing(data: DataDir, table: str) -> list[TableManifest]:
    return shelf.standing(data, table, HOUR_MS)


def tidied(data: DataDir, *tables: str) -> Told:
    """What a job that tidies these tells."""
    told = wait_for(Job(tidy([Untidy(HOUR_MS, each) for each in tables]), batch(data)).poll)
    assert isinstance(told, Told)
    return told


def rows(data: DataDir, table: str) -> list[dict[str, object]]:
    found = [row for each in standing(data, table) for row in rows_of(data.root / each.path, table)]
    return sorted(found, key=lambda row: (row["segment"], row["row"]))


def test_a_column_that_was_added_since_is_null_in_the_merged_file(data: DataDir):
    older = aged(data, "changes", "texts", "best_bid_micros")
    parts, before = [each.name for each in standing(data, "changes")], rows(data, "changes")
    told = tidied(data, "changes", "snapshots")

    assert "" == told.problem
    assert ["changes", "snapshots"] == [each.table for each in told.made]
    (merged,) = standing(data, "changes")
    assert parts == merged.replaces
    assert before == rows(data, "changes")
    of_older = {each.name for each in older.sources}
    for row in before:
        assert (row["segment"] in of_older) == (row["best_bid_micros"] is None)


@pytest.mark.parametrize(
    ("gone", "schema", "reason"),
    [
        (["seq"], "", "column seq is None, expected int64"),
        ([], "orderbooks.changes/0", "schema is 'orderbooks.changes/0'"),
    ],
)
def test_what_cannot_be_merged_stays_with_its_reason_and_holds_up_no_other(
    data: DataDir, gone: list[str], schema: str, reason: str
):
    older = aged(data, "changes", *gone, schema=schema)
    before = standing(data, "changes")
    told = [tidied(data, "changes", "snapshots") for _ in range(2)]

    assert ["snapshots"] == [each.table for each in told[0].made]
    assert before == standing(data, "changes")
    for each in told:
        assert older.path in each.problem
        assert reason in each.problem
        assert "orderbooks rebuild" in each.problem
    assert [] == list((data.root / "derived").rglob("*.tmp"))

    mending.rebuild(batch(data), HOUR_MS, "frames", segments(data, "frames"))
    assert "" == tidied(data, "changes").problem
    assert 1 == len(standing(data, "changes"))
    assert 0 == sum(each["hash_verdict"] == "failed" for each in rows(data, "changes"))


def test_an_hour_of_an_earlier_version_takes_a_segment_that_comes_late(data: DataDir):
    """The rows of a file of an earlier version stand: they are not derived again."""
    aged(data, "changes", "texts")
    made = build.build(batch(data), HOUR_MS, "frames", segments(data, "frames"))

    assert [] == made
