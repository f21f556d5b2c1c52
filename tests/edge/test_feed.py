"""Holds edge.feed: what is heard, how connections end, over real sockets against real servers."""

import gc
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest

from tests.edge.ws_peer import CLOSE, CONTINUED, TEXT, Peer, served
from tests.ports import mute_port
from tests.remotes import certificate
from workers.core.stream.happenings import CLOSED, HEARD, OPENED, Happening, Limits
from workers.edge.feed import Feed

#: Patient: on a busy machine half a second without a word is nobody's silence.
LIMITS = Limits(
    connect_timeout_s=30,
    ping_interval_s=0.1,
    pong_timeout_s=30,
    message_bytes=200_000,
    inbox_bytes=1_000_000,
)


@contextmanager
def feeding(url: str, limits: Limits = LIMITS) -> Iterator[Feed]:
    feed = Feed(url, limits, user_agent="orderbooks/test")
    try:
        yield feed
    finally:
        feed.shutdown("stop")


def until(feed: Feed, kind: str, *, limit_s: float = 60) -> list[Happening]:
    """Everything told up to the first happening of a kind."""
    found: list[Happening] = []
    end_s = time.monotonic() + limit_s
    # A message does not end a listening; the beginning and the end of a connection do.
    pause_s = 0.05 if kind == HEARD else limit_s
    while not any(each.kind == kind for each in found):
        assert time.monotonic() < end_s, found
        found += feed.wait(time.monotonic_ns() + int(pause_s * 10**9))
    return found


def talkative(peer: Peer) -> None:
    while message := peer.recv():
        peer.send(b"PONG" if message == "PING" else f"you said {message}".encode())


def test_messages_are_told_in_order_with_their_moments_and_numbers():
    begun_ns = time.time_ns()
    with served(talkative) as url, feeding(url) as feed:
        feed.open("a")
        (opened,) = until(feed, OPENED)
        for each in (b"one", b"two"):
            feed.send("a", each)
        found = until(feed, HEARD)
        while len(found) < 2:
            found += until(feed, HEARD)

    assert [(1, b"you said one"), (2, b"you said two")] == [(e.seq, e.data) for e in found]
    moments = [opened.mono_ns, *(each.mono_ns for each in found)]
    assert sorted(moments) == moments
    walls = [begun_ns, opened.wall_ns, *(each.wall_ns for each in found), time.time_ns()]
    assert sorted(walls) == walls


def test_a_message_in_parts_is_one_message():
    def parts(peer: Peer) -> None:
        peer.recv()
        peer.send(b"[1,", first=TEXT)
        peer.send(b"2,", first=CONTINUED)
        peer.send(b"3]", first=0x80 | CONTINUED)
        while peer.recv():
            pass

    with served(parts) as url, feeding(url) as feed:
        feed.open("a")
        until(feed, OPENED)
        feed.send("a", b"go")
        assert [b"[1,2,3]"] == [each.data for each in until(feed, HEARD)]


def test_pong_is_no_message_and_nothing_is_asked_before_a_subscription():
    heard: list[str] = []

    def listener(peer: Peer) -> None:
        while message := peer.recv():
            heard.append(message)
            peer.send(b"PONG")

    with served(listener) as url, feeding(url) as feed:
        feed.open("a")
        until(feed, OPENED)
        assert [] == feed.wait(time.monotonic_ns() + 300_000_000)
        assert [] == heard
        feed.send("a", b"subscribe")
        while heard.count("PING") < 3:
            assert [] == feed.wait(time.monotonic_ns() + 100_000_000)

    assert "subscribe" == heard[0]


@pytest.mark.parametrize(
    ("limits", "message", "cause"),
    [
        ({}, b"x" * 200_001, "too_large"),
        ({"inbox_bytes": 100_000}, b"x" * 150_000, "overflow"),
    ],
)
def test_what_does_not_fit_ends_the_connection_with_its_cause(
    limits: dict[str, int], message: bytes, cause: str
):
    def flood(peer: Peer) -> None:
        peer.recv()
        for _ in range(50):
            peer.send(message)

    bounds = msgspec.structs.replace(LIMITS, **limits)
    with served(flood) as url, feeding(url, bounds) as feed:
        feed.open("a")
        until(feed, OPENED)
        feed.send("a", b"go")
        found = until(feed, CLOSED)

    assert cause == found[-1].cause


def test_a_close_frame_tells_its_code_and_words():
    def closing(peer: Peer) -> None:
        code = (1008).to_bytes(2)
        peer.send(code + b"invalid subscription payload", first=0x80 | CLOSE)
        peer.recv()

    with served(closing) as url, feeding(url) as feed:
        feed.open("a")
        last = until(feed, CLOSED)[-1]

    assert ("closed", "1008 invalid subscription payload") == (last.cause, last.detail)


def test_a_peer_that_answers_nothing_is_silent():
    def deaf(peer: Peer) -> None:
        while peer.recv():
            pass

    limits = msgspec.structs.replace(LIMITS, pong_timeout_s=0.5)
    with served(deaf) as url, feeding(url, limits) as feed:
        feed.open("a")
        until(feed, OPENED)
        feed.send("a", b"subscribe")
        last = until(feed, CLOSED)[-1]

    assert "silent" == last.cause


def test_a_refused_upgrade_tells_its_status():
    refusal = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"
    with served(talkative, refusal) as url, feeding(url) as feed:
        feed.open("a")
        (last,) = until(feed, CLOSED)

    assert "http_503" == last.cause


def test_nobody_there_and_no_such_name_are_told_apart():
    with mute_port() as port:
        for url, cause in (
            (f"ws://127.0.0.1:{port}/ws", "connect"),
            ("ws://no-such-name.invalid/ws", "dns"),
        ):
            with feeding(url) as feed:
                feed.open("a")
                assert cause == until(feed, CLOSED)[-1].cause


def test_a_peer_that_never_upgrades_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"ws://127.0.0.1:{mute.getsockname()[1]}/ws"
        with feeding(url, msgspec.structs.replace(LIMITS, connect_timeout_s=0.3)) as feed:
            feed.open("a")
            assert "timeout" == until(feed, CLOSED)[-1].cause


# asyncio 3.11 leaves a transport of a failed handshake to the garbage collector, its socket closed.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_peer_without_tls_is_told_as_that():
    plain = socket.create_server(("127.0.0.1", 0))
    with plain, feeding(f"wss://127.0.0.1:{plain.getsockname()[1]}/ws") as feed:
        feed.open("a")
        plain.setblocking(False)
        wire = None
        while wire is None:
            feed.wait(time.monotonic_ns() + 10_000_000)
            with suppress(BlockingIOError):
                wire, _ = plain.accept()
        wire.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert "tls" == until(feed, CLOSED)[-1].cause
        wire.close()
    gc.collect()


@pytest.fixture
def private(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """The TLS of a peer whose authority no system knows, and that authority's certificate."""
    pair = certificate.make(["localhost"])
    known, key = tmp_path / "ca.pem", tmp_path / "key.pem"
    known.write_text(pair.certificate)
    key.write_text(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(known, key)
    return tls, known


def test_a_private_authority_is_trusted_when_the_environment_names_it(
    private: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
):
    tls, known = private
    monkeypatch.setenv("SSL_CERT_FILE", str(known))
    with served(talkative, tls=tls) as url, feeding(url) as feed:
        feed.open("a")
        until(feed, OPENED)
        feed.send("a", b"one")
        assert [b"you said one"] == [each.data for each in until(feed, HEARD)]


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_an_authority_that_nobody_named_is_refused_as_tls(private: tuple[ssl.SSLContext, Path]):
    tls, _ = private
    with served(talkative, tls=tls) as url, feeding(url) as feed:
        feed.open("a")
        (closed,) = until(feed, CLOSED)
        assert ("tls", True) == (closed.cause, "CERTIFICATE_VERIFY_FAILED" in closed.detail)
    gc.collect()


def test_an_end_of_ours_has_our_cause_and_is_told_once():
    with served(talkative) as url, feeding(url) as feed:
        feed.open("a")
        until(feed, OPENED)
        feed.close("a", "rotated")
        feed.close("a", "freeze")
        found = until(feed, CLOSED) + feed.wait(time.monotonic_ns() + 200_000_000)

    assert ["rotated"] == [each.cause for each in found]


def test_shutdown_ends_what_is_open_and_what_is_being_opened():
    with served(talkative) as url:
        feed = Feed(url, LIMITS, user_agent="orderbooks/test")
        feed.open("a")
        until(feed, OPENED)
        feed.open("b")

        found = feed.shutdown("stop")

    assert {("a", "stop"), ("b", "stop")} == {(each.connection, each.cause) for each in found}
