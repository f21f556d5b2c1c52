"""Holds the recorder: order, rotation, flush before sync, trouble that passes, suspects."""

import errno
import os

import msgspec
import pytest

from tests.crash import workload
from tests.crash.workload import BOOKS, FIRST_DUE_MS, LEDGER
from tests.edge.spool.bench import LIMITS, WALL_NS, Bench, books_of
from workers.edge import durable
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir


def test_rows_come_back_in_order_and_once(bench):
    for tick in range(6):
        bench.put(tick)
        bench.tend()
    bench.close()

    assert books_of(*range(6)) == bench.rows()
    assert [] == bench.faults()


def test_a_stream_rotates_with_the_utc_hour_of_its_ticks(bench):
    bench.put(0, 1, 2, 3)
    bench.close()

    assert [
        ("books", "hour", "hour=08"),
        ("books", "stop", "hour=09"),
        ("ledger", "hour", "hour=08"),
        ("ledger", "stop", "hour=09"),
    ] == sorted((each.kind, each.ended, each.path.split("/")[3]) for each in bench.manifests())
    assert [] == bench.faults()


def test_a_stream_rotates_at_its_size(tmp_path):
    limits = msgspec.structs.replace(LIMITS, max_segment_bytes=900)
    bench = Bench(DataDir(tmp_path / "data"), limits)
    bench.put(2, 3, 4, 5)
    bench.close()

    sizes = {each.ended: each.raw_bytes for each in bench.manifests() if each.kind == "books"}

    assert {"size", "stop"} == sizes.keys()
    assert 900 <= sizes["size"] < 1300


def test_ledgers_are_published_after_the_books_they_speak_of(bench):
    bench.put(2)
    bench.close()

    assert ["books", "ledger"] == [each.kind for each in bench.manifests()]


def test_sealed_rows_are_flushed_while_they_wait_to_be_published(bench):
    """One segment is published at a time; the ledgers of the others go on meanwhile."""
    bench.put(0, 1)
    bench.put(2)
    sealed = [segment for _, segment, ended in bench.recorder._finished if ended == "hour"]
    bench.tend()

    assert 1 == bench.recorder.published
    assert [2, 4] == sorted(each.flushed_rows for each in sealed)


def test_before_a_ledger_is_published_everything_it_may_speak_of_is_in_the_files(bench):
    bench.put(0, 1)
    bench.tend()
    due_ms, row = FIRST_DUE_MS + 1_000, workload.book_row(1, "3")
    segment = bench.recorder.append(BOOKS, row, due_ms=due_ms, wall_ns=WALL_NS)
    bench.recorder.seal(LEDGER, "size")
    bench.tend(0)

    assert segment.story.rows == segment.flushed_rows


def test_rows_held_back_are_added_before_the_ledger_is_flushed(bench):
    held = [b'{"at_wall_ns":2}\n']

    def add() -> None:
        while held:
            bench.recorder.append(LEDGER, held.pop(), due_ms=0, wall_ns=WALL_NS)

    segment = bench.recorder.append(LEDGER, b'{"at_wall_ns":1}\n', due_ms=0, wall_ns=WALL_NS)
    bench.recorder.before_flush = add
    bench.tend()

    assert (2, 2) == (segment.story.rows, segment.flushed_rows)


def test_a_row_is_in_the_file_after_the_flush_interval_and_on_disk_after_the_sync(bench):
    segment = bench.recorder.append(LEDGER, b'{"at_wall_ns":1}\n', due_ms=0, wall_ns=WALL_NS)
    bench.tend()
    bench.recorder.append(LEDGER, b'{"at_wall_ns":2}\n', due_ms=0, wall_ns=WALL_NS)

    assert (1, 1) == (segment.flushed_rows, segment.synced_rows)

    bench.tend(1)
    assert (2, 1) == (segment.flushed_rows, segment.synced_rows)

    bench.tend(1)
    assert (2, 2) == (segment.flushed_rows, segment.synced_rows)


def test_flush_now_syncs_at_once(bench):
    segment = bench.recorder.append(LEDGER, b'{"at_wall_ns":1}\n', due_ms=0, wall_ns=WALL_NS)

    bench.recorder.flush_now(wall_ns=WALL_NS, mono_ns=bench.mono_ns)

    assert (1, 1) == (segment.flushed_rows, segment.synced_rows)


def test_a_stream_without_rows_leaves_nothing(bench):
    bench.recorder.segment(LEDGER, 0)
    bench.close()

    assert ([], []) == (bench.manifests(), list(bench.folder.iterdir()))


def test_every_published_segment_has_its_tickets(bench):
    bench.put(2)
    bench.close()

    for queue in ("normalize", "upload"):
        assert 2 == len(tickets.waiting(bench.data, queue))


def _refuse(monkeypatch, name: str, number: int) -> None:
    """Let one call of edge.durable fail once; the real disk does the rest."""
    real = getattr(durable, name)

    def once(*args: object) -> object:
        monkeypatch.setattr(durable, name, real)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(durable, name, once)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_a_refused_file_is_tried_again_after_the_pause(bench, monkeypatch, number):
    _refuse(monkeypatch, "create_exclusively", number)
    bench.put(2)
    bench.tend()
    since = bench.recorder.trouble

    bench.put(3)
    bench.tend(4)
    still = bench.recorder.trouble
    bench.tend(1.5)

    assert os.strerror(number) in since.reason
    assert since == still
    assert None is bench.recorder.trouble
    bench.close()
    assert books_of(2, 3) == bench.rows()
    assert [] == bench.faults()


def test_a_failed_sync_sends_the_file_to_salvage_and_the_stream_goes_on(bench, monkeypatch):
    _refuse(monkeypatch, "sync_data", errno.EIO)
    bench.put(2)
    bench.tend(10)
    bench.put(3)
    bench.close()

    assert 1 == bench.recorder.salvaged
    assert books_of(2, 3) == bench.rows()
    assert ["cut_short", "stop", "stop"] == sorted(each.ended for each in bench.manifests())
    assert [] == bench.faults()


def test_a_salvage_that_a_full_disk_stops_is_tried_again(bench, monkeypatch):
    _refuse(monkeypatch, "sync_data", errno.EIO)
    _refuse(monkeypatch, "append", errno.ENOSPC)
    bench.put(2)
    bench.tend(10)

    assert bench.recorder.trouble
    assert bench.recorder.has_unpublished()

    bench.tend(10)
    bench.close()
    assert books_of(2) == bench.rows()
    assert [] == bench.faults()


def test_data_that_changed_on_the_disk_is_not_published_as_whole(bench):
    bench.put(2, 3)
    bench.tend(10)
    path = next(bench.folder.glob("*--books--*.open"))
    raw = path.read_bytes()
    path.write_bytes(raw[:-30] + bytes(30))

    bench.close()

    assert 1 == bench.recorder.salvaged
    books = next(each for each in bench.manifests() if each.kind == "books")
    assert "cut_short" == books.ended
    assert [f"{path.name}.torn", f"{path.name}.torn.why"] == bench.quarantined()
    assert [] == bench.faults()


def test_a_commit_that_stopped_half_way_hangs_on_the_published_chain(bench, monkeypatch):
    bench.put(2)
    bench.recorder.seal_all("stop")
    moves = []
    real = durable.move

    def move(source, target):
        moves.append(target)
        if len(moves) == 2:
            raise OSError(errno.ENOSPC, "no room for the name")
        real(source, target)

    monkeypatch.setattr(durable, "move", move)
    bench.tend()
    monkeypatch.setattr(durable, "move", real)
    _refuse(monkeypatch, "sync_data", errno.EIO)
    bench.put(3)
    bench.tend(10)
    bench.close()

    assert books_of(2, 3) == sorted(bench.rows())
    assert [] == bench.faults()


def test_half_published_data_that_rots_goes_home_to_salvage(bench, monkeypatch):
    bench.put(2, 3)
    bench.recorder.seal_all("stop")
    real = durable.move

    def move(source, target):
        if target.name.endswith(".manifest.json"):
            raise OSError(errno.ENOSPC, "no room for the name")
        real(source, target)

    monkeypatch.setattr(durable, "move", move)
    bench.tend()
    monkeypatch.setattr(durable, "move", real)
    data = next(bench.data.root.glob("raw/**/*--books--*.jsonl.gz"))
    raw = bytearray(data.read_bytes())
    raw[-6] ^= 1
    data.write_bytes(raw)
    bench.tend(10)
    bench.close()

    assert books_of(2, 3) == bench.rows()
    assert 1 == bench.recorder.salvaged
    assert [] == bench.faults()


def test_a_bug_is_not_taken_for_disk_trouble(bench, monkeypatch):
    _refuse(monkeypatch, "create_exclusively", errno.EACCES)
    bench.put(2)

    with pytest.raises(PermissionError):
        bench.tend()
