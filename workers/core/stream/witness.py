"""The newest hash the venue told of a token's book, and what it proves.

Promises  a check that has never said yes never says no: until one hash of the token was proven,
          a failure is "unproven"
Source    VENUE §4: the tail of the hashed bytes is not told on the stream, so a failure without a
          search means nothing, and an unknown form of the hash would fail always
"""

import msgspec

from workers.core.instants import NS_PER_MS
from workers.core.stream.frames import whole_ms
from workers.core.stream.rebuilt import Rebuilt
from workers.core.stream.tails import Tails

_PATIENCE_MAX = 64


class Seen(msgspec.Struct, frozen=True, gc=False):
    """A state the venue told: its time, its hash ("" = not told), and when it was received."""

    timestamp: str
    hash: str
    recv_wall_ns: int

    @property
    def earlier_ns(self) -> int:
        """When it was said, or received if that is earlier: where clocks differ, or it came late.

        What is missing behind it was said later than this.
        """
        return min(self.recv_wall_ns, whole_ms(self.timestamp) * NS_PER_MS)


_NOTHING = Seen("", "", 0)


class Witness:
    """Holds the newest state told, checks each at most once."""

    def __init__(self, tails: Tails) -> None:
        self.seen = _NOTHING
        self.is_proven = False
        self._tails = tails
        self._is_checked = True
        self._failures = self._skipped = 0

    def saw(self, seen: Seen) -> None:
        """Take the newest state."""
        self.seen = seen
        self._is_checked = not seen.hash

    def doubts(self) -> None:
        """The book was touched again: the newest state is to be checked once more."""
        self._is_checked = not self.seen.hash

    def check(self, rebuilt: Rebuilt) -> str:
        """A verdict on the newest state, or "" when it has been checked (core/stream/turns.py)."""
        if self._is_checked:
            return ""
        self._is_checked = True
        verdict = self._verdict(rebuilt.prefix(self.seen.timestamp), self.seen.hash)
        if verdict in ("verified", "explained"):
            self.is_proven, self._failures = True, 0
        return verdict

    def _verdict(self, prefix: bytes, told: str) -> str:
        if self._tails.is_known(prefix, told):
            return "verified"
        # A token whose hashes never agree shall not cost a search in every round.
        if not self.is_proven and self._skipped < min(2**self._failures, _PATIENCE_MAX) - 1:
            self._skipped += 1
            return "unproven"
        if self._tails.find(prefix, told):
            return "explained"
        self._failures, self._skipped = self._failures + 1, 0
        return "failed" if self.is_proven else "unproven"
