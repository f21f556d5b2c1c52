"""The wire of a loopback Google Drive: a CONNECT proxy that answers for Google's hosts itself.

rclone's Drive backend has no setting for another address, but it obeys HTTPS_PROXY; so the proxy
takes the tunnel, speaks TLS with a certificate of its own, and never opens a connection.

Promises: every host but HOSTS is refused with 403 and noted; stopping closes every connection.
Never:    listens on anything but 127.0.0.1, or connects to anything.
"""

import contextlib
import json
import select
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.remotes.drive_api import Answer, Api, Request

HOSTS = ("www.googleapis.com", "oauth2.googleapis.com")
SEND_BYTES = 1 << 18


class Server(ThreadingHTTPServer):
    """One listening port over an Api."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, api: Api, tls: ssl.SSLContext, refused: list[str]) -> None:
        self.api = api
        self.tls = tls
        self.refused = refused
        self.lock = threading.Lock()
        self.open: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Tunnel)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may leave at any moment; anything else is our bug and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)

    def end(self) -> None:
        """Stop listening and close every tunnel."""
        self.shutdown()
        self.server_close()
        with self.lock:
            for connection in self.open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class Tunnel(BaseHTTPRequestHandler):
    """Takes one CONNECT, and the conversation in it."""

    server: Server

    def do_CONNECT(self) -> None:
        """Answer for the host, or refuse."""
        self.close_connection = True
        if self.path.partition(":")[0] not in HOSTS:
            self.server.refused.append(self.path)
            self.send_error(403, "no way out of here")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        tls = self.server.tls.wrap_socket(self.connection, server_side=True)
        with self.server.lock:
            self.server.open.add(tls)
        try:
            Conversation(tls, self.client_address, self.server)
        finally:
            with self.server.lock:
                self.server.open.discard(tls)
            tls.close()

    def do_GET(self) -> None:
        """Plain HTTP through the proxy goes nowhere."""
        self.server.refused.append(self.path)
        self.send_error(403, "no way out of here")

    do_POST = do_GET
    do_PUT = do_GET
    do_HEAD = do_GET

    def log_message(self, *_args: Any) -> None:
        """Say nothing: `Drive.requests` has it all."""


class Conversation(BaseHTTPRequestHandler):
    """The requests inside one tunnel, one after another."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Serve one request of any method."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self._body()
        except EOFError:
            # A client that was killed: what it did not send to its end it never asked for.
            self.close_connection = True
            return
        request = Request(self.command, self.path, headers, body, len(body))
        answer = self.server.api.answer(request, self._has_left)
        if answer is None:
            self.close_connection = True
        else:
            self._send(answer)

    do_POST = do_GET
    do_PUT = do_GET
    do_PATCH = do_GET
    do_DELETE = do_GET

    def log_message(self, *_args: Any) -> None:
        """Say nothing: `Drive.requests` has it all."""

    def _has_left(self) -> bool:
        """True when the client has closed: it says nothing else before it has its answer."""
        return bool(select.select([self.connection], [], [], 0)[0])

    def _send(self, answer: Answer) -> None:
        start, end = answer.span
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if body:
            self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(body) or end - start))
        self.end_headers()
        if answer.content is None:
            self.wfile.write(body)
            return
        with answer.content.open("rb") as file:
            file.seek(start)
            while start < end and (data := file.read(min(SEND_BYTES, end - start))):
                self.wfile.write(data)
                start += len(data)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self._exactly(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self._line().partition(b";")[0], 16):
            parts.append(self._exactly(size))
            self._line()
        self._line()
        return b"".join(parts)

    def _exactly(self, size: int) -> bytes:
        found = self.rfile.read(size)
        if len(found) < size:
            raise EOFError
        return found

    def _line(self) -> bytes:
        found = self.rfile.readline()
        if not found.endswith(b"\n"):
            raise EOFError
        return found
