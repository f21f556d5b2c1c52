"""Holds the evidence that goes with a soak report: whoever has both can check, and no byte is free."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from tests.tools.test_soak_command import soaked

Edit = Callable[[dict[str, bytes]], None]


def report_and_pack(fleet: Fleet, folder: Path, pack: tuple[str, ...] = ("--pack",)) -> int:
    config = folder / "orderbooks.yaml"
    config.write_text(json.dumps({"data_dir": str(fleet.data.root)}))
    places = ("--out", str(folder / "reports"), "--config", str(config))
    return fleet.orderbooks("soak", "--report", *pack, *places)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, Path]:
    """A fleet's minute, its soak, and the folder of the report and its bundle."""
    folder = tmp_path_factory.mktemp("packed")
    fleet = whole_minute(folder / "var")
    soaked(fleet)
    assert 0 == report_and_pack(fleet, folder)
    return fleet, folder / "reports"


@pytest.fixture
def elsewhere(packed: tuple[Fleet, Path], tmp_path: Path) -> Path:
    """The report in a place without the archive."""
    for each in packed[1].iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
    (report,) = tmp_path.glob("*.json")
    return report


def bundle_of(report: Path) -> Path:
    return report.with_name(report.stem + "_evidence.tar.xz")


def files_of(report: Path) -> dict[str, bytes]:
    with tarfile.open(bundle_of(report)) as tar:
        return {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]


def put(report: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(bundle_of(report), "w:xz") as tar:
        for name, raw in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(raw)
            tar.addfile(entry, io.BytesIO(raw))


def check(fleet: Fleet, report: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = fleet.orderbooks("soak", "--check", str(report))
    return code, capsys.readouterr().out


def test_a_report_stands_on_its_bundle_where_its_archive_is_not(packed, elsewhere, capsys):
    assert not any("--books--" in name and name.endswith(".gz") for name in files_of(elsewhere))
    assert any("--ledger--" in name and name.endswith(".gz") for name in files_of(elsewhere))

    code, said = check(packed[0], elsewhere, capsys)

    assert (0, True) == (code, "NEEDS_REVIEW stands" in said), said
    page = elsewhere.with_suffix(".md").read_text()
    assert f"orderbooks soak --check {elsewhere.name}" in page
    assert f"]({bundle_of(elsewhere).name})" in page


def test_one_byte_of_any_file_of_the_evidence_is_missed(packed, elsewhere, capsys):
    files = files_of(elsewhere)
    assert len(files) > 8
    for name, raw in files.items():
        at = len(raw) // 2
        put(elsewhere, {**files, name: raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]})
        code, said = check(packed[0], elsewhere, capsys)
        assert (1, True) == (code, name in said), (name, said)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda files: files.pop(next(n for n in files if n.endswith(".gz"))), "not what its"),
        (lambda files: files.update({"raw/more": b"x"}), "raw/more: nothing that the report"),
        (lambda files: files.update({"../out": b"x"}), "no file of an archive"),
    ],
    ids=["a file less", "a file more", "a file outside"],
)
def test_a_bundle_has_what_the_report_rests_on_and_nothing_else(
    packed, elsewhere, capsys, edit: Edit, said: str
):
    files = files_of(elsewhere)
    edit(files)
    put(elsewhere, files)

    code, found = check(packed[0], elsewhere, capsys)

    assert (1, True) == (code, said in found), found


def test_a_better_report_does_not_stand(packed, elsewhere, capsys):
    told = json.loads(elsewhere.read_bytes())
    for edit, said in (
        (lambda it: it.update(verdict="PASS", broken=[]), "verdict"),
        (lambda it: it.update(broken=[]), "its own figures"),
        (lambda it: it["facts"]["seen"].update(samples=17_280), "samples"),
        (lambda it: it["facts"]["begun"].update(gamma_url="https://x.polymarket.com"), "begun"),
        (lambda it: it["facts"]["archived"]["account"]["coverage"].update(markets=400), "account"),
    ):
        better = json.loads(json.dumps(told))
        edit(better)
        elsewhere.write_text(json.dumps(better))
        code, found = check(packed[0], elsewhere, capsys)
        assert (1, True) == (code, said in found), found


def test_torn_evidence_is_refused_and_none_at_all_cannot_be_checked(packed, elsewhere, capsys):
    whole = bundle_of(elsewhere).read_bytes()
    bundle_of(elsewhere).write_bytes(whole[: len(whole) // 2])
    assert 1 == check(packed[0], elsewhere, capsys)[0]
    bundle_of(elsewhere).unlink()

    assert 2 == check(packed[0], elsewhere, capsys)[0]


def test_what_is_still_written_is_not_packed(tmp_path, capsys):
    """Half of the account would rest on what nobody has a hash of."""
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 60 * S)
    collector.flush(HOUR_MS + 61 * S)
    fleet.beat(collector)
    soaked(fleet)

    assert 2 == report_and_pack(fleet, tmp_path)

    assert "another account of these hours" in capsys.readouterr().err
    assert not list((tmp_path / "reports").glob("*"))
    assert 0 == report_and_pack(fleet, tmp_path, pack=())
