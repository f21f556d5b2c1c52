"""Ledger rows: one for each request, skip and turn in a worker's life. `coverage` reads them.

Promises  with the books rows of the same requests, every HTTP response can be rebuilt byte for
          byte; every tick without a request has a row that says why.
"""

import base64
import hashlib
from collections.abc import Sequence

import msgspec

from workers.core.polling.answers import Answer
from workers.core.polling.messages import RefusedBook
from workers.core.stream.rows import StreamRow, as_text


class Started(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="started"):
    """The worker is alive from here."""

    at_wall_ns: int
    at_mono_ns: int
    worker: str
    shard: int | None
    shards: int | None
    run: str
    pid: int
    boot_id: str
    version: str
    config_sha256: str


class Loaded(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="universe"):
    """From here the worker records these markets (condition ids of its shard)."""

    at_wall_ns: int
    seq: int
    markets: list[str]


class RefusedRaw(msgspec.Struct, frozen=True, kw_only=True):
    """A book kept here because no market's segment may hold it; `raw` is its verbatim text."""

    token_id: str
    reason: str
    position: int
    raw: str


class Request(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="request"):
    """One HTTP request and what came of it.

    `layout` tells how to rebuild the body: "array" = `[` + the raws of the books rows and of
    `refused`, by position, joined by `,` + `]`; "kept" = `body_text` or `body_b64`, whole if
    `body_kept_bytes == body_bytes`; "pages" = the row of the pages segment; "none" = no body.
    """

    id: str
    due_ms: int
    endpoint: str
    params: str = ""
    send_wall_ns: int
    recv_wall_ns: int
    send_mono_ns: int
    recv_mono_ns: int
    status: int | None
    cause: str
    detail: str = ""
    retry_after_s: float | None = None
    body_bytes: int
    wire_bytes: int
    sha256: str | None
    headers: dict[str, str] = {}
    asked: list[str] = []
    missing: list[str] = []
    refused: list[RefusedRaw] = []
    layout: str
    body_text: str | None = None
    body_b64: str | None = None
    body_kept_bytes: int = 0

    def kept_body(self) -> bytes:
        """The bytes kept in this row."""
        if self.body_b64 is not None:
            return base64.b64decode(self.body_b64)
        return (self.body_text or "").encode()


class Skipped(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="skipped"):
    """Ticks without a request: both ends inclusive; `markets` None = all of the shard."""

    at_wall_ns: int
    from_due_ms: int
    until_due_ms: int
    cause: str
    after: str | None = None
    markets: list[str] | None = None


class ClockStepped(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="clock"):
    """The wall clock moved against the monotonic one; positive = it was set ahead."""

    at_wall_ns: int
    at_mono_ns: int
    step_ns: int


class Stopped(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stopped"):
    """The worker ended as asked; nothing follows in this run."""

    at_wall_ns: int
    at_mono_ns: int
    reason: str


Row = Started | Loaded | Request | Skipped | ClockStepped | Stopped | StreamRow
_row: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row)
_encoder = msgspec.json.Encoder()


def read_row(line: bytes) -> Row:
    """One ledger row; raises msgspec.MsgspecError when it is not one."""
    try:
        return _row.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def encode_row(row: msgspec.Struct) -> bytes:
    """One JSON line with its line feed."""
    return _encoder.encode(row) + b"\n"


def request_row(
    request_id: str,
    due_ms: int,
    endpoint: str,
    answer: Answer,
    *,
    cause: str,
    layout: str,
    kept_bytes_max: int,
    params: str = "",
    asked: Sequence[str] = (),
    missing: Sequence[str] = (),
    refused: Sequence[RefusedBook] = (),
) -> Request:
    """The row of one exchange; the body is kept in it when `layout` is "kept", bounded."""
    kept, text, b64 = _kept(answer.body[:kept_bytes_max] if layout == "kept" else b"")
    return Request(
        id=request_id,
        due_ms=due_ms,
        endpoint=endpoint,
        params=params,
        send_wall_ns=answer.send_wall_ns,
        recv_wall_ns=answer.recv_wall_ns,
        send_mono_ns=answer.send_mono_ns,
        recv_mono_ns=answer.recv_mono_ns,
        status=answer.status,
        cause=cause,
        detail=answer.detail,
        retry_after_s=answer.retry_after_s,
        body_bytes=len(answer.body),
        wire_bytes=answer.wire_bytes,
        sha256=_digest(answer),
        headers=answer.headers,
        asked=list(asked),
        missing=list(missing),
        refused=[_refused_raw(each) for each in refused],
        layout="none" if layout == "kept" and not answer.body else layout,
        body_text=text,
        body_b64=b64,
        body_kept_bytes=kept,
    )


def _digest(answer: Answer) -> str | None:
    return None if answer.status is None else hashlib.sha256(answer.body).hexdigest()


def _kept(body: bytes) -> tuple[int, str | None, str | None]:
    return len(body), *as_text(body)


def _refused_raw(book: RefusedBook) -> RefusedRaw:
    return RefusedRaw(
        token_id=book.token_id,
        reason=book.reason,
        position=book.position,
        raw=book.raw.decode(),
    )
