"""A request as it came and an answer before it is sent: plain values.

Promises: an `Answer` says everything the ledger of the truth will say about its content.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from tests.venue.states import BookState

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `query` is the raw query string; header names are lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    at_wall_ns: int


@dataclass(frozen=True, slots=True)
class Served:
    """One book in an answer. `digest` and `timestamp` are what its text says."""

    token_id: str
    timestamp: str
    digest: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Wire:
    """One way the sending goes wrong: kind and its numbers, from a fault rule."""

    kind: str
    params: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Answer:
    """What will be sent: a whole body (perhaps encoded), and what it carries."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    asked: tuple[str, ...] = ()
    books: tuple[Served, ...] = ()
    faults: tuple[str, ...] = ()
    wires: tuple[Wire, ...] = ()
    states: tuple[BookState, ...] = field(default=(), repr=False)

    def marked(self, kind: str, **changes: object) -> "Answer":
        """This answer with a fault's name added and the changes made."""
        return replace(self, faults=(*self.faults, kind), **changes)  # type: ignore[arg-type]


REASONS = {
    200: "OK", 301: "Moved Permanently", 302: "Found", 400: "Bad Request", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 413: "Payload Too Large",
    422: "Unprocessable Entity", 425: "Too Early", 429: "Too Many Requests",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout", 520: "Web Server Returned an Unknown Error",
}  # fmt: skip


def dumps(value: object) -> bytes:
    """Compact JSON as the venue writes it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def from_json(value: object, *, status: int = 200) -> Answer:
    """An answer with this value as its JSON body."""
    return Answer(status=status, body=dumps(value))


def refused(status: int, error: str, **more: object) -> Answer:
    """The venue's error form, ``{"error": …}``."""
    return from_json({**more, "error": error}, status=status)


def head(answer: Answer, *, length: int, keep_alive: bool, at_wall_s: float) -> bytes:
    """Status line and headers with this Content-Length, ending in the empty line."""
    lines = [
        f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Unknown')}",
        f"Date: {formatdate(at_wall_s, usegmt=True)}",
        f"Content-Type: {answer.content_type}",
        f"Content-Length: {length}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        "Server: cloudflare",
        "Cf-Cache-Status: DYNAMIC",
        *(f"{name}: {value}" for name, value in answer.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
