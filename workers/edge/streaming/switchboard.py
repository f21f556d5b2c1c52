"""All connections of one streamer: what is heard goes to its link, what ends to its leg.

Writes    ledger rows of connections, through the diary
Promises  counts survive the connection they were counted on
"""

from collections.abc import Callable, Sequence
from typing import Any

from workers import VERSION
from workers.core.settings.settings import Settings
from workers.core.stream.happenings import CLOSED, HEARD, Happening, Limits
from workers.core.stream.tallies import Tally
from workers.core.stream.watching import Patience
from workers.core.universe.markets import Market
from workers.edge.feed import Feed
from workers.edge.spool.diary import Diary
from workers.edge.streaming.legs import OURS, Leg
from workers.edge.streaming.link import Link
from workers.edge.streaming.tape import Tape
from workers.edge.world import World

NS_PER_S = 1_000_000_000
Tell = Callable[..., None]


class Switchboard:
    """Changed in place by its one owner; `name` begins the names of all connections."""

    def __init__(
        self,
        settings: Settings,
        diary: Diary,
        tape: Tape,
        *,
        world: World,
        name: str,
        tell: Tell,
    ) -> None:
        streamer = settings.streamer
        self.tallies: dict[str, Tally] = {}
        self.counters = {"frames": 0, "bytes": 0, "closed": 0, "freezes": 0}
        self.last_heard_wall_ns: int | None = None
        self.last_error: tuple[str, int] | None = None
        self._url, self._diary, self._tape = settings.venue.ws_url, diary, tape
        self._world, self._name, self._tell = world, name, tell
        self._number = 0
        limits = Limits(
            connect_timeout_s=streamer.connect_timeout_s,
            ping_interval_s=streamer.ping_interval_s,
            pong_timeout_s=streamer.pong_timeout_s,
            message_bytes=streamer.message_max_bytes,
            inbox_bytes=streamer.inbox_bytes,
        )
        self._feed = Feed(self._url, limits, user_agent=f"orderbooks/{VERSION}")
        self._patience = Patience(
            freeze_after_s=streamer.freeze_after_s,
            confirm_s=streamer.confirm_s,
            missing_book_s=streamer.missing_book_s,
        )
        self.legs = [
            Leg(each, self._feed, diary, settings=streamer, world=world, make=self._new_link)
            for each in range(streamer.legs)
        ]

    def _new_link(self, leg: int) -> Link:
        self._number += 1
        name = f"{self._name}.{self._number}"
        return Link(name, leg, tape=self._tape, diary=self._diary, patience=self._patience)

    def links(self) -> list[Link]:
        """Every open connection."""
        return [link for leg in self.legs for link in leg.open_links()]

    def listen(self, until_mono_ns: int) -> None:
        """Take everything that is heard until a moment."""
        self._take_all(self._feed.wait(until_mono_ns))

    def _take_all(self, happenings: Sequence[Happening]) -> None:
        found = {name: (leg, link) for leg in self.legs for name, link in leg.links.items()}
        for happening in happenings:
            leg, link = found[happening.connection]
            if happening.kind == HEARD:
                self.counters["frames"] += 1
                self.counters["bytes"] += len(happening.data)
                self.last_heard_wall_ns = happening.wall_ns
                link.hear(happening)
            elif happening.kind == CLOSED:
                self._lost(leg, link, happening)
            else:
                link.opened(happening, self._url)

    def _lost(self, leg: Leg, link: Link, happening: Happening) -> None:
        link.closed(happening)
        leg.ended(happening)
        is_ours = happening.cause in OURS
        for market in link.carried:
            tokens = [link.tokens[each] for each in link.token_ids_of(market)]
            tally = self.tallies.setdefault(market, Tally())
            tally.add(tokens)
            if not is_ours:
                tally.lost(tokens)
        if not is_ours:
            self.counters["closed"] += 1
            self.last_error = (happening.cause, happening.wall_ns)
            told: dict[str, Any] = {"cause": happening.cause, "detail": happening.detail}
            self._tell("connection_lost", connection=link.name, frames=link.frames, **told)

    def carry(self, markets: Sequence[Market]) -> None:
        """Subscribe to these markets and no others."""
        for leg in self.legs:
            leg.want(markets)
        for gone in self.tallies.keys() - {each.condition_id for each in markets}:
            del self.tallies[gone]

    def tend(self) -> None:
        """Open, subscribe, renew and replace what is due."""
        for leg in self.legs:
            leg.tend()

    def find_frozen(self, mono_ns: int) -> None:
        """Doubt what is silent while REST moves on; let another connection take over."""
        for leg in self.legs:
            for link in leg.open_links():
                self._doubt_frozen(link, mono_ns)
                if link.frozen:
                    leg.replace_frozen(link)

    def _doubt_frozen(self, link: Link, mono_ns: int) -> None:
        for market in link.watch.frozen(mono_ns, link.latest_ms):
            self.counters["freezes"] += 1
            for token_id in link.token_ids_of(market):
                link.doubt(token_id, "freeze", self._world.wall_ns(), mono_ns)
            self._tell("market_frozen", connection=link.name, market=market)

    def verify(self, mono_ns: int) -> None:
        """Check the hash of every book that changed since the last time."""
        wall_ns = self._world.wall_ns()
        for link in self.links():
            link.verify(wall_ns, mono_ns)

    def write_heard(self) -> None:
        """Tell the ledger that every connection lives, and what it brought."""
        wall_ns = self._world.wall_ns()
        for link in self.links():
            link.write_heard(wall_ns)

    def close(self, cause: str, detail: str) -> None:
        """End every connection; `tend` opens new ones."""
        for leg in self.legs:
            leg.close(cause, detail)

    def shutdown(self, cause: str) -> None:
        """End every connection for good."""
        self._take_all(self._feed.shutdown(cause))
