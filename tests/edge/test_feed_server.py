"""Holds the past behind the venue's protocol: the channel and the routes, over real sockets.

The client is picows' own; the official clients do the same in tests/system/test_replay_venue.py.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
from http.client import HTTPConnection

import pytest
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.tools.archives import book
from workers.core.reading.playback import Present, Step
from workers.edge.feed_server import FeedServer, Listening

LIMIT_S = 20
A, B = book("0xa", "1", 1_000), book("0xa", "2", 1_000)
A2, B2 = book("0xa", "1", 2_000), book("0xa", "2", 2_000)


class Client(WSListener):
    """One connection; what it was sent, and how it ended."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.news = asyncio.Event()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.closed = (frame.get_close_code().value, frame.get_close_reason())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self.texts.append(frame.get_payload_as_bytes())
        self.news.set()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.news.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), LIMIT_S)


async def opened(url: str, *messages: object) -> tuple[WSTransport, Client]:
    transport, client = await ws_connect(Client, url)
    assert isinstance(client, Client)
    for each in messages:
        say(transport, each)
    return transport, client


def say(transport: WSTransport, message: object) -> None:
    text = message if isinstance(message, str) else json.dumps(message)
    transport.send(WSMsgType.TEXT, text.encode())


def subscription(*tokens: str, **more: object) -> dict[str, object]:
    return {"assets_ids": list(tokens), "type": "market", **more}


def event(raw: bytes) -> bytes:
    return raw[:-1] + b',"event_type":"book"}'


def played(
    meet: Callable[[Listening], Awaitable[object]],
    steps: Iterable[Step] = (),
    books: dict[str, bytes] | None = None,
    speed: float | None = None,
) -> None:
    """Serve the steps while a client does what `meet` says; both must end."""

    async def main() -> None:
        server = FeedServer(Present({"1": A, "2": B} if books is None else books), 0, speed)
        listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(server.run(iter(steps), 0, listening.set_result))
        await asyncio.wait_for(meet(await listening), LIMIT_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())


def ask(where: Listening, *request: object) -> tuple[int, bytes]:
    host = where.rest.removeprefix("http://")
    connection = HTTPConnection(host, timeout=LIMIT_S)
    connection.request(*request)  # type: ignore[arg-type]
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_the_first_message_is_one_array_with_the_books_that_stand():
    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("2", "1", "unknown"))
        await client.until(lambda: client.closed)
        assert [b"[" + event(B) + b"," + event(A) + b"]"] == client.texts
        assert (1001, "the replay is over") == client.closed

    played(meet)


def test_changes_come_as_events_and_a_book_that_is_the_same_does_not():
    steps = [Step(1, "1", A), Step(2, "1", A2), Step(2, "2", B2), Step(3, "1", A2), Step(4, "1", A)]

    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("1"))
        await client.until(lambda: client.closed)
        assert [b"[" + event(A) + b"]", event(A2), event(A)] == client.texts

    played(meet, steps)


def test_a_gap_disconnects_with_its_cause_and_leaves_no_book_behind():
    steps = [Step(1, "1", A2), Step(2, "1", gap="FAILED(http_503)×3"), Step(3, "2", B2)]

    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("1"))
        await client.until(lambda: client.closed)
        assert [b"[" + event(A) + b"]", event(A2)] == client.texts
        assert (1013, "gap: FAILED(http_503)×3") == client.closed
        assert 404 == (await asyncio.to_thread(ask, where, "GET", "/book?token_id=1"))[0]
        _, again = await opened(where.websocket, subscription("1", "2"))
        await again.until(lambda: again.closed)
        assert [b"[" + event(B) + b"]", event(B2)] == again.texts

    played(meet, steps)


def test_who_comes_back_finds_nothing_of_two_books_that_went_at_one_moment():
    steps = [Step(2, "2", gap="x"), Step(2, "1", gap="x"), Step(3, "1", A2)]

    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("1", "2"))
        await client.until(lambda: client.closed)
        _, again = await opened(where.websocket, subscription("1", "2"))
        await again.until(lambda: again.closed)
        assert [b"[]", event(A2)] == again.texts

    played(meet, steps)


def test_who_has_not_subscribed_to_a_token_is_not_disconnected_by_its_gap():
    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("2"))
        await client.until(lambda: client.closed)
        assert [event(B2)] == client.texts[1:]
        assert (1001, "the replay is over") == client.closed

    played(meet, [Step(2, "1", gap="DOWN(crashed)"), Step(3, "2", B2)])


def test_a_token_that_is_due_no_more_goes_without_a_disconnect():
    steps = [Step(1, "1"), Step(2, "2", B2)]

    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, subscription("1", "2"))
        await client.until(lambda: client.closed)
        assert [event(B2)] == client.texts[1:]
        assert 1001 == (client.closed or (0, ""))[0]

    played(meet, steps)


def test_a_ping_before_the_subscription_is_refused_and_after_it_answered():
    async def meet(where: Listening) -> None:
        _, early = await opened(where.websocket, "PING")
        await early.until(lambda: early.closed)
        assert ([], (1008, "invalid subscription payload")) == (early.texts, early.closed)
        transport, client = await opened(where.websocket, subscription("1"), "PING")
        await client.until(lambda: len(client.texts) == 2)
        assert b"PONG" == client.texts[1]
        transport.disconnect()

    played(meet, speed=0)


@pytest.mark.parametrize("nonsense", ["{}", "[]", "x", '{"assets_ids":[1],"type":"market"}'])
def test_nonsense_before_the_subscription_is_refused(nonsense: str):
    async def meet(where: Listening) -> None:
        _, client = await opened(where.websocket, nonsense)
        await client.until(lambda: client.closed)
        assert (1008, "invalid subscription payload") == client.closed

    played(meet, speed=0)


def test_tokens_are_added_and_taken_away_while_it_runs():
    async def meet(where: Listening) -> None:
        transport, client = await opened(where.websocket, subscription("1"))
        say(transport, {"operation": "subscribe", "assets_ids": ["1", "2"]})
        await client.until(lambda: len(client.texts) == 2)
        assert b"[" + event(B) + b"]" == client.texts[1]
        say(transport, {"operation": "subscribe", "assets_ids": ["2"]})
        say(transport, {"operation": "unsubscribe", "assets_ids": ["2"]})
        say(transport, {"operation": "subscribe", "assets_ids": ["2"], "initial_dump": False})
        say(transport, "PING")
        await client.until(lambda: len(client.texts) == 3)
        assert b"PONG" == client.texts[2]
        transport.disconnect()

    played(meet, speed=0)


def test_a_message_in_parts_is_one_message():
    async def meet(where: Listening) -> None:
        transport, client = await opened(where.websocket)
        text = json.dumps(subscription("1")).encode()
        transport.send(WSMsgType.TEXT, text[:9], fin=False)
        transport.send(WSMsgType.CONTINUATION, text[9:])
        await client.until(lambda: client.texts)
        assert [b"[" + event(A) + b"]"] == client.texts
        transport.disconnect()

    played(meet, speed=0)


def test_only_the_market_channel_is_there():
    async def meet(where: Listening) -> None:
        with pytest.raises(Exception, match="404"):
            await ws_connect(Client, where.websocket.replace("/ws/market", "/ws/user"))

    played(meet, speed=0)


def test_the_clock_stands_until_somebody_has_subscribed():
    steps = [Step(1, "1", A2)]

    async def meet(where: Listening) -> None:
        assert (200, A) == await asyncio.to_thread(ask, where, "GET", "/book?token_id=1")
        _, client = await opened(where.websocket, subscription("1"))
        await client.until(lambda: client.closed)
        assert [event(A2)] == client.texts[1:]

    played(meet, steps)


def test_at_a_speed_the_clock_starts_with_the_first_question_for_books():
    steps = [Step(200_000_000, "1", A2), Step(10**15, "1", A)]

    async def meet(where: Listening) -> None:
        for path, expected in (("/time", b"0"), ("/book?token_id=1", A)):
            assert (200, expected) == await asyncio.to_thread(ask, where, "GET", path)
        _, client = await opened(where.websocket, subscription("1"))
        await client.until(lambda: event(A2) in (client.texts[-1:] or [b""])[0])
        assert (200, A2) == await asyncio.to_thread(ask, where, "GET", "/book?token_id=1")

    played(meet, steps, speed=1)


@pytest.mark.parametrize(
    ("request_", "status", "body"),
    [
        (("GET", "/book?token_id=1"), 200, A),
        (("GET", "/book?token_id=3"), 404, b"No orderbook exists for the requested token id"),
        (("GET", "/book?token_id=../x"), 400, b"Invalid token id"),
        (("GET", "/book"), 400, b"Invalid token id"),
        (("GET", "/books?token_ids=1"), 400, b"Invalid payload"),
        (("POST", "/books", b"[]"), 200, b"[]"),
        (("POST", "/books", b'[{"token_id":"1"},{"token_id":"9"}]'), 200, b"[" + A + b"]"),
        (("POST", "/books", b"{}"), 400, b"Invalid payload"),
        (("POST", "/books", b"["), 400, b"Invalid payload"),
        (("POST", "/books", b'[{"token_id":"1"}]' + b" " * 50_000), 400, b"exceeds the limit"),
        (
            ("POST", "/books", b"[" + b",".join([b'{"token_id":"1"}'] * 501) + b"]"),
            400,
            b"exceeds the limit",
        ),
        (("GET", "/ok"), 200, b'"OK"'),
        (("GET", "/time"), 200, b"0"),
        (("DELETE", "/book"), 400, b"Invalid payload"),
        (("POST", "/order", b"{}"), 404, b"not found"),
        (("POST", "/books", b"x", {"Content-Length": "99999999"}), 413, b"exceeds the limit"),
        (("POST", "/books", b"x", {"Content-Length": "-"}), 400, b"Bad Request"),
    ],
)
def test_the_routes_answer_as_the_venue_does(
    request_: tuple[object, ...], status: int, body: bytes
):
    async def meet(where: Listening) -> None:
        found = await asyncio.to_thread(ask, where, *request_)
        assert status == found[0]
        assert body == found[1] if status == 200 else body in found[1]

    played(meet, speed=0)


def test_books_are_never_in_the_order_asked():
    async def meet(where: Listening) -> None:
        body = b'[{"token_id":"1"},{"token_id":"2"},{"token_id":"1","side":"BUY"}]'
        found = await asyncio.to_thread(ask, where, "POST", "/books", body)
        assert (200, b"[" + B + b"," + A + b"]") == found

    played(meet, speed=0)


def test_one_connection_may_ask_again_and_again():
    async def meet(where: Listening) -> None:
        connection = HTTPConnection(where.rest.removeprefix("http://"), timeout=LIMIT_S)
        for path in ("/book?token_id=1", "/nothing", "/book?token_id=2"):
            await asyncio.to_thread(connection.request, "GET", path)
            answer = await asyncio.to_thread(connection.getresponse)
            assert "keep-alive" == answer.getheader("Connection")
            answer.read()
        connection.close()

    played(meet, speed=0)


def test_a_client_that_does_not_read_holds_the_clock_and_loses_nothing():
    padded = (b"{" + b" " * 100_000 + book("0xa", "1", at)[1:] for at in range(1, 400))
    many = [Step(at, "1", each) for at, each in enumerate(padded, 1)]

    async def meet(where: Listening) -> None:
        transport, client = await opened(where.websocket)
        # Nothing is taken off the socket until the buffers on the way are full.
        transport.underlying_transport.pause_reading()
        say(transport, subscription("1"))
        # The clock stands: one answer after the other is the same, and it is not the last book.
        before, same = b"", 0
        while same < 20:
            now = (await asyncio.to_thread(ask, where, "GET", "/book?token_id=1"))[1]
            before, same = now, (same + 1 if now == before else 0)
        assert many[-1].book != before
        transport.underlying_transport.resume_reading()
        await client.until(lambda: client.closed)
        assert 400 == len(client.texts)

    played(meet, many)
