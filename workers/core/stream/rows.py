"""Rows of a streamer's ledger: its connections, what stands on them, what each token is worth.

A part of `core.archive.ledger`, which reads and writes them.
"""

import base64

import msgspec


class Opened(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="opened"):
    """A connection of the market channel is open."""

    connection: str
    leg: int
    at_wall_ns: int
    at_mono_ns: int
    url: str


class Subscription(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="subscription"):
    """One message to the venue; `operation` is "subscribe" or "unsubscribe"."""

    connection: str
    at_wall_ns: int
    operation: str
    token_ids: list[str]


class Heard(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="heard"):
    """What a connection has brought since it was opened; with every flush.

    The ledger is flushed last: where this row is, every row heard before it is. `told_ms` is the
    venue's time up to which it has brought everything (core/stream/watching.py), 0 = it brought
    nothing; None in rows of earlier versions.
    """

    connection: str
    at_wall_ns: int
    frames: int
    events: int
    bytes: int
    last_recv_wall_ns: int
    told_ms: int | None = None


class Turned(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="turn"):
    """A token's state on a connection changed (core/stream/sync.py).

    `since_wall_ns`: of SYNCED, when its book was received; of SUSPECT and EMPTY, the last moment
    at which it was known to be right. A token is covered from SYNCED to its next turn, to the
    last word of the connection, or, when the process died, to its last `heard` row:
    core/stream/covers.py.
    """

    connection: str
    leg: int
    condition_id: str
    token_id: str
    state: str
    reason: str
    since_wall_ns: int
    at_wall_ns: int


class Closed(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="closed"):
    """A connection has ended, or did not open; causes stand in core/causes.py.

    `heard_wall_ns`: when anything was last heard on it, PONG as well; None = nothing ever was.
    `told_ms`: as of Heard.
    """

    connection: str
    leg: int
    at_wall_ns: int
    heard_wall_ns: int | None = None
    cause: str
    detail: str = ""
    frames: int = 0
    events: int = 0
    bytes: int = 0
    told_ms: int | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="frame"):
    """A message, or an event of one, that no market's segment holds; verbatim.

    `position` is the event's in an array; None = the whole message.
    """

    connection: str
    seq: int
    recv_wall_ns: int
    recv_mono_ns: int
    reason: str
    position: int | None = None
    text: str | None = None
    b64: str | None = None

    def raw(self) -> bytes:
        """The bytes as they came."""
        return base64.b64decode(self.b64) if self.b64 is not None else (self.text or "").encode()


class Repeated(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="repeated"):
    """A `frame` row's bytes came again on this connection, so often since the last such row."""

    connection: str
    at_wall_ns: int
    sha256: str
    times: int


class Stalled(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="stalled"):
    """Nobody listened for so long, up to that moment: receive times in that span are late."""

    at_wall_ns: int
    for_ns: int


StreamRow = Opened | Subscription | Heard | Turned | Closed | Frame | Repeated | Stalled


def frame_row(
    connection: str,
    seq: int,
    *,
    wall_ns: int,
    mono_ns: int,
    reason: str,
    raw: bytes,
    position: int | None = None,
) -> Frame:
    """The row of a message, or of one event of it, that no market's segment holds."""
    text, b64 = as_text(raw)
    return Frame(
        connection=connection,
        seq=seq,
        recv_wall_ns=wall_ns,
        recv_mono_ns=mono_ns,
        reason=reason,
        position=position,
        text=text,
        b64=b64,
    )


def as_text(raw: bytes) -> tuple[str | None, str | None]:
    """Bytes as a JSON row holds them: as text, or in base64 what is no UTF-8; both None = none."""
    try:
        return raw.decode() or None, None
    except UnicodeDecodeError:
        return None, base64.b64encode(raw).decode()
