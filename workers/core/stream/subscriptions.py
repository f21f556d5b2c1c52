"""Which tokens stand on which connection of one leg, and what is sent to make it so.

A group is what one connection carries. A group whose connection dies again and again soon after
it subscribed is halved, until the market that kills it stands alone: isolated.

    first     a group is halved at its second early death in a row
    then      at the second, when another group of the leg has lived since; else only at the
              eighth: when all of them die it is a storm, and no market's doing

Promises  a market stays in its group while both live; groups are never joined again: windows end,
          and empty groups go
Source    VENUE §5.1 and §5.4: 400 of 750 assets on a connection, chunks of 100, subscriptions do
          not survive a connection, naming an active asset again toggles its features.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from workers.core.universe.markets import Market

STRIKES, STRIKES_IN_A_STORM = 2, 8


class Roster:
    """The markets a streamer may subscribe to; changed in place by its one owner.

    A market is wanted from `lead_s` before its window to `tail_s` after it, or until it is
    resolved. Discovery forgets it sooner than that; a market it drops earlier is dropped here.
    """

    def __init__(self, *, lead_s: float, tail_s: float) -> None:
        self._lead_ms, self._tail_ms = int(lead_s * 1000), int(tail_s * 1000)
        self._known: dict[str, Market] = {}
        self._over: set[str] = set()

    def load(self, markets: Iterable[Market], now_ms: int) -> None:
        """Take over a new universe's markets."""
        kept = {
            key: each
            for key, each in self._known.items()
            if each.record_until_ms <= now_ms < each.window.end_ms + self._tail_ms
        }
        self._known = kept | {each.condition_id: each for each in markets}
        self._over &= self._known.keys()

    def resolved(self, market: str) -> None:
        """The venue says that a market is over."""
        self._over.add(market)

    def wanted(self, now_ms: int) -> tuple[Market, ...]:
        """The markets to be subscribed now."""
        return tuple(
            each
            for each in self._known.values()
            if each.window.start_ms - self._lead_ms <= now_ms < each.window.end_ms + self._tail_ms
            and each.condition_id not in self._over
        )


class Group(msgspec.Struct):
    """The markets of one connection, by condition id; changed in place by its leg's `Groups`."""

    markets: dict[str, Market]
    strikes: int = 0
    has_lived: bool = False
    is_suspect: bool = False

    def token_ids(self) -> list[str]:
        """Every token of the group."""
        return [token.token_id for each in self.markets.values() for token in each.tokens]

    @property
    def is_isolated(self) -> bool:
        """True for one market that kills its connection by itself."""
        return self.is_suspect and len(self.markets) == 1 and self.strikes >= STRIKES


class Groups:
    """The groups of one leg, by number; changed in place by its one owner."""

    def __init__(self, tokens_max: int) -> None:
        self.by_number: dict[int, Group] = {}
        self._tokens_max, self._number = tokens_max, 0

    def want(self, markets: Sequence[Market]) -> None:
        """Let these markets be carried and no others."""
        left = {market.condition_id: market for market in markets}
        for number, group in [*self.by_number.items()]:
            group.markets = {key: left.pop(key) for key in group.markets if key in left}
            if not group.markets:
                del self.by_number[number]
        for market in left.values():
            self._with_room(len(market.tokens)).markets[market.condition_id] = market

    def _with_room(self, tokens: int) -> Group:
        for group in self.by_number.values():
            is_roomy = len(group.token_ids()) + tokens <= self._tokens_max
            if is_roomy and not group.is_suspect and not group.strikes:
                return group
        return self._added({})

    def _added(self, markets: dict[str, Market], *, strikes: int = 0) -> Group:
        self._number += 1
        group = Group(markets, strikes=strikes, is_suspect=bool(strikes))
        self.by_number[self._number] = group
        return group

    def lived(self, number: int) -> None:
        """A connection of the group stayed open for long enough."""
        group = self.by_number.get(number)
        if group is not None:
            group.strikes, group.has_lived, group.is_suspect = 0, True, False

    def died_early(self, number: int) -> bool:
        """A connection of the group died soon after it subscribed; True when it was halved."""
        group = self.by_number.get(number)
        if group is None:
            return False
        group.strikes, group.has_lived = group.strikes + 1, False
        others = [each for each in self.by_number.values() if each is not group]
        is_alone = not others or any(each.has_lived for each in others)
        if group.strikes < (STRIKES if is_alone else STRIKES_IN_A_STORM):
            return False
        if len(group.markets) == 1:
            group.is_suspect = True
            return False
        ids = [*group.markets]
        moved = ids[len(ids) // 2 :]
        # One strike each: the half that dies once more is halved again.
        self._added({key: group.markets.pop(key) for key in moved}, strikes=STRIKES - 1)
        group.strikes, group.is_suspect = STRIKES - 1, True
        return True

    def isolated(self) -> list[str]:
        """The condition ids of markets that kill their connection."""
        return [key for each in self.by_number.values() if each.is_isolated for key in each.markets]


class Command(msgspec.Struct, frozen=True):
    """One message to the venue, and the ledger's words for it."""

    operation: str
    token_ids: list[str]
    text: bytes


def commands(
    have: Mapping[str, object] | None, want: Sequence[str], *, chunk: int
) -> Iterator[Command]:
    """What to send so that a connection carries `want` instead of `have`.

    Args:
        have: the tokens it carries; None = nothing was sent on it yet.
        want: the tokens it must carry.
        chunk: tokens in one message at most.
    """
    wished, carried = set(want), have or {}
    gone = [each for each in carried if each not in wished]
    new = [each for each in want if each not in carried]
    for at in range(0, len(new), chunk):
        ids = new[at : at + chunk]
        how = {"type": "market"} if have is None and at == 0 else {"operation": "subscribe"}
        told = {"assets_ids": ids, **how, "initial_dump": True, "custom_feature_enabled": True}
        yield Command("subscribe", ids, msgspec.json.encode(told))
    for at in range(0, len(gone), chunk):
        ids = gone[at : at + chunk]
        told = {"operation": "unsubscribe", "assets_ids": ids}
        yield Command("unsubscribe", ids, msgspec.json.encode(told))
