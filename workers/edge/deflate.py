"""Compression of segments and of HTTP bodies: the one owner of zlib-ng.

Promises  every row in front of a damage comes out, and the damage is said with its byte.
Why       zlib-ng writes two to four times faster than zlib at the same size; level 9, because its
          level 6 misses matches near the end of the window (tests/bench). Segments are read with
          zlib: it reads a torn stream to its last byte, and all members of a file.
"""

import struct
import zlib
from collections.abc import Iterable, Iterator

from zlib_ng import zlib_ng

_GZIP_WBITS = 31
_GZIP_OR_ZLIB_WBITS = 47
_PIECE_BYTES = 1 << 16


class Deflater:
    """One gzip member, written in pieces; matches reach 2**window_bits bytes back."""

    def __init__(self, level: int, window_bits: int = 15) -> None:
        # Z_FILTERED leaves out matches of up to five bytes: digits of a size or a time that agree
        # by chance. 4 % smaller and 12 % faster on rows of books than the default strategy.
        self._stream = zlib_ng.compressobj(
            level, zlib_ng.DEFLATED, 16 + window_bits, 8, zlib_ng.Z_FILTERED
        )

    def add(self, data: bytes) -> bytes:
        """Compressed bytes that are ready so far; often none."""
        return self._stream.compress(data)

    def flush(self) -> bytes:
        """Everything added so far becomes readable from the file (Z_SYNC_FLUSH)."""
        return self._stream.flush(zlib_ng.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        """The end of the member with its CRC and length."""
        return self._stream.flush(zlib_ng.Z_FINISH)


class Batches:
    """One gzip member as `Deflater` writes it, for many streams that get much at once.

    Nothing but half a window is kept between two pieces, 8 KiB where a compressor has 250, and the
    one compressor at work is in the processor's cache. Each piece ends at a flush point. The other
    half would save no byte in a thousand, of captured books neither, and cost a tenth of the time.
    """

    def __init__(self, level: int, window_bits: int) -> None:
        self._level, self._window_bits = level, window_bits
        self._window = b""
        self._crc = self._size = 0
        # RFC 1952 §2.3: deflate, no name, no time, made on Unix.
        self._head = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"

    def add(self, data: bytes) -> bytes:
        """The compressed bytes, readable from the file."""
        stream = zlib_ng.compressobj(
            self._level,
            zlib_ng.DEFLATED,
            -self._window_bits,
            8,
            zlib_ng.Z_FILTERED,
            zdict=self._window,
        )
        packed = self._head + stream.compress(data) + stream.flush(zlib_ng.Z_SYNC_FLUSH)
        reach = 1 << self._window_bits - 1
        self._window = data[-reach:] if len(data) >= reach else (self._window + data)[-reach:]
        self._crc, self._size = zlib_ng.crc32(data, self._crc), self._size + len(data)
        self._head = b""
        return packed

    def flush(self) -> bytes:
        """Nothing: everything added is readable."""
        return b""

    def finish(self) -> bytes:
        """The end of the member with its CRC and length."""
        return self._head + _end(self._crc, self._size)


def _end(crc: int, size: int) -> bytes:
    return b"\x03\x00" + struct.pack("<II", crc, size & 0xFFFFFFFF)


def stream_end(stream: bytes) -> bytes:
    """What a gzip member lacks after a flush point: an empty last block, CRC-32 and length.

    Source: RFC 1951 §3.2.6 (an empty fixed-Huffman block is `03 00`), RFC 1952 §2.3.1.
    """
    return _end(zlib.crc32(stream), len(stream))


class BadBody(Exception):
    """A compressed HTTP body that cannot be taken: the cause, what is wrong, what came out."""

    def __init__(self, cause: str, detail: str, body: bytes) -> None:
        super().__init__(detail)
        self.cause, self.detail, self.body = cause, detail, body


def inflate_body(wire: bytes, limit_bytes: int) -> bytes:
    """Decompress a gzip or zlib body whole, into at most `limit_bytes`.

    zlib-ng takes a third of zlib's time for it, a tenth of a whole poll (tests/bench/speed.py).

    Raises:
        BadBody: `bad_encoding` or `too_large`, with what could be read.
    """
    inflater = zlib_ng.decompressobj(_GZIP_OR_ZLIB_WBITS)
    try:
        body = inflater.decompress(wire, limit_bytes + 1)
    except zlib_ng.error as error:  # type: ignore[misc] # its stubs call it a variable
        raise BadBody("bad_encoding", str(error), wire) from error
    if len(body) > limit_bytes:
        detail = f"{len(wire)} bytes decompress to over {limit_bytes}"
        raise BadBody("too_large", detail, body[:limit_bytes])
    if not inflater.eof or inflater.unused_data:
        what = "has more behind its end" if inflater.eof else "ends early"
        raise BadBody("bad_encoding", f"the compressed body {what}", body)
    return body


class Inflated:
    """What came out of a gzip file: the stream up to the first damage, and where that is."""

    def __init__(self) -> None:
        self.damage = ""
        self.read_bytes = 0

    def pieces(self, source: Iterable[bytes]) -> Iterator[bytes]:
        """Decompress all members; stops at the first damage and says so in `damage`.

        zlib gives nothing for the input piece in which it fails, so that piece is repeated
        byte by byte: rows in front of the damage must come out.
        """
        self._stream = zlib.decompressobj(_GZIP_WBITS)
        for big in source:
            for start in range(0, len(big), _PIECE_BYTES):
                yield self._inflate(big[start : start + _PIECE_BYTES])
                if self.damage:
                    return
        if not self._stream.eof:
            self.damage = f"the gzip stream ends unfinished at byte {self.read_bytes}"

    def _inflate(self, piece: bytes) -> bytes:
        out = b""
        while piece:
            if self._stream.eof:
                self._stream = zlib.decompressobj(_GZIP_WBITS)
            before = self._stream.copy()
            try:
                out += self._stream.decompress(piece)
            except zlib.error as error:
                return out + self._creep(before, piece, error)
            self.read_bytes += len(piece) - len(self._stream.unused_data)
            piece = self._stream.unused_data
        return out

    def _creep(self, stream: "zlib._Decompress", piece: bytes, error: zlib.error) -> bytes:
        out = bytearray()
        for index in range(len(piece)):
            try:
                out += stream.decompress(piece[index : index + 1])
            except zlib.error:
                break
            self.read_bytes += 1
        self.damage = f"byte {self.read_bytes}: {error}"
        return bytes(out)


class BadStream(Exception):
    """A gzip file that was proven whole and still cannot be decompressed."""


def unpacked(source: Iterable[bytes], piece_bytes: int) -> Iterator[bytes]:
    """Decompress all members of a whole file in pieces of at most `piece_bytes`.

    Twice as fast as `Inflated`, and bounded; what may be damaged is read with that.

    Raises:
        BadStream: it is damaged, or ends early.
    """
    stream = zlib_ng.decompressobj(_GZIP_WBITS)
    is_whole = True
    try:
        for packed in source:
            left = packed
            while left:
                stream = zlib_ng.decompressobj(_GZIP_WBITS) if stream.eof else stream
                yield stream.decompress(left, piece_bytes)
                is_whole = stream.eof
                left = stream.unused_data or stream.unconsumed_tail
    except zlib_ng.error as error:  # type: ignore[misc] # its stubs call it a variable
        raise BadStream(str(error)) from error
    if not is_whole:
        raise BadStream("it ends early")
