"""Holds `orderbooks export`: the real readers of each format find the books that were recorded.

hftbacktest and tardis-client live in the environment of the official clients (`make clients`);
without it those tests are skipped.
"""

import csv
import gzip
import hashlib
import importlib.util
import json
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from tests.tools import played
from tests.tools.archives import HOUR_MS, Fleet, S

ROOT = Path(__file__).parents[2]
SLUG = "btc-updown-5m-1"
MINUTE = ("2026-04-16T08:00:00", "2026-04-16T08:01:00")
#: The archive's books are received so long after their tick.
LATE_NS = 52_000_000


@pytest.fixture(scope="module")
def moving(tmp_path_factory) -> Fleet:
    return played.moving(tmp_path_factory.mktemp("m") / "var")


@pytest.fixture(scope="module")
def interpreter() -> Path:
    named = os.environ.get("ORDERBOOKS_CLIENTS_PYTHON")
    path = Path(named) if named else ROOT / ".venv-clients" / "bin" / "python"
    if not path.exists():
        pytest.skip("no environment with the clients: see tests/venue_tests/clients.in")
    return path


def reading(interpreter: Path, package: str, *words: object) -> dict[str, object]:
    """What the package reads."""
    script = ROOT / "tests/venue_tests/export_readers.py"
    command = [interpreter, "-W", "ignore", script, package, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    if "No module named" in done.stderr:
        pytest.skip(f"{package} is not in the clients' environment: `make clients`")
    assert 0 == done.returncode, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def export(fleet: Fleet, capsys, out: Path, form: str, *words: str, code: int = 0) -> dict:
    """Run the command; what it printed."""
    capsys.readouterr()
    assert code == fleet.orderbooks("export", "--format", form, SLUG, "--out", str(out), *words)
    return json.loads(capsys.readouterr().out)


def stored(fleet: Fleet, token_id: str) -> dict[int, dict]:
    """The books of a token by second of the minute, read without the reading library."""
    found = {}
    for path, at, raw in played.books_in(fleet):
        book = json.loads(raw)
        if book["asset_id"] == token_id:
            row = gzip.decompress((fleet.data.root / path).read_bytes()).split(b"\n")[at]
            found[(json.loads(row)["due_ms"] - HOUR_MS) // S] = book
    return found


def side(levels: list[dict[str, str]]) -> list[list[object]]:
    return sorted([round(Decimal(each["price"]) * 1000), float(each["size"])] for each in levels)


def after(second: int) -> int:
    """A moment after the book of a second was received and before the next one."""
    return (HOUR_MS + second * S) * 1_000_000 + LATE_NS + 1


def test_hftbacktest_replays_every_book_and_none_in_the_gap(moving, tmp_path, capsys, interpreter):
    told = export(moving, capsys, tmp_path / "up.npz", "hftbacktest", "--outcome", "Up")
    books = stored(moving, "101")
    seconds = [0, 1, 19, 20, 24, 25, 39, 45, 50, 59]

    found = reading(interpreter, "hftbacktest", tmp_path / "up.npz", "0.001", *map(after, seconds))

    assert told["events"]["events"] == found["events"]
    assert 2 == told["events"]["snapshots"]
    for second, (at_ns, bids, asks) in zip(seconds, found["books"], strict=True):
        assert after(second) == at_ns
        if second in played.MISSED:
            assert ([], []) == (bids, asks), second
        else:
            assert side(books[second]["bids"]) == bids, second
            assert side(books[second]["asks"]) == asks, second


def test_hftbacktest_ends_with_an_empty_book_when_nothing_is_due(
    moving, tmp_path, capsys, interpreter
):
    export(moving, capsys, tmp_path / "up.npz", "hftbacktest", "--outcome", "Up")
    found = reading(
        interpreter, "hftbacktest", tmp_path / "up.npz", "0.001", after(59), after(61) + 10
    )

    assert [True, False] == [bool(each[1] or each[2]) for each in found["books"]]


def test_real_books_replay_in_hftbacktest(captures, tmp_path, capsys, interpreter):
    fleet = played.real(captures, tmp_path / "var", 20)
    slug = json.loads(fleet.data.universe.read_bytes())["markets"][0]["slug"]
    assert 0 == fleet.orderbooks(
        "export",
        "--format",
        "hftbacktest",
        slug,
        "--outcome",
        "Up",
        "--out",
        str(tmp_path / "n.npz"),
    )
    rows = [json.loads(raw) for _, _, raw in played.books_in(fleet)]
    last = [each for each in rows if each["asset_id"] == rows[0]["asset_id"]][-1]
    told = json.loads(capsys.readouterr().out)
    end_ns = int(gzip_rows(fleet)[-1]["recv_wall_ns"]) + 1

    found = reading(interpreter, "hftbacktest", tmp_path / "n.npz", "0.001", end_ns)

    assert 90 < len(last["bids"]) + len(last["asks"])
    assert [[end_ns, side(last["bids"]), side(last["asks"])]] == found["books"]
    assert 20 == told["scenes"]["book"]


def gzip_rows(fleet: Fleet) -> list[dict]:
    path = fleet.segments("books")[-1]
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_tardis_client_reads_the_slices_with_the_bytes_of_the_venue(
    moving, tmp_path, capsys, interpreter
):
    told = export(moving, capsys, tmp_path / "slices", "tardis")

    lines = reading(interpreter, "tardis", tmp_path / "slices", *MINUTE)["lines"]

    messages = [each[1].removesuffix("\n") for each in lines if each]
    assert [raw.decode() for _, _, raw in played.books_in(moving)] == messages
    assert "2026-04-16T08:00:00.0520000Z" == lines[0][0]
    cut = 2 * played.MISSED.start
    assert None is lines[cut], "the gap is one disconnect"
    assert 1 == lines.count(None)
    assert {"files": 2, "messages": 110, "disconnects": 2, "respelled": 0} == told["slices"]


def rows_of(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(content.decode().splitlines()))


def test_csv_has_every_level_as_an_exact_decimal_and_the_gap_as_a_row(moving, tmp_path, capsys):
    told = export(moving, capsys, tmp_path / "books.csv.gz", "csv")
    rows = rows_of(gzip.decompress((tmp_path / "books.csv.gz").read_bytes()))
    up = stored(moving, "101")

    assert told["rows"] == len(rows)
    for second in (0, 19, 25, 59):
        wanted = [
            (name, each["price"], each["size"])
            for name in ("bid", "ask")
            for each in reversed(up[second][f"{name}s"])
        ]
        found = [
            (each["side"], each["price"], each["size"])
            for each in rows
            if each["hash"] == up[second]["hash"]
            and each["level"]
            and int(each["at_ns"]) < after(second)
        ]
        assert wanted == found
    gaps = [each for each in rows if each["kind"] == "gap"]
    assert ["FAILED(http_503)"] * 2 == [each["cause"].partition("×")[0] for each in gaps]


def test_csv_may_be_cut_to_the_best_levels(moving, tmp_path, capsys):
    export(moving, capsys, tmp_path / "top.csv", "csv", "--levels", "3", "--outcome", "Down")
    rows = rows_of((tmp_path / "top.csv").read_bytes())

    assert {"Down"} == {each["outcome"] for each in rows}
    assert {"", "1", "2", "3"} == {each["level"] for each in rows}
    for second, book in stored(moving, "102").items():
        best = [each["price"] for name in ("bids", "asks") for each in reversed(book[name][-3:])]
        at_ns = str(after(second) - 1)
        assert best == [each["price"] for each in rows if each["at_ns"] == at_ns]


def test_a_side_without_levels_and_a_gap_keep_their_place(moving, tmp_path, capsys):
    export(moving, capsys, tmp_path / "books.csv", "csv", "--outcome", "Up")
    rows = rows_of((tmp_path / "books.csv").read_bytes())
    empty = [second for second, book in stored(moving, "101").items() if not book["bids"]]

    assert empty
    for second in empty:
        sides = {each["side"] for each in rows if each["at_ns"] == str(after(second) - 1)}
        assert {"ask"} == sides
    assert sorted(rows, key=lambda each: int(each["at_ns"])) == rows


@pytest.mark.parametrize(
    ("form", "words"),
    [("hftbacktest", ("--outcome", "1")), ("tardis", ()), ("csv", ())],
)
def test_the_same_archive_gives_the_same_bytes_from_raw_and_from_tables(
    moving, tmp_path, capsys, form: str, words: tuple[str, ...]
):
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    moving.orderbooks("normalize")
    for name, source in (("a", "raw"), ("b", "raw"), ("c", "derived")):
        export(moving, capsys, tmp_path / f"{name}.npz", form, *words, "--source", source)

    same = ("a", "b") if form == "csv" else ("a", "b", "c")
    assert 1 == len({digest(tmp_path / f"{name}.npz") for name in same})


def digest(path: Path) -> str:
    files = sorted(path.rglob("*.gz")) if path.is_dir() else [path]
    assert files
    return hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()


def test_beside_the_file_stands_what_it_was_made_of(moving, tmp_path, capsys):
    told = export(moving, capsys, tmp_path / "up.npz", "hftbacktest", "--outcome", "Up")
    kept = json.loads((tmp_path / "up.npz.provenance.json").read_text())

    assert told == kept
    assert ("orderbooks.export/1", ["0.001"]) == (kept["schema"], kept["tick_sizes"])
    for each in kept["segments"]:
        data = (moving.data.root / each["path"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == each["sha256"]
    assert 55 == sum(each["rows"] for each in kept["segments"])
    assert ["gap", "silence"] == [each["kind"] for each in kept["gaps"]]


def test_a_book_that_a_person_called_invalid_is_left_out_and_counted(tmp_path, capsys):
    fleet = played.moving(tmp_path / "var")
    name = fleet.segments("books")[0].name
    fleet.orderbooks("label", name, "--kind", "invalid", "--reason", "wrong clock")

    told = export(fleet, capsys, tmp_path / "n.npz", "hftbacktest", "--outcome", "Up", code=1)

    assert {"labelled": 55} == told["left_out"]
    assert 0 == told["events"]["events"]


def test_nothing_is_left_behind_when_it_fails_and_nothing_is_overwritten(whole, tmp_path):
    path = next(each for each in whole.segments("books") if SLUG in each.name)
    path.write_bytes(path.read_bytes()[:-9])
    place = tmp_path / "out"
    place.mkdir()
    for form, words in (("hftbacktest", ("--outcome", "0")), ("tardis", ()), ("csv", ())):
        common = ("export", "--format", form, SLUG, *words, "--out", str(place / f"{form}.npz"))
        assert 2 == whole.orderbooks(*common, "--on-damage", "raise")
        assert [] == list(place.iterdir())
    (place / "csv").write_text("mine")
    assert 2 == whole.orderbooks("export", "--format", "csv", SLUG, "--out", str(place / "csv"))
    assert "mine" == (place / "csv").read_text()
    assert [place / "csv"] == list(place.iterdir())


@pytest.mark.parametrize(
    "words",
    [
        ("--format", "hftbacktest", SLUG),
        ("--format", "hftbacktest", "btc-*", "--from", "2026-04-16", "--to", "2026-04-17"),
        ("--format", "csv", "nothing-such"),
        ("--format", "csv", SLUG, "--outcome", "Sideways"),
        ("--format", "csv", SLUG, "--levels", "0"),
    ],
)
def test_what_no_file_can_hold_is_refused(whole, tmp_path, words):
    assert 2 == whole.orderbooks("export", *words, "--out", str(tmp_path / "out.npz"))
    assert [] == [each.name for each in tmp_path.iterdir() if each.name != "var"]


def test_a_name_that_hftbacktest_would_not_open_is_refused(whole, tmp_path):
    words = ("--format", "hftbacktest", SLUG, "--outcome", "Up", "--out", str(tmp_path / "up.bin"))

    assert 2 == whole.orderbooks("export", *words)
