"""Sending an answer over a socket, whole or broken in the ways of the fault menu.

Kinds and their parameters:
  delay        seconds=1 before the first byte
  hang         the request is read and never answered, until the peer leaves or for_s=∞
  slow_headers bytes=1, every_s=0.2 (the head drips)
  slow_body    bytes=64, every_s=0.2 (the body drips)
  reset        at="start" | "middle": RST instead of the rest (SO_LINGER 0)
  truncate     keep=0.5 of the body under the full Content-Length, then a clean close
  close_after  a whole answer that promised keep-alive, then the connection is closed
Promises: waits end when `stop` is set.
"""

import select
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass

from tests.venue.answers import Wire

PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sent:
    """How a sending ended. `keep_open`: the connection can carry the next request."""

    keep_open: bool
    whole: bool


class Sender:
    """Sends on one connection."""

    def __init__(self, connection: socket.socket, stop: threading.Event) -> None:
        self.connection = connection
        self.stop = stop

    def send(self, head: bytes, body: bytes, wires: tuple[Wire, ...]) -> Sent:
        """Send one answer; the first ending fault of `wires` decides how it ends.

        Raises:
            OSError: the peer is gone.
        """
        for wire in wires:
            if wire.kind == "delay":
                self.stop.wait(_number(wire.params, "seconds", 1.0))
        for wire in wires:
            if wire.kind != "delay":
                return self._broken(wire, head, body)
        self._whole(head, body)
        return Sent(keep_open=True, whole=True)

    def _broken(self, wire: Wire, head: bytes, body: bytes) -> Sent:
        params = wire.params
        if wire.kind == "hang":
            self._hang(_number(params, "for_s", float("inf")))
            return Sent(keep_open=False, whole=False)
        if wire.kind == "slow_headers":
            self._drip(head, params, default_bytes=1)
            self.connection.sendall(body)
            return Sent(keep_open=True, whole=True)
        if wire.kind == "slow_body":
            self.connection.sendall(head)
            self._drip(body, params, default_bytes=64)
            return Sent(keep_open=True, whole=True)
        if wire.kind == "truncate":
            self.connection.sendall(head + body[: int(len(body) * _number(params, "keep", 0.5))])
            return Sent(keep_open=False, whole=False)
        if wire.kind == "close_after":
            self._whole(head, body)
            return Sent(keep_open=False, whole=True)
        if params.get("at", "start") == "middle":
            self.connection.sendall(head + body[: len(body) // 2])
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return Sent(keep_open=False, whole=False)

    def _whole(self, head: bytes, body: bytes) -> None:
        if len(body) <= PIECE_BYTES:
            self.connection.sendall(head + body)
            return
        self.connection.sendall(head)
        for start in range(0, len(body), PIECE_BYTES):
            self.connection.sendall(body[start : start + PIECE_BYTES])

    def _drip(self, data: bytes, params: Mapping[str, object], *, default_bytes: int) -> None:
        size = int(_number(params, "bytes", default_bytes))
        every_s = _number(params, "every_s", 0.2)
        for start in range(0, len(data), size):
            self.connection.sendall(data[start : start + size])
            if self.stop.wait(every_s):
                return

    def _hang(self, for_s: float) -> None:
        """Until the peer closes, `for_s` has passed or the venue stops."""
        waited_s = 0.0
        while waited_s < for_s and not self.stop.is_set():
            ready, _, _ = select.select([self.connection], [], [], 0.1)
            if ready and not self.connection.recv(1, socket.MSG_PEEK):
                return
            waited_s += 0.1
            if ready:
                self.stop.wait(0.1)


def _number(params: Mapping[str, object], name: str, default: float) -> float:
    value = params.get(name, default)
    if not isinstance(value, int | float):
        raise TypeError(f"fault parameter {name}: found {value!r}, need a number")
    return float(value)
