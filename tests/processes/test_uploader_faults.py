"""Every way a remote fails: by its name, one alert, nothing lost, and the rest goes on."""

import hashlib
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.processes.shipyard import Shipyard, yard
from tests.remotes.cut import Cut
from tests.remotes.drive import Drive
from tests.remotes.servers import S3, Local, Sftp, WebDav
from tests.rig import halt, wait_for
from workers.edge.spool import proving


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Shipyard]:
    with yard(tmp_path, Drive(tmp_path / "remote")) as made:
        yield made


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Shipyard]:
    with yard(tmp_path, Local(tmp_path / "remote")) as made:
        yield made


def causes(made: Shipyard) -> set[str]:
    return {each.cause for each in made.uploads() if each.cause}


# ── the remote as a whole ─────────────────────────────────────────────────────────────────────


def test_a_remote_that_is_away_costs_waiting_and_nothing_else(tmp_path: Path):
    with yard(tmp_path, Sftp(tmp_path / "remote")) as made:
        segments = made.publish(500, 500)
        made.remote.stop()
        process = made.start()
        detail = made.wait_condition("remote_unreachable")
        assert {each.name for each in segments} <= set(made.tickets(".ready"))
        made.remote.start()
        made.wait_done(*segments)
        made.wait_no_condition("remote_unreachable")
        made.stop(process)

        assert "connection refused" in detail
        assert {"network"} == causes(made)


@pytest.mark.parametrize(
    ("cause", "alert", "method"),
    [
        ("daily_limit", "remote_limited", "upload_limit"),
        ("remote_full", "remote_full", "storage_full"),
    ],
)
def test_a_used_up_limit_is_one_condition_until_the_remote_takes_files_again(
    drive: Shipyard, cause: str, alert: str, method: str
):
    segments = drive.publish(500)
    getattr(drive.remote, method)(10_000)
    process = drive.start()
    drive.wait_condition(alert)
    assert [segments[0].name] == [each for each in drive.tickets(".ready") if "health" in each]
    drive.remote.clear_faults()
    drive.wait_done(*segments)
    drive.wait_no_condition(alert)
    drive.stop(process)

    drive.assert_there(*segments)
    assert {cause} == causes(drive)


def test_a_condition_outlasts_the_sweeps_that_have_nothing_to_ask(local: Shipyard):
    """Each began the pauses anew, and ended the alert of a remote that was away all the time."""
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    [first] = local.publish(10)
    process = local.start()
    local.wait_done(first)
    place = Path(local.remote.remote)
    place.rename(place.with_name("away"))
    local.publish(10)
    local.wait_failures(2)
    local.stop(process)

    assert "remote_unreachable" in local.conditions()


def test_a_remote_that_lists_files_and_takes_none_stays_full(drive: Shipyard):
    [old] = drive.publish(10, hours_ago=100)
    process = drive.start()
    drive.wait_done(old)
    drive.stop(process)
    # Asked for by each sweep, and never let go.
    drive.remote.spoil(old.path)
    drive.retention = {"keep_days": 1, "interval_s": 0.2}
    drive.remote.storage_full(10_000)
    process = drive.start()
    drive.wait_condition("remote_changed")
    drive.wait_failures(2)
    drive.stop(process)

    assert {"remote_full", "remote_changed"} == set(drive.conditions())


def test_server_errors_are_tried_again_by_rclone_and_by_us(drive: Shipyard):
    segments = drive.publish(500)
    drive.remote.fault("POST", "^/upload/", 503, "backendError", count=2)
    process = drive.start()
    drive.wait_done(*segments)
    drive.stop(process)

    drive.assert_there(*segments)


def test_an_expired_token_is_refreshed_without_a_word(drive: Shipyard):
    segments = drive.publish(500)
    drive.remote.expire_token()
    process = drive.start()
    drive.wait_done(*segments)
    drive.stop(process)

    assert set() == causes(drive)
    assert any("/token" in each.path for each in drive.remote.requests)


def test_a_revoked_grant_is_told_as_that_until_it_is_given_again(drive: Shipyard):
    segments = drive.publish(500)
    drive.remote.revoke()
    process = drive.start()
    detail = drive.wait_condition("remote_refused")
    drive.stop(process)
    drive.remote.grant()
    process = drive.start()
    drive.wait_done(*segments)
    drive.wait_no_condition("remote_refused")
    drive.stop(process)

    assert "invalid_grant" in detail
    assert {"auth"} == causes(drive)


def test_a_large_file_goes_in_chunks_and_a_lost_answer_makes_no_second_one(drive: Shipyard):
    drive.environment["RCLONE_DRIVE_CHUNK_SIZE"] = "256k"
    drive.environment["RCLONE_DRIVE_UPLOAD_CUTOFF"] = "256k"
    segments = drive.publish(3_000_000)
    drive.remote.lose_answer("PUT", "uploadType=resumable", 1)
    process = drive.start()
    drive.wait_done(*segments)
    drive.stop(process)

    drive.assert_there(*segments)
    assert {1} == {len(entries) for entries in drive.remote.files().values()}


def test_connections_that_break_off_in_the_middle_leave_whole_files_only(tmp_path: Path):
    with yard(tmp_path, S3(tmp_path / "remote")) as made, Cut(made.remote.port) as cut:
        made.environment = made.remote.environment_at(cut.port)
        cut.after(60_000, count=3)
        segments = made.publish(400_000, 400_000)
        process = made.start()
        made.wait_done(*segments, limit_s=90)
        made.stop(process)

        assert cut.breaks >= 3
        made.assert_there(*segments)


def test_a_full_disk_of_a_directory_remote_is_told_as_full(local: Shipyard, small_disk: Path):
    local.offload["remote"] = str(small_disk / "archive")
    segments = local.publish(3_000_000)
    process = local.start()
    detail = local.wait_condition("remote_full")
    local.stop(process)

    assert "remaining disk space" in detail or "no space left" in detail
    assert [segments[0].name] == [each for each in local.tickets(".ready") if "health" in each]


def test_a_directory_that_is_gone_is_not_made_anew_below_a_share_that_is_not_mounted(
    local: Shipyard,
):
    [first] = local.publish(10)
    process = local.start()
    local.wait_done(first)
    place = Path(local.remote.remote)
    place.rename(place.with_name("away"))
    [late] = local.publish(10)
    detail = local.wait_condition("remote_unreachable")
    local.stop(process)
    process = local.start()
    local.wait_condition("remote_unreachable")
    assert not place.exists()
    place.with_name("away").rename(place)
    local.wait_done(late)
    local.stop(process)

    assert "is it mounted" in detail
    local.assert_there(first, late)


def test_a_remote_that_is_a_file_needs_a_person(local: Shipyard):
    Path(local.remote.remote).parent.mkdir(parents=True, exist_ok=True)
    Path(local.remote.remote).write_bytes(b"")
    process = local.start()
    wait_for(lambda: "stopped_for_a_person" in local.log(), what="the words to a person")
    local.stop_early_or_late(process)

    assert local.remote.remote in local.log()


def test_a_remote_that_is_not_configured_is_told_and_not_guessed(local: Shipyard):
    local.offload["remote"] = "nowhere:archive"
    local.publish(10)
    process = local.start()
    detail = local.wait_condition("remote_refused")
    local.stop(process)

    assert "no_remote" in detail


def test_a_remote_without_hashes_proves_nothing_unless_reading_back_is_allowed(tmp_path: Path):
    with yard(tmp_path, WebDav(tmp_path / "remote")) as made:
        segments = made.publish(500)
        process = made.start()
        made.wait_condition("remote_unproven")
        made.stop(process)
        assert [] == made.tickets(".done")

        made.offload["prove_by_download"] = "without_hash"
        process = made.start()
        made.wait_done(*segments)
        made.stop(process)


def test_other_content_of_equal_size_is_found_where_there_are_no_hashes(tmp_path: Path):
    with yard(tmp_path, WebDav(tmp_path / "remote"), prove_by_download="without_hash") as made:
        [taken, free] = made.publish(500, 500)
        made.remote.write(taken.path, os.urandom(taken.bytes))
        process = made.start()
        made.wait_done(free)
        made.stop(process)

        assert "conflict" in made.reason(taken.name)


# ── one file ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", ["same", "other"])
def test_a_name_taken_by_other_content_is_never_overwritten_and_holds_up_no_other(
    local: Shipyard, size: str
):
    [taken, free] = local.publish(500, 500)
    foreign = os.urandom(taken.bytes if size == "same" else 7)
    local.remote.write(taken.path, foreign)
    process = local.start()
    local.wait_done(free)
    wait_for(lambda: local.reason(taken.name), what="the ticket to be set aside")
    local.stop(process)

    assert local.reason(taken.name).startswith(f"conflict: {taken.path}")
    assert foreign == local.remote.read(taken.path)
    assert local.here(taken)


def test_two_files_under_one_path_are_not_proven(drive: Shipyard):
    [doubled, free] = drive.publish(500, 500)
    drive.remote.write(doubled.path, (drive.data.root / doubled.path).read_bytes())
    drive.remote.duplicate(doubled.path)
    process = drive.start()
    drive.wait_done(free)
    wait_for(lambda: drive.reason(doubled.name), what="the ticket to be set aside")
    drive.stop(process)

    assert "duplicate" in drive.reason(doubled.name)


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "no manifest", "foreign manifest"])
def test_a_local_file_that_is_not_what_its_manifest_says_is_not_copied(
    local: Shipyard, damage: str
):
    [bad, other, free] = local.publish(500, 500, 500)
    path = local.data.root / bad.path
    manifest = local.data.root / local.manifest_path(bad)
    if damage == "flipped":
        whole = path.read_bytes()
        path.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "gone":
        path.unlink()
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_bytes((local.data.root / local.manifest_path(other)).read_bytes())
    process = local.start()
    local.wait_done(free, other)
    wait_for(lambda: local.reason(bad.name), what="the ticket to be set aside")
    local.stop(process)

    assert "unfit" in local.reason(bad.name)
    assert bad.path not in local.remote.paths()


def test_a_failed_ticket_that_is_put_back_is_done_again(local: Shipyard):
    [segment] = local.publish(500)
    local.remote.write(segment.path, b"foreign")
    process = local.start()
    wait_for(lambda: local.reason(segment.name), what="the ticket to be set aside")
    local.remote.vanish(segment.path)
    failed = local.data.queue("upload") / f"{segment.name}.failed"
    failed.rename(failed.with_suffix(".ready"))
    local.wait_done(segment)
    local.stop(process)


def test_a_strange_file_in_the_queue_is_set_aside(local: Shipyard):
    stranger = local.data.queue("upload") / "stranger.ready"
    stranger.write_bytes(b"\xff\x00")
    segments = local.publish(10)
    process = local.start()
    local.wait_done(*segments)
    local.stop(process)

    assert stranger.with_suffix(".failed").exists()


# ── rclone and credentials ────────────────────────────────────────────────────────────────────


def script(folder: Path, text: str) -> Path:
    path = folder / "other-rclone"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("stand_in", "words"),
    [
        (None, "no such program"),
        ("echo 'rclone v1.60.1'", "or later is needed"),
        ("exit 1", "exit status 1"),
        ("echo hello", "version"),
    ],
)
def test_an_rclone_that_cannot_do_it_needs_a_person(
    local: Shipyard, tmp_path: Path, stand_in: str | None, words: str
):
    named = script(tmp_path, stand_in) if stand_in else tmp_path / "missing"
    local.offload["rclone_path"] = str(named)
    process = local.start()
    wait_for(lambda: "stopped_for_a_person" in local.log(), what="the words to a person")
    local.stop_early_or_late(process)

    assert words in local.log()


def test_an_rclone_that_hangs_is_ended_at_its_limit_and_the_batch_tried_again(drive: Shipyard):
    drive.offload["batch_timeout_s"] = 2
    segments = drive.publish(500)
    drive.remote.hold()
    process = drive.start()
    drive.wait_condition("remote_unreachable")
    drive.wait_failures(2)
    drive.stop(process)
    assert {"timeout"} == causes(drive)
    # On a busy machine an rclone that does not hang may need longer than that, too.
    del drive.offload["batch_timeout_s"]
    drive.remote.release()
    process = drive.start()
    drive.wait_done(*segments)
    drive.stop(process)

    drive.assert_there(*segments)


def test_an_rclone_that_is_killed_costs_one_more_try(drive: Shipyard):
    segments = drive.publish(500)
    drive.remote.hold()
    process = drive.start()
    wait_for(lambda: drive.remote.held, what="an upload that hangs")
    for child in psutil.Process(process.pid).children():
        os.kill(child.pid, signal.SIGKILL)
    drive.remote.release()
    drive.wait_done(*segments)
    drive.stop(process)

    assert "killed" in causes(drive)
    assert {1} == {len(entries) for entries in drive.remote.files().values()}


def test_a_credentials_file_is_used_and_never_told(tmp_path: Path):
    with yard(tmp_path, S3(tmp_path / "remote")) as made:
        secret = made.remote.environment["RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"]
        conf = tmp_path / "rclone.conf"
        conf.write_text(made.remote.config_text())
        conf.chmod(0o600)
        made.reaching = {}
        segments = made.publish(10)
        process = made.start(ORDERBOOKS_RCLONE_CONFIG=str(conf))
        made.wait_done(*segments)
        made.stop(process)

        copy = made.data.run / "rclone.conf"
        assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
        elsewhere = [path for path in made.data.root.rglob("*") if path.is_file() and path != copy]
        assert not [path for path in elsewhere if secret.encode() in path.read_bytes()]
        assert not [row for row in made.rows("upload") if secret.encode() in row]
        assert secret not in made.log()


@pytest.mark.parametrize("fault", ["mode 0644", "missing"])
def test_credentials_that_are_not_safe_or_not_there_need_a_person(local: Shipyard, fault: str):
    conf = local.rig.folder / "rclone.conf"
    if fault != "missing":
        conf.write_text("[x]\ntype = local\n")
        conf.chmod(0o644)
    process = local.start(ORDERBOOKS_RCLONE_CONFIG=str(conf))
    wait_for(lambda: "stopped_for_a_person" in local.log(), what="the words to a person")
    local.stop_early_or_late(process)

    assert str(conf) in local.log()


def test_when_our_own_disk_is_full_nothing_is_called_proven(tmp_path: Path, small_disk: Path):
    """The ledger row comes first: without room for it the ticket stays ready."""
    remote = Local(tmp_path / "remote")
    folder = small_disk / "rig"
    folder.mkdir()
    with yard(folder, remote) as made:
        [segment] = made.publish(100)
        process = made.start()
        made.wait_done(segment)
        filler = small_disk / "filler"
        # Else it may be done with a batch before the disk is full.
        halt(process)
        [late] = made.publish(100)
        _fill(filler)
        process.send_signal(signal.SIGCONT)
        wait_for(lambda: "step_postponed" in made.log(), what="a write that is refused")
        assert late.name not in made.tickets(".done")
        filler.unlink()
        made.wait_done(late)
        made.stop(process)

        proven = {each.path for batch in made.uploads() for each in batch.files}
        assert {segment.path, late.path} <= proven


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass


def test_the_bytes_on_the_remote_are_the_bytes_that_were_recorded(local: Shipyard):
    """The last word is the content, not what anybody says of it."""
    segments = local.publish(1, 1000, 1_000_000)
    before = {each.path: (local.data.root / each.path).read_bytes() for each in segments}
    process = local.start()
    local.wait_done(*segments)
    local.stop(process)

    for path, data in before.items():
        assert hashlib.sha256(data).digest() == hashlib.sha256(local.remote.read(path)).digest()


def test_two_tickets_of_one_name_become_one_and_what_was_wrong_is_kept(local: Shipyard):
    same, other, failed, torn = segments = local.publish(500, 500, 500, 500)
    queue = local.data.queue("upload")
    for each, state in ((same, ".done"), (other, ".done"), (failed, ".failed"), (torn, ".done")):
        shutil.copy(queue / f"{each.name}.ready", queue / f"{each.name}{state}")
    wrong = (queue / f"{other.name}.done").read_text().replace(other.sha256, "0" * 64)
    (queue / f"{other.name}.done").write_text(wrong)
    (queue / f"{torn.name}.ready").write_text("{")
    process = local.start()
    local.wait_done(*segments)
    wait_for(lambda: not {each.name for each in segments} & set(local.tickets(".ready")), what="it")
    local.stop(process)

    assert [] == local.tickets(".failed")
    local.assert_there(same, other, failed)
    kept = dict(proving.quarantined(local.data))
    assert {f"{other.name}.done.twin", f"{torn.name}.ready.twin"} == set(kept)
    assert wrong == (local.data.quarantine / f"{other.name}.done.twin").read_text()
    assert "in upload: not a ticket" in str(kept[f"{torn.name}.ready.twin"])
    assert "worker_crashed" not in local.log()
