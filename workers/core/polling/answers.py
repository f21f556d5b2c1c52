"""One HTTP exchange with the venue, as a value, whatever came of it."""

import msgspec

from workers.core.causes import OK
from workers.core.instants import utc_text


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one request brought: clocks, status, cause, body.

    `cause` is "ok" for a whole 200 body and a name of core/causes.py for anything else; `status`
    is None when no status line came. `body` is decoded (not compressed) and bounded;
    `wire_bytes` is what came over the wire. `headers` are the few that explain an answer.
    """

    cause: str
    status: int | None = None
    body: bytes = b""
    wire_bytes: int = 0
    headers: dict[str, str] = {}
    retry_after_s: float | None = None
    detail: str = ""
    send_wall_ns: int
    recv_wall_ns: int
    send_mono_ns: int
    recv_mono_ns: int

    @property
    def is_ok(self) -> bool:
        """True for a whole 200 body."""
        return self.cause == OK

    @property
    def took_ms(self) -> int:
        """From the send to the last byte, on the monotonic clock."""
        return (self.recv_mono_ns - self.send_mono_ns) // 1_000_000

    def envelope(self, *, request_id: str, due_ms: int, version: str) -> dict[str, object]:
        """The members that a row of any kind says of the exchange it came from, in their order."""
        return {
            "due_ms": due_ms,
            "collected_at_utc": utc_text(self.recv_wall_ns),
            "send_wall_ns": self.send_wall_ns,
            "recv_wall_ns": self.recv_wall_ns,
            "send_mono_ns": self.send_mono_ns,
            "recv_mono_ns": self.recv_mono_ns,
            "collector_version": version,
            "request": request_id,
        }
