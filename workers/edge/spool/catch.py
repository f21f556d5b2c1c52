"""Where a `POST /books` exchange goes: books to their market's segment, the rest to the ledger.

Writes    books rows (one stream per market, one per token when its books are big), ledger rows
Promises  books rows and the ledger row of one answer rebuild its body byte for byte
"""

from collections.abc import Sequence

import msgspec

from workers.core.archive.ledger import request_row
from workers.core.causes import ABSENT, OK
from workers.core.polling.answers import Answer
from workers.core.polling.batches import Batch, manifest_market
from workers.core.polling.messages import Book, BooksAnswer, read_books
from workers.core.polling.rows import ENDPOINT, answer_head, books_row
from workers.core.polling.tracks import Track
from workers.core.universe.markets import Market
from workers.edge.spool.diary import Diary
from workers.edge.spool.recorder import Recorder, Stream

#: An envelope has about 500 bytes.
ENVELOPE_BYTES = 700
NOTHING = BooksAnswer(OK, "kept", (), (), ())


class Exchange(msgspec.Struct, frozen=True):
    """What the rows of one exchange are counted by."""

    id: str
    due_ms: int
    status: int | None
    wall_ns: int


class Catch:
    """The books of one collector, by market."""

    def __init__(
        self,
        recorder: Recorder,
        diary: Diary,
        *,
        version: str,
        kept_bytes: int,
        big_bytes: int,
    ) -> None:
        self._recorder, self._diary, self._version = recorder, diary, version
        self._kept_bytes, self._big_bytes = kept_bytes, big_bytes
        # Both tokens' last rows must be in sight; a window twice as large only costs cache and
        # time (docs/decisions/0004).
        self._window_bits = 14 if 2 * (big_bytes + ENVELOPE_BYTES) <= 1 << 14 else 15
        self._streams: dict[str, Stream] = {}
        self.books = 0
        self.tracks: dict[str, Track] = {}

    def take(self, batch: Batch, answer: Answer, *, request_id: str, due_ms: int) -> str:
        """Write everything one exchange brought; returns its cause."""
        read = read_books(answer.body, batch.asked) if answer.is_ok else NOTHING
        cause = answer.cause if answer.cause != OK else read.cause
        books = {book.token_id: book for book in read.books}
        request = Exchange(request_id, due_ms, answer.status, answer.recv_wall_ns)
        head = answer_head(answer, request_id, due_ms, self._version)
        refused = {each.token_id: each.reason for each in read.refused}
        for market in batch.markets:
            for token in market.tokens:
                book = books.get(token.token_id)
                if book is not None:
                    self._write_book(market, book, head, request)
                else:
                    why = refused.get(token.token_id, ABSENT) if cause == OK else cause
                    self._miss(market, token.token_id, why, due_ms)
        row = request_row(
            request_id,
            due_ms,
            ENDPOINT,
            answer,
            cause=cause,
            layout=read.layout,
            kept_bytes_max=self._kept_bytes if cause != OK else len(answer.body),
            asked=tuple(batch.asked),
            missing=read.missing,
            refused=read.refused,
        )
        self._diary.write(row, answer.recv_wall_ns)
        return cause

    def missed(self, markets: Sequence[Market], cause: str, due_ms: int) -> None:
        """Count a tick that asked nothing."""
        for market in markets:
            for token in market.tokens:
                self._miss(market, token.token_id, cause, due_ms)

    def has_started(self, market: Market) -> bool:
        """True when the market has been captured by this process."""
        track = self.tracks.get(market.condition_id)
        return track is not None and track.captured > 0

    def forget(self, market: Market) -> None:
        """Seal and drop a market whose recording is over."""
        self.end(frozenset({market.slug}), "market_end")
        self._forget_streams(market)
        self.tracks.pop(market.condition_id, None)

    def _forget_streams(self, market: Market) -> None:
        for token in market.tokens:
            self._streams.pop(token.token_id, None)

    def end(self, slugs: frozenset[str], ended: str) -> None:
        """Seal the open segments of markets."""
        for stream in self._recorder.streams():
            if stream.market is not None and stream.market.slug in slugs:
                self._recorder.seal(stream, ended)

    def _track(self, market: Market) -> Track:
        track = self.tracks.get(market.condition_id)
        if track is None:
            track = self.tracks[market.condition_id] = Track()
        return track

    def _stream(self, market: Market, token_id: str) -> Stream:
        stream = self._streams.get(token_id)
        if stream is None:
            named = manifest_market(market)
            subject, bits = market.slug, self._window_bits
            if self._track(market).is_big:
                subject, bits = f"{subject}-t{list(named.tokens).index(token_id)}", 15
            stream = Stream(subject=subject, kind="books", market=named, window_bits=bits)
            self._streams[token_id] = stream
        return stream

    def _miss(self, market: Market, token_id: str, cause: str, due_ms: int) -> None:
        self._track(market).missed(cause, 1)
        stream = self._stream(market, token_id)
        self._recorder.segment(stream, due_ms).story.failed[cause] += 1

    def _write_book(self, market: Market, book: Book, head: bytes, request: Exchange) -> None:
        self.books += 1
        track = self._track(market)
        if len(book.raw) > self._big_bytes and not track.is_big:
            self.end(frozenset({market.slug}), "big_book")
            track.is_big = True
            self._forget_streams(market)
        found = track.verdict(book)
        flags = track.saw(book, found, request.wall_ns)
        segment = self._recorder.append(
            self._stream(market, book.token_id),
            books_row(head, book, found, flags),
            due_ms=request.due_ms,
            wall_ns=request.wall_ns,
        )
        segment.story.saw_request(request.id, request.status)
        segment.story.saw_book(book.token_id, request.due_ms, found, flags)
