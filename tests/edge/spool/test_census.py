"""Holds edge.spool.census: whatever lies in spool/, a look ends, and says what it could not read."""

import os
import time
from pathlib import Path

import msgspec
import pytest

from workers.core.archive.manifests import Ticket, encode
from workers.core.health.heartbeats import Crash, Heartbeat
from workers.core.health.looks import Spool
from workers.core.universe.universe import Universe
from workers.edge.durable import read_regular
from workers.edge.spool import state
from workers.edge.spool.census import STATE_MAX_FILES, UNREAD_MAX, Census
from workers.edge.spool.directory import DataDir
from workers.edge.spool.state import STATE_MAX_BYTES

NOW = 1_795_228_320_000_000_000
MONO = 10**12
HOUR_NS = 3600 * 10**9


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    data = DataDir(tmp_path / "var")
    data.prepare()
    return data


def beat(worker: str = "discovery", **said: object) -> Heartbeat:
    given = {"worker": worker, "pid": 1, "run": "1", "version": "0", "boot_id": "b"}
    times = {"started_wall_ns": NOW, "at_wall_ns": NOW, "at_mono_ns": MONO}
    return Heartbeat(**given | times | said)


def look(data: DataDir, census: Census | None = None, *, wall_ns: int = NOW) -> Spool:
    return (census or Census(data)).look(wall_ns=wall_ns, mono_ns=MONO, boot_id="b")


def test_heartbeats_and_crashes_are_read_by_worker(data: DataDir):
    crash = Crash(worker="discovery", pid=1, at_wall_ns=1, kind="E", message="", traceback="")
    state.beat(data, beat())
    state.beat(data, beat("collector-00"))
    state.write(data.crash("discovery"), crash)

    seen = look(data)

    assert ["collector-00", "discovery"] == [each.worker for each in seen.heartbeats]
    assert [crash] == seen.crashes
    assert [] == seen.unread


def as_fifo(path: Path) -> None:
    os.mkfifo(path)


def as_link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def as_dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


def as_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_directory(path: Path) -> None:
    path.mkdir()


def as_huge(path: Path) -> None:
    path.touch()
    os.truncate(path, STATE_MAX_BYTES + 1)


def as_binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 100)


def as_empty(path: Path) -> None:
    path.touch()


def as_nest(path: Path) -> None:
    path.write_bytes(b'{"a":' * 200_000)


def as_absurd(path: Path) -> None:
    value = msgspec.json.encode(beat())
    path.write_bytes(value.replace(str(NOW).encode(), b"9" * 40))


def as_text_for_number(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(beat()).replace(b'"pid":1', b'"pid":"1"'))


def as_future(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(beat(at_mono_ns=MONO + HOUR_NS)))


def as_other_worker(path: Path) -> None:
    path.write_bytes(msgspec.json.encode(beat("collector-07")))


STRANGERS = [
    *(as_fifo, as_link, as_dead_link, as_device, as_directory, as_huge, as_binary, as_empty),
    *(as_nest, as_absurd, as_text_for_number, as_future, as_other_worker),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", STRANGERS)
def test_a_stranger_in_the_place_of_a_heartbeat_is_named_and_the_rest_is_read(data: DataDir, place):
    place(data.heartbeat("discovery"))
    state.beat(data, beat("watchdog"))

    seen = look(data)

    assert ["watchdog"] == [each.worker for each in seen.heartbeats]
    assert ["spool/heartbeat/discovery.json"] == [each.path for each in seen.unread]
    assert seen.unread[0].problem


@pytest.mark.parametrize(
    ("place", "problem"), [(as_fifo, "not a regular file"), (as_huge, "at most"), (as_link, "link")]
)
def test_what_is_not_a_small_regular_file_is_not_read_at_all(tmp_path: Path, place, problem: str):
    place(tmp_path / "x")

    with pytest.raises((OSError, ValueError), match=problem):
        read_regular(tmp_path / "x", STATE_MAX_BYTES)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("place", STRANGERS[:9])
def test_a_stranger_in_the_place_of_the_universe_is_named(data: DataDir, place):
    place(data.universe)

    seen = look(data)

    assert None is seen.universe
    assert ["spool/universe/universe.json"] == [each.path for each in seen.unread]


def test_a_universe_is_read_again_when_it_was_replaced(data: DataDir):
    census = Census(data)
    state.write(data.universe, Universe(seq=1))
    first = look(data, census)
    state.write(data.universe, Universe(seq=2))

    assert [1, 2] == [first.universe.seq, look(data, census).universe.seq]
    data.universe.unlink()
    assert None is look(data, census).universe


@pytest.mark.parametrize("name", ["Not A Worker.json", "x;y.json", "collector-00.json.json"])
def test_a_name_that_no_worker_has_is_named(data: DataDir, name: str):
    (data.heartbeats / name).write_bytes(msgspec.json.encode(beat()))

    assert [f"spool/heartbeat/{name}"] == [each.path for each in look(data).unread]


def test_drafts_and_other_files_are_nobodys_heartbeat(data: DataDir):
    (data.heartbeats / ".discovery.json.77.tmp").write_bytes(b"{")
    (data.heartbeats / "README").write_bytes(b"")

    assert [] == look(data).unread


def test_a_flood_of_strangers_is_bounded(data: DataDir):
    for number in range(STATE_MAX_FILES + 10):
        (data.heartbeats / f"z{number}.json").write_bytes(b"")
    state.beat(data, beat("discovery"))

    seen = look(data)

    assert UNREAD_MAX == len(seen.unread)
    assert 1 == len(seen.heartbeats)


def test_a_directory_that_is_gone_is_named_and_the_rest_is_read(data: DataDir):
    data.quarantine.rmdir()
    data.heartbeats.rmdir()

    seen = look(data)

    assert {"spool/quarantine", "spool/heartbeat"} == {each.path for each in seen.unread}
    assert 2 == len(seen.queues)


def ticket(data: DataDir, started: str, suffix: str = ".ready", age_s: int = 0) -> Path:
    path = data.queue("upload") / f"btc--books--collector-00--{started}-0001{suffix}"
    path.write_bytes(b"")
    os.utime(path, ns=(NOW, NOW - age_s * 10**9))
    return path


def test_tickets_are_counted_by_state_and_the_oldest_is_the_oldest_segments(data: DataDir):
    ticket(data, "20261121T020000000Z", age_s=100)
    ticket(data, "20261121T010000000Z", age_s=500)
    ticket(data, "20261120T010000000Z", ".done", age_s=9999)
    ticket(data, "20261120T020000000Z", ".failed", age_s=9999)
    (data.queue("upload") / "stranger.ready").mkdir()

    queue = look(data).queues[1]

    assert (3, 1, 500, False) == (queue.ready, queue.failed, queue.oldest_s, queue.has_consumer)


def test_a_failed_ticket_is_told_with_its_reason_whatever_it_is(data: DataDir):
    path = ticket(data, "20261121T020000000Z", ".failed")
    assert path.name in look(data).queues[1].failed_example

    path.write_bytes(
        encode(
            Ticket(
                name="n",
                kind="books",
                path="p",
                manifest="m",
                bytes=1,
                sha256="s",
                reason="conflict: there",
            )
        )
    )
    assert look(data).queues[1].failed_example.endswith("-0001: conflict: there")

    path.unlink()
    path.mkdir()
    assert path.name in look(data).queues[1].failed_example


def test_a_queue_has_a_consumer_once_its_lock_exists(data: DataDir):
    (data.queue("normalize") / ".lock").touch()

    assert [True, False] == [each.has_consumer for each in look(data).queues]


def test_an_unchanged_queue_is_not_listed_again_and_a_changed_one_is(data: DataDir):
    census, folder = Census(data), data.queue("upload")
    ticket(data, "20261121T020000000Z")
    later_ns = time.time_ns() + HOUR_NS
    assert 1 == look(data, census, wall_ns=later_ns).queues[1].ready
    found = folder.stat()
    ticket(data, "20261121T030000000Z")
    os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns))

    assert 1 == look(data, census, wall_ns=later_ns).queues[1].ready
    # Not the time that the ticket gave it: a coarse clock may not have moved since the first look.
    os.utime(folder, ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert 2 == look(data, census, wall_ns=later_ns).queues[1].ready


def test_a_listing_younger_than_the_clock_can_tell_is_not_kept(data: DataDir):
    """Two changes within one tick of the filesystem's clock have one mtime."""
    census, folder = Census(data), data.queue("upload")
    found = folder.stat()
    look(data, census, wall_ns=found.st_mtime_ns + 1)
    ticket(data, "20261121T020000000Z")
    os.utime(folder, ns=(found.st_mtime_ns, found.st_mtime_ns))

    assert 1 == look(data, census, wall_ns=found.st_mtime_ns + 1).queues[1].ready


def test_quarantine_counts_what_lies_there_without_the_reasons(data: DataDir):
    (data.quarantine / "a.jsonl.gz").touch()
    (data.quarantine / "a.jsonl.gz.why").touch()
    (data.quarantine / "b").symlink_to("/dev/zero")

    assert 2 == look(data).quarantined
