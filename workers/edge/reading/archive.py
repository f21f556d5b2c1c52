"""The reading library: the book of any market at any instant, with what proves it.

    from workers.edge.reading.archive import open_archive

    reader = open_archive("/data/orderbooks")
    answer = reader.book("btc-updown-5m-1776326400", "Up", "open+30s")
    answer.state, answer.book.best_bid, answer.age_ns, answer.provenance

An archive is a data directory, one that is being written or a restored part of one. A market is a
slug, a condition id or the address of its page; an outcome a name, 0, 1 or a token id; a moment
RFC 3339, Unix s or ms, a datetime, or `open+30s` and `close-1m` of the market's window.

Reads     raw segments, published or being written; publications; ledgers, where a gap needs a
          cause; derived tables, where their manifests name the same sources
Promises  an answer is the last book received before the moment, never one made up between two; a
          file that is read is proven (`edge.reading.vault`): damage raises or labels, as asked
Fails     Damaged, Offloaded, NeedsAPerson (no such archive, market, outcome or time)
Never     writes
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from workers.core.coverage import MarketCoverage
from workers.core.errors import NeedsAPerson
from workers.core.evidence import Answer, Change, Trade
from workers.core.instants import MS_PER_HOUR
from workers.core.moments import Moment, is_relative, moment_ns, outcome_at
from workers.edge.reading.accounts import Accounts
from workers.edge.reading.catalogue import Catalogue, Subject
from workers.edge.reading.findings import Findings, OnDamage
from workers.edge.reading.folders import Folders
from workers.edge.reading.frames import Frames
from workers.edge.reading.leaves import Leaves
from workers.edge.reading.search import Search
from workers.edge.reading.shelf import Shelf
from workers.edge.reading.sights import Sights
from workers.edge.reading.tables import Frame, Tables
from workers.edge.reading.vault import Vault
from workers.edge.spool.directory import DataDir

NS_PER_MS = 1_000_000
CACHE_BYTES = 64 << 20


def open_archive(
    path: str | Path,
    on_damage: OnDamage = "raise",
    *,
    cache_bytes: int = CACHE_BYTES,
    now_ns: Callable[[], int] = time.time_ns,
) -> "Reader":
    """Open a data directory for reading.

    Args:
        path: the directory.
        on_damage: "raise" ends a question at the first damaged file that is read for it; "label"
            reads on as far as the file is whole, and the answer's state is LABELLED.
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
    return Reader(DataDir(root), on_damage, cache_bytes, now_ns)


class Reader:
    """One archive; keeps streams and listings, so one reader for many questions. One thread."""

    def __init__(
        self, data: DataDir, on_damage: OnDamage, cache_bytes: int, now_ns: Callable[[], int]
    ) -> None:
        self.data, self.on_damage = data, on_damage
        self._now_ns = now_ns
        folders, self.vault = Folders(data.root), Vault(data, cache_bytes)
        self._catalogue = Catalogue(data, folders, self.vault)
        self._accounts = Accounts(data, folders, self.vault)
        self._shelf = shelf = Shelf(data, folders, self.vault)
        self._search = Search(self._catalogue, shelf)
        tables = Tables(folders, self.vault)
        leaves = Leaves(data, folders, shelf, self.vault, tables)
        self._frames = Frames(leaves, tables)
        self._sights = Sights(self._catalogue, self._accounts, leaves)

    def book(self, market: str, outcome: str | int, at: Moment) -> Answer:
        """The last book of one outcome received at a moment or before it."""
        findings = Findings(self.on_damage)
        subject = self._search.find(market, at, findings)
        token = outcome_at(outcome, subject.tokens)
        at_ns = moment_ns(at, subject.window)
        if at_ns > self._now_ns():
            raise NeedsAPerson(f"read the book at {at}: that is in the future")
        return self._sights.at(subject, token, at_ns, findings)

    def next_book(self, market: str, outcome: str | int, at: Moment) -> Answer | None:
        """The first book of one outcome received after a moment; None when none was in an hour."""
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
        """The books received in start ≤ t < end as a pyarrow.Table; see `edge.reading.frames`.

        `polars.from_arrow` makes a Polars frame of it without copying. Gaps and findings stand in
        its schema's metadata.
        """
        findings = Findings(self.on_damage)
        subject = self._search.find(market, start, findings)
        tokens = subject.tokens if outcome is None else (outcome_at(outcome, subject.tokens),)
        span_ns = moment_ns(start, subject.window), moment_ns(end, subject.window)
        gaps = self._sights.gaps(subject, tokens, span_ns, findings)
        return self._frames.frame(
            subject, frozenset(each[0] for each in tokens), span_ns, gaps, findings
        )

    def changes(self, market: str, start: Moment, end: Moment) -> Iterator[Change]:
        """Every change of a level between two moments: none before the stream is recorded."""
        self._search.find(market, start, Findings(self.on_damage))
        self._check(end)
        return iter(())

    def trades(self, market: str, start: Moment, end: Moment) -> Iterator[Trade]:
        """Every trade between two moments: none before the stream is recorded."""
        self._search.find(market, start, Findings(self.on_damage))
        self._check(end)
        return iter(())

    def _check(self, moment: Moment) -> None:
        if not is_relative(moment):
            moment_ns(moment)

    def hours(self) -> list[int]:
        """Every hour that holds published books, Unix ms."""
        return self._shelf.hours()

    def market(self, market: str, at: Moment) -> Subject:
        """Who a market is: slug, condition id, tokens and outcomes, window."""
        return self._search.find(market, at, Findings(self.on_damage))

    def markets(self, start: Moment, end: Moment) -> list[Subject]:
        """Every market that was published between two moments, by its name."""
        findings = Findings(self.on_damage)
        from_ms, until_ms = moment_ns(start) // NS_PER_MS, moment_ns(end) // NS_PER_MS
        epoch = self._catalogue.epoch(from_ms, until_ms, findings)
        found = (epoch.subject(each) for each in epoch.markets)
        return sorted((each for each in found if each), key=lambda each: each.slug)

    def coverage(
        self, start: Moment, end: Moment, market: str = "*", *, gap_ms: int = 0
    ) -> list[MarketCoverage]:
        """What became of every tick due in start ≤ due < end; `market` is a slug or a pattern."""
        from_ms, until_ms = moment_ns(start) // NS_PER_MS, moment_ns(end) // NS_PER_MS
        until_ms = min(until_ms, self._now_ns() // NS_PER_MS)
        findings = Findings(self.on_damage)
        return self._accounts.coverage(from_ms, until_ms, market, gap_ms, findings)
