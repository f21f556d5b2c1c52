"""A bad network: a TCP relay on loopback that can refuse, stall and break connections.

    with S3(tmp_path) as s3, Cut(s3.port) as cut:
        cut.after(100_000)     # the connection that has sent so much to the server is reset
        run_rclone(..., environment=s3.environment_at(cut.port))
        assert cut.breaks == 1

Promises: what passes is unchanged; `sent` and `received` count the bytes that passed, seen from
          the client. A broken connection is a reset, not a clean end. Nothing is stopped but
          this relay: the server behind it goes on.
Never:    listens on anything but 127.0.0.1.
"""

import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.ports import own_port

RESET = struct.pack("ii", 1, 0)
CHUNK_BYTES = 16_384
CONNECT_LIMIT_S = 5


@dataclass(eq=False)
class _Link:
    """One connection of a client and ours to the server; `ended` counts its directions."""

    client: socket.socket
    server: socket.socket
    ended: int = 0
    broken: bool = False


class Cut:
    """One relay to one port; a context manager.

    Attributes:
        port: of 127.0.0.1, the same for its whole life.
        connections: how many were accepted.
        sent, received: bytes passed from and to the clients.
        breaks: connections broken by `now` and `after`.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = own_port(self)
        self.connections = 0
        self.sent = 0
        self.received = 0
        self.breaks = 0
        self._lock = threading.Lock()
        self._links: set[_Link] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._break_after: list[int] = []
        self._listener: socket.socket | None = None

    def now(self) -> None:
        """Reset every connection there is; new ones are accepted."""
        with self._lock:
            links = list(self._links)
        for link in links:
            self._break(link)

    def after(self, sent_bytes: int, *, count: int = 1) -> None:
        """Reset the next `count` connections that send more than so many bytes to the server."""
        with self._lock:
            self._break_after += [sent_bytes] * count

    def refuse(self) -> None:
        """Close the port, so that connecting is refused, and reset what is open."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        self.now()

    def accept(self) -> None:
        """Open the port (again)."""
        if self._listener is None:
            self._listener = socket.create_server(("127.0.0.1", self.port))
            threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def stall(self) -> None:
        """Let no byte pass; connections stay open and new ones are accepted."""
        self._flows.clear()

    def flow(self) -> None:
        """Let bytes pass again; those held back come first."""
        self._flows.set()

    def __enter__(self) -> Self:
        """Open the port."""
        self.accept()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close everything."""
        self.refuse()
        self.flow()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self.target_port), CONNECT_LIMIT_S)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            link = _Link(client, server)
            with self._lock:
                self.connections += 1
                self._links.add(link)
            for direction in ("up", "down"):
                threading.Thread(target=self._pump, args=(link, direction), daemon=True).start()

    def _pump(self, link: _Link, direction: str) -> None:
        """Carry one direction to its end; the end of the last one closes both."""
        up = direction == "up"
        source, target = (link.client, link.server) if up else (link.server, link.client)
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                self._flows.wait()
                if up and self._is_due(passed + len(data)):
                    self._break(link)
                    return
                target.sendall(data)
                passed += len(data)
                with self._lock:
                    self.sent += len(data) if up else 0
                    self.received += 0 if up else len(data)
            if not link.broken:
                target.shutdown(socket.SHUT_WR)
        with self._lock:
            link.ended += 1
            over = link.ended == 2 and not link.broken
            if over:
                self._links.discard(link)
        if over:
            link.client.close()
            link.server.close()

    def _is_due(self, sent_bytes: int) -> bool:
        with self._lock:
            if self._break_after and sent_bytes > self._break_after[0]:
                self._break_after.pop(0)
                return True
            return False

    def _break(self, link: _Link) -> None:
        with self._lock:
            if link not in self._links:
                return
            self._links.discard(link)
            link.broken = True
            self.breaks += 1
        _reset(link.client)
        _reset(link.server)


def _reset(connection: socket.socket) -> None:
    """Close with RST: a linger of 0."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.shutdown(socket.SHUT_RD)
    connection.close()
