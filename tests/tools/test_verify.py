"""Holds `orderbooks verify`: whole archives pass, and every way to damage one is reported."""

import gzip
import hashlib
import json
import threading

import pytest

from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from workers.core.archive.manifests import encode, read_head, read_manifest
from workers.edge.deflate import Deflater


def verify(fleet: Fleet, capsys, *words: str) -> tuple[int, str]:
    """The exit code and what was printed."""
    capsys.readouterr()
    code = fleet.orderbooks("verify", "--jobs", "1", *words)
    return code, capsys.readouterr().out


def rewrite(fleet: Fleet, path, change, *, told=None) -> None:
    """Forge a segment: change its rows and make file and manifest agree again."""
    rows = change(gzip.decompress(path.read_bytes()))
    deflater = Deflater(6)
    data = deflater.add(rows) + deflater.finish()
    path.write_bytes(data)
    manifest_path = path.with_name(path.name.replace(".jsonl.gz", ".manifest.json"))
    fields = json.loads(manifest_path.read_bytes())
    fields["bytes"], fields["sha256"] = len(data), hashlib.sha256(data).hexdigest()
    fields["md5"] = hashlib.md5(data).hexdigest()
    fields["raw_bytes"], fields["raw_sha256"] = len(rows), hashlib.sha256(rows).hexdigest()
    fields["told"].update(told or {})
    manifest_path.write_bytes(json.dumps(fields).encode())
    rechain(fleet)


def rechain(fleet: Fleet) -> None:
    """A forger who rewrites the whole chain behind a changed manifest, head included."""
    links = [(path, read_manifest(path.read_bytes())) for path in fleet.data.manifest_paths()]
    for worker in {manifest.worker for _, manifest in links}:
        chain = sorted((m.chain.seq, p) for p, m in links if m.worker == worker)
        before = None
        for _, path in chain:
            fields = json.loads(path.read_bytes())
            if before is not None:
                fields["chain"]["previous_sha256"] = hashlib.sha256(before).hexdigest()
            before = json.dumps(fields).encode()
            path.write_bytes(before)
        head_path = fleet.data.open_folder(worker) / "chain.json"
        head = json.loads(head_path.read_bytes())
        head["sha256"] = hashlib.sha256(before).hexdigest()
        head_path.write_text(json.dumps(head))


def test_a_whole_archive_passes(whole, capsys):
    code, out = verify(whole, capsys)

    assert 0 == code, out
    assert "240 verified" in out
    assert "all whole" in out


def test_an_empty_directory_has_nothing_wrong(fleet, capsys):
    assert 0 == verify(fleet, capsys)[0]


@pytest.mark.parametrize("kind", ["books", "ledger", "universe"])
@pytest.mark.parametrize("place", [0, 9, 0.2, 0.5, 0.9, -1])
def test_a_flipped_byte_is_found_wherever_it_is(whole, capsys, kind, place):
    path = whole.segments(kind)[0]
    data = bytearray(path.read_bytes())
    at = int(len(data) * place) if isinstance(place, float) else place
    data[at] ^= 0x10
    path.write_bytes(data)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert path.name.removesuffix(".jsonl.gz") in out
    assert "manifest: sha256 is" in out


def test_a_truncated_file_is_told_by_its_compressed_byte(whole, capsys):
    path = whole.segments("books")[0]
    path.write_bytes(path.read_bytes()[:-20])

    code, out = verify(whole, capsys)

    assert 1 == code
    assert f"compressed: the gzip stream ends unfinished at byte {path.stat().st_size}" in out


def test_bytes_behind_the_stream_are_found(whole, capsys):
    path = whole.segments("books")[0]
    path.write_bytes(path.read_bytes() + b"more")

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "compressed: byte" in out


def test_a_row_that_is_no_json_is_told_by_row_and_uncompressed_byte(whole, capsys):
    path = whole.segments("books")[0]

    def break_third(rows: bytes) -> bytes:
        lines = rows.splitlines(keepends=True)
        lines[2] = lines[2].replace(b'"bids":[', b'"bids":{')
        return b"".join(lines)

    first_two = sum(map(len, gzip.decompress(path.read_bytes()).splitlines(keepends=True)[:2]))
    rewrite(whole, path, break_third)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert f"uncompressed: row 3 at byte {first_two}" in out


def test_a_missing_data_file_is_found(whole, capsys):
    whole.segments("books")[1].unlink()

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "its data file: No such file" in out


def test_a_missing_manifest_is_found_by_its_data_and_by_the_chain(whole, capsys):
    path = whole.manifests("books")[0]
    name = path.name.removesuffix(".manifest.json")
    path.unlink()

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "a data file without its manifest" in out
    assert f"of collector-00 missing; the last of them is {name}" in out


def test_a_segment_removed_whole_is_missed_by_the_chain_and_by_the_ledger(whole, capsys):
    for path in (whole.segments("books")[0], whole.manifests("books")[0]):
        path.unlink()

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "of collector-00 missing" in out
    assert "promised by the ledger, in no books segment" in out


def test_the_newest_segment_removed_whole_is_missed_by_the_head(whole, capsys):
    newest = max(whole.data.manifest_paths(), key=lambda p: read_manifest(p.read_bytes()).chain.seq)
    newest.with_name(newest.name.replace(".manifest.json", ".jsonl.gz")).unlink()
    newest.unlink()

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "which is not published" in out


def test_an_edited_manifest_is_found_by_the_next_link(whole, capsys):
    path = whole.manifests("books")[0]
    path.write_bytes(path.read_bytes().replace(b'"market_end"', b'"stop"') + b"\n")

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "was changed after" in out


def test_the_newest_manifest_edited_is_found_by_the_head(whole, capsys):
    newest = max(whole.data.manifest_paths(), key=lambda p: read_manifest(p.read_bytes()).chain.seq)
    newest.write_bytes(newest.read_bytes() + b" ")

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "was changed after collector-00's chain head named it" in out


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("rows", 61),
        ("requests", 7),
        ("first_due_ms", HOUR_MS + S),
        ("statuses", {"200": 29, "500": 1}),
        ("hashes", {"verified": 59, "failed": 1, "absent": 0}),
        ("captured", []),
        ("flags", {"RESEED": 1}),
        ("run", "1"),
    ],
)
def test_a_count_that_the_rows_do_not_give_is_found_even_with_a_forged_chain(
    whole, capsys, member, value
):
    path = whole.segments("books")[0]
    rewrite(whole, path, bytes, told={member: value})

    code, out = verify(whole, capsys)

    assert 1 == code
    assert f"told.{member} is" in out


def test_a_forged_price_is_found_by_the_venues_own_hash(whole, capsys):
    rewrite(whole, whole.segments("books")[0], lambda rows: rows.replace(b'"0.55"', b'"0.56"', 1))

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "row 1: its book's hash is failed, recorded 'verified'" in out


def test_a_row_of_another_request_is_in_no_ledger(whole, capsys):
    run = str(HOUR_MS - 5 * S)
    forged = f"collector-00.{run}.30".encode(), f"collector-00.{run}.99".encode()
    path = whole.segments("books")[0]
    rewrite(whole, path, lambda r: r.replace(*forged), told={"last_request": 99})

    code, out = verify(whole, capsys)

    assert 1 == code
    assert f"the row of collector-00.{run}.99 is in a books segment, in no ledger" in out
    assert f"the row of collector-00.{run}.30 is promised by the ledger" in out


def test_a_row_removed_from_file_and_manifest_is_missed_by_the_ledger(whole, capsys):
    path = whole.segments("books")[0]

    def drop(rows: bytes) -> bytes:
        lines = rows.splitlines(keepends=True)
        return b"".join(lines[:10] + lines[11:])

    rewrite(whole, path, drop)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "promised by the ledger, in no books segment" in out


def test_a_doubled_row_is_found(whole, capsys):
    path = whole.segments("books")[0]
    rewrite(whole, path, lambda rows: rows.splitlines(keepends=True)[0] + rows)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "row 2: a second row of" in out


def test_two_swapped_data_files_are_found(whole, capsys):
    one, _, two, _ = whole.segments("books")
    first, second = one.read_bytes(), two.read_bytes()
    one.write_bytes(second)
    two.write_bytes(first)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert one.name[:15] in out
    assert "is not of btc-updown-5m-1" in out


def test_two_swapped_segments_are_found(whole, capsys):
    for listed in (whole.segments("books"), whole.manifests("books")):
        one, _, two, _ = listed
        first, second = one.read_bytes(), two.read_bytes()
        one.write_bytes(second)
        two.write_bytes(first)

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "its manifest says raw/" in out


def test_a_chain_head_that_was_put_back_is_found(whole, capsys):
    path = whole.data.open_folder("collector-00") / "chain.json"
    head = read_head(path.read_bytes())
    assert head.previous is not None
    path.write_bytes(encode(head.previous))

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "it was put back or lost" in out


def test_a_stray_file_is_named(whole, capsys):
    stray = whole.segments("books")[0].with_name("notes.txt")
    stray.write_text("mine")

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "hour=08/notes.txt" in out


def test_a_file_that_is_no_manifest_is_named(whole, capsys):
    whole.manifests("ledger")[0].write_bytes(b"\xff{")

    code, out = verify(whole, capsys)

    assert 1 == code
    assert "its manifest cannot be read" in out


def test_a_label_tells_known_damage_from_new(whole, capsys):
    path = whole.segments("books")[0]
    path.write_bytes(path.read_bytes()[:-1])
    whole.orderbooks("label", path.name, "--kind", "invalid", "--reason", "disk fault")

    code, out = verify(whole, capsys)

    assert 0 == code, out
    assert "labelled invalid" in out

    other = whole.segments("books")[1]
    other.write_bytes(other.read_bytes()[:-1])

    assert 1 == verify(whole, capsys)[0]


def test_only_the_paths_named_are_read(whole, capsys):
    good, bad = whole.segments("books")[:2]
    bad.write_bytes(b"")

    assert 0 == verify(whole, capsys, str(good))[0]
    assert 1 == verify(whole, capsys, str(bad))[0]
    assert 2 == verify(whole, capsys, "elsewhere")[0]


def test_what_a_killed_writer_lost_is_excused_and_counted(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    killed = fleet.collector(HOUR_MS - 5 * S)
    killed.ticks(HOUR_MS, HOUR_MS + 10 * S)
    killed.flush(HOUR_MS + 10 * S)
    killed.ticks(HOUR_MS + 10 * S, HOUR_MS + 12 * S)
    _tear(fleet, "books", 30)
    after = fleet.collector(HOUR_MS + 15 * S)
    after.ticks(HOUR_MS + 16 * S, HOUR_MS + 60 * S)
    after.stop(HOUR_MS + 61 * S)

    code, out = verify(fleet, capsys)

    assert 0 == code, out
    assert "2 segments cut short" in out
    assert "quarantine: btc-updown-5m-1" in out


def _tear(fleet: Fleet, kind: str, lost_bytes: int) -> None:
    for path in fleet.data.open_folder("collector-00").glob(f"*--{kind}--*.open"):
        path.write_bytes(path.read_bytes()[:-lost_bytes])


def test_open_segments_count_as_evidence(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    live.ticks(HOUR_MS, HOUR_MS + 10 * S)
    live.recorder.seal_all("size")
    live.recorder.tend(wall_ns=0, mono_ns=1)
    live.flush(HOUR_MS + 10 * S)

    code, out = verify(fleet, capsys)

    assert 0 == code, out


def test_several_processes_find_the_same(tmp_path, capsys):
    fleet = whole_minute(tmp_path / "var")
    fleet.segments("books")[3].unlink()
    alone = verify(fleet, capsys)

    capsys.readouterr()
    code = fleet.orderbooks("verify", "--jobs", "2")

    assert alone == (code, capsys.readouterr().out)


def test_the_report_for_programs_names_every_problem(whole, capsys):
    path = whole.segments("books")[0]
    path.write_bytes(b"")

    code, out = verify(whole, capsys, "--json")
    report = json.loads(out)

    assert 1 == code
    assert not report["is_fine"]
    assert any(path.name[:20] in each["path"] for each in report["problems"])


@pytest.mark.parametrize("kind", ["books", "ledger"])
def test_a_segment_between_its_two_renames_is_neither_missing_nor_damage(tmp_path, capsys, kind):
    """Its data have moved, its manifest has not: whoever writes it is at it, or died there."""
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 60 * S)
    for each in [*collector.recorder.streams()]:
        if each.kind == kind:
            collector.recorder.seal(each, "hour")
    while collector.recorder.has_unpublished():
        collector.recorder.tend(wall_ns=(HOUR_MS + 61 * S) * 10**6, mono_ns=10**18)
    manifest = fleet.manifests(kind)[-1]
    manifest.rename(fleet.data.open_folder("collector-00") / f"{manifest.name}.tmp")
    fleet.beat(collector)

    code, out = verify(fleet, capsys)

    assert (0, True) == (code, "is under way" in out), out
    assert 0 == fleet.orderbooks("coverage", "--to", "2026-04-16T08:01:00Z")
    assert "100.000%         60  CAPTURED" in capsys.readouterr().out


def test_an_archive_that_is_published_to_meanwhile_is_whole(tmp_path, capsys):
    """A commit that is under way, or ends between two looks at it, is no damage."""
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 10 * S, market(1, seconds=40))
    collector = fleet.collector(HOUR_MS - 5 * S)

    def publish() -> None:
        for due_ms in range(HOUR_MS, HOUR_MS + 40 * S, S):
            collector.tick(due_ms)
            collector.publish(due_ms + 900, "size")

    publishing = threading.Thread(target=publish)
    publishing.start()
    found = [verify(fleet, capsys)]
    while publishing.is_alive():
        found.append(verify(fleet, capsys))

    assert {0} == {code for code, _ in found}, [out for code, out in found if code]
