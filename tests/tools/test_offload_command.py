"""Holds `orderbooks offload`: what it tells is what the ledger and the remote say."""

import json
import os

import pytest

from tests.remotes.servers import S3, Local, WebDav
from tests.tools.offloading import Yard, of_kind
from workers.core.health.heartbeats import Condition
from workers.edge.offload import ledger
from workers.edge.spool import tickets


@pytest.fixture(params=[Local, S3], ids=["directory", "s3"])
def yard(request, whole, tmp_path, monkeypatch):
    """The whole minute, shipped to a remote."""
    with request.param(tmp_path / "far") as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
        yield yard


@pytest.fixture
def local(whole, tmp_path, monkeypatch):
    """As `yard`, a directory alone, nothing shipped yet."""
    with Local(tmp_path / "far") as remote:
        yield Yard(whole, remote, tmp_path)


def asked(yard: Yard, capsys, *words: str) -> tuple[int, dict]:
    capsys.readouterr()
    code = yard.orderbooks("offload", *words, "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def a_book(yard: Yard) -> str:
    return next(path for path in sorted(yard.remote.paths()) if "--books--" in path)


def test_what_is_proven_and_what_waits_is_told(yard, capsys):
    code, status = asked(yard, capsys)

    assert 0 == code
    assert len(yard.remote.paths()) == status["proven_files"]
    assert 2 == status["waiting"]["ready"], "what the uploader itself wrote of the last batch"
    assert status["last_batch"]["verdicts"] == {"proven": 4}
    assert not status["uploader_runs"]


def test_a_directory_on_the_same_disk_is_said_to_be_no_second_copy(local, capsys):
    code = local.orderbooks("offload")

    assert "no second copy" in capsys.readouterr().out
    assert 0 == code


def test_a_failed_ticket_is_named_and_can_be_tried_again(local, capsys):
    local.fleet.segments("books")[0].write_bytes(b"other")
    name = local.fleet.segments("books")[0].name.removesuffix(".jsonl.gz")
    local.ship()

    code, status = asked(local, capsys)

    assert 1 == code
    assert [name] == list(status["waiting"]["failed"])
    assert "unfit" in status["waiting"]["failed"][name]
    assert 2 == local.orderbooks("offload", "retry")
    assert 2 == local.orderbooks("offload", "retry", "none")
    assert 0 == local.orderbooks("offload", "retry", name)
    assert [name] == [p.stem for p in tickets.waiting(local.data, "upload") if p.stem == name]
    assert not tickets.waiting(local.data, "upload", tickets.FAILED)


def test_a_copy_that_was_lost_on_the_remote_can_be_made_again_by_name(local):
    local.ship_all()
    path = a_book(local)
    local.remote.vanish(path)

    assert 0 == local.orderbooks("offload", "retry", path)
    local.ship_all()

    assert (local.data.root / path).read_bytes() == local.remote.read(path)


def test_a_failed_drill_and_a_condition_that_holds_are_not_fine(local, capsys):
    local.drill()
    assert 0 == asked(local, capsys)[0]

    local.drill("its rows are gone")
    code, status = asked(local, capsys)
    assert (1, ["its rows are gone"]) == (code, status["last_drill"]["problems"])

    local.drill()
    conditions = [Condition(alert="remote_full", detail="no room")]
    worker = type("W", (), {"name": "uploader", "writer": local.fleet.collector(1).writer})
    local.fleet.beat(worker, conditions=conditions)
    code, status = asked(local, capsys)
    assert (1, {"remote_full": "no room"}) == (code, status["conditions"])


def test_everything_still_there_is_fine(yard, capsys):
    code, found = asked(yard, capsys, "verify")

    assert 0 == code
    assert {"proven": len(yard.remote.paths())} == found["verdicts"]


def test_a_flipped_byte_on_the_remote_is_found_and_named(yard, capsys):
    path = a_book(yard)
    yard.remote.spoil(path)

    code, found = asked(yard, capsys, "verify")

    assert 1 == code
    assert [(path, "conflict")] == [(p["path"], p["verdict"]) for p in found["problems"]]
    assert found["problems"][0]["proven"]["batch"] == "uploader.1.1"


def test_a_file_that_vanished_from_the_remote_is_found_and_named(yard, capsys):
    path = a_book(yard)
    yard.remote.vanish(path)

    assert 1 == yard.orderbooks("offload", "verify")
    out = capsys.readouterr().out

    assert f"missing  {path}" in out
    assert "proven by" in out
    assert "1 files that were proven are not" in out


def test_only_the_day_that_is_asked_for_is_judged(yard, capsys):
    yard.remote.vanish(a_book(yard))

    assert 1 == asked(yard, capsys, "verify", "--day", "2026-04-16")[0]
    code, found = asked(yard, capsys, "verify", "--day", "2026-04-15")
    assert (0, {}, []) == (code, found["verdicts"], found["strangers"])
    assert 2 == yard.orderbooks("offload", "verify", "--day", "yesterday")


def test_a_stranger_on_the_remote_is_a_note(yard, capsys):
    yard.remote.write("raw/notes.txt", b"mine")

    code, found = asked(yard, capsys, "verify")

    assert (0, ["raw/notes.txt"]) == (code, found["strangers"])


def test_content_that_is_not_what_the_listing_says_is_found_by_reading_it_back(
    whole, tmp_path, monkeypatch, capsys
):
    """Plain WebDAV lists no hash: only its content tells."""
    with WebDav(tmp_path / "far") as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yard = Yard(whole, remote, tmp_path, prove_by_download="without_hash")
        yard.ship_all()
        path = a_book(yard)
        assert 0 == asked(yard, capsys, "verify", "--download")[0]

        remote.spoil(path)

        code, found = asked(yard, capsys, "verify")
        assert (0, ["unproven"]) == (code, list(found["verdicts"]))
        code, found = asked(yard, capsys, "verify", "--download")
        assert 1 == code
        assert [(path, "conflict")] == [(p["path"], p["verdict"]) for p in found["problems"]]


def test_a_remote_that_cannot_be_reached_is_no_verdict(whole, tmp_path, monkeypatch, capsys):
    with S3(tmp_path / "far") as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yard = Yard(whole, remote, tmp_path)
        yard.ship_all()
    capsys.readouterr()

    assert 2 == yard.orderbooks("offload", "verify")
    said = capsys.readouterr()
    assert "network" in said.err
    assert "missing" not in said.out


def test_a_damaged_ledger_is_told(local, capsys):
    local.ship()
    path = local.fleet.segments("upload")[0]
    path.write_bytes(path.read_bytes()[:-9])

    code, status = asked(local, capsys)

    assert 1 == code
    assert any(path.name.removesuffix(".jsonl.gz") in each for each in status["damage"])


def test_the_latest_proof_wins_and_since_when_is_kept(local):
    first = local.ship()
    first_wall_ns = next(ledger.uploads(local.data, [])).at_wall_ns
    for ticket in tickets.waiting(local.data, "upload", tickets.DONE):
        ticket.rename(ticket.with_suffix(tickets.READY))
    local.ship()

    proven = ledger.proven_files(local.data, [])

    path = first.files[0].path
    assert first.batch == proven[path].batch
    assert first_wall_ns == proven[path].since_wall_ns


@pytest.mark.parametrize("word", ["plan", "--dry-run"])
def test_a_plan_copies_nothing_and_says_what_would_be_skipped(local, capsys, word):
    path = local.data.relative(local.fleet.segments("books")[0])
    local.remote.write(path, b"taken")

    code, plan = asked(local, capsys, word)

    assert 1 == code
    assert {"missing": 17, "conflict": 1} == plan["batches"][0]["verdicts"]
    assert any("immutable file modified" in each for each in plan["batches"][0]["said"])
    assert {path} == local.remote.paths()
    assert plan == json.loads((local.data.manifests / "upload/dry_run.json").read_bytes())
    assert 9 == len(tickets.waiting(local.data, "upload"))


def test_nothing_of_the_command_is_left_behind(local):
    local.ship()
    local.orderbooks("offload", "verify")

    assert not list(local.data.run.glob(f"offload-{os.getpid()}*"))


def test_what_retention_let_go_is_counted(yard, capsys):
    listed = yard.let_go(of_kind("books"))

    _, status = asked(yard, capsys)

    assert 4 == status["released_files"] == len(listed.files)
    assert listed.bytes == status["released_bytes"]
