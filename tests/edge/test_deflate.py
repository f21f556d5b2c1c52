"""Holds edge.deflate: everything in front of a damage comes out, and the damage is said."""

import gzip
import os
import random
import subprocess
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.edge.deflate import Batches, Deflater, Inflated, stream_end

ROWS = [b'{"n":%d,"x":"%d"}\n' % (number, number * 7919) for number in range(60)]
STREAM = b"".join(ROWS)


def _flushed(rows=tuple(ROWS), every=5) -> list[bytes]:
    """The file after each flush; the last one is finished."""
    deflater, data, states = Deflater(9), b"", []
    for at in range(0, len(rows), every):
        data += deflater.add(b"".join(rows[at : at + every])) + deflater.flush()
        states.append(data)
    return [*states, data + deflater.finish()]


def _inflate(data: bytes, piece_bytes: int = 1 << 20) -> tuple[bytes, str]:
    inflated = Inflated()
    pieces = (data[at : at + piece_bytes] for at in range(0, len(data), piece_bytes))
    return b"".join(inflated.pieces(pieces)), inflated.damage


@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(1, 9))
def test_any_stream_comes_back_for_us_and_for_gzip(pieces, level):
    deflater, data = Deflater(level), b""
    for number, piece in enumerate(pieces):
        data += deflater.add(piece) + (deflater.flush() if number % 3 else b"")
    data += deflater.finish()

    assert (b"".join(pieces), "") == _inflate(data)
    assert b"".join(pieces) == gzip.decompress(data)


def test_after_each_flush_every_row_so_far_can_be_read():
    for number, data in enumerate(_flushed()[:-1], 1):
        stream, damage = _inflate(data)

        assert b"".join(ROWS[: number * 5]) == stream
        assert "ends unfinished" in damage


def test_a_stream_that_stops_at_a_flush_is_completed_to_a_valid_member(tmp_path):
    for data in _flushed()[:-1]:
        whole = data + stream_end(_inflate(data)[0])
        (tmp_path / "a.gz").write_bytes(whole)

        assert (_inflate(data)[0], "") == _inflate(whole)
        assert 0 == subprocess.run(["gzip", "-t", tmp_path / "a.gz"], check=False).returncode


def test_a_cut_at_any_byte_gives_what_the_bytes_before_it_hold():
    data = _flushed()[-1]
    for cut in range(len(data)):
        stream, damage = _inflate(data[:cut])

        assert zlib.decompressobj(31).decompress(data[:cut]) == stream
        assert "ends unfinished" in damage


@pytest.mark.parametrize("piece_bytes", [1, 7, 100])
def test_the_size_of_the_pieces_does_not_matter(piece_bytes):
    data = _flushed()[-1]
    torn = data[:300] + b"\xff" * 50

    assert _inflate(data) == _inflate(data, piece_bytes)
    assert _inflate(torn) == _inflate(torn, piece_bytes)


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\0", b"garbage", os.urandom(200) + b"x"])
def test_what_stands_behind_a_whole_member_is_damage_and_no_row_is_lost(tail):
    stream, damage = _inflate(_flushed()[-1] + tail)

    assert STREAM == stream
    assert damage


def test_members_in_a_row_are_one_stream():
    assert (STREAM * 3, "") == _inflate(_flushed()[-1] * 3)


def test_a_flipped_bit_never_raises_and_rows_before_it_come_out():
    states, dice = _flushed(), random.Random(7)
    data, ends = states[-1], [len(state) for state in states[:-1]]
    for _ in range(400):
        at, bit = dice.randrange(len(data)), 1 << dice.randrange(8)
        stream, damage = _inflate(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])

        whole = sum(end <= at for end in ends) * 5
        # Byte 4 to 9 of a gzip header mean nothing to a reader.
        assert stream.startswith(b"".join(ROWS[:whole]))
        assert damage or stream == STREAM


def test_a_huge_stream_is_read_piece_by_piece():
    data = gzip.compress(bytes(30_000_000))
    inflated = Inflated()

    sizes = [len(piece) for piece in inflated.pieces([data])]

    assert (30_000_000, "", len(data)) == (sum(sizes), inflated.damage, inflated.read_bytes)


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\x1f\x8b", b"not gzip", b"\0" * 100])
def test_what_is_no_gzip_is_damage_at_its_place(data):
    stream, damage = _inflate(data)

    assert b"" == stream
    assert damage


@given(st.lists(st.binary(max_size=4_000), max_size=20), st.sampled_from([9, 10, 14]))
def test_batches_are_one_member_that_is_readable_after_each(pieces, window_bits):
    batches, data, told = Batches(4, window_bits), b"", b""
    for piece in pieces:
        data, told = data + batches.add(piece), told + piece

        assert told == _inflate(data)[0]
        assert told == gzip.decompress(data + stream_end(told))
    data += batches.finish()
    assert told == gzip.decompress(data)
    assert (told, "") == _inflate(data)


def test_a_batch_repeats_what_the_one_before_it_told():
    piece = random.Random(1).randbytes(3_000)
    batches = Batches(4, 14)

    assert len(batches.add(piece)) > 3_000
    assert len(batches.add(piece)) < 100
