"""The ledger of the truth: what the venue really received and sent, for others to be judged by.

Writes:   in the state directory, append only, one JSON object a line, flushed after each group:
          answers.jsonl  {n, at_wall_ns, sent_wall_ns|null, method, route, path, user_agent,
                          request_id, asked[], status, fault|null, faults[], delivered, sha256,
                          bytes, wire_bytes, books[{token_id, hash, timestamp}]}
          states.jsonl   {token_id, condition_id, timestamp, hash} once per state served
          markets.jsonl  {slug, condition_id, token_ids[], series, listed_ms, book_from_ms,
                          start_ms, end_ms, closed_ms, winner, kind} when first listed or served
Promises: `sha256` and `bytes` are of the body before content encoding; `wire_bytes` after.
          `delivered` is false where the sending itself was broken (reset, hang, truncate, …).
          `books` is what the body carries, after faults; [] when the body is not a book answer.
          A row is written after its answer was sent (a hang: when it begins); `settle` waits.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.venue.answers import Answer, Request
from tests.venue.markets import Market
from tests.venue.states import BookState

CLOSING_LIMIT_S = 10.0


@dataclass(frozen=True, slots=True)
class BookServed:
    """One book of an answer."""

    token_id: str
    hash: str
    timestamp: str


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One line of answers.jsonl."""

    n: int
    at_wall_ns: int
    sent_wall_ns: int | None
    method: str
    route: str
    path: str
    user_agent: str
    request_id: str
    asked: tuple[str, ...]
    status: int
    fault: str | None
    faults: tuple[str, ...]
    delivered: bool
    sha256: str
    bytes: int
    wire_bytes: int
    books: tuple[BookServed, ...]


@dataclass(frozen=True, slots=True)
class StateRow:
    """One line of states.jsonl: a token's book as it stood from `timestamp` on."""

    token_id: str
    condition_id: str
    timestamp: str
    hash: str


@dataclass(frozen=True, slots=True)
class MarketRow:
    """One line of markets.jsonl; times in Unix ms."""

    slug: str
    condition_id: str
    token_ids: tuple[str, ...]
    series: str
    listed_ms: int
    book_from_ms: int
    start_ms: int
    end_ms: int
    closed_ms: int
    winner: int
    kind: str


@dataclass(frozen=True, slots=True)
class Sending:
    """One numbered request with the answer about to be sent; `wire_bytes` is its encoded body."""

    n: int
    route: str
    request: Request
    answer: Answer
    wire_bytes: int


class Truth:
    """Reads the ledger in a state directory, of a running venue or of one that has ended."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir

    def answers(self) -> list[AnswerRow]:
        """Every answer recorded so far, in order of `n`."""
        rows = []
        for line in self._lines("answers.jsonl"):
            line["books"] = tuple(BookServed(**book) for book in line["books"])
            line["asked"], line["faults"] = tuple(line["asked"]), tuple(line["faults"])
            rows.append(AnswerRow(**line))
        return sorted(rows, key=lambda row: row.n)

    def states(self) -> list[StateRow]:
        """Every state served so far."""
        return [StateRow(**line) for line in self._lines("states.jsonl")]

    def markets(self) -> list[MarketRow]:
        """Every market listed so far."""
        return [
            MarketRow(**{**line, "token_ids": tuple(line["token_ids"])})
            for line in self._lines("markets.jsonl")
        ]

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Whole lines only: the last may be in the making."""
        path = self.state_dir / name
        if path.exists():
            for line in path.read_bytes().split(b"\n")[:-1]:
                yield json.loads(line)


class Ledger:
    """The writing side; one per venue, thread-safe."""

    def __init__(self, state_dir: Path) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        self.truth = Truth(state_dir)
        self._answers = (state_dir / "answers.jsonl").open("ab")
        self._states = (state_dir / "states.jsonl").open("ab")
        self._markets = (state_dir / "markets.jsonl").open("ab")
        self._seen_states = {row.hash for row in self.truth.states()}
        self._seen_markets = {row.slug for row in self.truth.markets()}
        self._numbered = max((row.n for row in self.truth.answers()), default=0)
        self._open = 0
        self._changed = threading.Condition()

    def number(self) -> int:
        """The number of a request now received, from 1; its row is owed until `record`."""
        with self._changed:
            self._numbered += 1
            self._open += 1
            return self._numbered

    def record(self, sending: Sending, *, sent_wall_ns: int | None) -> None:
        """Write the row of one answer, and the states it showed first."""
        answer = sending.answer
        row = _row(sending, sent_wall_ns)
        with self._changed:
            if self._answers.closed:
                return
            fresh = [s for s in answer.states if s.digest not in self._seen_states]
            self._seen_states.update(state.digest for state in fresh)
            if fresh:
                self._states.write(b"".join(_state_line(state) for state in fresh))
                self._states.flush()
            self._answers.write(row)
            self._answers.flush()
            self._open -= 1
            self._changed.notify_all()

    def note(self, listed: Sequence[Market]) -> None:
        """Write the rows of the markets not yet written."""
        with self._changed:
            if self._markets.closed:
                return
            fresh = [market for market in listed if market.slug not in self._seen_markets]
            self._seen_markets.update(market.slug for market in fresh)
            self._markets.write(b"".join(_market_line(market) for market in fresh))
            self._markets.flush()

    def settle(self, *, at_least: int, limit_s: float) -> None:
        """Wait until every request received has its row, and there are `at_least` of them.

        Raises:
            TimeoutError: some have none after `limit_s`.
        """
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._open == 0 and self._numbered >= at_least, limit_s
            ):
                raise TimeoutError(
                    f"settling the truth: {self._numbered} requests, {self._open} still on their "
                    f"way, need {at_least} and none"
                )

    def close(self) -> None:
        """Close the files behind the rows still owed; later records are lost."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == 0, CLOSING_LIMIT_S)
            for file in (self._answers, self._states, self._markets):
                file.close()


def _row(sending: Sending, sent_wall_ns: int | None) -> bytes:
    request, answer = sending.request, sending.answer
    kinds = [*answer.faults, *(wire.kind for wire in answer.wires)]
    row = {
        "n": sending.n,
        "at_wall_ns": request.at_wall_ns,
        "sent_wall_ns": sent_wall_ns,
        "method": request.method,
        "route": sending.route,
        "path": f"{request.path}?{request.query}" if request.query else request.path,
        "user_agent": request.headers.get("user-agent", ""),
        "request_id": request.headers.get("x-request-id", ""),
        "asked": answer.asked,
        "status": answer.status,
        "fault": kinds[0] if kinds else None,
        "faults": kinds,
        "delivered": sent_wall_ns is not None,
        "sha256": hashlib.sha256(answer.body).hexdigest(),
        "bytes": len(answer.body),
        "wire_bytes": sending.wire_bytes,
        "books": [
            {"token_id": book.token_id, "hash": book.digest, "timestamp": book.timestamp}
            for book in answer.books
        ],
    }
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"


def _state_line(state: BookState) -> bytes:
    return (
        f'{{"token_id":"{state.token_id}","condition_id":"{state.condition_id}",'
        f'"timestamp":"{state.timestamp}","hash":"{state.digest}"}}\n'
    ).encode()


def _market_line(market: Market) -> bytes:
    row = {
        "slug": market.slug,
        "condition_id": market.condition_id,
        "token_ids": market.token_ids,
        "series": market.series.name,
        "listed_ms": market.listed_ms,
        "book_from_ms": market.book_from_ms,
        "start_ms": market.start_ms,
        "end_ms": market.end_ms,
        "closed_ms": market.closed_ms,
        "winner": market.winner,
        "kind": market.kind,
    }
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
