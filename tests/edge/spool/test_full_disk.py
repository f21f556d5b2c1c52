"""Holds the recorder on a disk that is really full: a small tmpfs, when root may mount one."""

import os
from pathlib import Path

import msgspec
import pytest

from tests.disks import DISK_BYTES, is_mounted
from tests.edge.spool.bench import LIMITS, WALL_NS, Bench
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Stream

HEALTH = Stream(subject="collector-00", kind="health")


def _fill(place: Path) -> None:
    """Take all the room that is left; bounded by the size of the small disk."""
    assert is_mounted(place)
    with (place / "ballast").open("wb", buffering=0) as file:
        for _ in range(2 * DISK_BYTES // 4096):
            try:
                file.write(bytes(4096))
            except OSError:
                return


def _record(bench: Bench, number: int) -> None:
    noise = os.urandom(400).hex()
    line = f'{{"at_wall_ns":{WALL_NS + number},"id":"row-{number}","x":"{noise}"}}\n'.encode()
    bench.recorder.append(HEALTH, line, due_ms=WALL_NS // 1_000_000, wall_ns=WALL_NS)
    bench.tend()


def _rows(bench: Bench) -> list[str]:
    return bench.rows("health")


def test_a_full_disk_pauses_and_no_row_is_lost_or_written_twice(small_disk):
    limits = msgspec.structs.replace(LIMITS, max_segment_bytes=20_000)
    bench = Bench(DataDir(small_disk / "data"), limits)
    for number in range(60):
        if number == 20:
            _fill(small_disk)
        if number == 50:
            assert bench.recorder.trouble
            assert "No space left" in bench.recorder.trouble.reason
            (small_disk / "ballast").unlink()
            bench.tend(10)
        _record(bench, number)
    bench.mono_ns += 10**10
    bench.close()

    assert None is bench.recorder.trouble
    assert [f"row-{number}" for number in range(60)] == _rows(bench)


def test_a_death_on_a_full_disk_is_recovered_when_there_is_room(small_disk):
    bench = Bench(DataDir(small_disk / "data"))
    for number in range(20):
        _record(bench, number)
    path = next(bench.folder.glob("*.open"))
    path.write_bytes(path.read_bytes()[:-50])
    bench.let_go()
    _fill(small_disk)

    with pytest.raises(OSError, match="No space left"):
        bench.recover()
    (small_disk / "ballast").unlink()
    bench.recover()

    assert [f"row-{number}" for number in range(19)] == _rows(bench)
    assert [] == bench.recover()


def test_a_disk_without_a_file_left_pauses_too(small_disk):
    bench = Bench(DataDir(small_disk / "data"))
    room = os.statvfs(small_disk).f_favail
    for number in range(room):
        (small_disk / f"file-{number}").touch()

    _record(bench, 0)
    assert "No space left" in bench.recorder.trouble.reason
    for number in range(room):
        (small_disk / f"file-{number}").unlink()
    bench.tend(10)
    bench.close()

    assert ["row-0"] == _rows(bench)
