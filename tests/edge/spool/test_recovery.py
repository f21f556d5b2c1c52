"""Holds recovery: it saves what can be saved and nothing that lies in the folder can stop it.

Every whole row in front of a damage is published once; the rest is kept aside.
"""

import gzip
import json
import os
import random
import shutil
import stat
import zlib
from pathlib import Path

import pytest

from tests.crash import oracle
from tests.edge.spool.bench import WALL_NS, Bench, books_of
from workers.core.archive.manifests import Head, encode
from workers.edge.spool.directory import DataDir
from workers.edge.spool.publish import load_head

SEED = 11
WHOLE_NAME = "x--books--collector-00--20261121T023001123Z-0001"


@pytest.fixture(scope="module")
def died(tmp_path_factory) -> tuple[Path, bytes, bytes]:
    """A books file as a killed writer leaves it after four flushes, and as it would have ended."""
    bench = Bench(DataDir(tmp_path_factory.mktemp("died") / "data"))
    for tick in (2, 3, 4):
        bench.put(tick)
        bench.tend(10)
    path = bench.die(5)["books"]
    killed = path.read_bytes()
    bench.recorder.seal_all("stop")
    next(iter(bench.recorder._finished))[1].finish()
    return path, killed, path.read_bytes()


def _lay(folder: Path, name: str, content: bytes) -> Bench:
    bench = Bench(DataDir(folder / "data"))
    (bench.folder / name).write_bytes(content)
    return bench


def _salvaged(folder: Path, name: str, content: bytes, *tolerated: str) -> list[str]:
    """The rows that come out of a file; everything else of the promise is checked on the way."""
    bench = _lay(folder, name, content)
    expected = oracle.row_ids(oracle.inflate(content))

    findings = bench.recover()

    assert "left" not in [each.action for each in findings]
    assert [] == bench.recover()
    rows = bench.rows()
    torn = [each for each in bench.quarantined() if not each.endswith(".why")]
    if torn:
        assert content == (bench.data.quarantine / torn[0]).read_bytes()
        assert (bench.data.quarantine / f"{torn[0]}.why").read_text()
    else:
        assert rows == expected
    if rows:
        manifest = bench.manifests()[0]
        assert "cut_short" == manifest.ended
        assert bool(torn) == bool(manifest.salvage and manifest.salvage.quarantined)
    assert [] == [each for each in bench.faults() if not any(word in each for word in tolerated)]
    shutil.rmtree(folder / "data")
    return rows


def test_a_cut_at_any_byte_saves_the_rows_in_front_of_it(died, tmp_path):
    path, killed, _ = died
    every = {*range(24), *range(24, len(killed), 19), *range(len(killed) - 24, len(killed) + 1)}
    for cut in every:
        expected = oracle.row_ids(zlib.decompressobj(31).decompress(killed[:cut]))

        assert expected == _salvaged(tmp_path, path.name, killed[:cut])


def test_a_finished_file_without_its_manifest_is_published_as_it_is(died, tmp_path):
    path, _, finished = died

    rows = _salvaged(tmp_path, path.name, finished)

    assert books_of(2, 3, 4, 5) == rows


@pytest.mark.parametrize("which", [1, 2], ids=["killed", "finished"])
@pytest.mark.parametrize(
    "tail",
    [bytes(1), bytes(4096), b"\xff" * 300, random.Random(3).randbytes(500), gzip.compress(b"x")],
    ids=["a zero", "zeros", "ones", "garbage", "a foreign member"],
)
def test_a_tail_of_anything_costs_no_row(died, tmp_path, which, tail):
    content = died[which] + tail

    assert books_of(2, 3, 4, 5) == _salvaged(tmp_path, died[0].name, content)


def test_zeros_from_any_block_on_cost_only_the_rows_behind(died, tmp_path):
    path, killed, _ = died
    for start in range(0, len(killed), 32):
        content = killed[:start] + bytes(len(killed) - start)
        rows = _salvaged(tmp_path, path.name, content)

        sure = oracle.row_ids(zlib.decompressobj(31).decompress(killed[:start]))
        assert sure == rows[: len(sure)]


def test_flipped_bits_never_stop_it(died, tmp_path):
    path, killed, finished = died
    dice = random.Random(SEED)
    for number in range(120):
        content = bytearray(killed if number % 2 else finished)
        at = dice.randrange(len(content))
        content[at] ^= 1 << dice.randrange(8)
        # A bit that flips inside a match copies other bytes: only a CRC could tell, and a file
        # that was never finished has none.
        _salvaged(tmp_path, path.name, bytes(content), "row twice", "ticks told")


def test_a_row_that_means_nothing_ends_what_is_published(tmp_path):
    good = b'{"due_ms":7,"request":"collector-00.5.1","token_id":"1","hash":"verified"}\n'
    for bad in (b'{"due_ms":-7}\n', good.replace(b"verified", b"verifiee"), b"[]\n"):
        rows = _salvaged(tmp_path, f"{WHOLE_NAME}.jsonl.gz.open", gzip.compress(good + bad + good))

        assert ["collector-00.5.1/1"] == rows


def test_an_empty_file_holds_nothing_and_is_swept(tmp_path):
    bench = _lay(tmp_path, f"{WHOLE_NAME}.jsonl.gz.open", b"")

    (finding,) = bench.recover()

    assert "swept" == finding.action
    assert [] == bench.quarantined()
    assert [] == list(bench.data.open_folder("collector-00").glob("*.open"))


@pytest.mark.parametrize(
    "content",
    [
        *(b"\x1f\x8b", b"not gzip", gzip.compress(b""), gzip.compress(b"no row")),
        gzip.compress(b"\n\n"),
        gzip.compress(b'{"a":' * 50_000 + b"\n"),
        gzip.compress(b'{"due_ms":1}\n'),
        gzip.compress(b"\xff\n"),
    ],
    ids=["a magic", "no gzip", "nothing", "a word", "blank", "a long line", "no row", "no utf-8"],
)
def test_a_file_without_one_row_of_ours_is_set_aside_whole(tmp_path, content):
    bench = _lay(tmp_path, f"{WHOLE_NAME}.jsonl.gz.open", content)

    bench.recover()

    assert [f"{WHOLE_NAME}.jsonl.gz.open.empty"] == bench.quarantined()[:1]
    assert content == (bench.data.quarantine / bench.quarantined()[0]).read_bytes()
    assert [] == bench.manifests() + bench.faults()


def _make(path: Path, what: str) -> None:
    match what:
        case "link":
            path.symlink_to("/dev/zero")
        case "dead link":
            path.symlink_to(path.parent / "none")
        case "fifo":
            os.mkfifo(path)
        case "directory":
            path.mkdir()
            (path / "inside").write_text("kept")
        case "socket":
            os.mknod(path, stat.S_IFSOCK | 0o600)


@pytest.mark.parametrize("suffix", [".jsonl.gz.open", ".manifest.json.tmp", ".jsonl.gz.salvage"])
@pytest.mark.parametrize("what", ["link", "dead link", "fifo", "directory", "socket"])
def test_what_is_no_file_is_set_aside_and_never_followed(bench, suffix, what):
    bench.die(2)
    _make(bench.folder / f"{WHOLE_NAME}{suffix}", what)

    findings = bench.recover()

    assert "left" not in [each.action for each in findings]
    assert books_of(2) == bench.rows()
    odd = [each for each in bench.quarantined() if each.endswith(".odd")]
    assert len(odd) == (0 if suffix.endswith("salvage") else 1)
    assert [] == bench.recover()


@pytest.mark.parametrize(
    "name",
    [
        *(".jsonl.gz.open", "-rf.jsonl.gz.open", "$(id).jsonl.gz.open", "a b\nc.jsonl.gz.open"),
        f"{'x' * 241}.jsonl.gz.open",
        f"{'é' * 120}.jsonl.gz.open",
        b"\xff\xfe.jsonl.gz.open",
        f"{WHOLE_NAME}\n.jsonl.gz.open",
        f"{WHOLE_NAME.replace('x--', 'X--')}.jsonl.gz.open",
    ],
)
def test_an_odd_name_is_set_aside_under_a_name_that_can_be_told(bench, name):
    bench.die(2)
    path = os.path.join(os.fsencode(bench.folder), os.fsencode(name))  # noqa: PTH118
    with open(path, "wb") as file:  # noqa: PTH123 - not every name here is text
        file.write(b"kept")

    findings = bench.recover()

    assert books_of(2) == bench.rows()
    odd = next(each for each in bench.quarantined() if each.endswith(".odd"))
    assert b"kept" == (bench.data.quarantine / odd).read_bytes()
    assert odd.isascii()
    assert all(each.name.encode().isascii() for each in findings)
    assert [] == bench.faults()


def test_the_same_name_set_aside_twice_is_kept_twice(bench):
    for content in (b"one", b"two"):
        (bench.folder / "odd.jsonl.gz.open").write_bytes(content)
        bench.recover()

    assert ["odd.jsonl.gz.open.odd", "odd.jsonl.gz.open.odd.1"] == [
        each for each in bench.quarantined() if not each.endswith(".why")
    ]


@pytest.mark.parametrize("draft", [b"", b"{", b"\xff", b'{"x":' * 9999, b"{}"])
def test_a_torn_draft_is_dropped_and_its_data_salvaged(bench, draft):
    path = bench.die(2)["books"]
    name = path.name.removesuffix(".jsonl.gz.open")
    (bench.folder / f"{name}.manifest.json.tmp").write_bytes(draft)

    bench.recover()

    assert books_of(2) == bench.rows()
    assert [] == bench.faults()


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff", b"[" * 9999])
def test_a_lost_chain_is_found_again_among_the_manifests(bench, content):
    bench.put(2)
    bench.close()
    chain = bench.folder / "chain.json"
    before = load_head(bench.data, "collector-00")
    chain.unlink()
    if content is not None:
        chain.write_bytes(content)
    bench.die(3)

    findings = bench.recover()

    assert "relinked" in [each.action for each in findings]
    assert [1, 2, 3, 4] == [each.chain.seq for each in bench.manifests()]
    assert before.sha256 == bench.manifests()[2].chain.previous_sha256
    assert [] == bench.faults()


def test_a_head_that_was_never_published_is_stepped_back_from(bench):
    bench.put(2)
    bench.close()
    head = load_head(bench.data, "collector-00")
    ghost = Head(seq=3, name="ghost", path="raw/ghost.jsonl.gz", sha256="0", previous=head)
    (bench.folder / "chain.json").write_bytes(encode(ghost))

    assert ["unlinked"] == [each.action for each in bench.recover()]
    assert [] == bench.faults()


def test_a_market_is_named_when_it_is_known_and_numbered_when_not(bench):
    bench.die(2)
    bench.recover()

    market = next(each for each in bench.manifests() if each.kind == "books").told.market
    assert ("btc-updown-5m-1776330000", {"1": "Up", "2": "Down"}) == (market.slug, market.tokens)


def test_a_file_that_can_never_be_published_is_kept_in_quarantine(bench):
    path = bench.die(2)["books"]
    content = path.read_bytes()
    bench.recover()
    path.write_bytes(content)

    findings = bench.recover()

    assert [("quarantined", path.name)] == [(each.action, each.name) for each in findings]
    assert [f"{path.name}.leftover", f"{path.name}.leftover.why"] == bench.quarantined()


def test_a_manifest_tells_what_was_lost_and_where_the_original_lies(bench):
    path = bench.die(2)["books"]
    path.write_bytes(path.read_bytes()[:-9])

    bench.recover()

    manifest = next(each for each in bench.manifests() if each.kind == "books")
    assert "a torn row of" in manifest.salvage.damage or "unfinished" in manifest.salvage.damage
    assert (bench.data.root / manifest.salvage.quarantined).exists()
    assert json.loads(encode(manifest))["ended"] == "cut_short"
    assert manifest.created_at_utc.startswith("2026-04-16T08:59:58")
    assert WALL_NS
