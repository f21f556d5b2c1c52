"""When a connection's markets are doubted: silence, missing books, and REST books that are newer.

    silent     no event of a market in its window for `freeze_after_s`: ask REST, then again
               after as long, then every twice as long while it stays silent
    doubted    REST shows a newer book of a token than the connection has brought
    frozen     `confirm_s` later the connection still has not: no race, an event is missing
    lacking    a token has no book `missing_book_s` after its subscription, or lost it: ask REST,
               then after a pause that doubles

Source    VENUE §5.4: a socket that answers PING may carry nothing for hours; above 750 assets the
          first books never come, without an error.
"""

from collections.abc import Callable, Collection, Iterable

import msgspec

NS_PER_S = 1_000_000_000
#: A market that says nothing because nothing happens is asked for at most so much less often.
_SLOWER = 2
_LACKING_PAUSES_NS = (NS_PER_S, 60 * NS_PER_S)
#: What is older is no market's turn but a time that is wrong: tick changes were seen with one.
BACK_MAX_MS = 5_000


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long each suspicion takes, seconds; the settings' names."""

    freeze_after_s: float
    confirm_s: float
    missing_book_s: float


class _Market(msgspec.Struct):
    """One market: when an event of it was heard, when it is next asked for, and its doubts.

    `doubts`: by token, the time of REST's newer book (ms) and when it is due on the connection.
    """

    heard_mono_ns: int
    ask_mono_ns: int
    asked: int = 0
    doubts: dict[str, tuple[int, int]] = {}


class Watch:
    """What is suspected of one connection; changed in place by its one owner."""

    def __init__(self, patience: Patience) -> None:
        self._freeze_ns = int(patience.freeze_after_s * NS_PER_S)
        self._confirm_ns = int(patience.confirm_s * NS_PER_S)
        self._missing_ns = int(patience.missing_book_s * NS_PER_S)
        self._markets: dict[str, _Market] = {}
        self._lacking: dict[str, tuple[int, int]] = {}

    def subscribed(self, market: str, token_ids: Iterable[str], mono_ns: int) -> None:
        """A market is asked of the venue from now."""
        self._markets[market] = _Market(mono_ns, mono_ns + self._freeze_ns, doubts={})
        for each in token_ids:
            self._lacking[each] = (mono_ns + self._missing_ns, _LACKING_PAUSES_NS[0])

    def unsubscribed(self, market: str, token_ids: Iterable[str]) -> None:
        """It is no more."""
        self._markets.pop(market, None)
        for each in token_ids:
            self._lacking.pop(each, None)

    def heard(self, market: str, mono_ns: int) -> None:
        """An event of the market came."""
        found = self._markets.get(market)
        if found is not None:
            found.heard_mono_ns, found.asked = mono_ns, 0
            found.ask_mono_ns = mono_ns + self._freeze_ns

    def silent(self, mono_ns: int, open_now: Collection[str]) -> list[str]:
        """The markets to ask REST for now; each call counts as asking.

        Args:
            mono_ns: now.
            open_now: markets in their window: silence of others is no news.
        """
        found = []
        for market, state in self._markets.items():
            if state.ask_mono_ns <= mono_ns and market in open_now:
                state.asked += 1
                pause_ns = self._freeze_ns * (1 if state.asked == 1 else _SLOWER)
                state.ask_mono_ns = mono_ns + pause_ns
                found.append(market)
        return found

    def doubt(self, market: str, token_id: str, timestamp_ms: int, mono_ns: int) -> None:
        """REST has a newer book than the connection; it may still be on its way."""
        found = self._markets.get(market)
        if found is not None:
            found.doubts.setdefault(token_id, (timestamp_ms, mono_ns + self._confirm_ns))

    def frozen(self, mono_ns: int, latest_ms: Callable[[str], int]) -> list[str]:
        """The markets of which an event is missing for sure.

        Args:
            mono_ns: now.
            latest_ms: the venue's time of the newest event of a token on this connection.
        """
        found = []
        for market, state in self._markets.items():
            for token_id, (timestamp_ms, until_mono_ns) in [*state.doubts.items()]:
                is_cleared = latest_ms(token_id) >= timestamp_ms
                if is_cleared or mono_ns >= until_mono_ns:
                    del state.doubts[token_id]
                if not is_cleared and mono_ns >= until_mono_ns:
                    found.append(market)
        return list(dict.fromkeys(found))

    def lacks(self, token_id: str, mono_ns: int, *, delay_s: float = 0.0) -> None:
        """The token's book is worth nothing any more; it may come by itself in `delay_s`."""
        self._lacking[token_id] = (mono_ns + int(delay_s * NS_PER_S), _LACKING_PAUSES_NS[0])

    def has_book(self, token_id: str) -> None:
        """The token has a book."""
        self._lacking.pop(token_id, None)

    def lacking(self, mono_ns: int) -> list[str]:
        """The tokens to ask a book for now; each call counts as asking."""
        found = [each for each, (due_ns, _) in self._lacking.items() if due_ns <= mono_ns]
        for each in found:
            pause_ns = self._lacking[each][1]
            doubled_ns = min(2 * pause_ns, _LACKING_PAUSES_NS[1])
            self._lacking[each] = (mono_ns + pause_ns, doubled_ns)
        return found


class Reached:
    """The venue's time up to which a connection has brought everything, as far as it has shown.

    The venue tells what happens market by market: a later event may be the older one. It may be so
    again by as much as it was before.
    """

    def __init__(self) -> None:
        self._newest_ms = self._back_ms = 0

    @property
    def told_ms(self) -> int:
        """Of what the venue said earlier everything has come; 0 = it said nothing."""
        return max(0, self._newest_ms - self._back_ms)

    def book(self, timestamp_ms: int) -> None:
        """A whole book came; after a subscription it may tell of old."""
        self._newest_ms = max(self._newest_ms, timestamp_ms)

    def event(self, timestamp_ms: int) -> None:
        """Any other event came."""
        back_ms = self._newest_ms - timestamp_ms
        if back_ms <= 0:
            self._newest_ms = timestamp_ms
        elif back_ms <= BACK_MAX_MS:
            self._back_ms = max(self._back_ms, back_ms)
