"""Holds the log of the disk and the states made from it: what a flush followed stays, and no more."""

from pathlib import Path

import pytest

from tests.vps import disk
from tests.vps.disk import EVERYTHING, FLUSH, FUA, NOTHING, SOME, Cut

SECTOR = 512
PIECE = disk.TEAR_BYTES
DISK_BYTES = 16 * PIECE


def _entry(flags: int, at_piece: int, data: bytes) -> bytes:
    head = disk.ENTRY.pack(at_piece * PIECE // SECTOR, len(data) // SECTOR, flags, 0)
    return head.ljust(SECTOR, b"\0") + data


def _log(folder: Path, *parts: bytes) -> Path:
    head = disk.HEADER.pack(disk.MAGIC, 1, len(parts), SECTOR).ljust(SECTOR, b"\0")
    (folder / "log").write_bytes(head + b"".join(parts))
    return folder / "log"


def _states(folder: Path, log: Path, before: int, kept: str) -> set[bytes]:
    (folder / "base").write_bytes(bytes(DISK_BYTES))
    found = disk.entries(log)
    states = set()
    for seed in range(40):
        cut = Cut(before, kept, seed)
        disk.write_state(folder / "image", folder / "base", log, found, cut)
        states.add((folder / "image").read_bytes())
    return states


@pytest.fixture
def log(tmp_path) -> Path:
    """Two pieces of `a`, a flush, two of `b`, one of `c` that was written through, a flush."""
    return _log(
        tmp_path,
        _entry(0, 0, b"a" * 2 * PIECE),
        _entry(FLUSH, 0, b""),
        _entry(0, 4, b"b" * 2 * PIECE),
        _entry(FUA, 8, b"c" * PIECE),
        _entry(FLUSH, 0, b""),
    )


def test_the_log_is_read_up_to_its_torn_end(log):
    whole = log.read_bytes()
    found = disk.entries(log)

    log.write_bytes(whole[: found[3].end - 1])

    assert [FLUSH] * 2 == [each.flags for each in found if not each.length]
    assert [(0, 8192), (16384, 8192), (32768, 4096)] == [
        (each.offset, each.length) for each in found if each.length
    ]
    assert found[:3] == disk.entries(log)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "log").write_bytes(b"something else".ljust(SECTOR))

    with pytest.raises(ValueError, match="not a log of writes"):
        disk.entries(tmp_path / "log")


def test_what_a_flush_followed_is_in_every_state(tmp_path, log):
    for kept in (NOTHING, EVERYTHING, SOME):
        states = _states(tmp_path, log, 5, kept)

        assert {b"a" * 2 * PIECE} == {state[: 2 * PIECE] for state in states}
        assert all(state[4 * PIECE : 6 * PIECE] == b"b" * 2 * PIECE for state in states)


def test_what_no_flush_followed_may_be_there_or_lost_or_torn(tmp_path, log):
    pieces = {state[4 * PIECE : 6 * PIECE] for state in _states(tmp_path, log, 4, SOME)}

    assert {bytes(2 * PIECE), b"b" * 2 * PIECE} < pieces
    assert b"b" * PIECE + bytes(PIECE) in pieces or bytes(PIECE) + b"b" * PIECE in pieces
    assert 1 == len(_states(tmp_path, log, 4, NOTHING))


def test_what_was_written_through_is_never_lost(tmp_path, log):
    states = _states(tmp_path, log, 4, NOTHING)

    assert {b"c" * PIECE} == {state[8 * PIECE : 9 * PIECE] for state in states}


def test_nothing_behind_the_cut_is_there(tmp_path, log):
    (state,) = _states(tmp_path, log, 2, EVERYTHING)

    assert b"a" * 2 * PIECE + bytes(DISK_BYTES - 2 * PIECE) == state
