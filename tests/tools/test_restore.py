"""Holds `orderbooks restore`: what left this machine comes back, whole, and proven."""

import json
import shutil

import pytest

from tests.remotes.drive import Drive
from tests.remotes.servers import Local
from tests.tools.archives import HOUR_MS, Fleet, S, market
from tests.tools.offloading import Yard, of_kind
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir
from workers.tools.__main__ import main

HOUR = ("--day", "2026-04-16", "--hour", "8")
SPAN = ("--from", "2026-04-16T08:00", "--to", "2026-04-16T09:00")


@pytest.fixture(params=[Local, Drive], ids=["directory", "drive"])
def yard(request, whole, tmp_path, monkeypatch):
    """The whole minute, shipped."""
    with request.param(tmp_path / "far") as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
        yield yard


@pytest.fixture
def local(whole, tmp_path):
    """The whole minute, shipped to a directory."""
    with Local(tmp_path / "far") as remote:
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
        yield yard


@pytest.fixture
def back(tmp_path):
    """Where to."""
    return tmp_path / "back"


def restored(yard: Yard, back, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("restore", "--to", str(back), *words, "--jobs", "1", "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def on(back, capsys, verb: str, *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main([verb, "--data", str(back), *words])
    return code, capsys.readouterr().out


def test_an_hour_comes_back_and_proves_itself(yard, back, capsys):
    yard.let_go(of_kind("books", "ledger"))

    code, report = restored(yard, back, capsys, *HOUR)

    assert (0, []) == (code, report["problems"])
    assert {"books": 4, "ledger": 4, "universe": 1} == report["segments"]
    assert 0 == on(back, capsys, "verify", "--jobs", "1")[0]
    code, out = on(back, capsys, "coverage", "--json", *SPAN)
    assert (0, {"CAPTURED": 120}) == (code, json.loads(out)["totals"])


def test_a_machine_that_was_lost_comes_back_from_the_remote_alone(yard, back, capsys):
    shutil.rmtree(yard.data.root)

    code, report = restored(yard, back, capsys, "--all")

    assert (0, []) == (code, report["problems"])
    assert any("no offload ledger" in each for each in report["notes"])
    assert len(yard.remote.paths()) == report["files"] == report["fetched_files"]
    code, out = on(back, capsys, "verify", "--jobs", "1")
    assert 0 == code, out
    assert 0 == on(back, capsys, "coverage", *SPAN)[0]
    ledgers = main(["offload", "--config", str(yard.config), "--data", str(back), "verify"])
    assert 0 == ledgers, "the ledger came back too, and says what is proven"
    assert not yard.data.root.exists()


def test_a_market_comes_with_what_its_coverage_needs(local, back, capsys):
    code, report = restored(local, back, capsys, "--market", "btc-updown-5m-1")

    assert 0 == code
    assert 2 == report["segments"]["books"]
    assert {"ledger", "universe"} <= report["segments"].keys()
    assert 0 == on(back, capsys, "verify", "--jobs", "1")[0]
    words = ("--market", "btc-updown-5m-1", *SPAN)
    code, out = on(back, capsys, "coverage", "--json", *words)
    assert (0, {"CAPTURED": 60}) == (code, json.loads(out)["totals"])


def test_a_market_alone_comes_alone(local, back, capsys):
    words = ("--market", "btc-*", "--only-books", *HOUR)

    assert {"books": 4} == restored(local, back, capsys, *words)[1]["segments"]
    assert 0 == on(back, capsys, "verify", "--jobs", "1")[0]


def test_one_file_comes_by_its_name_or_by_its_path(local, back, capsys):
    path = local.fleet.segments("books")[0]
    name = path.name.removesuffix(".jsonl.gz")

    assert {"books": 1} == restored(local, back, capsys, name)[1]["segments"]
    report = restored(local, back, capsys, str(path), "--data", str(local.data.root))[1]
    assert ({"books": 1}, 0) == (report["segments"], report["fetched_files"])
    assert (back / local.data.relative(path)).read_bytes() == path.read_bytes()


def test_a_file_that_is_not_there_is_named_beside_those_that_are(local, back, capsys):
    name = local.fleet.segments("books")[0].name

    code, report = restored(local, back, capsys, name, name.replace("5m-1", "5m-9"))

    assert 1 == code
    assert [[name.replace("5m-1", "5m-9"), "not on the remote"]] == report["problems"]
    assert 1 == sum(report["segments"].values())


def test_damage_on_the_remote_is_told_with_the_file(local, back, capsys):
    path = local.data.relative(local.fleet.segments("books")[0])
    local.remote.spoil(path)

    code, report = restored(local, back, capsys, *HOUR)

    assert 1 == code
    manifest = path.replace(".jsonl.gz", ".manifest.json")
    assert {manifest} == {each[0] for each in report["problems"]}
    assert any("sha256" in each[1] for each in report["problems"])


def test_a_manifest_exchanged_together_with_its_data_is_not_ours(local, back, capsys):
    """What agrees with itself may still not be what was sent."""
    one = local.fleet.manifests("books")[0]
    forged = one.read_bytes().replace(b'"python": "3"', b'"python": "4"')
    assert forged != one.read_bytes()
    local.remote.write(local.data.relative(one), forged)

    code, report = restored(local, back, capsys, *HOUR)

    assert 1 == code
    said = " ".join(each[1] for each in report["problems"])
    assert "is not the manifest that lies in the data directory" in said
    assert "is not the manifest that was proven in batch uploader.1.1" in said


def test_half_a_segment_is_told(local, back, capsys):
    path = local.data.relative(local.fleet.manifests("books")[0])
    local.remote.vanish(path)

    code, report = restored(local, back, capsys, *HOUR)

    assert 1 == code
    assert any("its manifest is not on the remote" in each[1] for each in report["problems"])


def test_a_restore_that_was_interrupted_is_run_again_and_fetches_the_rest(local, back, capsys):
    restored(local, back, capsys, *HOUR)
    lost = back / local.data.relative(local.fleet.segments("books")[0])
    lost.unlink()

    code, report = restored(local, back, capsys, *HOUR)

    assert (0, 1) == (code, report["fetched_files"])
    assert lost.exists()


def test_another_file_under_a_name_is_never_overwritten(local, back, capsys):
    taken = back / local.data.relative(local.fleet.segments("books")[0])
    taken.parent.mkdir(parents=True)
    taken.write_bytes(b"mine")

    assert 2 == restored(local, back, capsys, *HOUR)[0]
    assert b"mine" == taken.read_bytes()
    assert [taken] == list(back.rglob("*--books--*"))


def test_a_place_that_would_mix_two_archives_is_refused(local, tmp_path, capsys):
    for place in (local.data.root, local.data.root / "raw", tmp_path, tmp_path / "far/archive/x"):
        assert 2 == restored(local, place, capsys, *HOUR)[0], place
    other = Fleet(tmp_path / "other")
    other.publish_universe(HOUR_MS, market(7))
    locks.release_all()
    assert 2 == restored(local, other.data.root, capsys, *HOUR)[0]
    assert not DataDir(other.data.root).root.joinpath("restored.json").exists()


@pytest.mark.parametrize(
    "words",
    [(), ("--all", "--day", "2026-04-16"), ("--hour", "8"), ("--day", "x"), ("x", "--all")],
)
def test_a_question_that_says_not_what_or_twice_is_refused(local, back, capsys, words):
    assert 2 == restored(local, back, capsys, *words)[0]
    assert not back.exists()


def test_what_matches_nothing_is_no_success(local, back, capsys):
    assert 2 == restored(local, back, capsys, "--day", "2026-04-20")[0]
    assert 2 == restored(local, back, capsys, "--market", "eth-*")[0]


def test_damage_in_a_restored_part_is_found_there(local, back, capsys):
    """A part is judged by what it can show; what it shows must still be whole."""
    restored(local, back, capsys, "--market", "btc-updown-5m-1")
    path = back / local.data.relative(local.fleet.segments("books")[0])
    for each in (path, path.with_name(path.name.replace(".jsonl.gz", ".manifest.json"))):
        assert each.exists()
    path.write_bytes(path.read_bytes()[:-9])

    code, out = on(back, capsys, "verify", "--jobs", "1")

    assert 1 == code
    assert path.name.removesuffix(".jsonl.gz") in out
    path.unlink()
    assert 1 == on(back, capsys, "verify", "--jobs", "1")[0]


def test_the_ledger_before_the_hour_comes_too_so_that_the_hour_is_accounted_for(
    tmp_path, capsys, back
):
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 10 * S, market(1, HOUR_MS, 3 * 3600))
    collector = fleet.collector(HOUR_MS - 5 * S)
    for hour in range(3):
        from_ms = HOUR_MS + hour * 3600 * S
        collector.ticks(from_ms, from_ms + 20 * S)
    collector.stop(HOUR_MS + 2 * 3600 * S + 20 * S)
    locks.release_all()
    with Local(tmp_path / "far") as remote:
        yard = Yard(fleet, remote, tmp_path)
        yard.ship_all()
        assert 0 == restored(yard, back, capsys, "--day", "2026-04-16", "--hour", "9")[0]
    words = ("--json", "--from", "2026-04-16T09:00", "--to", "2026-04-16T09:00:20")
    code, out = on(back, capsys, "coverage", *words)

    assert (0, {"CAPTURED": 20}) == (code, json.loads(out)["totals"])
    assert 0 == on(back, capsys, "verify", "--jobs", "1")[0]
