"""Holds the rest of the spool: the directory, locks, tickets, state files and readers."""

import subprocess
import sys

import pytest

from tests.crash.workload import BOOKS, WORKER
from tests.edge.spool.bench import books_of
from workers.core.errors import NeedsAPerson, Temporary
from workers.core.health.heartbeats import Guard, Heartbeat
from workers.edge.spool import locks, publish, reader, state, tickets
from workers.edge.spool.directory import SOCKET_PATH_MAX_BYTES, DataDir


def test_preparing_twice_is_safe(tmp_path):
    data = DataDir(tmp_path / "new/data")
    data.prepare()
    before = sorted(data.root.rglob("*"))
    data.prepare()

    assert before == sorted(data.root.rglob("*"))
    assert data.quarantine.is_dir()


@pytest.mark.parametrize("taken", ["spool", "raw", "spool/open"])
def test_a_file_where_a_folder_must_be_needs_a_person(tmp_path, taken):
    path = tmp_path / "data" / taken
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("in the way")

    with pytest.raises(NeedsAPerson, match="prepare the data directory") as caught:
        DataDir(tmp_path / "data").prepare()

    assert caught.value.hint


def test_a_socket_path_that_the_kernel_cannot_hold_is_refused(tmp_path):
    DataDir(tmp_path).check_socket()

    with pytest.raises(NeedsAPerson, match=f"{SOCKET_PATH_MAX_BYTES}"):
        DataDir(tmp_path / ("x" * 100)).check_socket()


OWN = (
    "import sys; from pathlib import Path; from workers.edge.spool import locks\n"
    "{call}(Path(sys.argv[1]){more}); print('owned', flush=True); sys.stdin.read()"
)


def _other_process(folder, call="locks.own", more=""):
    return subprocess.Popen(
        [sys.executable, "-c", OWN.format(call=call, more=more), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def test_a_directory_has_one_owner_and_is_free_after_its_death(tmp_path):
    with _other_process(tmp_path) as other:
        assert b"owned\n" == other.stdout.readline()
        with pytest.raises(Temporary, match=f"process {other.pid} holds it"):
            locks.own(tmp_path)
        assert locks.is_owned(tmp_path)
        other.kill()
        other.wait()

    assert not locks.is_owned(tmp_path)
    locks.own(tmp_path)
    locks.own(tmp_path)
    assert locks.is_owned(tmp_path)


def test_collectors_that_count_differently_wait_for_each_other(tmp_path):
    with _other_process(tmp_path, "locks.agree_on_shards", ", 2") as other:
        assert b"owned\n" == other.stdout.readline()
        with pytest.raises(Temporary, match="live collectors count 2"):
            locks.agree_on_shards(tmp_path, 4)
        locks.agree_on_shards(tmp_path, 2)
        locks.release_all()
        other.kill()
        other.wait()

    locks.agree_on_shards(tmp_path, 4)


def test_a_ticket_goes_from_ready_to_done(bench):
    bench.put(2)
    bench.close()
    path = tickets.waiting(bench.data, "upload")[0]

    tickets.finish(path)

    assert 1 == len(tickets.waiting(bench.data, "upload"))
    assert [path.with_suffix(".done")] == tickets.waiting(bench.data, "upload", tickets.DONE)


def test_a_failed_ticket_says_why_and_can_be_tried_again(bench):
    bench.put(2)
    bench.close()
    path = tickets.waiting(bench.data, "upload")[0]

    tickets.fail(path, "the remote said no")
    failed = tickets.waiting(bench.data, "upload", tickets.FAILED)[0]
    reason = tickets.read(failed).reason
    tickets.retry(failed)

    assert "the remote said no" == reason
    assert path in tickets.waiting(bench.data, "upload")


@pytest.mark.parametrize("finish", [tickets.finish, lambda path: tickets.fail(path, "x")])
def test_a_ticket_in_any_state_is_not_issued_again(bench, finish):
    bench.put(2)
    bench.close()
    for queue in ("normalize", "upload"):
        for path in tickets.waiting(bench.data, queue):
            finish(path)

    assert [0, 0] == [tickets.issue(bench.data, each, "x") for each in bench.manifests()]
    assert [] == bench.recover()


def test_a_lost_ticket_of_the_newest_segment_is_issued_at_recovery(bench):
    bench.put(2)
    bench.close()
    newest = bench.manifests()[-1].name
    (bench.data.queue("upload") / f"{newest}.ready").unlink()

    assert [("ticketed", newest)] == [(each.action, each.name) for each in bench.recover()]


def test_publishing_again_is_harmless_and_other_bytes_are_refused(bench):
    bench.put(2)
    bench.close()
    manifest = bench.manifests()[0]
    other = type(manifest)(**{**_fields(manifest), "sha256": "0" * 64})

    assert manifest == publish.publish(bench.data, manifest, bench.folder / "none")
    with pytest.raises(publish.Suspect, match="other bytes"):
        publish.publish(bench.data, other, bench.folder / "none")


def _fields(struct):
    return {name: getattr(struct, name) for name in struct.__struct_fields__}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"level":7}', b"[" * 9999])
def test_a_state_file_that_cannot_be_believed_reads_as_none(tmp_path, content):
    path = tmp_path / "state.json"
    path.write_bytes(content)

    assert None is state.read(path, Heartbeat)
    assert None is state.read(tmp_path / "none.json", Heartbeat)


def test_a_state_file_comes_back_and_the_guard_is_ok_without_one(bench):
    assert "ok" == state.guard(bench.data).level

    state.write(bench.data.guard, Guard(level="pause"))

    assert "pause" == state.guard(bench.data).level


def test_a_reader_sees_the_whole_rows_of_an_open_segment(bench):
    path = bench.die(2)["books"]
    path.write_bytes(path.read_bytes()[:-20])

    found = list(reader.open_streams(bench.data, kinds=frozenset({"books"})))

    assert [(BOOKS.subject, WORKER)] == [(each.name.subject, each.name.worker) for each in found]
    assert found[0].rows.count(b"\n") < len(books_of(2)) + 1
    assert found[0].rows.endswith(b"\n") or found[0].rows == b""


def test_a_reader_names_a_manifest_that_cannot_be_read(bench):
    bench.put(2)
    bench.close()
    path = next(path for path, _ in reader.manifests(bench.data))
    path.write_bytes(b"{")

    read = dict(reader.manifests(bench.data))

    assert 2 == len(read)
    assert "truncated" in read[path]
