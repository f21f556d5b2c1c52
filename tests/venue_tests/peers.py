"""What the venue's tests hold in their hands: a clock that is set, and a plain HTTP client."""

import http.client
import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.venue import Venue
from tests.venue.markets import Market

NS = 1_000_000_000
NOON_MS = 1_795_176_000_000  # 2026-11-20 12:00:00 UTC
LIMIT_S = 10.0


class Hand:
    """A clock that stands where the test puts it."""

    def __init__(self, at_ms: int = NOON_MS) -> None:
        self.at_ms = at_ms

    def ns(self) -> int:
        return self.at_ms * 1_000_000


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    venue: Venue,
    method: str,
    path: str,
    *,
    body: object = None,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", venue.port, timeout=LIMIT_S)
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        connection.request(method, path, content, dict(headers or {}))
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, names, answer.read())
    finally:
        connection.close()


def get(venue: Venue, path: str) -> Reply:
    return ask(venue, "GET", path)


def post_books(venue: Venue, token_ids: Sequence[str]) -> Reply:
    return ask(venue, "POST", "/books", body=[{"token_id": token_id} for token_id in token_ids])


def raw(
    venue: Venue, request: bytes = b"GET /time HTTP/1.1\r\nHost: venue\r\n\r\n"
) -> socket.socket:
    """A bare connection with one request already sent."""
    connection = socket.create_connection(("127.0.0.1", venue.port), timeout=LIMIT_S)
    connection.sendall(request)
    return connection


def drain(connection: socket.socket) -> bytes:
    """Everything until the other side closes.

    Raises:
        ConnectionResetError: it was reset.
    """
    parts = []
    with connection:
        while part := connection.recv(65_536):
            parts.append(part)
    return b"".join(parts)


def regular(venue: Venue) -> list[Market]:
    return [market for market in venue.markets() if market.kind == "regular"]


def window_at(venue: Venue, ahead: int = 0, line: str = "btc-5m") -> Market:
    """The market whose window holds now, or one `ahead` windows later."""
    now_ms = venue.now_ms()
    rising = sorted(
        (m for m in regular(venue) if m.series.name == line and m.end_ms > now_ms),
        key=lambda market: market.start_ms,
    )
    return rising[ahead]
