"""A Sentry that listens on loopback: takes envelopes as the real one does, and keeps them.

Used by tests only. It is a peer, not a mock: the SDK speaks HTTP to it, gzip and all.
"""

import gzip
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "0123456789abcdef0123456789abcdef"


class LoopbackSentry:
    """One project; `status` is what the next requests are answered, once `may_answer` is set."""

    def __init__(self) -> None:
        self.items: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.may_answer = threading.Event()
        self.may_answer.set()
        sentry = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                sentry.items += envelope_items(body)
                sentry.may_answer.wait()
                self.send_response(sentry.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *_: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def dsn(self) -> str:
        """The address a client is given."""
        return f"http://{KEY}@127.0.0.1:{self._server.server_port}/7"

    def events(self) -> list[dict[str, Any]]:
        """The events so far, in the order they came."""
        return [payload for kind, payload in self.items if kind == "event"]

    def check_ins(self) -> list[dict[str, Any]]:
        """The cron check-ins so far."""
        return [payload for kind, payload in self.items if kind == "check_in"]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.may_answer.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def envelope_items(body: bytes) -> list[tuple[str, dict[str, Any]]]:
    """The items of an envelope: (type, payload)."""
    _, _, rest = body.partition(b"\n")
    items = []
    while rest.strip():
        head_line, _, rest = rest.partition(b"\n")
        head = json.loads(head_line)
        length = head.get("length", rest.find(b"\n"))
        items.append((head["type"], json.loads(rest[:length])))
        rest = rest[length:].removeprefix(b"\n")
    return items
