"""All tokens of one connection: each event goes to the tokens it tells of.

Promises  the items of one event for one token are applied together, and compared once
Never     fails on what the venue adds: an event of another type, or of another's token, is nothing
"""

from collections.abc import Iterable

from workers.core.stream.frames import Change, Event
from workers.core.stream.sync import NO_TURNS, Token
from workers.core.stream.tails import Tails
from workers.core.stream.turns import Turns


class Tokens(dict[str, Token]):
    """The tokens of one connection by id."""

    def __init__(self) -> None:
        super().__init__()
        self._tails: dict[str, Tails] = {}

    def watch(self, market: str, token_id: str) -> Token:
        """Add a token; both outcomes of a market share what is known of its tail."""
        tails = self._tails.setdefault(market, Tails())
        token = self[token_id] = Token(market, token_id, tails)
        return token

    def leave(self, token_id: str) -> None:
        """Forget a token that is no longer subscribed to."""
        token = self.pop(token_id)
        if all(each.market != token.market for each in self.values()):
            del self._tails[token.market]

    def took(self, event: Event, recv_wall_ns: int) -> Turns:
        """Take any event; what concerns none of these tokens changes nothing."""
        if event.type == "price_change":
            return self._took_changes(event, recv_wall_ns)
        token = self.get(event.token_id)
        if token is None:
            return NO_TURNS
        token.latest_ms = event.timestamp_ms
        match event.type:
            case "book":
                return token.took_book(event, recv_wall_ns)
            case "tick_size_change":
                return token.took_tick(event.told.new_tick_size, recv_wall_ns)
            case "last_trade_price":
                # Its price is hashed with the books around it.
                token.tails.traded(event.told.price or "")
        return NO_TURNS

    def _took_changes(self, event: Event, recv_wall_ns: int) -> Turns:
        turns, timestamp, ms = NO_TURNS, event.timestamp, event.timestamp_ms
        for items in _by_token(event.changes):
            token = self.get(items[0].token_id)
            if token is not None:
                turns += token.took_changes(items, timestamp, ms, recv_wall_ns)
        return turns


def _by_token(changes: tuple[Change, ...]) -> Iterable[tuple[Change, ...]]:
    """The items for each token, in their order; nearly always one for each of two outcomes."""
    if len(changes) == 2 and changes[0].token_id != changes[1].token_id:
        return changes[:1], changes[1:]
    by_token: dict[str, tuple[Change, ...]] = {}
    for change in changes:
        by_token[change.token_id] = (*by_token.get(change.token_id, ()), change)
    return by_token.values()
