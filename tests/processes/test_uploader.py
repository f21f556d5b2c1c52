"""The uploader: proven on every kind of remote, and only then may a file leave the disk."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.processes.shipyard import Shipyard, yard
from tests.remotes.drive import Drive
from tests.remotes.servers import S3, Local, Sftp, WebDav
from tests.rig import wait_for
from workers.core.archive.labels import Label
from workers.core.offload.offload import DrillManifest, RetentionManifest
from workers.core.offload.retention import EVIDENCE
from workers.edge import durable
from workers.edge.spool import labels

REMOTES = {"directory": Local, "s3": S3, "sftp": Sftp, "webdav": WebDav, "drive": Drive}
PROOFS = {
    "directory": "sha256",
    "s3": "md5",
    "sftp": "md5",
    "webdav": "download",
    "drive": "sha256",
}


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Shipyard]:
    with yard(tmp_path, Local(tmp_path / "remote")) as made:
        yield made


@pytest.mark.parametrize("kind", REMOTES)
def test_every_published_file_is_on_the_remote_once_and_proven(kind: str, tmp_path: Path):
    remote = REMOTES[kind](tmp_path / "remote")
    with yard(tmp_path, remote, prove_by_download="without_hash") as made:
        segments = [*made.publish(2000, 300_000), *made.publish(5, hours_ago=3)]
        process = made.start()
        made.wait_done(*segments)
        late = made.publish(100)
        made.wait_done(*late)
        made.stop(process)

        made.assert_there(*segments, *late)
        rows = [each for batch in made.uploads() for each in batch.files]
        ours = [each for each in rows if "--health--" in each.path]
        assert {"proven"} == {each.verdict for each in ours}
        assert {PROOFS[kind]} == {each.proof for each in ours}
        assert sorted(each.path for each in ours) == sorted(
            path for each in [*segments, *late] for path in (each.path, made.manifest_path(each))
        )


def test_what_was_proven_is_written_down_whole_and_without_secrets(tmp_path: Path):
    with yard(tmp_path, S3(tmp_path / "remote")) as made:
        segments = made.publish(1000)
        process = made.start()
        made.wait_done(*segments)
        made.stop(process)

        [manifest] = made.uploads()[:1]
        assert {"copy", "lsjson", "backend"} == {each.command[1] for each in manifest.commands}
        assert "1.75.2" == manifest.versions["rclone"]
        assert segments[0].bytes < manifest.bytes < segments[0].bytes + 10_000
        assert manifest.bytes_per_s > 0
        assert {"proven": 2} == manifest.verdicts
        told = made.log() + "".join(
            path.read_text(errors="replace")
            for path in made.data.root.rglob("*")
            if path.is_file() and path.suffix != ".gz"
        )
        for name, value in made.remote.environment.items():
            if name.endswith(("ACCESS_KEY", "_PASS")):
                assert value not in told, name


def test_the_ledger_is_a_segment_like_any_other_and_goes_to_the_remote_too(local: Shipyard):
    segments = local.publish(10)
    process = local.start()
    local.wait_done(*segments)
    local.stop(process)
    [ledger] = local.rig.manifests("upload")
    process = local.start()
    local.wait_done(ledger)
    local.stop(process)

    local.assert_there(ledger)


def test_an_interrupted_batch_is_taken_up_by_the_next_start(tmp_path: Path):
    with yard(tmp_path, Drive(tmp_path / "remote")) as made:
        segments = made.publish(2000, 2000)
        made.remote.hold()
        process = made.start()
        wait_for(lambda: made.remote.held, what="an upload that hangs")
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert [] == made.tickets(".done")
        made.remote.release()
        process = made.start()
        made.wait_done(*segments)
        made.stop(process)

        made.assert_there(*segments)
        assert {1} == {len(entries) for entries in made.remote.files().values()}


def test_a_stop_does_not_wait_for_a_long_copy_and_beats_go_on(tmp_path: Path):
    with yard(tmp_path, Drive(tmp_path / "remote")) as made:
        segments = made.publish(2000)
        made.remote.hold()
        process = made.start()
        wait_for(lambda: made.remote.held, what="an upload that hangs")
        first = made.beat().at_mono_ns
        wait_for(lambda: made.beat().at_mono_ns > first, what="another beat")
        made.stop(process)
        made.remote.release()

        assert [segments[0].name] == [each for each in made.tickets(".ready") if "health" in each]


def test_no_batch_begins_in_quiet_hours(tmp_path: Path):
    with yard(tmp_path, Local(tmp_path / "remote"), quiet_hours=["00:00-00:00"]) as made:
        segments = made.publish(10)
        process = made.start()
        first = made.beat().at_mono_ns
        wait_for(
            lambda: made.beat().at_mono_ns > first + 2_000_000_000, what="two seconds of beats"
        )
        made.stop(process)

        assert [segments[0].name] == made.tickets(".ready")
        assert set() == made.remote.paths()


def test_a_second_uploader_waits_for_the_first(local: Shipyard):
    first = local.start()
    wait_for(lambda: "worker_started" in local.log(), what="the first")
    second = local.start()
    wait_for(lambda: "step_postponed" in local.log(), what="the second that waits")
    local.stop(first)
    wait_for(lambda: local.log().count("worker_started") == 2, what="the second")
    local.stop(second)


def test_an_uploader_waits_while_an_orphan_of_the_last_one_holds_the_queue(local: Shipyard):
    """A busy machine takes its time to end the rclone of an uploader that was killed."""
    segments = local.publish(10)
    held = durable.try_lock(local.data.queue("upload") / ".lock")
    assert held is not None
    process = local.start()
    wait_for(lambda: "holds it" in local.log(), what="the word that it waits")
    durable.close(held)
    local.wait_done(*segments)
    local.stop(process)

    assert "worker_crashed" not in local.log()


# ── retention ─────────────────────────────────────────────────────────────────────────────────


def released(made: Shipyard) -> list[str]:
    rows = [json.loads(row) for row in made.rows("retention")]
    return [each["path"] for row in rows if row["step"] == "deleted" for each in row["files"]]


def test_a_proven_file_leaves_when_its_days_are_over_and_its_manifest_stays(local: Shipyard):
    local.retention = {"keep_days": 2, "interval_s": 0.2}
    [old] = local.publish(500, hours_ago=72)
    [young] = local.publish(500, hours_ago=30)
    process = local.start()
    local.wait_done(young)
    wait_for(lambda: not local.here(old), what="retention")
    wait_for(lambda: released(local), what="the second manifest")
    local.stop(process)

    assert [old.path] == released(local)
    assert local.here(young)
    assert (local.data.root / local.manifest_path(old)).exists()
    local.assert_there(old)
    steps = [json.loads(row) for row in local.rows("retention")]
    assert ["listed", "deleted"] == [each["step"] for each in steps]
    assert [(old.sha256, "sha256", "keep_days")] == [
        (each["sha256"], each["proof"], each["reason"]) for each in steps[0]["files"]
    ]
    last = local.last("retention")
    assert isinstance(last, RetentionManifest)
    assert {"young": 1} == {key: count for key, count in last.kept.items() if key == "young"}


def test_a_file_without_fresh_proof_stays_however_old_it_is(local: Shipyard):
    """Each was proven once; the remote has lost one and changed the other since."""
    [gone, changed] = local.publish(500, 500, hours_ago=100)
    process = local.start()
    local.wait_done(gone, changed)
    local.stop(process)
    local.remote.vanish(gone.path)
    local.remote.spoil(changed.path)
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    process = local.start()
    detail = local.wait_condition("remote_changed")
    local.stop(process)

    assert gone.path in detail
    assert changed.path in detail
    assert local.here(gone)
    assert local.here(changed)
    assert [] == released(local)


def test_a_labelled_file_and_one_whose_manifest_is_not_there_stay(local: Shipyard):
    [marked, halved] = local.publish(500, 500, hours_ago=100)
    [free] = local.publish(500, hours_ago=99)
    labels.write(
        local.data,
        Label(artifact=marked.name, kind="invalid", reason="test", by="us", at_utc="2026-01-01"),
    )
    process = local.start()
    local.wait_done(marked, halved, free)
    local.stop(process)
    local.remote.vanish(local.manifest_path(halved))
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    process = local.start()
    wait_for(lambda: not local.here(free), what="retention")
    local.stop(process)

    assert local.here(marked)
    assert local.here(halved)


def test_a_backlog_that_does_not_end_keeps_neither_retention_nor_drills_from_their_turn(
    local: Shipyard,
):
    local.offload |= {"batch_files": 1, "drill_interval_s": 0.5}
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    [old] = local.publish(10, hours_ago=100)
    local.publish(*[10] * 60)
    process = local.start()
    wait_for(lambda: drills(local) and not local.here(old), what="a drill and retention")
    waiting = local.tickets(".ready")
    local.stop(process)

    assert waiting


@pytest.mark.parametrize("kind", sorted(EVIDENCE))
def test_the_evidence_of_what_left_stays_itself(local: Shipyard, kind: str):
    """Without it a file that was released looks like one that was lost."""
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    [evidence] = local.publish(10, hours_ago=100, kind=kind)
    [segment] = local.publish(10, hours_ago=99)
    process = local.start()
    wait_for(lambda: not local.here(segment), what="retention")
    local.stop(process)

    assert evidence.name in local.tickets(".done")
    assert local.here(evidence)


def test_what_a_sweep_that_died_left_is_finished_by_the_next(local: Shipyard):
    """Dead between removing the data and its tickets: they go with the next sweep."""
    [old, next_one] = local.publish(500, 500, hours_ago=100)
    process = local.start()
    local.wait_done(old, next_one)
    local.stop(process)
    (local.data.root / old.path).unlink()
    local.retention = {"keep_days": 1, "interval_s": 0.2}
    process = local.start()
    wait_for(lambda: not local.here(next_one), what="the next sweep")
    wait_for(lambda: old.name not in local.tickets(".done"), what="its ticket to go")
    local.stop(process)


# ── drill ─────────────────────────────────────────────────────────────────────────────────────


def drills(made: Shipyard) -> list[DrillManifest]:
    return [msgspec.json.decode(row, type=DrillManifest) for row in made.rows("drill")]


def test_a_drill_brings_a_file_back_and_reads_it_to_its_last_row(local: Shipyard):
    segments = local.publish(5000)
    process = local.start()
    local.wait_done(*segments)
    local.stop(process)
    local.offload["drill_interval_s"] = 0.5
    process = local.start()
    wait_for(lambda: drills(local), what="a drill")
    local.stop(process)

    [drill, *_] = drills(local)
    assert drill.passed
    assert drill.rows >= 1
    assert not (local.data.root / "spool/drill").exists()
    assert "drill_failed" not in local.conditions()


@pytest.mark.parametrize("spoiled", ["data", "manifest"])
def test_a_flipped_byte_on_the_remote_is_found_by_a_drill(local: Shipyard, spoiled: str):
    [segment] = local.publish(5000)
    process = local.start()
    local.wait_done(segment)
    local.stop(process)
    for manifest in local.rig.manifests("upload"):
        # Then there is one file to draw.
        (local.data.root / local.manifest_path(manifest)).unlink()
    local.remote.spoil(segment.path if spoiled == "data" else local.manifest_path(segment))
    local.offload["drill_interval_s"] = 0.5
    process = local.start()
    detail = local.wait_condition("drill_failed")
    local.stop(process)

    assert segment.path in detail
    process = local.start()
    assert segment.path in local.wait_condition("drill_failed"), "it holds across a restart"
    local.stop(process)
