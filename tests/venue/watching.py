"""Who watches which market: subscriptions, the books on subscribing, the events afterwards.

Promises: a connection gets a token's book as of one moment, and every event after that moment;
          a market once watched is produced until it is closed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.venue import events
from tests.venue.channel_truth import ChannelLedger
from tests.venue.markets import Market
from tests.venue.spoil_channel import Spoiler
from tests.venue.states import BookState, Followed, Moment, Taken, World
from tests.venue.subscriber import Connection
from tests.venue.subscriptions import Wanted

ASSETS_CEILING = 750  # of one connection; above it books on subscribing never come (VENUE 5.4)


@dataclass(slots=True)
class Watched:
    """A market followed for the channel, and how many of its tokens each watcher has."""

    market: Market
    source: Followed
    watchers: dict[Connection, int] = field(default_factory=dict)


class Watching:
    """Every watched market; used by the channel's thread alone."""

    def __init__(
        self, world: World, ledger: ChannelLedger, spoiler: Spoiler, clock_ns: Callable[[], int]
    ) -> None:
        self._world = world
        self._ledger = ledger
        self._spoiler = spoiler
        self._now_ns = clock_ns
        self._markets: dict[str, Watched] = {}
        self._market_of: dict[str, str] = {}
        self._bookless: dict[str, dict[Connection, None]] = {}

    def __len__(self) -> int:
        return len(self._markets)

    def condition_of(self, token_id: str) -> str:
        """The watched market of a token, or ""."""
        return self._market_of.get(token_id, "")

    def look(self, now_ms: int) -> None:
        """Say what has happened by now, and forget what is closed."""
        for watched in [*self._markets.values()]:
            if watched.source.due_ms <= now_ms:
                self._take(watched, now_ms)
            if now_ms >= watched.market.closed_ms:
                del self._markets[watched.market.condition_id]
                for token_id in watched.market.token_ids:
                    self._market_of.pop(token_id, None)

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        for watched in self._markets.values():
            watched.watchers.pop(connection, None)
        for waiting in self._bookless.values():
            waiting.pop(connection, None)

    def subscribe(self, connection: Connection, wanted: Wanted) -> list[str]:
        """Add what is wanted and queue the books; returns the tokens that are new to it."""
        fresh = [t for t in dict.fromkeys(wanted.tokens) if t not in connection.tokens]
        states = self._books(fresh)
        for token_id in fresh:
            connection.tokens.add(token_id)
            if token_id in states:
                self._watch(connection, token_id)
            else:
                self._bookless.setdefault(token_id, {})[connection] = None
        if fresh and wanted.dump:
            self._dump(connection, fresh, states)
        return fresh

    def unsubscribe(self, connection: Connection, tokens: Iterable[str]) -> None:
        """Take tokens away from a connection."""
        for token_id in connection.tokens.intersection(tokens):
            connection.tokens.discard(token_id)
            self._bookless.get(token_id, {}).pop(connection, None)
            watched = self._markets.get(self.condition_of(token_id))
            if watched is not None and connection in watched.watchers:
                watched.watchers[connection] -= 1
                if not watched.watchers[connection]:
                    del watched.watchers[connection]

    def born(self) -> None:
        """Send a `book` of each token that was subscribed before it had one."""
        for token_id in [token_id for token_id, waiting in self._bookless.items() if waiting]:
            state = self._books([token_id]).get(token_id)
            if state is not None:
                waiting = self._bookless.pop(token_id)
                self._say(waiting, Moment((events.first_book(state),)))
                for connection in waiting:
                    self._watch(connection, token_id)

    def _watch(self, connection: Connection, token_id: str) -> None:
        watchers = self._markets[self._market_of[token_id]].watchers
        watchers[connection] = watchers.get(connection, 0) + 1

    def _books(self, tokens: list[str]) -> dict[str, BookState]:
        """Books of one moment, after all that led to them was said to those already here."""
        now_ms = self._now_ns() // 1_000_000
        found: dict[str, BookState] = {}
        for token_id in tokens:
            watched = self._markets.get(self.condition_of(token_id)) or self._follow(
                token_id, now_ms
            )
            if watched is not None and token_id not in found:
                states = self._take(watched, now_ms).states
                found |= {state.token_id: state for state in states if state is not None}
        return {token_id: found[token_id] for token_id in tokens if token_id in found}

    def _follow(self, token_id: str, now_ms: int) -> Watched | None:
        followed = self._world.follow(token_id, now_ms)
        if followed is None:
            return None
        market = followed[0]
        self._market_of |= dict.fromkeys(market.token_ids, market.condition_id)
        watched = self._markets[market.condition_id] = Watched(*followed)
        return watched

    def _dump(self, connection: Connection, fresh: list[str], states: dict[str, BookState]) -> None:
        now_ns = self._now_ns()
        if len(connection.tokens) > ASSETS_CEILING:
            self._ledger.happened("dump", connection.number, now_ns, silent=True)
            return
        books: list[BookState] = []
        withheld: dict[str, str] = {}
        for token_id, state in states.items():
            rule = self._spoiler.book(connection, state.condition_id, token_id)
            given: BookState | None = state
            if rule is not None:
                withheld[token_id] = rule.kind
                age_ms = round(rule.number("age_ms", 5_000))
                is_stale = rule.kind == "stale_book"
                given = self._world.past(token_id, now_ns // 10**6 - age_ms) if is_stale else None
            books += [] if given is None else [given]
        if books or not withheld:
            connection.put_text(b"[" + b",".join(map(events.dump_book, books)) + b"]")
        self._ledger.happened(
            "dump", connection.number, now_ns,
            books=[(book.token_id, book.timestamp, book.digest) for book in books],
            unknown=[token_id for token_id in fresh if token_id not in states],
            withheld=[*withheld], fault=",".join(sorted({*withheld.values()})),
        )  # fmt: skip

    def _take(self, watched: Watched, now_ms: int) -> Taken:
        taken = watched.source.take(now_ms)
        for moment in taken.moments:
            self._say(watched.watchers, moment)
        return taken

    def _say(self, watchers: Iterable[Connection], moment: Moment) -> None:
        """Number the events of a moment and give each watcher its own."""
        now_ns = self._now_ns()
        numbered = [(self._ledger.produced(each, now_ns), each) for each in moment.events]
        for connection in [*watchers]:
            mine = [each for each in numbered if connection.wants(each[1])]
            if mine:
                self._spoiler.deliver(connection, mine, together=moment.together)
