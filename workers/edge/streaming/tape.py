"""The market segments of one streamer: a stream of rows for each market, in the order heard.

Writes    frames segments, through the recorder
Promises  each segment can be read alone: its first rows are the books known where it begins
"""

from collections.abc import Callable, Iterator

from workers.core.instants import MS_PER_HOUR
from workers.core.polling.batches import manifest_market
from workers.core.universe.markets import Market
from workers.edge.spool.recorder import Recorder, Stream
from workers.edge.spool.segment import OpenSegment

NS_PER_MS = 1_000_000
_NS_PER_HOUR = MS_PER_HOUR * NS_PER_MS
#: The row before is near, and most of a row is hashes: against level 9 and 32 KiB half the time
#: for a seventh more bytes (tests/bench/stream.py).
_WINDOW_BITS, _LEVEL = 14, 4
#: Rows wait for the flush, or until they are so many bytes: compressing one at a time would fetch
#: each market's window into the processor's cache for it.
_PENDING_MAX_BYTES = 1 << 21
Seeds = Callable[[str, int], Iterator[tuple[bytes, str]]]


class _Pending:
    """Rows of one market that are not in its segment yet; `first` and `last` in wall ns."""

    __slots__ = ("first", "last", "rows", "segment", "text")

    def __init__(self, segment: OpenSegment, wall_ns: int) -> None:
        self.segment, self.first, self.last = segment, wall_ns, wall_ns
        # One buffer: kept by themselves, the rows would be spread over memory.
        self.text, self.rows = bytearray(), 0


class Tape:
    """The streams of all markets.

    `seeds` gives, for a market and a moment, the snapshot rows of what is known of it, each with
    its connection.
    """

    def __init__(self, recorder: Recorder, seeds: Seeds) -> None:
        self.rows = 0
        self._recorder, self._seeds = recorder, seeds
        self._streams: dict[str, Stream] = {}
        self._pending: dict[str, _Pending] = {}
        self._from_ns = self._until_ns = self._bytes = 0
        recorder.before_flush = self.write_out

    def carry(self, market: Market) -> None:
        """From now rows of this market are taken."""
        if market.condition_id not in self._streams:
            named = manifest_market(market)
            stream = Stream(
                subject=market.slug,
                kind="frames",
                market=named,
                window_bits=_WINDOW_BITS,
                batch_level=_LEVEL,
            )
            self._streams[market.condition_id] = stream

    def carries(self, market: str) -> bool:
        """True when rows of this market are taken."""
        return market in self._streams

    def drop(self, market: str) -> None:
        """Seal a market that is over."""
        self.write_out()
        stream = self._streams.pop(market, None)
        if stream is not None:
            self._recorder.seal(stream, "market_end")

    def seal(self, ended: str) -> None:
        """Seal every market's segment; the next row begins another."""
        self.write_out()
        for stream in self._streams.values():
            self._recorder.seal(stream, ended)

    def add(
        self,
        market: str,
        line: bytes,
        *,
        wall_ns: int,
        kind: str,
        connection: str,
        request: str = "",
    ) -> OpenSegment:
        """Take a row; state that it changes must change after this call, for the seeds' sake."""
        pending = self._pending.get(market)
        if pending is None or not self._from_ns <= wall_ns < self._until_ns:
            pending = self._begun(market, wall_ns)
        story = pending.segment.story
        story.saw_event(kind, connection)
        if request:
            story.saw_request(request, 200)
        pending.text += line
        pending.rows += 1
        pending.last = wall_ns
        self._bytes += len(line)
        if self._bytes > _PENDING_MAX_BYTES:
            self.write_out()
        return pending.segment

    def not_before(self, wall_ns: int) -> int:
        """A moment, or the beginning of the hour that is written now: no row goes back."""
        return max(wall_ns, self._from_ns)

    def _begun(self, market: str, wall_ns: int) -> _Pending:
        if not self._from_ns <= wall_ns < self._until_ns:
            self.write_out()
            self._from_ns = wall_ns - wall_ns % _NS_PER_HOUR
            self._until_ns = self._from_ns + _NS_PER_HOUR
        segment = self._recorder.segment(self._streams[market], wall_ns // NS_PER_MS)
        pending = self._pending[market] = _Pending(segment, wall_ns)
        if not segment.story.rows:
            for line, connection in self._seeds(market, wall_ns):
                segment.story.saw_event("snapshot", connection)
                pending.text += line
                pending.rows += 1
        return pending

    def write_out(self) -> None:
        """Put what was taken into the segments."""
        for each in self._pending.values():
            first, last = (each.first // NS_PER_MS, each.first), (each.last // NS_PER_MS, each.last)
            each.segment.append_all(bytes(each.text), each.rows, first=first, last=last)
            self.rows += each.rows
        self._pending.clear()
        self._bytes = 0
