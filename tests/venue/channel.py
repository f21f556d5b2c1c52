"""The market channel: the venue's websocket, on a port and a thread of its own.

Says what VENUE 5 says: books on subscribing as one array, [] for unknown tokens, every change of
the subscribed markets, global events to who asked for custom features, PONG. Closes with 1008 on
a PING before a subscription, in silence after thousands of ids in one frame; above 750 assets the
books on subscribing stop coming.

Writes:   changes.jsonl, sent.jsonl (see channel_truth).
Promises: the REST routes of the same venue tell the same books with the same hashes.
Never:    listens on anything but 127.0.0.1.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from picows import (
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from tests.venue import events, subscriptions
from tests.venue.channel_truth import ChannelLedger
from tests.venue.faults import Faults
from tests.venue.spoil_channel import Spoiler
from tests.venue.states import Event, World
from tests.venue.subscriber import Connection
from tests.venue.watching import Watching

PATH = "/ws/market"
ROUND_S = 0.004
GLOBAL_EVERY_MS = 250
GLOBAL_COPIES = 3  # 146 copies in 45 s were seen (VENUE 5.3)
IDS_IN_ONE_FRAME = 2_000  # "thousands": the connection ends
TOO_MANY_IDS_S = 0.15


class Channel:
    """The websocket side of one venue; `start` and `stop` as often as liked."""

    def __init__(
        self, world: World, menu: Faults, ledger: ChannelLedger, *, clock_ns: Callable[[], int]
    ) -> None:
        self.world = world
        self.ledger = ledger
        self.now_ns = clock_ns
        self._spoiler = Spoiler(menu, ledger)
        self._connections: dict[Connection, None] = {}
        self._watching = Watching(world, ledger, self._spoiler, clock_ns)
        self._globals_ms = 0
        self._copies: list[tuple[int, int, Event]] = []
        self._round_s = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = asyncio.Event()
        self._someone = asyncio.Event()
        self._thread: threading.Thread | None = None

    def start(self, port: int) -> int:
        """Listen on a port, 0 for a free one; returns it."""
        opened: Future[int] = Future()

        def run() -> None:
            try:
                asyncio.run(self._serve(port, opened))
            except OSError as error:
                opened.set_exception(error)

        self._thread = threading.Thread(target=run, name="venue-channel", daemon=True)
        self._thread.start()
        return opened.result()

    def stop(self) -> None:
        """Close the port and cut every connection."""
        if self._loop is not None and self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
            self._thread = None

    async def _serve(self, port: int, opened: Future[int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped, self._someone = asyncio.Event(), asyncio.Event()
        server = await ws_create_server(self._accept, "127.0.0.1", port, use_aiofastnet=False)
        opened.set_result(server.sockets[0].getsockname()[1])
        rounds = asyncio.create_task(self._rounds())
        stopped = asyncio.create_task(self._stopped.wait())
        await asyncio.wait({rounds, stopped}, return_when=asyncio.FIRST_COMPLETED)
        server.close()
        for connection in [*self._connections]:
            connection.end("stopped")
        self.ledger.flush()
        if rounds.done():
            rounds.result()  # a round has failed: say so with its traceback
        rounds.cancel()
        await asyncio.sleep(0)

    async def _rounds(self) -> None:
        while True:
            if not self._connections and not self._watching:
                self._someone.clear()
                await self._someone.wait()
            self.round()
            await asyncio.sleep(ROUND_S)

    def round(self) -> None:
        """Say what has happened, end whom a rule ends, hand over what waits."""
        now_ns = self.now_ns()
        now_ms = now_ns // 1_000_000
        self._spoiler.look(now_ns)
        self._watching.look(now_ms)
        if abs(now_ms - self._globals_ms) >= GLOBAL_EVERY_MS:
            self._watching.born()
            self._global(now_ms)
        self._spoiler.ending(self._connections)
        since_s, self._round_s = time.monotonic() - self._round_s, time.monotonic()
        for connection in [*self._connections]:
            self._spoiler.flush(connection, since_s)
        self.ledger.flush()

    def came(self, connection: Connection) -> None:
        """A connection is open."""
        self._connections[connection] = None
        self._someone.set()

    def went(self, connection: Connection) -> None:
        """A connection is gone, or about to be."""
        self._connections.pop(connection, None)
        self._watching.leave(connection)

    def later(self, seconds: float, connection: Connection) -> None:
        """Cut a connection then, if it is still there."""
        if self._loop is not None:
            self._loop.call_later(seconds, connection.cut)

    def heard(self, connection: Connection, text: bytes) -> None:
        """A message of a client."""
        self._spoiler.look(self.now_ns())
        if text == b"PING" and connection.subscribed:
            if not self._spoiler.is_deaf(connection):
                connection.put_text(b"PONG")
            return
        wanted = subscriptions.read(text)
        if wanted is None:
            if not connection.subscribed:
                connection.end("invalid subscription payload", code=1008)
            return
        connection.subscribed = True
        self.ledger.happened(
            "subscribed", connection.number, self.now_ns(),
            operation=wanted.operation, tokens=wanted.tokens, custom=wanted.custom,
        )  # fmt: skip
        if wanted.operation == "unsubscribe":
            self._watching.unsubscribe(connection, wanted.tokens)
        elif len(wanted.tokens) > IDS_IN_ONE_FRAME:
            self._end_later(connection, TOO_MANY_IDS_S, "too many ids in one frame", None)
        else:
            if wanted.custom is not None:
                connection.custom = wanted.custom
            self._kill(connection, self._watching.subscribe(connection, wanted))

    def _kill(self, connection: Connection, fresh: list[str]) -> None:
        """End it soon if one of these tokens is a killer."""
        for token_id in fresh:
            rule = self._spoiler.killing(
                connection, self._watching.condition_of(token_id), token_id
            )
            if rule is not None:
                code = int(rule.number("code", 0)) or None
                self._end_later(connection, rule.number("after_ms", 50) / 1000, "kill_on", code)

    def _end_later(
        self, connection: Connection, after_s: float, cause: str, code: int | None
    ) -> None:
        if self._loop is not None:
            self._loop.call_later(after_s, lambda: connection.end(cause, code=code))

    def _global(self, now_ms: int) -> None:
        """New and resolved markets since the last look, and the copies of earlier ones."""
        since_ms = self._globals_ms or now_ms
        self._globals_ms = now_ms
        found = []
        for market in self.world.listed(now_ms):
            if since_ms < market.listed_ms <= now_ms:
                found.append(events.new_market(market))
            if market.kind == "regular" and since_ms < market.closed_ms <= now_ms:
                found.append(events.market_resolved(market))
        now_ns = self.now_ns()
        due = [(GLOBAL_COPIES, self.ledger.produced(event, now_ns), event) for event in found]
        for copies, number, event in [*self._copies, *due]:
            for connection in [each for each in self._connections if each.custom]:
                self._spoiler.deliver(connection, [(number, event)], together=False)
            if copies > 1:
                due.append((copies - 1, number, event))
        self._copies = [each for each in due if each[0] < GLOBAL_COPIES]

    def _accept(
        self, request: WSUpgradeRequest
    ) -> Connection | WSUpgradeResponseWithListener | None:
        if request.path.decode().partition("?")[0] != PATH:
            return None
        self._spoiler.look(self.now_ns())
        status = self._spoiler.refusal()
        if status is not None:
            response = WSUpgradeResponse.create_error_response(status)
            return WSUpgradeResponseWithListener(response, None)
        return Connection(self)
