"""How one market is doing, as its collector counts it for the heartbeat and the row flags."""

from collections import Counter

from workers.core.books.bookhash import Verdict, verdict
from workers.core.health.heartbeats import MarketBeat
from workers.core.polling.messages import Book
from workers.core.universe.markets import Market
from workers.core.universe.phases import tier_at

TIME_WENT_BACK = "time_went_back"


class Track:
    """One market since its collector started; changed in place by its one owner.

    `due`, `captured` and `failed` count token-ticks.
    """

    def __init__(self) -> None:
        self.due = self.captured = 0
        self.failed: Counter[str] = Counter()
        self._hashes: Counter[str] = Counter()
        self._timestamp_ms: dict[str, int] = {}
        self._last: dict[str, tuple[bytes, Verdict]] = {}
        self._last_row_wall_ns: int | None = None
        self.is_big = False

    def verdict(self, book: Book) -> Verdict:
        """The book's hash verdict; a book that came again unchanged is not hashed again."""
        before = self._last.get(book.token_id)
        if before is not None and before[0] == book.raw:
            return before[1]
        found = verdict(book.raw)
        self._last[book.token_id] = (book.raw, found)
        return found

    def saw(self, book: Book, found: Verdict, wall_ns: int) -> list[str]:
        """Count a captured book; returns the flags its row must carry.

        A book older than the one before it is a ghost of the venue's cache (VENUE §5.4,
        py-clob-client#180): kept, and flagged.
        """
        before_ms = self._timestamp_ms.get(book.token_id, 0)
        self._timestamp_ms[book.token_id] = book.timestamp_ms
        self.due += 1
        self.captured += 1
        self._hashes[found] += 1
        self._last_row_wall_ns = wall_ns
        return [TIME_WENT_BACK] if book.timestamp_ms < before_ms else []

    def missed(self, cause: str, tokens: int) -> None:
        """Count token-ticks that brought no book."""
        self.due += tokens
        self.failed[cause] += tokens

    def beat(self, market: Market, now_ms: int) -> MarketBeat:
        """The market's part of the heartbeat."""
        return MarketBeat(
            slug=market.slug,
            condition_id=market.condition_id,
            tier=tier_at(market.phases, now_ms),
            last_row_wall_ns=self._last_row_wall_ns,
            last_update_ms=max(self._timestamp_ms.values(), default=None),
            due=self.due,
            captured=self.captured,
            failed=dict(self.failed),
            verified=self._hashes[Verdict.VERIFIED],
            hash_failed=self._hashes[Verdict.FAILED],
            hash_absent=self._hashes[Verdict.ABSENT],
        )
