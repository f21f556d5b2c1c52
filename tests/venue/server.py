"""The loopback HTTP/1.1 server: keep-alive, no Nagle, one thread a connection.

Promises: every request that is not a control route gets a row in the ledger; stopping closes
          every connection, so that a client sees a venue that is gone.
Never:    listens on anything but 127.0.0.1.
"""

import contextlib
import gzip
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.venue import answers
from tests.venue.answers import Answer, Request
from tests.venue.app import App
from tests.venue.truth import Ledger, Sending
from tests.venue.wire import Sender

LEAST_GZIP_BYTES = 512
NS = 1_000_000_000


class Server(ThreadingHTTPServer):
    """One listening port over an App and a Ledger."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self, port: int, app: App, ledger: Ledger, *, clock_ns: Callable[[], int], encoding: str
    ) -> None:
        self.app = app
        self.ledger = ledger
        self.clock_ns = clock_ns
        self.encoding = encoding
        self.stop = threading.Event()
        self._noted_wall_ns = 0
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection, then serve it on its own thread."""
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave at any moment; anything else is our bug and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def note_markets(self, at_wall_ns: int) -> None:
        """Bring markets.jsonl up to date, at most once a second."""
        if at_wall_ns - self._noted_wall_ns >= NS:
            self._noted_wall_ns = at_wall_ns
            self.ledger.note(self.app.world.listed(at_wall_ns // 1_000_000))

    def end(self) -> None:
        """Stop listening, end every wait, close every connection."""
        self.stop.set()
        self.shutdown()
        self.server_close()
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """Reads requests of one connection, one after another."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        """Serve one request of any method."""
        request = Request(
            method=self.command,
            path=self.path.partition("?")[0],
            query=self.path.partition("?")[2],
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            at_wall_ns=self.server.clock_ns(),
        )
        if request.path.startswith("/_"):
            answer = self.server.app.control(request)
            self._sender().send(self._head(answer, len(answer.body)), answer.body, ())
            return
        self._serve(request)

    do_POST = do_GET
    do_DELETE = do_GET
    do_PUT = do_GET

    def log_message(self, *_args: Any) -> None:
        """Say nothing: the ledger has it all."""

    def _serve(self, request: Request) -> None:
        server = self.server
        n = server.ledger.number()
        routed = server.app.answer(request, request.at_wall_ns // 1_000_000)
        answer, body = self._encoded(request, routed.answer)
        server.note_markets(request.at_wall_ns)
        sending = Sending(n, routed.route, request, routed.answer, len(body))
        head = self._head(answer, len(body))
        if any(wire.kind == "hang" for wire in answer.wires):
            server.ledger.record(sending, sent_wall_ns=None)
            self._send(head, body, answer)
        else:
            server.ledger.record(sending, sent_wall_ns=self._send(head, body, answer))

    def _send(self, head: bytes, body: bytes, answer: Answer) -> int | None:
        """Send; the Unix ns of its end, or None when not all of it was sent."""
        try:
            sent = self._sender().send(head, body, answer.wires)
        except OSError:
            self._close()
            return None
        if not sent.keep_open:
            self._close()
        return self.server.clock_ns() if sent.whole else None

    def _sender(self) -> Sender:
        return Sender(self.connection, self.server.stop)

    def _head(self, answer: Answer, length: int) -> bytes:
        at_wall_s = self.server.clock_ns() / NS
        keep_alive = not self.close_connection
        return answers.head(answer, length=length, keep_alive=keep_alive, at_wall_s=at_wall_s)

    def _encoded(self, request: Request, answer: Answer) -> tuple[Answer, bytes]:
        """The answer with its encoding header, and the bytes to put on the wire."""
        if (
            self.server.encoding != "gzip"
            or "gzip" not in request.headers.get("accept-encoding", "")
            or len(answer.body) < LEAST_GZIP_BYTES
            or any(name == "Content-Encoding" for name, _ in answer.headers)
        ):
            return answer, answer.body
        headers = (*answer.headers, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding"))
        body = gzip.compress(answer.body, compresslevel=1, mtime=0)
        return replace(answer, headers=headers), body

    def _close(self) -> None:
        """Close now, so that a linger of 0 becomes a reset and not a clean end."""
        self.close_connection = True
        self.rfile.close()
        self.connection.close()
