"""Holds `orderbooks retention`: it says what would go and why, and removes nothing."""

import json

import pytest

from tests.remotes.servers import S3, Local
from tests.tools.offloading import Yard
from workers.core.offload.retention import BARS


@pytest.fixture
def yard(whole, tmp_path):
    """The whole minute, shipped to a directory."""
    with Local(tmp_path / "far") as remote:
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
        yield yard


def asked(yard: Yard, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("retention", *words, "--json")
    return code, json.loads(capsys.readouterr().out)


def files(yard: Yard) -> set[str]:
    return {str(path) for path in yard.data.root.rglob("*.jsonl.gz")}


def test_old_and_proven_files_may_go_and_none_goes(yard, capsys):
    before = files(yard)

    code, found = asked(yard, capsys, "--dry-run")

    assert 0 == code
    gone = {each["path"] for each in found["going"]}
    books = {yard.data.relative(path) for path in yard.fleet.segments("books")}
    assert books <= gone
    assert {"keep_days"} == {each["reason"] for each in found["going"]}
    assert found["kept"]["unproven"]
    assert found["kept"].keys() <= BARS.keys()
    assert before == files(yard)


def test_finished_tickets_of_files_that_are_gone_are_left_to_the_uploader(yard, capsys):
    yard.fleet.segments("books")[0].unlink()
    before = sorted(yard.data.queue("upload").iterdir())

    asked(yard, capsys)

    assert before == sorted(yard.data.queue("upload").iterdir())


def test_what_the_remote_lost_stays_and_is_named(yard, capsys):
    path = yard.data.relative(yard.fleet.segments("books")[0])
    yard.remote.spoil(path)

    code, found = asked(yard, capsys)

    assert 1 == code
    assert [(path, "conflict")] == [(each["path"], each["verdict"]) for each in found["lost"]]
    assert path not in {each["path"] for each in found["going"]}
    assert 0 == asked(yard, capsys, "--offline")[0]


def test_a_file_whose_manifest_the_remote_lost_stays_too(yard, capsys):
    path = yard.fleet.manifests("books")[0]
    yard.remote.vanish(yard.data.relative(path))

    code, found = asked(yard, capsys)

    assert 1 == code
    name = path.name.removesuffix(".manifest.json")
    assert not any(name in each["path"] for each in found["going"])


def test_a_labelled_file_stays(yard, capsys):
    name = yard.fleet.segments("books")[0].name
    yard.orderbooks("label", name, "--kind", "acknowledged", "--reason", "look at it")

    _, found = asked(yard, capsys)

    assert 1 == found["kept"]["labelled"]
    assert not any(name in each["path"] for each in found["going"])


def test_retention_that_is_off_says_so(yard, capsys):
    yard.write_config({"keep_days": 0})

    assert 0 == yard.orderbooks("retention")
    out = capsys.readouterr().out

    assert "retention is off" in out
    assert "0 data files" in out


def test_a_remote_that_cannot_be_asked_ends_it_and_offline_does_not_ask(
    whole, tmp_path, monkeypatch, capsys
):
    with S3(tmp_path / "far") as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()

    assert 2 == yard.orderbooks("retention")
    assert "--offline" in capsys.readouterr().err
    assert 0 == asked(yard, capsys, "--offline")[0]
