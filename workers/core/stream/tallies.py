"""How each market of a streamer is doing: counted over all its connections, living and gone."""

from collections import Counter
from collections.abc import Sequence

import msgspec

from workers.core.health.heartbeats import StreamBeat
from workers.core.stream.sync import Token
from workers.core.stream.turns import State
from workers.core.universe.markets import Market

_WORTH = (State.EMPTY, State.SUSPECT, State.SYNCED)
_COUNTS = ("snapshots", "changes", "applied", "invalid", "duplicates")


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A market on one connection that is open."""

    connection: str
    frames: int
    last_update_ms: int
    tokens: Sequence[Token]

    @property
    def worst(self) -> Token:
        """The token that is worth least."""
        return min(self.tokens, key=lambda each: _WORTH.index(each.state))


class Tally:
    """One market's counts of connections that are gone; changed in place by its one owner."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._resyncs: Counter[str] = Counter()
        self._checks: Counter[str] = Counter()

    def add(self, tokens: Sequence[Token]) -> None:
        """Keep the counts of tokens whose connection ends."""
        for token in tokens:
            self._counts.update({each: getattr(token, each) for each in _COUNTS})
            self._resyncs.update(token.resyncs)
            self._checks.update(token.verdicts)

    def lost(self, tokens: Sequence[Token]) -> None:
        """The connection of these tokens ended against our will."""
        self._resyncs["reconnect"] += len(tokens)

    def beat(
        self, market: Market, seen: Sequence[Seen], last_row_wall_ns: int | None
    ) -> StreamBeat:
        """The market's part of the heartbeat."""
        total = Tally()
        total._counts, total._resyncs = self._counts.copy(), self._resyncs.copy()
        total._checks = self._checks.copy()
        for each in seen:
            total.add(each.tokens)
        best = max(seen, key=lambda each: _WORTH.index(each.worst.state), default=None)
        return StreamBeat(
            slug=market.slug,
            condition_id=market.condition_id,
            connection=best.connection if best else "",
            state=best.worst.state if best else State.EMPTY,
            reason=best.worst.reason if best else "",
            last_seq=best.frames if best else 0,
            last_update_ms=max((each.last_update_ms for each in seen), default=0) or None,
            last_row_wall_ns=last_row_wall_ns,
            snapshots=total._counts["snapshots"],
            changes=total._counts["changes"],
            applied=total._counts["applied"],
            invalid=total._counts["invalid"],
            duplicates=total._counts["duplicates"],
            resyncs=dict(total._resyncs),
            checks=dict(total._checks),
        )
