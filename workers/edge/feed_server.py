"""The past behind the venue's own protocol, on this machine only. The one owner of picows.

Two ports, for picows answers no POST: the routes for books on one, the market channel on the
other. Both tell the same moment: one loop, one thread, one set of books.

    speed > 0   the clock starts with the first subscription or question for books
    None        as fast as the clients take it; it stands while nobody has subscribed
    0           the clock stands at its first moment

Reads     steps, from an iterator that may read files
Writes    sockets on 127.0.0.1
Promises  a subscriber gets each changed book of its tokens, in order; at a gap it is disconnected
          (1013, with the cause), as a recorder that lost its connection would have been, and finds
          no book of that token until one was captured again
Fails     NeedsAPerson when a port is taken
Never     listens on another address; answers for a moment that is not the replay's
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from itertools import groupby, islice

import msgspec
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from workers.core.errors import NeedsAPerson
from workers.core.reading.playback import Present, Sent, Step
from workers.core.stream.market_channel import Answered, Asked, Session, answered
from workers.edge.feed_routes import Routes

HOST = "127.0.0.1"
PATH = "/ws/market"
NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
_PORTION = 256
#: Moments between two looks at what clients say, where the clock does not wait.
_BREATH = 16
#: A client that takes nothing for so long is let go: the others wait for it.
_STALLED_S = 30.0
_GOODBYE_S = 5.0
_MESSAGE_BYTES_MAX = 1 << 20
_REASON_BYTES_MAX = 120


class Listening(msgspec.Struct, frozen=True):
    """Where the past can be asked for."""

    rest: str
    websocket: str


class FeedServer:
    """One replay for any number of clients."""

    def __init__(self, present: Present, from_ns: int, speed: float | None) -> None:
        self.present = present
        self.asked = asyncio.Event()
        self._speed, self._from_ns, self._now_ns = speed, from_ns, from_ns
        self._started_s: float | None = None
        self.channels: set[Channel] = set()
        self._opened: set[Channel] = set()
        self._changed = asyncio.Event()

    @property
    def now_ns(self) -> int:
        """The replay's moment."""
        if self._speed is None or self._started_s is None:
            return self._now_ns
        return self._from_ns + round((time.monotonic() - self._started_s) * self._speed * NS_PER_S)

    async def run(
        self, steps: Iterator[Step], port: int, listening: Callable[[Listening], None]
    ) -> None:
        """Serve until the steps are over.

        Args:
            steps: in time order.
            port: of the routes; the channel has the next one; 0 = two free ones.
            listening: told when both are open.
        """
        routes = Routes(self._answer)
        try:
            rest_port = await routes.listen(HOST, port)
            channel = await ws_create_server(
                self._channel, HOST, port + 1 if port else 0, max_frame_size=_MESSAGE_BYTES_MAX
            )
        except OSError as error:
            await routes.close()
            hint = "another PORT; 0 takes two free ones"
            raise NeedsAPerson(f"listen on {HOST}: {error.strerror}", hint=hint) from error
        try:
            channel_port = channel.sockets[0].getsockname()[1]
            listening(
                Listening(f"http://{HOST}:{rest_port}", f"ws://{HOST}:{channel_port}{PATH}"),
            )
            await self._play(steps)
            await self._end()
        finally:
            channel.close()
            await self._let_go()
            await routes.close()

    async def _play(self, steps: Iterator[Step]) -> None:
        if self._speed == 0:
            await asyncio.Event().wait()
        await self._started()
        moments = (list(steps) for _, steps in groupby(steps, key=lambda step: step.at_ns))
        done = 0
        while portion := await asyncio.to_thread(_portion, moments):
            for moment in portion:
                await self._reach(moment[0].at_ns)
                self._take(moment)
                done += 1
                if done % _BREATH == 0:
                    await asyncio.sleep(0)

    async def _started(self) -> None:
        if self._speed is None:
            await self._someone()
        else:
            await self.asked.wait()
            self._started_s = time.monotonic()

    async def _someone(self) -> None:
        """Wait until somebody has subscribed."""
        while not any(each.session.is_subscribed for each in self.channels):
            self._changed.clear()
            await self._changed.wait()

    async def _reach(self, at_ns: int) -> None:
        """Wait until it is time for a step, and until every client has taken what it was sent."""
        if self._speed is None:
            await self._someone()
        for each in [*self.channels]:
            await each.taken()
        self._now_ns = max(self._now_ns, at_ns)
        if self._speed:
            wait_s = (at_ns - self.now_ns) / NS_PER_S / self._speed
            if wait_s > 0:
                await asyncio.sleep(wait_s)

    def note(self) -> None:
        """Something was said by a client, or one has left."""
        self._changed.set()

    def _take(self, moment: list[Step]) -> None:
        """All that happens at one moment; who comes back after a gap finds all of it done."""
        gaps: dict[str, str] = {}
        for step in moment:
            event = self.present.take(step)
            if step.gap:
                gaps[step.token_id] = step.gap
            for each in self.channels:
                is_asked = event and step.token_id in each.session.token_ids
                if is_asked and (not step.event or each.sent.is_new(event)):
                    each.send(event)
        for each in [*self.channels]:
            missed = each.session.token_ids & gaps.keys()
            if missed:
                each.close(WSCloseCode.TRY_AGAIN_LATER, f"gap: {gaps[min(missed)]}")

    async def _end(self) -> None:
        """Say goodbye; what was sent before reaches whoever reads."""
        channels = [*self.channels]
        for each in channels:
            await each.taken()
            each.close(WSCloseCode.GOING_AWAY, "the replay is over")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(
                asyncio.gather(*(each.gone.wait() for each in channels)), _GOODBYE_S
            )

    async def _let_go(self) -> None:
        """Cut whatever connection is left."""
        left = [*self._opened]
        for each in left:
            each.abandon()
        await asyncio.gather(*(each.gone.wait() for each in left))

    def _channel(self, request: WSUpgradeRequest) -> "Channel | None":
        return Channel(self) if request.path == PATH.encode() else None

    def came(self, channel: "Channel") -> None:
        """A connection is open."""
        self.channels.add(channel)
        self._opened.add(channel)

    def went(self, channel: "Channel") -> None:
        """A connection is gone."""
        self._opened.discard(channel)

    def _answer(self, asked: Asked) -> Answered:
        found = answered(asked, self.present.books, self.now_ns // NS_PER_MS)
        if found.tokens:
            self.asked.set()
        return found


def _portion(moments: Iterator[list[Step]]) -> list[list[Step]]:
    return list(islice(moments, _PORTION))


class Channel(WSListener):
    """One connection of the market channel."""

    def __init__(self, server: FeedServer) -> None:
        super().__init__()
        self.session, self.sent = Session(), Sent()
        self.gone = asyncio.Event()
        self._server = server
        self._transport: WSTransport | None = None
        self._parts, self._writable = list[bytes](), asyncio.Event()
        self._writable.set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """It is open."""
        self._transport = transport
        self._server.came(self)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' name
        """It is gone."""
        self._forget()
        self._server.went(self)
        self.gone.set()
        self._writable.set()

    def _forget(self) -> None:
        self._server.channels.discard(self)
        self._server.note()

    def pause_writing(self) -> None:
        """The client does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It has taken what was sent."""
        self._writable.set()

    async def taken(self) -> None:
        """Wait until the client has taken what it was sent, or let it go."""
        if self._writable.is_set():
            return
        try:
            await asyncio.wait_for(self._writable.wait(), _STALLED_S)
        except TimeoutError:
            self.abandon()

    def abandon(self) -> None:
        """Cut the connection, without a word."""
        self._forget()
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame of the client; messages may come in parts."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            self._forget()
            transport.disconnect()
            return
        self._parts.append(frame.get_payload_as_bytes())
        if sum(map(len, self._parts)) > _MESSAGE_BYTES_MAX:
            self.close(WSCloseCode.MESSAGE_TOO_BIG, "message too big")
        elif frame.fin:
            text = b"".join(self._parts)
            self._parts.clear()
            self._heard(text)

    def _heard(self, text: bytes) -> None:
        reply = self.session.heard(text, self._server.present.books)
        for each in reply.texts:
            self.send(each)
        if reply.refusal:
            self.close(WSCloseCode.POLICY_VIOLATION, reply.refusal)
        if self.session.is_subscribed:
            self._server.asked.set()
            self._server.note()

    def send(self, text: bytes) -> None:
        """Send one text message."""
        if self._transport is not None:
            self._transport.send(WSMsgType.TEXT, text)

    def close(self, code: WSCloseCode, reason: str) -> None:
        """Close the connection, saying why."""
        self._forget()
        if self._transport is not None:
            said = reason.encode()[:_REASON_BYTES_MAX].decode(errors="ignore").encode()
            self._transport.send_close(code, said)
            self._transport.disconnect()
