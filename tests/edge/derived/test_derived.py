"""Derived files: exact, reproducible, never from damage, each row in force once."""

import gzip
import hashlib
import json
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.derived_rows import rows_of
from tests.edge.derived.raw import batch, recorded, segments
from tests.tools.archives import HOUR_MS
from workers.core.books.payloads import Hashed, hash_of
from workers.core.errors import Refused
from workers.core.tables.columns import BOOKS
from workers.core.tables.manifests import TableManifest
from workers.core.tables.tables import TABLES
from workers.edge.derived import build, hours, mending, shelf, source
from workers.edge.derived.drafts import Draft
from workers.edge.derived.source import Unfit
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    return recorded(tmp_path).data


def books(data: DataDir) -> list[dict[str, object]]:
    """Every row in force, in the files' order."""
    found = []
    for manifest in shelf.standing(data, "books", HOUR_MS):
        found += rows_of(data.root / manifest.path, "books")
    return found


def in_parts(data: DataDir, parts: int) -> None:
    """Derive all books in that many batches."""
    every = segments(data)
    for part in range(parts):
        build.build(batch(data, part), HOUR_MS, "books", every[part::parts])


def bytes_of(data: DataDir, table: str) -> dict[str, bytes]:
    return {
        each.name: (data.root / each.path).read_bytes()
        for each in shelf.standing(data, table, HOUR_MS)
    }


def test_a_row_is_the_raw_row_and_its_hash_comes_back_from_the_columns(data: DataDir):
    made = build.build(batch(data), HOUR_MS, "books", segments(data))

    assert ["stats", "books"] == [each.table for each in made]
    assert {"hash_verified": 180, "empty_bid": 90, "empty_ask": 90} == made[1].checks
    rows = books(data)
    assert 180 == len(rows)
    lines = {
        each.name: [line for portion in source.portions(data, each) for line in portion]
        for each in segments(data)
    }
    for row in rows:
        raw = json.loads(lines[row["segment"]][row["row"]])
        assert raw["book"]["hash"] == row["hash"] == hash_of(msgspec.convert(row, Hashed))
        for key in ("due_ms", "recv_wall_ns", "recv_mono_ns", "send_wall_ns", "token_id"):
            assert raw[key] == row[key]
    key = [tuple(row[name] for name in BOOKS.order) for row in rows]
    assert key == sorted(key)


def test_every_column_says_its_unit_and_meaning_and_the_file_its_sources(data: DataDir):
    made = build.build(batch(data), HOUR_MS, "books", segments(data))[-1]
    schema = pq.read_schema(data.root / made.path)

    assert [each.name for each in BOOKS.columns] == schema.names
    for column in BOOKS.columns:
        told = schema.field(column.name).metadata
        assert column.meaning.encode() == told[b"meaning"]
        assert column.unit.encode() == told[b"unit"]
    assert b"orderbooks.books/1" == schema.metadata[b"orderbooks.schema"]
    told = pq.read_metadata(data.root / made.path).metadata
    sources = json.loads(told[b"orderbooks.sources"])
    assert {each.name: each.manifest.sha256 for each in segments(data)} == {
        each["name"]: each["sha256"] for each in sources
    }


def test_the_same_raw_gives_the_same_bytes_in_any_batches_and_runs(tmp_path: Path):
    once, parted, spilled = (recorded(tmp_path / name).data for name in ("a", "b", "c"))
    in_parts(once, 1)
    in_parts(parted, 4)
    assert 4 == len(shelf.standing(parted, "books", HOUR_MS))
    assert mending.compact(batch(parted), HOUR_MS, "books") is not None
    path = shelf.draft_path(spilled, "books", HOUR_MS, "x")
    draft = Draft(path, BOOKS, run_bytes=10_000)
    every = segments(spilled)
    parts = build.read_all(
        spilled,
        every,
        {
            "books": draft,
            **{name: Draft(path.with_name(name), TABLES[name]) for name in ("bad", "stats")},
        },
        {name: {} for name in ("bad", "stats", "books")},
    )
    facts = build.facts_of(batch(spilled), HOUR_MS, "books", parts)
    made = shelf.commit(spilled, draft.finish(facts.sources), facts)

    assert bytes_of(once, "books") == bytes_of(parted, "books")
    assert bytes_of(once, "books") == {made.name: (spilled.root / made.path).read_bytes()}
    assert [] == list((spilled.root / "derived/books").rglob("*.tmp"))


def test_a_segment_whose_rows_are_in_force_is_not_read_again(data: DataDir):
    in_parts(data, 2)
    before = bytes_of(data, "books")

    assert [] == build.build(batch(data), HOUR_MS, "books", segments(data))
    assert before == bytes_of(data, "books")


def test_merging_leaves_one_file_and_removes_the_replaced_ones(data: DataDir):
    in_parts(data, 3)
    before = {row["segment"]: 0 for row in books(data)}
    parts = {each.name for each in shelf.standing(data, "books", HOUR_MS)}
    made = mending.compact(batch(data), HOUR_MS, "books")

    assert made is not None
    assert parts == set(made.replaces)
    folder = (data.root / made.path).parent
    assert [made.name] == [each.stem for each in folder.glob("*.parquet")]
    assert 180 == len(books(data))
    assert before.keys() == {row["segment"] for row in books(data)}
    assert mending.compact(batch(data), HOUR_MS, "books") is None


def test_a_replaced_file_stays_while_the_uploader_is_to_copy_it_and_is_not_in_force(data: DataDir):
    in_parts(data, 2)
    waits = shelf.standing(data, "books", HOUR_MS)[0]
    shelf.issue(data, waits)
    mending.compact(batch(data), HOUR_MS, "books")

    assert (data.root / waits.path).exists()
    assert 180 == len(books(data))
    (data.queue("upload") / f"{waits.name}.ready").unlink()
    assert [waits.name] == shelf.clear(data, "books", HOUR_MS)
    assert 180 == len(books(data))


def spoil(path: Path, how: str, other: Path) -> None:
    """Damage a file."""
    found = path.read_bytes()
    if how == "truncated":
        path.write_bytes(found[: len(found) // 2])
    elif how == "flipped":
        path.write_bytes(found[:200] + bytes((found[200] ^ 4,)) + found[201:])
    elif how == "swapped":
        path.write_bytes(other.read_bytes())
    else:
        path.unlink()


@pytest.mark.parametrize("how", ["truncated", "flipped", "swapped", "missing"])
@pytest.mark.parametrize("what", ["data", "manifest"])
def test_a_damaged_raw_file_is_named_and_gives_no_row(data: DataDir, how: str, what: str):
    first, other = segments(data)[0], segments(data)[4]
    paths = [data.root / each.manifest.path for each in (first, other)]
    if what == "manifest":
        paths = [each.with_name(each.name.replace(".jsonl.gz", ".manifest.json")) for each in paths]
    spoil(paths[0], how, paths[1])
    path = data.root / first.manifest.path
    with pytest.raises(Unfit) as caught:
        build.build(batch(data), HOUR_MS, "books", [source.of_path(data, path), other])

    assert first.name == caught.value.segment
    assert [] == shelf.manifests(data, "books", HOUR_MS)
    assert [] == list((data.root / "derived").rglob("*.parquet"))
    assert [] == list((data.root / "derived").rglob("*.tmp"))


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_a_derived_file_with_one_other_byte_is_never_read_as_good(data: DataDir, draw):
    if not shelf.standing(data, "books", HOUR_MS):
        in_parts(data, 1)
    manifest = shelf.standing(data, "books", HOUR_MS)[0]
    path = data.root / manifest.path
    good = path.read_bytes()
    at = draw.draw(st.integers(0, len(good) - 1))
    path.write_bytes(
        good[:at] + bytes((good[at] ^ draw.draw(st.integers(1, 255)),)) + good[at + 1 :]
    )

    assert "sha256" in reader.damage(data, manifest)
    path.write_bytes(good)
    assert "" == reader.damage(data, manifest)


@pytest.mark.parametrize("how", ["truncated", "flipped", "missing"])
def test_a_damaged_derived_file_is_not_merged_and_rebuild_makes_it_anew(data: DataDir, how: str):
    in_parts(data, 2)
    one = shelf.standing(data, "books", HOUR_MS)[0]
    spoil(data.root / one.path, how, data.root / one.path)
    with pytest.raises(Refused, match=one.name):
        mending.compact(batch(data), HOUR_MS, "books")
    made = mending.rebuild(batch(data), HOUR_MS, "books", segments(data))

    assert {"books", "stats"} == {each.table for each in made}
    assert 180 == len(books(data))
    assert [] == mending.rebuild(batch(data), HOUR_MS, "books", segments(data))


def test_what_is_made_anew_again_and_again_is_in_force(data: DataDir):
    in_parts(data, 1)
    whole = bytes_of(data, "books")
    for _ in range(3):
        (one,) = shelf.standing(data, "books", HOUR_MS)
        (data.root / one.path).write_bytes(b"x")
        mending.rebuild(batch(data), HOUR_MS, "books", segments(data))

        assert [*whole.values()] == [*bytes_of(data, "books").values()]


def test_rebuild_leaves_an_hour_alone_whose_raw_is_not_all_here(data: DataDir):
    in_parts(data, 1)
    before = bytes_of(data, "books")
    gone = segments(data)[0]
    (data.root / gone.manifest.path).unlink()
    with pytest.raises(Refused):
        mending.rebuild(batch(data), HOUR_MS, "books", segments(data))
    with pytest.raises(Refused, match=gone.name):
        mending.rebuild(batch(data), HOUR_MS, "books", segments(data)[1:])

    assert before == bytes_of(data, "books")


def test_a_bad_row_is_in_the_table_of_bad_rows_and_counted(data: DataDir):
    first = segments(data)[0]
    lines = [line for portion in source.portions(data, first) for line in portion]
    lines[3] = lines[3].replace(b'"size":"20"', b'"size":"20.0000001"', 1)
    planted(data, first, b"".join(line + b"\n" for line in lines))
    made = {each.table: each for each in build.build(batch(data), HOUR_MS, "books", segments(data))}

    assert 179 == made["books"].rows
    assert [{"inexact": 1}] == [each.bad for each in made["books"].sources if each.bad]
    bad = rows_of(data.root / made["bad"].path, "bad")
    assert [(first.name, 3, "inexact")] == [(e["segment"], e["row"], e["reason"]) for e in bad]
    assert lines[3].decode()[:2000] == bad[0]["text"]


def planted(data: DataDir, segment: source.Segment, stream: bytes) -> None:
    """Other rows under a segment's name, with a manifest that is right about the file."""
    path = data.root / segment.manifest.path
    path.write_bytes(gzip.compress(stream))
    found = path.read_bytes()
    manifest = msgspec.structs.replace(
        segment.manifest, bytes=len(found), sha256=hashlib.sha256(found).hexdigest()
    )
    manifest_path = path.with_name(path.name.replace(".jsonl.gz", ".manifest.json"))
    manifest_path.write_bytes(msgspec.json.encode(manifest))


def test_rows_that_the_manifest_does_not_count_make_a_segment_unfit(data: DataDir):
    first = segments(data)[0]
    lines = [line for portion in source.portions(data, first) for line in portion]
    planted(data, first, b"".join(line + b"\n" for line in lines[:-1]))
    with pytest.raises(Unfit, match="19 rows, its manifest says 20"):
        build.build(batch(data), HOUR_MS, "books", segments(data))


def test_a_sweep_removes_drafts_and_lone_files_only(data: DataDir):
    in_parts(data, 1)
    manifest = shelf.standing(data, "books", HOUR_MS)[0]
    folder = (data.root / manifest.path).parent
    (folder / ".books.1.books.tmp").write_bytes(b"x")
    (folder / "books--20260416T08--0000000000000000.parquet").write_bytes(b"x")

    assert 2 == len(shelf.sweep(data))
    assert {f"{manifest.name}.parquet", f"{manifest.name}.manifest.json"} == {
        each.name for each in folder.iterdir()
    }


def test_ledgers_and_universes_become_requests_and_markets(data: DataDir):
    for kind, table in (("ledger", "requests"), ("universe", "markets")):
        by_hour: dict[int, list[source.Segment]] = {}
        for each in segments(data, kind):
            by_hour.setdefault(each.hour_ms, []).append(each)
        rows = []
        for hour_ms, found in by_hour.items():
            for made in build.build(batch(data), hour_ms, kind, found):
                rows += rows_of(data.root / made.path, table)
        if table == "requests":
            assert 30 == len(rows)
            assert {"ok"} == {each["cause"] for each in rows}
        else:
            assert ["btc-updown-5m-1", "btc-updown-5m-2", "btc-updown-5m-3"] == sorted(
                each["slug"] for each in rows
            )
            assert {10_000} == {each["tick_micros"] for each in rows}


def test_an_hour_is_over_only_when_nothing_of_it_is_open_or_waits(data: DataDir):
    hour = HOUR_MS
    later_ms = hour + 3_600_000 + 1000
    assert not hours.is_over(data, hour, now_ms=later_ms, grace_ms=0)
    for path in data.queue("normalize").glob("*.ready"):
        path.rename(path.with_suffix(".done"))

    assert hours.is_over(data, hour, now_ms=later_ms, grace_ms=0)
    assert not hours.is_over(data, hour, now_ms=later_ms - 1001, grace_ms=0)
    assert not hours.is_over(data, hour, now_ms=later_ms, grace_ms=2000)
    name = segments(data)[0].name
    (data.open_folder("collector-00") / f"{name}.jsonl.gz.open").touch()
    assert not hours.is_over(data, hour, now_ms=later_ms, grace_ms=0)


def test_what_is_published_is_never_written_over(data: DataDir):
    in_parts(data, 1)
    manifest = shelf.standing(data, "books", HOUR_MS)[0]
    draft = shelf.draft_path(data, "books", HOUR_MS, "x")
    draft.write_bytes(b"other")
    with pytest.raises(FileExistsError):
        shelf.commit(data, draft, manifest)

    assert isinstance(manifest, TableManifest)
    assert "" == reader.damage(data, manifest)
