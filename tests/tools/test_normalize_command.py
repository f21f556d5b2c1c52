"""`orderbooks normalize` and `orderbooks rebuild`, as a person types them."""

from pathlib import Path

import pytest

from tests.edge.derived.raw import recorded, segments
from tests.tools.archives import HOUR_MS, Fleet
from workers.edge.derived import shelf
from workers.edge.spool import locks, reader, tickets

RANGE = ("--from", "2026-04-16T07:00", "--to", "2026-04-16T09:00")


@pytest.fixture
def fleet(tmp_path: Path):
    yield recorded(tmp_path)
    locks.release_all()


def test_everything_is_derived_into_one_file_an_hour_and_only_once(fleet: Fleet, capsys):
    assert 0 == fleet.orderbooks("normalize", "--jobs", "2")
    (books,) = shelf.standing(fleet.data, "books", HOUR_MS)
    assert 180 == books.rows
    assert [] == tickets.waiting(fleet.data, "normalize")
    capsys.readouterr()

    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    assert "books--" not in capsys.readouterr().out


def test_a_damaged_file_is_named_and_the_others_are_derived(fleet: Fleet, capsys):
    first = segments(fleet.data)[0]
    path = fleet.data.root / first.manifest.path
    path.write_bytes(path.read_bytes()[:-1])

    assert 1 == fleet.orderbooks("normalize", "--jobs", "1")
    assert first.name in capsys.readouterr().out
    assert 160 == sum(each.rows for each in shelf.standing(fleet.data, "books", HOUR_MS))


def test_a_file_outside_the_archive_is_refused(fleet: Fleet):
    assert 2 == fleet.orderbooks("normalize", "/etc/hostname")


def test_rebuild_changes_nothing_that_is_right_and_mends_what_is_not(fleet: Fleet, capsys):
    fleet.orderbooks("normalize", "--jobs", "1")
    assert 0 == fleet.orderbooks("rebuild", *RANGE)
    capsys.readouterr()
    assert 0 == fleet.orderbooks("rebuild", *RANGE)
    assert "2 hours: 0 files made anew" in capsys.readouterr().out
    (before,) = shelf.standing(fleet.data, "books", HOUR_MS)
    path = fleet.data.root / before.path
    path.write_bytes(path.read_bytes()[:-7])

    assert 0 == fleet.orderbooks("rebuild", *RANGE)
    (after,) = shelf.standing(fleet.data, "books", HOUR_MS)
    assert [before.name] == after.replaces
    assert (before.sha256, "") == (after.sha256, reader.damage(fleet.data, after))


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_rebuild_accounts_for_the_hours_that_are_over(fleet: Fleet, capsys, jobs: str):
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    assert [] == shelf.standing(fleet.data, "gaps", HOUR_MS)
    capsys.readouterr()

    assert 0 == fleet.orderbooks("rebuild", *RANGE, "--jobs", jobs)
    (gaps,) = shelf.standing(fleet.data, "gaps", HOUR_MS)
    assert {"due": 90, "CAPTURED": 90} == gaps.checks
    assert f"{gaps.name}  0 rows, replaces 0 files" in capsys.readouterr().out


def test_rebuild_names_an_hour_with_a_damaged_segment_and_goes_on(fleet: Fleet, capsys):
    fleet.orderbooks("normalize", "--jobs", "1")
    first = segments(fleet.data)[0]
    path = fleet.data.root / first.manifest.path
    path.write_bytes(path.read_bytes()[:-1])
    (before,) = shelf.standing(fleet.data, "books", HOUR_MS)

    assert 1 == fleet.orderbooks("rebuild", *RANGE, "--jobs", "2")
    told = capsys.readouterr()
    assert first.name in told.err
    assert "2 could not be made" in told.out
    assert [before] == shelf.standing(fleet.data, "books", HOUR_MS)
    assert [] == shelf.standing(fleet.data, "gaps", HOUR_MS)


def test_rebuild_of_no_time_is_refused(fleet: Fleet):
    assert 2 == fleet.orderbooks("rebuild", "--from", RANGE[1], "--to", RANGE[1])


def test_rebuild_leaves_an_hour_alone_of_which_a_manifest_cannot_be_read(fleet: Fleet, capsys):
    fleet.orderbooks("normalize", "--jobs", "1")
    path = fleet.manifests("books")[0]
    path.write_text("{")

    assert 1 == fleet.orderbooks("rebuild", *RANGE, "--jobs", "1")
    told = capsys.readouterr()
    assert path.name.removesuffix(".manifest.json") in told.err
    assert "1 could not be made" in told.out
    assert [] == shelf.standing(fleet.data, "gaps", HOUR_MS)
