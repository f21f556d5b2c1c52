"""One connection of the market channel: what it has subscribed, what waits to be sent to it.

Promises: what is put goes out in that order, whole, unless the connection is ended first; every
          event put is written to the ledger as `sent`.
"""

import socket
import struct
from collections.abc import Sequence
from typing import Protocol

from picows import WSFrame, WSListener, WSMsgType, WSTransport

from tests.venue.channel_truth import ChannelLedger
from tests.venue.states import Event

Numbered = tuple[int, Event]
TEXT, CLOSE = 0x81, 0x88
MESSAGE_BYTES_MAX = 4 << 20
WAITING_BYTES_MAX = 64 << 20  # a client that reads nothing is let go
CLOSING_S = 0.5  # between our close frame and the end of the connection


class Host(Protocol):
    """What a connection needs of the channel."""

    ledger: ChannelLedger

    def now_ns(self) -> int:
        """Unix ns of the venue's clock."""
        ...

    def came(self, connection: "Connection") -> None:
        """It is open."""
        ...

    def heard(self, connection: "Connection", text: bytes) -> None:
        """It has sent a text message."""
        ...

    def went(self, connection: "Connection") -> None:
        """It is gone, or about to be."""
        ...

    def later(self, seconds: float, connection: "Connection") -> None:
        """Cut it then, if it is still there."""
        ...


class Connection(WSListener):
    """One client, from handshake to end."""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.number = 0
        self.opened_ns = 0
        self.tokens: set[str] = set()
        self.custom = False
        self.subscribed = False
        self.ended = False
        self.held: list[tuple[int, Numbered]] = []  # events put back by `reorder`: (due, event)
        self.frames = 0
        self._host = host
        self._transport: WSTransport | None = None
        self._waiting: list[bytes] = []
        self._dripping = bytearray()
        self._numbers: list[int] = []
        self._parts: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is open."""
        self._transport = transport
        self.number = self._host.ledger.connection()
        self.opened_ns = self._host.now_ns()
        self._host.ledger.happened("opened", self.number, self.opened_ns)
        self._host.came(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """It is gone."""
        self.end("peer")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame of the client; messages may come in parts."""
        if frame.msg_type == WSMsgType.CLOSE:
            self.end("peer", code=1000)
            transport.disconnect()
            return
        if frame.msg_type not in (WSMsgType.TEXT, WSMsgType.CONTINUATION):
            return
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > MESSAGE_BYTES_MAX:
            self.end("message too big", code=1009)
        elif frame.fin and not self.ended:
            text = b"".join(self._parts)
            self._parts.clear()
            self._host.heard(self, text)

    def wants(self, event: Event) -> bool:
        """Whether it has subscribed what the event is about."""
        if event.custom and not self.custom:
            return False
        return any(told.token_id in self.tokens for told in event.told)

    def put(self, events: Sequence[Numbered], *, together: bool = False) -> None:
        """Queue events, each in its frame or all in one array."""
        if together and len(events) > 1:
            self.put_text(b"[" + b",".join([event.raw for _, event in events]) + b"]")
        else:
            for _, event in events:
                self.put_text(event.raw)
        self._numbers += [number for number, _ in events]

    def put_text(self, text: bytes) -> None:
        """Queue one text frame that is no event."""
        self._waiting.append(head(TEXT, len(text)))
        self._waiting.append(text)
        self.frames += 1

    def flush(self, bytes_max: int | None = None) -> None:
        """Hand over what waits, or so many bytes of it."""
        if self.ended or self._transport is None:
            return
        if self._numbers:
            ledger, now_ns = self._host.ledger, self._host.now_ns()
            ledger.numbers("sent", self.number, now_ns, self._numbers)
            self._numbers = []
        if not self._waiting and not self._dripping:
            return
        self._dripping += b"".join(self._waiting)
        self._waiting = []
        given = self._dripping if bytes_max is None else self._dripping[:bytes_max]
        self._transport.underlying_transport.write(bytes(given))
        del self._dripping[: len(given)]
        if self._unsent() > WAITING_BYTES_MAX:
            self.end("does not read")

    def half(self, text: bytes, *, reset: bool) -> None:
        """Send a frame's first half and cut the connection there; `end` must follow."""
        self.flush()
        if self._transport is not None:
            whole = head(TEXT, len(text)) + text
            self._transport.underlying_transport.write(whole[: len(whole) // 2])
            if not reset:
                self._transport.underlying_transport.close()

    def end(self, cause: str, *, code: int | None = None) -> None:
        """End the connection: with a close frame, or with a reset where there is no code."""
        if self.ended or self._transport is None:
            return
        self.flush(0 if self._dripping else None)
        self.ended = True
        self._host.ledger.happened(
            "closed", self.number, self._host.now_ns(),
            cause=cause, code=code, unsent_bytes=self._unsent(),
        )  # fmt: skip
        self._host.ledger.flush()
        self._host.went(self)
        if code is None:
            self.cut()
            return
        reason = struct.pack("!H", code) + cause.encode()[:120]
        self._transport.underlying_transport.write(head(CLOSE, len(reason)) + reason)
        self._host.later(CLOSING_S, self)

    def cut(self) -> None:
        """End it at once, with a reset unless it is already closing."""
        if self._transport is None or self._transport.underlying_transport.is_closing():
            return
        connection = self._transport.underlying_transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.disconnect(graceful=False)

    def _unsent(self) -> int:
        if self._transport is None:
            return 0
        waiting: int = self._transport.underlying_transport.get_write_buffer_size()
        return waiting + len(self._dripping)


def head(first: int, length: int) -> bytes:
    """The head of an unmasked frame (RFC 6455, 5.2)."""
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
