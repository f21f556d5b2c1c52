"""What happens on connections of the market channel, as values."""

import msgspec

OPENED, HEARD, CLOSED = "opened", "heard", "closed"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds and bytes that bound a connection; `inbox_bytes` is for all of them together."""

    connect_timeout_s: float
    ping_interval_s: float
    pong_timeout_s: float
    message_bytes: int
    inbox_bytes: int


class Happening(msgspec.Struct, frozen=True, gc=False):
    """Something that happened on a connection.

    `seq` counts its messages from 1; `data` is one message; `cause` and `detail` tell why it
    closed, `heard_wall_ns` when anything was last heard on it (0 = nothing was).
    """

    kind: str
    connection: str
    wall_ns: int
    mono_ns: int
    seq: int = 0
    data: bytes = b""
    cause: str = ""
    detail: str = ""
    heard_wall_ns: int = 0
