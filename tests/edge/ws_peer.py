"""A websocket server of forty lines that does as a test says: frames by hand, no politeness.

Used by tests only.
"""

import base64
import contextlib
import hashlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CONTINUED, CLOSE = 0x1, 0x0, 0x8


class Peer:
    """One accepted connection."""

    def __init__(self, wire: socket.socket) -> None:
        self.wire = wire
        self._read = wire.makefile("rb")

    def upgrade(self, answer: bytes = b"") -> None:
        """Answer the upgrade, with 101 or with what a test says."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = self._read.readline()
            if not line:
                raise ConnectionError("gone before it has asked for the upgrade")
            head += line
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        key = {name.lower(): value for name, value in lines.items()}[b"sec-websocket-key"]
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        self.wire.sendall(
            answer
            or b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\n"
        )

    def recv(self) -> str:
        """The text of the next frame; "" at the end."""
        head = self._read.read(2)
        if len(head) < 2 or head[0] & 15 == CLOSE:
            return ""
        size = head[1] & 127
        size = size if size < 126 else int.from_bytes(self._read.read(2 if size == 126 else 8))
        mask = self._read.read(4)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(self._read.read(size)))
        return data.decode()

    def send(self, data: bytes, *, first: int = 0x80 | TEXT) -> None:
        """One frame; `first` is its first byte: 0x80 = the last of a message, and the opcode."""
        size = len(data)
        length = bytes([size]) if size < 126 else b"\x7f" + size.to_bytes(8)
        self.wire.sendall(bytes([first]) + length + data)


@contextlib.contextmanager
def served(
    handle: Callable[[Peer], None], answer: bytes = b"", tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """The address of a server whose connections a function serves, each in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(wire: socket.socket) -> None:
            with wire, contextlib.suppress(OSError):
                if tls is not None:
                    wire = tls.wrap_socket(wire, server_side=True)
                with wire:
                    peer = Peer(wire)
                    peer.upgrade(answer)
                    handle(peer)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    wire, _ = listening.accept()
                    threading.Thread(target=serve, args=(wire,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        scheme, host = ("ws", "127.0.0.1") if tls is None else ("wss", "localhost")
        yield f"{scheme}://{host}:{listening.getsockname()[1]}/ws/market"
        listening.shutdown(socket.SHUT_RDWR)
