"""Holds edge.rest: whatever a peer does, an Answer with the right cause within the deadline.

The peers are raw sockets, so that they can lie in ways no server library would.
"""

import gzip
import re
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from email.utils import formatdate

import pytest

from tests.ports import mute_port
from tests.rig import wait_for
from tests.vps.address import ANOTHERS, EXPIRED, GOOD, NAME, Front
from workers.core import causes
from workers.edge.rest import Call, RestClient

#: For a peer that never ends: nothing but the deadline can come.
TIMEOUT_S = 1.0
#: For every other peer: a busy machine is not what is tested.
PATIENCE_S = 60.0
#: More than any exchange may take on a busy machine; a peer that drips never ends by itself.
LATEST_S = 20.0
LIMIT_BYTES = 100_000
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
Script = Callable[[socket.socket, bytes], None]
# An exchange that is given up leaves its socket to the garbage collector, and on a busy machine the
# alarm may ring there, where nobody can catch it: Python says both, and neither is a fault.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


class Peer:
    """A server that does to the n-th request what the n-th script says, then the last for ever."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts, self.requests = list(scripts), []
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection:
            while (request := _request(connection)) and not self.over.is_set():
                self.requests.append(request)
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                try:
                    script(connection, request)
                except OSError:
                    return

    def close(self) -> None:
        """End it: an accept that outlived its socket would take the connections of the next peer."""
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


def _request(connection: socket.socket) -> bytes:
    data = b""
    try:
        while not _is_whole(data):
            piece = connection.recv(65536)
            if not piece:
                return b""
            data += piece
    except OSError:
        return b""
    return data


def _is_whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    said = re.search(rb"content-length: (\d+)", head.lower())
    is_tls_hello = data[:1] == b"\x16"
    return is_tls_hello or (bool(end) and len(body) >= int(said[1] if said else 0))


def good(body: bytes = b"[]", *headers: str) -> Script:
    extra = "".join(f"{header}\r\n" for header in headers).encode()
    answer = OK + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body
    return lambda connection, _: connection.sendall(answer)


def status(line: str, body: bytes = b"", *headers: str) -> Script:
    lines = [f"HTTP/1.1 {line}", *headers, f"Content-Length: {len(body)}", "", ""]
    answer = "\r\n".join(lines).encode() + body
    return lambda connection, _: connection.sendall(answer)


def raw(data: bytes, *, end: str = "close") -> Script:
    """Send `data`, then close, reset, or say nothing more."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(data)
        if end == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if end == "hang":
            connection.recv(1)
        connection.close()

    return script


def dripping(start: bytes, piece: bytes) -> Script:
    """A byte now and then, for ever: no socket timeout ever fires."""

    def script(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        while True:
            connection.sendall(piece)
            threading.Event().wait(0.02)

    return script


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Makes peers that end with the test."""
    made: list[Peer] = []

    def make(*scripts: Script) -> Peer:
        made.append(Peer(*scripts))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def client() -> Iterator[RestClient]:
    """A client that waits for a slow answer."""
    made = RestClient(timeout_s=PATIENCE_S, max_body_bytes=LIMIT_BYTES, user_agent="orderbooks/0")
    yield made
    made.close()


def _get(client: RestClient, url: str) -> tuple[object, float]:
    started = time.monotonic()
    answer = client.fetch(Call(method="GET", url=url))
    return answer, time.monotonic() - started


ZIPPED = "Content-Encoding: gzip"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
BOMB = gzip.compress(bytes(50_000_000))
HTML = b"<!doctype html><title>Attention Required!</title>"
TROUBLE: dict[str, tuple[str, Script]] = {
    "hangs before the status": ("timeout", raw(b"", end="hang")),
    "hangs in the headers": ("timeout", raw(OK, end="hang")),
    "hangs in the body": ("timeout", raw(OK + b"Content-Length: 9\r\n\r\n[", end="hang")),
    "drips the status line": ("timeout", dripping(b"", b"H")),
    "drips headers": ("timeout", dripping(OK, b"X-A: b\r\n")),
    "drips one header": ("timeout", dripping(OK + b"X: ", b"y")),
    "drips the body": ("timeout", dripping(OK + b"Content-Length: 99999\r\n\r\n", b" ")),
    "drips chunks": ("timeout", dripping(CHUNKED, b"1\r\n \r\n")),
    "drips interim answers": ("timeout", dripping(b"", b"HTTP/1.1 100 Continue\r\n\r\n")),
    "closes at once": ("reset", raw(b"")),
    "resets at once": ("reset", raw(b"", end="reset")),
    "resets in the headers": ("reset", raw(OK, end="reset")),
    "resets in the body": ("reset", raw(OK + b"Content-Length: 9\r\n\r\n[", end="reset")),
    "speaks another language": ("reset", raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    "sends a huge header": ("reset", raw(OK + b"X: " + b"y" * 100_000 + b"\r\n\r\n")),
    "closes in the body": ("truncated", raw(OK + b"Content-Length: 9\r\n\r\n[")),
    "closes in a chunk": ("truncated", raw(CHUNKED + b"9\r\n[")),
    "closes between chunks": ("truncated", raw(CHUNKED + b"1\r\n[\r\n")),
    "sends a bad chunk length": ("truncated", raw(CHUNKED + b"zz\r\n[")),
    "sends a huge body": ("too_large", good(b"x" * (LIMIT_BYTES + 1))),
    "sends endless chunks": ("too_large", dripping(CHUNKED, b"10000\r\n%b\r\n" % bytes(65536))),
    "sends a gzip bomb": ("too_large", good(BOMB, ZIPPED)),
    "sends bad gzip": ("bad_encoding", good(b"not gzip", ZIPPED)),
    "sends half a gzip": ("bad_encoding", good(gzip.compress(b"[1]" * 99)[:-9], ZIPPED)),
    "sends gzip and more": ("bad_encoding", good(gzip.compress(b"[]") + b"x", ZIPPED)),
    "sends an encoding we did not ask for": (
        "bad_encoding",
        good(b"\x1b\x03", "Content-Encoding: br"),
    ),
    "sends a page as 200": ("html", good(HTML, "Content-Type: text/html")),
    "sends a page as JSON": ("html", good(HTML)),
    "refuses us with a page": (
        "http_403",
        status("403 Forbidden", HTML, "Content-Type: text/html"),
    ),
    "refuses our country": ("http_451", status("451 Unavailable")),
    "refuses us with a broken page": ("http_403", status("403 Forbidden", b"junk", ZIPPED)),
    "redirects": ("redirect", status("302 Found", b"", "Location: http://127.0.0.1:1/x")),
    "redirects without a place": ("redirect", status("301 Moved")),
    "redirects to nonsense": ("redirect", status("301 Moved", b"", "Location: http://[")),
    "redirects with a bomb": ("redirect", status("302 Found", BOMB, ZIPPED, "Location: /x")),
    "is overloaded": ("http_503", status("503 Service Unavailable", b"{}")),
    "is overloaded and says nothing": ("http_503", status("503 Service Unavailable", b"", ZIPPED)),
    "has nothing to say": ("http_204", status("204 No Content")),
    "invents a status": ("http_999", status("999 Request Denied")),
}


@pytest.mark.parametrize("what", TROUBLE)
def test_a_peer_that_does_this_has_a_cause_in_time_and_is_asked_again(peer, client, what):
    cause, script = TROUBLE[what]
    there = peer(script, good(b"[1]"))

    client._timeout_s = TIMEOUT_S if cause == "timeout" else PATIENCE_S
    answer, took_s = _get(client, there.url)
    wait_for(lambda: there.requests, what="the peer to hear of the first request")
    client._timeout_s = PATIENCE_S
    again, _ = _get(client, there.url)

    assert cause == answer.cause
    assert causes.is_known(answer.cause)
    assert took_s < LATEST_S
    assert len(answer.body) <= LIMIT_BYTES * 4
    assert ("ok", b"[1]") == (again.cause, again.body)
    assert 2 == len(there.requests)


def test_headers_that_drip_end_at_the_deadline_by_the_alarm(peer, client):
    there = peer(dripping(OK, b"X-A: b\r\n"))
    client._timeout_s = TIMEOUT_S

    answer, took_s = _get(client, there.url)

    assert ("timeout", None) == (answer.cause, answer.status)
    assert TIMEOUT_S <= took_s < LATEST_S
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_the_alarm_handler_is_given_back(peer, client):
    client._timeout_s = TIMEOUT_S
    before = signal.getsignal(signal.SIGALRM)
    for script in (good(), raw(b"", end="hang")):
        _get(client, peer(script).url)

    assert before == signal.getsignal(signal.SIGALRM)


def test_deadlines_that_meet_the_last_byte_never_escape(peer):
    """The answer comes just when the alarm rings; thousands of moments around it are tried."""
    there = peer(good(b"[1]"))
    found = set()
    for microseconds in range(100, 2100, 10):
        client = RestClient(
            timeout_s=microseconds / 1e6, max_body_bytes=LIMIT_BYTES, user_agent="x"
        )
        found.add(client.fetch(Call(method="GET", url=there.url)).cause)
        client.close()

    assert found <= {"ok", "timeout", "reset", "truncated", "connect"}
    assert (0.0, 0.0) == signal.getitimer(signal.ITIMER_REAL)


def test_a_host_name_that_does_not_resolve_is_dns(client):
    # Longer than a name can be: the resolver answers by itself, no name server is asked.
    answer, _ = _get(client, f"http://{'.'.join(['x' * 60] * 6)}/")

    assert "dns" == answer.cause


def test_a_port_that_nobody_listens_on_is_connect(client):
    with mute_port() as port:
        answer, _ = _get(client, f"http://127.0.0.1:{port}/")

    assert ("connect", None) == (answer.cause, answer.status)


def test_tls_against_a_plain_port_is_tls(peer, client):
    answer, _ = _get(client, peer(good()).url.replace("http:", "https:"))

    assert "tls" == answer.cause


@pytest.mark.parametrize("url", ["http://", "http://[", "nonsense", f"http://{'x' * 70}.example/"])
def test_an_address_that_is_none_is_no_exception(client, url):
    answer, _ = _get(client, url)

    assert answer.cause in {"reset", "dns"}


@pytest.mark.parametrize("encoding", [gzip.compress, zlib.compress])
def test_a_compressed_body_is_given_decompressed_and_both_sizes_are_told(peer, client, encoding):
    body = b'[{"a":1}]' * 1000
    packed = encoding(body)

    answer, _ = _get(client, peer(good(packed, ZIPPED)).url)

    assert ("ok", body, len(packed)) == (answer.cause, answer.body, answer.wire_bytes)


@pytest.mark.parametrize("body", [b'["\xff"]', b"", b"{", b"\0" * 10])
def test_bytes_that_are_no_json_are_given_as_they_came(peer, client, body):
    answer, _ = _get(client, peer(good(body)).url)

    assert ("ok", body) == (answer.cause, answer.body)


def test_a_body_of_exactly_the_limit_is_taken(peer, client):
    body = b"x" * LIMIT_BYTES

    answers = [
        _get(client, peer(each).url)[0] for each in (good(body), good(gzip.compress(body), ZIPPED))
    ]

    assert [("ok", LIMIT_BYTES)] * 2 == [(each.cause, len(each.body)) for each in answers]


def test_identity_is_no_encoding(peer, client):
    answer, _ = _get(client, peer(good(b"[]", "Content-Encoding: identity")).url)

    assert "ok" == answer.cause


def test_the_page_of_a_redirect_is_kept_and_its_place_never_asked(peer, client):
    there = peer(status("302 Found", b"moved", "Location: /x"))

    answer, _ = _get(client, there.url)

    assert ("redirect", b"moved", 1) == (answer.cause, answer.body, len(there.requests))


def test_what_came_of_a_cut_body_is_kept(peer, client):
    answer, _ = _get(client, peer(TROUBLE["closes in the body"][1]).url)

    assert (200, b"[", 1) == (answer.status, answer.body, answer.wire_bytes)
    assert answer.detail


def _later(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("headers", "body", "between_s"),
    [
        (["Retry-After: 7"], b"", (7, 7)),
        (["Retry-After: 0"], b"", (0, 0)),
        (["Retry-After: 999999999999999999999"], b"", (1e9, 1e15)),
        ([f"Retry-After: {_later(36_000)}"], b"", (30_000, 36_000)),
        ([f"Retry-After: {_later(-100)}"], b"", (0, 0)),
        ([], b'{"error":"x","retry_after_seconds":3}', (3, 3)),
        ([], b'{"retry_after_seconds":2.5}', (2.5, 2.5)),
        (["Retry-After: 9"], b'{"retry_after_seconds":3}', (9, 9)),
    ],
)
def test_the_wait_a_peer_asks_for_is_told(peer, client, headers, body, between_s):
    answer, _ = _get(client, peer(status("429 Too Many Requests", body, *headers)).url)

    assert "http_429" == answer.cause
    assert between_s[0] <= answer.retry_after_s <= between_s[1]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([], b""),
        (["Retry-After: -5"], b""),
        (["Retry-After: soon"], b""),
        (["Retry-After: Fri, 99 Foo 99999 99:99:99 +99999999999"], b""),
        (["Retry-After: Mon, 01 Jan 0001 00:00:00 +2359"], b""),
        ([], b'{"retry_after_seconds":"x"}'),
        ([], b'{"retry_after_seconds":1' + b"0" * 400 + b"}"),
        ([], b'{"retry_after_seconds":true}'),
        ([], b'{"a":' * 9000),
        ([], b"[" * 90_000),
        ([], b'{"\xff":1}'),
    ],
)
def test_a_wait_that_cannot_be_read_is_none_and_no_exception(peer, client, headers, body):
    answer, _ = _get(client, peer(status("429 Too Many Requests", body, *headers)).url)

    assert "http_429" == answer.cause
    assert answer.retry_after_s in (None, 0.0)


def test_connections_are_kept_alive(peer, client):
    there = peer(good())
    for _ in range(5):
        _get(client, there.url)

    assert (1, 5) == (there.connections, len(there.requests))


def test_a_kept_connection_that_the_peer_closed_is_a_reset_and_not_a_second_request(peer, client):
    def one_then_close(connection: socket.socket, request: bytes) -> None:
        good(b"[1]")(connection, request)
        connection.close()

    there = peer(one_then_close)
    found = [_get(client, there.url)[0].cause for _ in range(4)]

    assert set(found) <= {"ok", "reset"}
    assert len(there.requests) <= 4


def test_nothing_that_tells_who_asks_is_sent(peer, client, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    there = peer(good(b"[]", "Set-Cookie: id=1; Path=/"))

    answers = [_get(client, there.url)[0].cause for _ in range(2)]

    names = {
        line.partition(b":")[0].lower()
        for request in there.requests
        for line in request.split(b"\r\n")[1:]
        if line
    }
    assert ["ok", "ok"] == answers
    assert {b"host", b"user-agent", b"accept", b"accept-encoding"} == names


def test_a_post_carries_its_body_and_its_id(peer, client):
    there = peer(good())

    client.fetch(Call(method="POST", url=there.url, body=b'[{"token_id":"1"}]', request_id="c.1.2"))

    request = there.requests[0].lower()
    assert request.startswith(b"post / http/1.1\r\n")
    assert b"content-type: application/json" in request
    assert b"x-request-id: c.1.2" in request
    assert request.endswith(b'[{"token_id":"1"}]')


def test_clocks_and_headers_of_an_answer_are_told(peer, client):
    there = peer(good(b"[]", "CF-Ray: abc", "X-Other: no", "Age: 5"))

    answer, _ = _get(client, there.url)

    assert {"cf-ray": "abc", "age": "5"}.items() <= answer.headers.items()
    assert "x-other" not in answer.headers
    assert answer.send_mono_ns <= answer.recv_mono_ns
    assert answer.took_ms >= 0


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The venue's name leads here."""
    found = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: found({NAME: "127.0.0.1"}.get(host, host), *a, **k),
    )


@pytest.mark.usefixtures("named")
def test_a_certificate_that_is_not_right_is_tls_and_a_private_authority_may_be_named(
    peer, tmp_path, monkeypatch
):
    front = Front(tmp_path, "127.0.0.1", {0: int(peer(good(b"[]")).url.rpartition(":")[2])})
    call = Call(method="GET", url=f"https://{NAME}:{front.ports[0]}/")

    def answered() -> tuple[str, str]:
        asking = RestClient(timeout_s=PATIENCE_S, max_body_bytes=LIMIT_BYTES, user_agent="x")
        answer = asking.fetch(call)
        asking.close()
        return answer.cause, answer.detail

    unknown, _ = answered()
    monkeypatch.setenv("SSL_CERT_FILE", str(front.authorities))
    known, _ = answered()
    front.show(EXPIRED)
    expired = answered()
    front.show(ANOTHERS)
    anothers = answered()
    front.show(GOOD)
    again, _ = answered()
    front.close()

    assert ("tls", "ok", "ok") == (unknown, known, again)
    assert "tls" == expired[0]
    assert "has expired" in expired[1]
    assert "tls" == anothers[0]
    assert "another.test" not in anothers[1]
    assert "mismatch" in anothers[1]
