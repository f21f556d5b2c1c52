"""The venue's market channel: connections of websockets, all of them on one loop. Owns picows.

Nothing here runs by itself: the loop turns while `wait` is called, so what it tells is in the
order in which it was heard, and no thread shares anything. picows' other owner is the replay's
server (`edge.feed_server`).

Reads     sockets
Writes    PING every `ping_interval_s` once something was sent, and what it is told to send
Promises  each message with the moment its last byte was heard, wall and monotonic; a message is
          told or its connection's end is told: never a silent drop; PONG is an answer, no message
Fails     never by exception for what a peer or the network can do: `closed` has a cause of
          core/causes.py
Never     reconnects, follows a redirect, sends a credential
"""

import asyncio
import socket
import ssl
import time
from collections import deque

from picows import (
    WSError,
    WSFrame,
    WSHandshakeError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)

from workers.core.stream.happenings import CLOSED, HEARD, OPENED, Happening, Limits

NS_PER_S = 1_000_000_000
PING, PONG = b"PING", b"PONG"
#: At so many bytes heard `wait` returns before its time: memory stays small, however fast the venue
#: sends.
_ENOUGH_BYTES = 1 << 18
_LAST_TURNS = 5
#: A look at a name of the enum takes 0.1 us.
_CONTROLS = (WSMsgType.CLOSE, WSMsgType.PING, WSMsgType.PONG)


class Feed:
    """Every connection of one worker; used by one thread."""

    def __init__(self, url: str, limits: Limits, *, user_agent: str) -> None:
        self.limits = limits
        self.inbox_bytes = 0
        self._url, self._user_agent = url, user_agent
        self._loop = asyncio.new_event_loop()
        # SSL_CERT_FILE and SSL_CERT_DIR name other authorities than the system's, as ever.
        self._tls = ssl.create_default_context() if url.startswith("wss:") else None
        self._lines: dict[str, _Line] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._happenings: list[Happening] = []
        self._is_waiting = False

    def open(self, connection: str) -> None:
        """Begin to connect; OPENED or CLOSED is told."""
        line = self._lines[connection] = _Line(self, connection)
        task = self._loop.create_task(self._connect(line))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send(self, connection: str, text: bytes) -> None:
        """Send a message when the peer takes it; a connection that is gone sends nothing."""
        line = self._lines.get(connection)
        if line is not None:
            line.send(text)

    def close(self, connection: str, cause: str, detail: str = "") -> None:
        """End a connection; CLOSED is told by the next `wait`."""
        line = self._lines.get(connection)
        if line is not None:
            line.end(cause, detail)

    def wait(self, until_mono_ns: int) -> list[Happening]:
        """Listen until a moment, or until much was heard; everything told since the last call."""
        self.inbox_bytes = 0
        if not self._happenings:
            delay_s = max(0.0, (until_mono_ns - time.monotonic_ns()) / NS_PER_S)
            timer = self._loop.call_later(delay_s, self._loop.stop)
            self._is_waiting = True
            self._loop.run_forever()
            self._is_waiting = False
            timer.cancel()
        found, self._happenings = self._happenings, []
        return found

    def shutdown(self, cause: str) -> list[Happening]:
        """End every connection and the loop; what was heard and not told yet."""
        for connection in [*self._lines]:
            self.close(connection, cause)
        self._loop.run_until_complete(self._settle())
        self._loop.close()
        found, self._happenings = self._happenings, []
        return found

    async def _settle(self) -> None:
        """Let nothing of it run on."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # A transport is gone some turns of the loop after its connection.
        for _ in range(_LAST_TURNS):
            await asyncio.sleep(0)

    def tell(self, happening: Happening) -> None:
        """Tell what is no message; it ends `wait` now."""
        self._happenings.append(happening)
        if happening.kind == CLOSED:
            self._lines.pop(happening.connection, None)
        self._stop_waiting()

    def keep(self, message: Happening) -> bool:
        """Keep a message for the next `wait`; False when there is no room for it."""
        self.inbox_bytes += len(message.data)
        if self.inbox_bytes > _ENOUGH_BYTES:
            self._stop_waiting()
            if self.inbox_bytes > self.limits.inbox_bytes:
                return False
        self._happenings.append(message)
        return True

    def _stop_waiting(self) -> None:
        if self._is_waiting:
            self._loop.stop()

    def later(self, delay_s: float, line: "_Line") -> asyncio.TimerHandle:
        """Look after a connection in a while."""
        return self._loop.call_later(delay_s, line.look_after)

    async def _connect(self, line: "_Line") -> None:
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                await ws_connect(
                    lambda: line,
                    self._url,
                    ssl_context=self._tls,
                    websocket_handshake_timeout=None,
                    # Above it picows ends the connection without a cause of ours.
                    max_frame_size=2 * self.limits.message_bytes,
                    extra_headers={"User-Agent": self._user_agent},
                    max_redirects=0,
                )
        except TimeoutError:
            line.ended("timeout", f"not open within {self.limits.connect_timeout_s} s")
        except (WSError, OSError) as error:
            line.ended(_cause_of(error), f"{type(error).__name__}: {error}"[:300])


class _Line(WSListener):
    """One connection; `ended` tells its end once, whoever notices it first."""

    def __init__(self, feed: Feed, connection: str) -> None:
        super().__init__()
        self._feed, self._connection = feed, connection
        self._transport: WSTransport | None = None
        self._parts = bytearray()
        self._outbox: deque[bytes] = deque()
        self._is_writable, self._has_ended = True, False
        self._seq = 0
        self._heard_mono_ns = self._heard_wall_ns = 0
        self._timer: asyncio.TimerHandle | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is open."""
        self._transport = transport
        if self._has_ended:
            transport.disconnect(graceful=False)
            return
        self._heard_mono_ns = time.monotonic_ns()
        self._tell(OPENED)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' name
        """It is gone."""
        self.ended("reset", "the connection broke without a close frame")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame of the venue; messages may come in parts."""
        if self._has_ended:
            return
        if frame.msg_type in _CONTROLS:
            self._on_control(transport, frame)
            return
        if len(self._parts) + frame.payload_size > self._feed.limits.message_bytes:
            self.end("too_large", f"over {self._feed.limits.message_bytes} bytes")
            return
        data = frame.get_payload_as_bytes()
        if self._parts or not frame.fin:
            self._parts += data
            if not frame.fin:
                return
            data = bytes(self._parts)
            self._parts.clear()
        self._hear(data)

    def _on_control(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            said = (frame.get_close_message() or b"").decode(errors="replace")
            transport.send_close(frame.get_close_code(), b"")
            self.ended("closed", f"{frame.get_close_code().value} {said}".strip()[:300])
            transport.disconnect()

    def _hear(self, data: bytes) -> None:
        wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        self._heard_wall_ns, self._heard_mono_ns = wall_ns, mono_ns
        if data == PONG:
            return
        seq = self._seq + 1
        if self._feed.keep(Happening(HEARD, self._connection, wall_ns, mono_ns, seq, data)):
            self._seq = seq
        else:
            self.end("overflow", f"{self._feed.inbox_bytes} bytes were heard and not yet written")

    def send(self, text: bytes) -> None:
        """Send now, or when the peer takes something again."""
        self._outbox.append(text)
        self._flush()
        if self._timer is None and not self._has_ended:
            # A PING before a subscription is answered with close 1008 (VENUE §5.1).
            self._timer = self._feed.later(self._feed.limits.ping_interval_s, self)

    def _flush(self) -> None:
        while self._outbox and self._is_writable and self._transport is not None:
            self._transport.send(WSMsgType.TEXT, self._outbox.popleft())

    def pause_writing(self) -> None:
        """The peer does not take what is sent."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """It does again."""
        self._is_writable = True
        self._flush()

    def look_after(self) -> None:
        """Ask whether it lives; end it when nothing at all was heard for too long."""
        limits = self._feed.limits
        silent_s = (time.monotonic_ns() - self._heard_mono_ns) / NS_PER_S
        if silent_s > limits.pong_timeout_s:
            self.end("silent", f"no message and no PONG for {silent_s:.1f} s")
            return
        self._timer = None
        self.send(PING)

    def end(self, cause: str, detail: str) -> None:
        """End it from here."""
        transport = self._transport
        self.ended(cause, detail)
        if transport is not None:
            transport.disconnect(graceful=False)

    def ended(self, cause: str, detail: str) -> None:
        """It has ended; told once."""
        if self._has_ended:
            return
        self._has_ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._tell(CLOSED, cause, detail)

    def _tell(self, kind: str, cause: str = "", detail: str = "") -> None:
        wall_ns, mono_ns = time.time_ns(), time.monotonic_ns()
        self._feed.tell(
            Happening(
                kind,
                self._connection,
                wall_ns,
                mono_ns,
                self._seq,
                cause=cause,
                detail=detail,
                heard_wall_ns=self._heard_wall_ns,
            )
        )


def _cause_of(error: WSError | OSError) -> str:
    """The name of a failure to connect, as core/causes.py has it."""
    if isinstance(error, WSHandshakeError):
        response = getattr(error, "response", None)
        return "handshake" if response is None else f"http_{int(response.status)}"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, socket.gaierror):
        return "dns"
    return "handshake" if isinstance(error, WSError) else "connect"
