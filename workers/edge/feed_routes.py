"""A small HTTP/1.1 server for JSON, on one asyncio loop: requests of a connection one by one.

picows answers no request with a body, and `POST /books` has one.

Reads     sockets
Writes    sockets
Promises  an answer is whole before its connection is closed; a head or a body beyond its limit is
          refused before it is kept
Never     answers by itself: what is asked for is decided by who made it
"""

import asyncio
import contextlib
import http
from collections.abc import Callable

from workers.core.stream.market_channel import Answered, Asked, refused

_HEAD_BYTES_MAX = 16_384
_BODY_BYTES_MAX = 1 << 20
_GOODBYE_S = 5.0
_BROKEN = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError)


class Routes:
    """A listening port whose requests are answered by a function."""

    def __init__(self, answer: Callable[[Asked], Answered]) -> None:
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def listen(self, host: str, port: int) -> int:
        """Open the port; returns it, for 0 is a free one."""
        self._server = await asyncio.start_server(self._met, host, port, limit=_HEAD_BYTES_MAX)
        found: int = self._server.sockets[0].getsockname()[1]
        return found

    async def close(self) -> None:
        """Close the port and every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*_BROKEN):
            try:
                while await self._one(reader, writer):
                    pass
                await _said_goodbye(reader, writer)
            finally:
                writer.close()
                await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request; False when it is the last one."""
        head = await reader.readuntil(b"\r\n\r\n")
        try:
            method, target, headers = _head_of(head)
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return await _sent(writer, refused(400, "Bad Request"), "close")
        if "transfer-encoding" in headers or not 0 <= length <= _BODY_BYTES_MAX:
            return await _sent(writer, refused(413, "Payload exceeds the limit"), "close")
        path, _, query = target.partition("?")
        found = self._answer(Asked(method, path, query, await reader.readexactly(length)))
        is_last = headers.get("connection", "").lower() == "close"
        return await _sent(writer, found, "close" if is_last else "keep-alive")


async def _sent(writer: asyncio.StreamWriter, answer: Answered, connection: str) -> bool:
    """Send an answer; True when the connection stays."""
    status = http.HTTPStatus(answer.status)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: {connection}\r\n\r\n"
    )
    writer.write(head.encode() + answer.body)
    await writer.drain()
    return connection != "close"


async def _said_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection so that what is unread does not take the answer with it."""
    writer.write_eof()
    async with asyncio.timeout(_GOODBYE_S):
        while await reader.read(_HEAD_BYTES_MAX):
            pass


def _head_of(head: bytes) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers (lower case); ValueError for anything else."""
    first, *rest = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = dict(line.split(":", 1) for line in rest)
    return method, target, {name.strip().lower(): text.strip() for name, text in headers.items()}
