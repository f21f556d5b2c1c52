"""The reading library: the book of any market at any instant, with what proves it.

    from workers.edge.reading.archive import open_archive

    reader = open_archive("/data/orderbooks")
    answer = reader.book("btc-updown-5m-1776326400", "Up", "open+30s")
    answer.state, answer.book.best_bid, answer.age_ns, answer.provenance

An archive is a data directory, one that is being written or a restored part of one. A market is a
slug, a condition id or the address of its page; an outcome a name, 0, 1 or a token id; a moment
RFC 3339, Unix s or ms, a datetime, `now-5s`, or `open+30s` and `close-1m` of the market's window.

Reads     raw segments of polls and of the stream, published or being written; publications;
          ledgers, where a gap needs a cause; derived tables, where a segment is not here
          or they were asked for
Promises  an answer is the last book received before the moment, never one made up between two; a
          file that is read is proven (`edge.reading.vault`): damage raises or labels, as asked
Fails     Damaged, Offloaded, NeedsAPerson (no such archive, market, outcome or time)
Never     writes
"""

import heapq
import time
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from workers.core.coverage.coverage import MarketCoverage
from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_HOUR
from workers.core.reading.evidence import Answer, Change, Trade, trade_of
from workers.core.reading.moments import Moment, moment_ns, outcome_at, settled
from workers.core.stream.coverage import MarketStream, market_stream
from workers.edge.reading.accounts import Accounts
from workers.edge.reading.both import Both
from workers.edge.reading.catalogue import Catalogue, Subject
from workers.edge.reading.findings import Findings, OnDamage
from workers.edge.reading.folders import Folders
from workers.edge.reading.frames import Frames
from workers.edge.reading.frames import Wanted as Framed
from workers.edge.reading.leaves import Leaves, Source
from workers.edge.reading.logs import Logs
from workers.edge.reading.search import Search
from workers.edge.reading.shelf import Shelf
from workers.edge.reading.sights import Sights
from workers.edge.reading.stream_sights import Fact, StreamSights
from workers.edge.reading.streams import Streams, Wanted
from workers.edge.reading.tables import Frame, Tables
from workers.edge.reading.vault import Vault
from workers.edge.spool.directory import DataDir

NS_PER_MS = 1_000_000
CACHE_BYTES = 64 << 20
_HOUR_NS = MS_PER_HOUR * NS_PER_MS


def open_archive(
    path: str | Path,
    on_damage: OnDamage = "raise",
    *,
    source: Source = "raw",
    cache_bytes: int = CACHE_BYTES,
    now_ns: Callable[[], int] = time.time_ns,
) -> "Reader":
    """Open a data directory for reading.

    Args:
        path: the directory.
        on_damage: "raise" ends a question at the first damaged file that is read for it; "label"
            reads on as far as the file is whole, and the answer's state is LABELLED.
        source: "raw", or "derived": every answer from derived tables; what no table holds is
            damage.
        cache_bytes: how much of uncompressed segments stays in memory.
        now_ns: the wall clock; nothing after it was due yet.

    Raises:
        NeedsAPerson: there is no archive.
    """
    root = Path(path).absolute()
    if not (root / "raw").is_dir() and not (root / "spool").is_dir():
        raise NeedsAPerson(
            f"open {root}: it holds no raw/ and no spool/",
            hint="the data directory, or where `orderbooks restore` put it",
        )
    return Reader(DataDir(root), on_damage, source, cache_bytes, now_ns)


class Reader:
    """One archive; keeps streams and listings, so one reader for many questions. One thread."""

    def __init__(
        self,
        data: DataDir,
        on_damage: OnDamage,
        source: Source,
        cache_bytes: int,
        now_ns: Callable[[], int],
    ) -> None:
        self.data, self.on_damage = data, on_damage
        self._now_ns = now_ns
        folders, self.vault = Folders(data.root), Vault(data, cache_bytes)
        self._catalogue = Catalogue(data, folders, self.vault)
        self._accounts = Accounts(data, folders, self.vault, now_ns)
        self._shelf = shelf = Shelf(data, folders, self.vault)
        self._search = Search(self._catalogue, shelf)
        tables = Tables(folders, self.vault)
        leaves = Leaves(data, folders, shelf, tables, source=source)
        self._polls = Sights(self._catalogue, self._accounts, leaves)
        logs = Logs(folders, self.vault, tables, source=source)
        frames = Shelf(data, folders, self.vault, "frames")
        self._streams = streams = Streams(frames, logs, self.vault, tables, source=source)
        self._stream = StreamSights(streams, leaves)
        self._sights = Both(self._polls, self._stream)
        self._frames = Frames(leaves, tables, self._polls, self._sights)

    def book(self, market: str, outcome: str | int, at: Moment) -> Answer:
        """The last book of one outcome known at a moment: of the stream, else of polls."""
        findings, now_ns = Findings(self.on_damage), self._now_ns()
        at = settled(at, now_ns)
        subject = self._search.find(market, at, findings)
        token = outcome_at(outcome, subject.tokens)
        at_ns = moment_ns(at, subject.window)
        if at_ns > now_ns:
            raise NeedsAPerson(f"read the book at {at}: that is in the future")
        return self._sights.at(subject, token, at_ns, findings)

    def next_book(self, market: str, outcome: str | int, at: Moment) -> Answer | None:
        """The first book of one outcome received after a moment; None when none was in an hour."""
        at = self._settled(at)
        subject = self._search.find(market, at, Findings(self.on_damage))
        token = outcome_at(outcome, subject.tokens)
        from_ns = moment_ns(at, subject.window) + 1
        until_ns = from_ns + MS_PER_HOUR * NS_PER_MS
        found = self._sights.between(subject, (token,), from_ns, until_ns, self.on_damage)
        return next((each for each in found if each.book is not None), None)

    def books(
        self,
        market: str,
        start: Moment,
        end: Moment,
        outcome: str | int | None = None,
    ) -> Iterator[Answer]:
        """Every book received in start ≤ t < end, by time; of both outcomes, or of one.

        Where due ticks were not captured an answer without a book stands between them: state GAP,
        its cause, and the stretch as `gap`. `at_ns` is when the book was received, or when the
        first missed tick was due.
        """
        findings = Findings(self.on_damage)
        start, end = self._settled(start), self._settled(end)
        subject = self._search.find(market, start, findings)
        tokens = subject.tokens if outcome is None else (outcome_at(outcome, subject.tokens),)
        from_ns, until_ns = moment_ns(start, subject.window), moment_ns(end, subject.window)
        return self._sights.between(subject, tokens, from_ns, until_ns, self.on_damage)

    def frame(
        self,
        market: str,
        start: Moment,
        end: Moment,
        outcome: str | int | None = None,
    ) -> Frame:
        """The books that `books` tells as a pyarrow.Table; see `edge.reading.frames`.

        `polars.from_arrow` makes a Polars frame of it without copying. Gaps and findings stand in
        its schema's metadata.
        """
        findings = Findings(self.on_damage)
        subject, tokens, span_ns = self._span(market, start, end, outcome)
        from_ms, until_ms = span_ns[0] // NS_PER_MS, -(-span_ns[1] // NS_PER_MS)
        plans = self._catalogue.epoch(from_ms, until_ms, findings).plans
        known = plans.markets.get(subject.condition_id, subject.known)
        return self._frames.frame(Framed(subject, tokens, span_ns, known), findings)

    def changes(
        self, market: str, start: Moment, end: Moment, outcome: str | int | None = None
    ) -> Iterator[Change]:
        """Every change of a level that the stream told in start ≤ t < end, of both outcomes or one.

        Of each token in the venue's order, once however many connections showed it, and only where
        its book was known: what lies in a gap of the stream is not a line.
        """
        subject, tokens, span_ns = self._span(market, start, end, outcome)
        for part_ns in _hourly(span_ns):
            findings = Findings(self.on_damage)
            film = self._stream.film(subject, *part_ns, findings)
            if film is None:
                continue
            each_of = [self._stream.changes(subject, e, film, part_ns, findings) for e in tokens]
            yield from heapq.merge(*each_of, key=lambda each: each.recv_wall_ns)

    def trades(
        self, market: str, start: Moment, end: Moment, outcome: str | int | None = None
    ) -> Iterator[Trade]:
        """Every trade that the stream told in start ≤ t < end, as it was first received."""
        subject, tokens, span_ns = self._span(market, start, end, outcome)
        wanted = {each[0] for each in tokens}
        for fact in self._facts(subject, span_ns):
            if fact.type == "last_trade_price" and fact.token_id in wanted:
                trade = trade_of(fact.raw, fact.token_id, fact.recv_wall_ns, fact.provenance)
                yield from [trade] if trade is not None else []

    def facts(self, market: str, start: Moment, end: Moment) -> Iterator[Fact]:
        """Trades and new ticks in the venue's bytes, in start ≤ t < end, each once."""
        subject, _, span_ns = self._span(market, start, end, None)
        return self._facts(subject, span_ns)

    def stream_coverage(self, start: Moment, end: Moment, market: str = "*") -> list[MarketStream]:
        """What the stream covered of each market that wanted it in start ≤ t < end, by name.

        `market` is a slug or a pattern.
        """
        from_ns, until_ns = self._ns(start), min(self._ns(end), self._now_ns())
        findings = Findings(self.on_damage)
        from_ms, until_ms = from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS)
        told = self._streams.ledgers(from_ms, until_ms, findings)
        if not told.rows:
            return []
        epoch = self._catalogue.epoch(from_ms, until_ms, findings)
        wanted = [
            Wanted(e.slug, e.condition_id, tuple(t.token_id for t in e.tokens), e.window.end_ms)
            for e in epoch.markets.values()
            if fnmatchcase(e.slug, market)
        ]
        covers = self._streams.covers(wanted, told)
        found = (
            market_stream((e.slug, e.condition_id), own, from_ns, until_ns) for e, own in covers
        )
        return sorted((e for e in found if e is not None), key=lambda each: each.slug)

    def _facts(self, subject: Subject, span_ns: tuple[int, int]) -> Iterator[Fact]:
        for part_ns in _hourly(span_ns):
            findings = Findings(self.on_damage)
            film = self._stream.film(subject, *part_ns, findings)
            if film is not None:
                yield from self._stream.facts(subject, film, part_ns)

    def _span(
        self, market: str, start: Moment, end: Moment, outcome: str | int | None
    ) -> tuple[Subject, tuple[tuple[str, str], ...], tuple[int, int]]:
        """Who is meant, which tokens, and from when until when, in ns."""
        start, end = self._settled(start), self._settled(end)
        subject = self._search.find(market, start, Findings(self.on_damage))
        tokens = subject.tokens if outcome is None else (outcome_at(outcome, subject.tokens),)
        return subject, tokens, (moment_ns(start, subject.window), moment_ns(end, subject.window))

    def _settled(self, moment: Moment) -> Moment:
        return settled(moment, self._now_ns())

    def _ns(self, moment: Moment) -> int:
        """Of a moment of no market."""
        return moment_ns(self._settled(moment))

    def hours(self) -> list[int]:
        """Every hour that holds published books, Unix ms."""
        return self._shelf.hours()

    def market(self, market: str, at: Moment) -> Subject:
        """Who a market is: slug, condition id, tokens and outcomes, window."""
        return self._search.find(market, self._settled(at), Findings(self.on_damage))

    def markets(self, start: Moment, end: Moment) -> list[Subject]:
        """Every market that was published between two moments, by its name."""
        findings = Findings(self.on_damage)
        from_ms, until_ms = self._ns(start) // NS_PER_MS, self._ns(end) // NS_PER_MS
        epoch = self._catalogue.epoch(from_ms, until_ms, findings)
        found = (epoch.subject(each) for each in epoch.markets)
        return sorted((each for each in found if each), key=lambda each: each.slug)

    def coverage(
        self, start: Moment, end: Moment, market: str = "*", *, gap_ms: int = 0
    ) -> list[MarketCoverage]:
        """What became of every tick due in start ≤ due < end; `market` is a slug or a pattern."""
        from_ms, until_ms = self._ns(start) // NS_PER_MS, self._ns(end) // NS_PER_MS
        until_ms = min(until_ms, self._now_ns() // NS_PER_MS)
        findings = Findings(self.on_damage)
        return self._accounts.coverage(from_ms, until_ms, market, gap_ms, findings)


def _hourly(span_ns: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """A span cut at the UTC hours."""
    at_ns = span_ns[0]
    while at_ns < span_ns[1]:
        end_ns = min(span_ns[1], (at_ns // _HOUR_NS + 1) * _HOUR_NS)
        yield at_ns, end_ns
        at_ns = end_ns
