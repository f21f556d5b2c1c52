"""What the watchdog left, over HTTP on this machine: the same files, byte for byte.

    GET /health   manifests/health/latest.json; 200 while it is fresh and not failing, else 503
    GET /disk     manifests/disk/latest.json
    GET /alerts   manifests/alerts/latest.json
    GET /metrics  metrics/orderbooks.prom

Reads     those files, anew for each request
Writes    sockets: 127.0.0.1, ::1 or a unix socket of mode 0600
Promises  says nothing that is not in a file; takes GET and HEAD only
Fails     Refused for an address that others could reach; NeedsAPerson when it cannot listen
"""

import contextlib
import ipaddress
import os
import socket
import stat
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec

from workers.core.errors import NeedsAPerson, Refused
from workers.core.health.reports import HealthManifest
from workers.edge.spool.directory import DataDir

NS_PER_S = 1_000_000_000
#: A look each watchdog.interval_s, ten seconds as shipped; this is twelve of them.
FRESH_S = 120
_READ_LIMIT_S = 10
_JSON, _TEXT = "application/json", "text/plain; version=0.0.4"
_manifest = msgspec.json.Decoder(HealthManifest)


class Judged(msgspec.Struct, frozen=True):
    """The watchdog's verdict at a moment: `ok`, `degraded`, `failing`, or `unknown` and why."""

    verdict: str
    reasons: list[str]

    @property
    def is_serving(self) -> bool:
        """True while the archive is being written as it should."""
        return self.verdict in {"ok", "degraded"}

    @property
    def has_looked(self) -> bool:
        """True while somebody looks, whatever is seen: a restart mends no outage of the venue."""
        return self.verdict != "unknown"


def judged(data: DataDir, wall_ns: int) -> Judged:
    """The verdict of the last look; `unknown` when there is none, or it is old."""
    path = data.latest("health")
    try:
        told = _manifest.decode(path.read_bytes())
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        return Judged("unknown", [f"{data.relative(path)}: {error}"])
    age_s = (wall_ns - told.at_wall_ns) // NS_PER_S
    if age_s > FRESH_S:
        return Judged("unknown", [f"the watchdog has not looked for {age_s} s"])
    return Judged(told.verdict, told.reasons)


class HealthServer(ThreadingHTTPServer):
    """One listening socket over the files of one data directory."""

    daemon_threads = True

    def __init__(self, data: DataDir, listen: str) -> None:
        self.data = data
        self._path: Path | None = None
        self._is_mine = False
        if listen.startswith("unix:"):
            self._path = Path(listen.removeprefix("unix:"))
            self.address_family = socket.AF_UNIX
            address: object = str(self._path)
        else:
            address = _loopback(listen)
            self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        try:
            _clear(self._path)
            super().__init__(address, _Handler)  # type: ignore[arg-type]
        except OSError as error:
            raise NeedsAPerson(
                f"listen on {listen}: {error.strerror}", hint="another port or path"
            ) from error

    def server_bind(self) -> None:
        """Bind; a unix socket is this user's alone from its first moment."""
        if self._path is None:
            super().server_bind()
            return
        before = os.umask(0o177)
        try:
            self.socket.bind(str(self._path))
            self._is_mine = True
        finally:
            os.umask(before)

    @property
    def where(self) -> str:
        """What to ask, as curl takes it."""
        if self._path is not None:
            return f"--unix-socket {self._path} http://localhost/health"
        host, port, *_ = self.socket.getsockname()
        return f"http://[{host}]:{port}/health" if ":" in host else f"http://{host}:{port}/health"

    def server_close(self) -> None:
        """Stop listening; the name of a unix socket goes with it, if it is ours."""
        super().server_close()
        if self._path is not None and self._is_mine:
            self._path.unlink(missing_ok=True)


def _loopback(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    try:
        address = ipaddress.ip_address(host)
        number = int(port)
    except ValueError as error:
        raise Refused(
            f"--listen {listen}: expected 127.0.0.1:PORT, [::1]:PORT or unix:PATH"
        ) from error
    if not address.is_loopback or not 0 <= number < 1 << 16:
        raise Refused(
            f"--listen {listen}: only this machine may ask; expected 127.0.0.1:PORT, [::1]:PORT or "
            "unix:PATH. Reach it from elsewhere through ssh -L"
        )
    return host, number


def _clear(path: Path | None) -> None:
    """Remove a socket that nobody answers on; anything else in its place is an error of bind."""
    if path is None or not path.exists() or not stat.S_ISSOCK(path.stat().st_mode):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()


class _Handler(BaseHTTPRequestHandler):
    server: HealthServer
    protocol_version = "HTTP/1.1"
    timeout = _READ_LIMIT_S

    def do_GET(self) -> None:
        """Answer with a file."""
        data = self.server.data
        pages = {
            "/health": (data.latest("health"), _JSON),
            "/disk": (data.latest("disk"), _JSON),
            "/alerts": (data.latest("alerts"), _JSON),
            "/metrics": (data.metrics, _TEXT),
        }
        path, kind = pages.get(self.path.partition("?")[0], (None, _JSON))
        if path is None:
            self._answer(404, _JSON, _said("error", f"expected one of {' '.join(pages)}"))
            return
        try:
            body = path.read_bytes()
        except OSError as error:
            self._answer(503, _JSON, _said("error", f"{data.relative(path)}: {error.strerror}"))
            return
        found = judged(data, time.time_ns())
        is_health = self.path.startswith("/health")
        self._answer(200 if found.is_serving or not is_health else 503, kind, body, found.verdict)

    def do_HEAD(self) -> None:
        """Answer without the file."""
        self.do_GET()

    def _answer(self, status: int, kind: str, body: bytes, verdict: str = "unknown") -> None:
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Orderbooks-Verdict", verdict)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    def address_string(self) -> str:
        """Who asks; a unix socket's peer has no address."""
        return str(self.client_address)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing: a probe each ten seconds is no event."""


def _said(key: str, text: str) -> bytes:
    return msgspec.json.encode({key: text}) + b"\n"
