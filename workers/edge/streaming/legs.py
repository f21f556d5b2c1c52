"""One leg of a streamer: a connection for each group of markets, opened, renewed, replaced.

    opened     when a group has none, after its pause; what it must carry is sent at once
    replaced   after `rotation_s`, or when a market on it froze: another connection is opened, and
               the old one goes when the new one knows every book and the old one has brought
               what was said before them, or after `missing_book_s`
    lost       pauses with full jitter; early deaths in a row halve the group

Promises  a replacement loses nothing: both connections are recorded while they overlap
"""

from collections.abc import Callable, Sequence

import msgspec

from workers.core.polling.cadence import BackoffRules, backoff_s
from workers.core.settings.settings import Streamer
from workers.core.stream.happenings import Happening
from workers.core.stream.rows import Subscription
from workers.core.stream.subscriptions import Groups, commands
from workers.core.universe.markets import Market
from workers.edge.feed import Feed
from workers.edge.spool.diary import Diary
from workers.edge.streaming.link import Link
from workers.edge.world import World

NS_PER_MS, NS_PER_S = 1_000_000, 1_000_000_000
#: Ends that we chose: what follows them needs no pause.
OURS = frozenset({"rotated", "freeze", "unwanted", "disk_guard", "stop"})
#: A freeze that follows the market to the next connection is no reason for many more: the pause
#: after a replacement, doubled up to five times, and how long without a freeze ends the doubling.
_THAW_S, _THAWED_S = 4, 300
#: Ends by which a market may have killed its connection.
KILLED = frozenset({"closed", "reset"})


class _Place(msgspec.Struct):
    """What stands for one group: its connection, the one that will replace it, its next try."""

    link: Link | None = None
    heir: Link | None = None
    heir_cause: str = ""
    failures: int = 0
    due_mono_ns: int = 0
    renew_mono_ns: int = 0
    thaws: int = 0
    thaw_mono_ns: int = 0


class Leg:
    """Changed in place by its one owner; `make` makes a link of a leg with a new name."""

    def __init__(
        self,
        number: int,
        feed: Feed,
        diary: Diary,
        *,
        settings: Streamer,
        world: World,
        make: Callable[[int], Link],
    ) -> None:
        self.number, self.links = number, dict[str, Link]()
        self.groups = Groups(settings.connection_tokens)
        self.reconnects = self.halvings = 0
        self._feed, self._diary, self._world = feed, diary, world
        self._settings, self._make = settings, make
        self._places: dict[int, _Place] = {}
        self._rules = BackoffRules(
            base_s=settings.backoff_base_s,
            cap_s=settings.backoff_cap_s,
            blocked_s=settings.backoff_cap_s,
            retry_after_cap_s=settings.backoff_cap_s,
        )

    def want(self, markets: Sequence[Market]) -> None:
        """Carry these markets from now, and no others."""
        self.groups.want(markets)

    def close(self, cause: str, detail: str) -> None:
        """End every connection; `tend` opens new ones."""
        for name in [*self.links]:
            self._feed.close(name, cause, detail)

    def tend(self) -> None:
        """Open, subscribe, renew, let go: whatever is due."""
        mono_ns = self._world.mono_ns()
        for number in [*self._places.keys() - self.groups.by_number.keys()]:
            place = self._places.pop(number)
            self._let_go([place.link, place.heir], "unwanted")
        for number in [*self.groups.by_number]:
            place = self._places.setdefault(number, _Place(due_mono_ns=mono_ns))
            self._tend_place(number, place, mono_ns)

    def _tend_place(self, number: int, place: _Place, mono_ns: int) -> None:
        if place.link is None:
            if mono_ns >= place.due_mono_ns:
                place.link = self._open(number)
            return
        for link in (place.link, place.heir):
            if link is not None and link.opened_mono_ns:
                self._subscribe(link, number, mono_ns)
        if not place.link.opened_mono_ns:
            return
        if not place.link.is_stable and self._is_old(place.link, mono_ns):
            place.link.is_stable, place.failures = True, 0
            self.groups.lived(number)
        if place.heir is None:
            self._renew_if_due(number, place, mono_ns)
        elif self._is_ready(place.link, place.heir, mono_ns):
            self._let_go([place.link], place.heir_cause)
            place.link, place.heir, place.renew_mono_ns = place.heir, None, 0

    def _is_old(self, link: Link, mono_ns: int) -> bool:
        return mono_ns - link.opened_mono_ns >= self._settings.stable_after_s * NS_PER_S

    def _is_ready(self, link: Link, heir: Link, mono_ns: int) -> bool:
        """True when an heir knows every book, or some have not come in the time they have.

        What was said before its books may still be on its way on the other one, which lags.
        """
        if not heir.opened_mono_ns or not heir.has_sent:
            return False
        if mono_ns - heir.opened_mono_ns > self._settings.missing_book_s * NS_PER_S:
            return True
        return heir.is_synced and link.reached.told_ms * NS_PER_MS >= heir.synced_wall_ns

    def _renew_if_due(self, number: int, place: _Place, mono_ns: int) -> None:
        period_ns = int(self._settings.rotation_s * NS_PER_S)
        if not period_ns or place.link is None:
            return
        if not place.renew_mono_ns:
            # The legs take turns: the second one's first period is half as long.
            early_ns = period_ns // 2 if self.number else 0
            place.renew_mono_ns = place.link.opened_mono_ns + period_ns - early_ns
        if mono_ns >= place.renew_mono_ns:
            place.renew_mono_ns = mono_ns + period_ns
            self._replace(number, place, "rotated")

    def replace_frozen(self, link: Link) -> bool:
        """Let another connection take over; False when one is on its way, or was in vain."""
        place, mono_ns = self._places.get(link.group), self._world.mono_ns()
        if place is None or place.link is not link or place.heir is not None:
            return False
        if mono_ns < place.thaw_mono_ns:
            return False
        if mono_ns - place.thaw_mono_ns > _THAWED_S * NS_PER_S:
            place.thaws = 0
        place.thaws += 1
        place.thaw_mono_ns = mono_ns + (_THAW_S << min(place.thaws, 5)) * NS_PER_S
        self._replace(link.group, place, "freeze")
        return True

    def _replace(self, number: int, place: _Place, cause: str) -> None:
        place.heir, place.heir_cause = self._open(number), cause

    def _open(self, number: int) -> Link:
        link = self._make(self.number)
        link.group = number
        self.links[link.name] = link
        self._feed.open(link.name)
        return link

    def _subscribe(self, link: Link, number: int, mono_ns: int) -> None:
        group = self.groups.by_number[number]
        if link.carried == group.markets.keys():
            return
        have = link.tokens if link.has_sent else None
        chunk = self._settings.chunk_tokens
        for each in commands(have, group.token_ids(), chunk=chunk):
            self._feed.send(link.name, each.text)
            link.has_sent = True
            wall_ns = self._world.wall_ns()
            row = Subscription(
                connection=link.name,
                at_wall_ns=wall_ns,
                operation=each.operation,
                token_ids=each.token_ids,
            )
            self._diary.write(row, wall_ns)
        link.carry(group.markets, mono_ns)

    def _let_go(self, links: Sequence[Link | None], cause: str) -> None:
        for link in links:
            if link is not None:
                self._feed.close(link.name, cause)

    def ended(self, happening: Happening) -> None:
        """A connection of this leg is gone."""
        link = self.links.pop(happening.connection)
        place = self._places.get(link.group)
        if place is None or link not in (place.link, place.heir):
            return
        mono_ns = self._world.mono_ns()
        if link is place.heir:
            place.heir = None
            place.renew_mono_ns = mono_ns + int(self._settings.backoff_cap_s * NS_PER_S)
            return
        place.link, place.heir, place.renew_mono_ns = place.heir, None, 0
        if happening.cause in OURS:
            return
        self.reconnects += 1
        place.failures += 1
        pause_s = backoff_s(
            place.failures, "", roll=self._world.roll(), rules=self._rules, retry_after_s=None
        )
        place.due_mono_ns = mono_ns + int(pause_s * NS_PER_S)
        is_early = link.has_sent and not link.is_stable and happening.cause in KILLED
        if is_early and self.groups.died_early(link.group):
            self.halvings += 1

    def open_links(self) -> list[Link]:
        """The open connections, those that will be replaced as well."""
        return [each for each in self.links.values() if each.opened_mono_ns]
