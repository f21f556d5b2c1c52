"""The simulated world: every window of the chosen series, on the clock it is given.

Promises: a market appears in `listed` from its listing time, keeps its ids for ever, and has
          a book from `book_from_ms` until `closed_ms`; zombies are listed and have none.
Never:    reads a clock.
"""

import threading
from collections.abc import Sequence

from tests.venue import markets
from tests.venue.events import Tempo
from tests.venue.markets import Market, Series
from tests.venue.simulate import Simulation
from tests.venue.states import BookState, Followed

ZOMBIES = 3
WINDOWS_BEHIND = 3  # closed windows that already exist when the venue starts


class LiveWorld:
    """Markets and simulated books of some series."""

    def __init__(
        self, lines: Sequence[Series], *, seed: int, born_ms: int, tempo: Tempo | None = None
    ) -> None:
        self.seed = seed
        self.tempo = tempo
        self._lock = threading.Lock()
        self._markets: list[Market] = []
        self._by_token: dict[str, Market] = {}
        self._simulations: dict[str, Simulation] = {}
        self._lines = tuple(lines)
        self._next_start_ms = {
            line.name: born_ms - (WINDOWS_BEHIND + 1) * line.window_ms for line in lines
        }
        self._refresh_from_ms = 0
        for line in (line for line in lines if line.shape == "unix"):
            for index in range(ZOMBIES):
                self._add(markets.zombie(line, index, seed=seed))

    def listed(self, now_ms: int) -> Sequence[Market]:
        """Every market listed by `now_ms`, in order of creation."""
        self._refresh(now_ms)
        return [market for market in self._markets if market.listed_ms <= now_ms]

    def state(self, token_id: str, now_ms: int) -> BookState | None:
        """The token's book at `now_ms`, or None."""
        market = self._booked(token_id, now_ms)
        if market is None:
            return None
        return self._simulation(market).states(now_ms)[market.token_ids.index(token_id)]

    def past(self, token_id: str, at_ms: int) -> BookState | None:
        """The token's book at an earlier moment, worked out apart from the living one."""
        market = self._booked(token_id, at_ms)
        if market is None:
            return None
        simulation = Simulation(market, self.seed, self.tempo)
        return simulation.states(at_ms)[market.token_ids.index(token_id)]

    def follow(self, token_id: str, now_ms: int) -> tuple[Market, Followed] | None:
        """The token's market, to be followed; None while it has no book."""
        market = self._booked(token_id, now_ms)
        return None if market is None else (market, self._simulation(market))

    def middle(self, market: Market, now_ms: int) -> int:
        """Price of the first outcome in thousandths."""
        if market.kind == "zombie":
            return 500
        if market.is_closed(now_ms):
            return 999 if market.winner == 0 else 1
        return self._simulation(market).path.middle(min(now_ms, market.end_ms))

    def _booked(self, token_id: str, now_ms: int) -> Market | None:
        """The token's market when it has a book at `now_ms`."""
        self._refresh(now_ms)
        market = self._by_token.get(token_id)
        if market is None or market.kind == "zombie":
            return None
        return market if market.book_from_ms <= now_ms < market.closed_ms else None

    def _simulation(self, market: Market) -> Simulation:
        found = self._simulations.get(market.slug)
        if found is None:
            with self._lock:
                fresh = Simulation(market, self.seed, self.tempo)
                found = self._simulations.setdefault(market.slug, fresh)
        return found

    def _refresh(self, now_ms: int) -> None:
        if now_ms < self._refresh_from_ms:
            return
        with self._lock:
            for line in self._lines:
                until_ms = now_ms + line.lead_ms + 1_000
                for start_ms in line.starts(self._next_start_ms[line.name], until_ms):
                    self._add(markets.market(line, start_ms, seed=self.seed))
                    self._next_start_ms[line.name] = start_ms + 1
            for slug, old in list(self._simulations.items()):
                if now_ms >= old.market.closed_ms:
                    del self._simulations[slug]
            self._refresh_from_ms = now_ms + 500

    def _add(self, market: Market) -> None:
        self._markets.append(market)
        for token_id in market.token_ids:
            self._by_token[token_id] = market
