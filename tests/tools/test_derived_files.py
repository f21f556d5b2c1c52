"""Derived files in the rest of the house: verified, shipped, drilled, let go, brought back."""

import json
import random
from pathlib import Path

import pytest

from tests.edge.derived.raw import recorded
from tests.remotes.servers import Local
from tests.tools.archives import HOUR_MS
from tests.tools.offloading import NOW_MS, Yard
from workers.core.offload.retention import Candidate
from workers.core.settings.settings import Retention
from workers.edge.derived import hours, mending, shelf
from workers.edge.derived.shelf import Batch
from workers.edge.offload import drill
from workers.edge.offload.courier import Said
from workers.edge.offload.drill import Drilled
from workers.edge.offload.foreground import finished
from workers.edge.spool import locks, outbox, tables
from workers.edge.spool.directory import DataDir
from workers.tools.__main__ import main

DAY = ("--day", "2026-04-16")
RANGE = ("--from", "2026-04-16T07:00", "--to", "2026-04-16T09:00")
FILES = {"books": 1, "gaps": 2, "markets": 1, "requests": 2, "stats": 1}


@pytest.fixture
def yard(tmp_path: Path):
    """A recorded archive with all its tables, shipped to a directory."""
    fleet = recorded(tmp_path / "var")
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    assert 0 == fleet.orderbooks("rebuild", *RANGE, "--jobs", "1")
    for hour_ms, _ in shelf.hours(fleet.data, "gaps"):
        for each in shelf.standing(fleet.data, "gaps", hour_ms):
            shelf.issue(fleet.data, each)
    locks.release_all()
    with Local(tmp_path / "far") as remote:
        made = Yard(fleet, remote, tmp_path)
        made.ship_all()
        yield made


def is_derived(each: Candidate) -> bool:
    return tables.is_derived(each.facts.path)


def books(yard: Yard) -> Path:
    """The one derived file of books."""
    (found,) = shelf.standing(yard.data, "books", HOUR_MS)
    return yard.data.root / found.path


def verify(data: DataDir, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = main(["verify", "--data", str(data.root), "--jobs", "1", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def restored(yard: Yard, back: Path, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("restore", "--to", str(back), *words, "--jobs", "1", "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def drilled(yard: Yard, path: Path) -> Drilled:
    job = drill.drilled(yard._crew.courier, yard.data, yard.data.relative(path), said := Said())
    found = finished(job)
    assert said.failure is None
    return found


# ── verify ────────────────────────────────────────────────────────────────────────────────────


def test_verify_counts_the_derived_files_and_finds_them_whole(yard: Yard, capsys):
    code, report = verify(yard.data, capsys)

    assert (0, FILES) == (code, report["derived"]["files"])
    assert [] == report["problems"]
    assert 0 == main(["verify", "--data", str(yard.data.root), "--jobs", "2"])
    assert "derived   1 books, 2 gaps" in capsys.readouterr().out


def flipped(path: Path) -> None:
    found = path.read_bytes()
    path.write_bytes(found[:200] + bytes((found[200] ^ 4,)) + found[201:])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (flipped, "sha256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes"),
        (Path.unlink, "nothing says that it was let go"),
        (lambda path: path.with_name(f"{path.stem}.manifest.json").write_text("{"), "read"),
        (lambda path: path.with_name("note.txt").write_text("x"), "stray"),
        (lambda path: path.rename(path.parents[1] / path.name), "nothing says"),
    ],
    ids=["flipped", "cut", "missing", "manifest", "stray", "moved"],
)
def test_damage_of_a_derived_file_is_named(yard: Yard, capsys, how, said: str):
    path = books(yard)
    how(path)

    code, report = verify(yard.data, capsys)

    assert 1 == code
    assert all(each["path"].startswith("derived/books/") for each in report["problems"])
    assert any(said in each["detail"] for each in report["problems"])


def test_a_source_that_is_another_now_or_gone_is_named(yard: Yard, capsys):
    manifest = shelf.standing(yard.data, "stats", HOUR_MS)[0]
    path = yard.data.root / manifest.path.replace(".parquet", ".manifest.json")
    whole = path.read_text()
    one = manifest.sources[0]
    for old, new, said in (
        (one.sha256, "0" * 64, "it was made from"),
        (one.name, one.name.replace("-1-", "-9-"), "is not here"),
    ):
        path.write_text(whole.replace(old, new, 1))
        code, report = verify(yard.data, capsys)
        assert 1 == code
        assert any(said in each["detail"] for each in report["problems"]), said


def test_what_another_file_replaces_may_be_half_gone_and_a_lone_file_is_a_note(yard: Yard, capsys):
    path = books(yard)
    flipped(path)
    ticket = yard.data.queue("upload") / f"{path.stem}.done"
    ticket.rename(ticket.with_suffix(".ready"))
    assert 0 == yard.fleet.orderbooks("rebuild", *RANGE, "--jobs", "1")
    locks.release_all()
    assert path.exists(), "it waits for the uploader"
    path.unlink()
    (path.parent / "books--20260416T08--0000000000000000.parquet").write_bytes(b"x")

    code, report = verify(yard.data, capsys)

    assert (0, []) == (code, report["problems"])
    assert any("sweeps it" in each for each in report["notes"])


def test_only_the_derived_files_that_are_named_are_read(yard: Yard, capsys):
    path = books(yard)
    code, report = verify(yard.data, capsys, str(path))
    assert (0, {"books": 1}, {}) == (code, report["derived"]["files"], report["segments"])
    flipped(path)

    assert 1 == verify(yard.data, capsys, str(path.parent))[0]
    assert 0 == verify(yard.data, capsys, str(yard.data.root / "derived/stats"))[0]


# ── the remote ────────────────────────────────────────────────────────────────────────────────


def test_a_derived_file_has_the_name_of_its_ticket(yard: Yard):
    for path in tables.manifest_paths(yard.data):
        stem = path.name.removesuffix(".manifest.json")
        parquet = path.with_name(f"{stem}.parquet")
        assert stem == outbox.name_of(yard.data.relative(parquet))
        assert stem == outbox.name_of(yard.data.relative(path))
        assert outbox.is_offloaded(yard.data, parquet)


def test_a_drill_may_draw_a_derived_file_and_reads_every_row_group_of_it(yard: Yard):
    dice = random.Random(1)
    drawn = {outbox.offloaded_one(yard.data, dice.random) for _ in range(200)}
    derived = {each for each in drawn if each is not None and tables.is_derived(each)}

    assert {each.split("/")[1] for each in derived} == set(FILES)
    assert 0 < len(derived) < len(drawn)
    assert Drilled(books(yard).stat().st_size, 180, []) == drilled(yard, books(yard))


def test_a_drill_finds_another_derived_file_on_the_remote(yard: Yard):
    path = books(yard)
    yard.remote.spoil(yard.data.relative(path))

    found = drilled(yard, path)

    assert any("sha256" in each for each in found.problems)
    yard.remote.vanish(yard.data.relative(path.with_name(f"{path.stem}.manifest.json")))
    job = drill.drilled(yard._crew.courier, yard.data, yard.data.relative(path), said := Said())
    assert finished(job).problems or said.failure is not None


def test_retention_lets_a_derived_file_go_and_everything_goes_on(yard: Yard, capsys):
    bars = {each.facts.path: each.bar for each in outbox.candidates(yard.data)}
    assert {""} == {bar for path, bar in bars.items() if tables.is_derived(path)}
    gone = yard.let_go(is_derived)

    assert sum(FILES.values()) == len(gone.files)
    assert [] == list((yard.data.root / "derived").rglob("*.parquet"))
    assert [] == [
        each for each in yard.data.queue("upload").iterdir() if "books--2026" in each.name
    ]
    assert [] == hours.untidy(yard.data)
    assert outbox.is_offloaded(yard.data, yard.data.root / gone.files[0].path)
    code, report = verify(yard.data, capsys)
    assert (0, sum(FILES.values())) == (code, report["derived"]["offloaded"])
    assert mending.compact(Batch(yard.data, {}, 1), HOUR_MS, "books") is None


def test_a_derived_file_is_old_by_the_hour_that_it_holds(yard: Yard):
    ends = {each.ended_ms for each in outbox.candidates(yard.data) if is_derived(each)}

    assert {HOUR_MS, HOUR_MS + 3_600_000} == ends
    assert NOW_MS > max(ends)
    assert Retention().keep_days == 0


def test_the_ledger_is_asked_for_derived_files_too(yard: Yard, capsys):
    assert 0 == yard.orderbooks("offload", "verify")
    yard.remote.vanish(yard.data.relative(books(yard)))
    capsys.readouterr()

    assert 1 == yard.orderbooks("offload", "verify")
    assert books(yard).name in capsys.readouterr().out


def test_a_day_comes_back_with_its_tables_when_they_are_asked_for(
    yard: Yard, tmp_path: Path, capsys
):
    yard.let_go(is_derived)
    code, report = restored(yard, tmp_path / "raw", capsys, *DAY)
    assert (0, {}) == (code, report["derived"])
    assert not (tmp_path / "raw/derived").exists()

    back = DataDir(tmp_path / "back")
    code, report = restored(yard, back.root, capsys, *DAY, "--derived")

    assert (0, [], FILES) == (code, report["problems"], report["derived"])
    code, report = verify(back, capsys)
    assert (0, FILES) == (code, report["derived"]["files"])
    words = ("--market", "btc-updown-5m-1", "--derived")
    report = restored(yard, tmp_path / "m", capsys, *words)[1]
    assert {"books": 1, "gaps": 1, "requests": 1, "stats": 1} == report["derived"]
    assert 0 == verify(DataDir(tmp_path / "m"), capsys)[0], "its sources are elsewhere"


def test_a_table_that_is_damaged_or_half_on_the_remote_is_told(yard: Yard, tmp_path: Path, capsys):
    path = books(yard)
    yard.remote.spoil(yard.data.relative(path))
    stats = shelf.standing(yard.data, "stats", HOUR_MS)[0].path
    yard.remote.vanish(stats)

    code, report = restored(yard, tmp_path / "back", capsys, *DAY, "--derived")

    assert 1 == code
    said = {(place.split("/")[1], what.partition(":")[0]) for place, what in report["problems"]}
    assert ("books", "manifest") in said
    assert ("stats", "its data file is not on the remote") in said


def test_tables_of_single_files_cannot_be_asked_for(yard: Yard, tmp_path: Path, capsys):
    name = yard.fleet.segments("books")[0].name

    assert 2 == restored(yard, tmp_path / "back", capsys, name, "--derived")[0]


def test_everything_comes_with_tables_only_when_they_are_asked_for(
    yard: Yard, tmp_path: Path, capsys
):
    assert {} == restored(yard, tmp_path / "raw", capsys, "--all")[1]["derived"]
    assert FILES == restored(yard, tmp_path / "both", capsys, "--all", "--derived")[1]["derived"]
