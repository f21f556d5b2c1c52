"""The replayed world: real books of a capture file, moved in time to now.

Promises: real condition ids, token ids, slugs, book bytes and hashes; only the windows in Gamma
          are shifted (the first starts `lead_ms` after birth) and time may run faster. A token
          has no book before its first recorded one and keeps its last until the market closes.
          Where the recorder lost one token of a market, the other id is invented; it has no
          book, or with second="mirror" the mirrored one with a hash of our own.
          On the market channel the recorded events come verbatim, at the moved times; nothing
          is invented there.
Never:    reads a clock.
"""

import bisect
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from tests.venue import markets
from tests.venue.markets import Market
from tests.venue.recordings import Recorded, Recording, mirrored
from tests.venue.states import NEVER_MS, BookState, Event, Followed, Moment, Taken

Second = Literal["omit", "mirror"]
TAIL_MS = 20_000  # median closedTime - endDate (VENUE 2.4)
WINDOW_MS = 300_000


@dataclass(frozen=True, slots=True)
class Pace:
    """Recorded time to the venue's: `base_ms` becomes `origin_ms`, then `speed` times as fast."""

    base_ms: int
    origin_ms: int
    speed: float

    def moved(self, recorded_ms: int) -> int:
        """The venue's Unix ms of a recorded Unix ms."""
        return self.origin_ms + round((recorded_ms - self.base_ms) / self.speed)


class ReplayWorld:
    """Markets and books of one recording."""

    def __init__(
        self,
        recording: Recording,
        *,
        born_ms: int,
        lead_ms: int = 5_000,
        speed: float = 1.0,
        second: Second = "omit",
    ) -> None:
        if not recording.books:
            raise ValueError("replaying a recording: no book in it can be verified")
        starts = {book.state.condition_id: _start_ms(book) for book in reversed(recording.books)}
        self.pace = Pace(min(starts.values()), born_ms + lead_ms, speed)
        self._second = second
        self._markets = [
            self._market(recording, condition_id, number, born_ms)
            for number, condition_id in enumerate(sorted(starts, key=starts.__getitem__))
        ]
        self._by_token = {token: market for market in self._markets for token in market.token_ids}
        self._from_ms: dict[str, list[int]] = {}
        self._states: dict[str, list[BookState]] = {}
        self._mirrors: dict[str, tuple[BookState, BookState]] = {}
        self._events: dict[str, list[tuple[int, Event]]] = {}
        for book in recording.books:
            self._add(book)

    def listed(self, now_ms: int) -> Sequence[Market]:
        """The recorded markets, all of them from birth on."""
        return self._markets

    def state(self, token_id: str, now_ms: int) -> BookState | None:
        """The last recorded book of a token at `now_ms`; None before the first and once closed."""
        market = self._by_token.get(token_id)
        if market is None or now_ms >= market.closed_ms:
            return None
        real = token_id if token_id in self._states else market.token_ids[0]
        index = bisect.bisect_right(self._from_ms.get(real, []), now_ms) - 1
        if index < 0 or (real != token_id and self._second == "omit"):
            return None
        state = self._states[real][index]
        return state if real == token_id else self._mirrored(state, token_id)

    def past(self, token_id: str, at_ms: int) -> BookState | None:
        """The book as it was at an earlier moment."""
        return self.state(token_id, at_ms)

    def follow(self, token_id: str, now_ms: int) -> tuple[Market, Followed] | None:
        """The token's market from its first recorded book on."""
        market = self._by_token.get(token_id)
        if market is None or self.state(token_id, now_ms) is None:
            return None
        return market, _Replayed(self, market, self._events.get(market.condition_id, []))

    def middle(self, market: Market, now_ms: int) -> int:
        """Price of the first outcome in thousandths."""
        state = self.state(market.token_ids[0], now_ms)
        if state is None or state.best_bid is None or state.best_ask is None:
            return 500
        return (state.best_bid + state.best_ask) // 2

    def _mirrored(self, state: BookState, token_id: str) -> BookState:
        """The mirrored book, worked out once while the real one stands."""
        known = self._mirrors.get(token_id)
        if known is None or known[0] is not state:
            known = self._mirrors[token_id] = (state, mirrored(state, token_id))
        return known[1]

    def _add(self, book: Recorded) -> None:
        token_id = book.state.token_id
        self._from_ms.setdefault(token_id, []).append(self.pace.moved(book.from_ms))
        self._states.setdefault(token_id, []).append(book.state)
        if book.event is not None:
            due = (self.pace.moved(book.from_ms), book.event)
            self._events.setdefault(book.state.condition_id, []).append(due)

    def _market(self, recording: Recording, condition_id: str, number: int, born_ms: int) -> Market:
        books = [book for book in recording.books if book.state.condition_id == condition_id]
        tokens, start_ms = recording.pairs[condition_id], _start_ms(books[0])
        last_ms = start_ms + WINDOW_MS
        if not books[0].slug:
            last_ms = max(last_ms, books[-1].from_ms + TAIL_MS)
        line = markets.series("btc-5m")
        one = markets.market(line, start_ms // WINDOW_MS * WINDOW_MS, seed=0)
        return replace(
            one,
            number=2_000_000 + number,
            slug=books[0].slug or f"replayed-{condition_id[2:10]}",
            condition_id=condition_id,
            token_ids=(tokens[0], tokens[1] if len(tokens) > 1 else _invented(tokens[0])),
            listed_ms=born_ms,
            book_from_ms=born_ms,
            start_ms=self.pace.moved(start_ms),
            end_ms=self.pace.moved(last_ms),
            closed_ms=self.pace.moved(last_ms + TAIL_MS),
            winner=_winner(books[-1].state),
        )


class _Replayed:
    """The recorded events of one market, each at its moved time."""

    def __init__(self, world: ReplayWorld, market: Market, due: list[tuple[int, Event]]) -> None:
        self._world, self._market, self._due = world, market, due
        self._next: int | None = None

    @property
    def due_ms(self) -> int:
        """When the next recorded event is due."""
        if self._next is None:
            return 0
        return self._due[self._next][0] if self._next < len(self._due) else NEVER_MS

    def take(self, now_ms: int) -> Taken:
        """The events since the last `take`, the first time none, and the books after them."""
        until = bisect.bisect_right(self._due, now_ms, key=lambda due: due[0])
        begin = until if self._next is None else self._next
        self._next = max(until, begin)
        moments = tuple(Moment((event,)) for _, event in self._due[begin:until])
        first, second = self._market.token_ids
        states = (self._world.state(first, now_ms), self._world.state(second, now_ms))
        return Taken(moments, states)


def _start_ms(book: Recorded) -> int:
    """Window start in recorded time: from the slug, or the first sight of the book."""
    tail = book.slug.rpartition("-")[2]
    return int(tail) * 1000 if tail.isdigit() else book.from_ms


def _winner(last: BookState) -> int:
    return 0 if last.best_ask is None or (last.best_bid or 0) >= 500 else 1


def _invented(token_id: str) -> str:
    """A token id for the one the recorder lost."""
    return str(int(hashlib.sha256(f"other of {token_id}".encode()).hexdigest(), 16))
