"""What the stream told in a stretch: where it covered each token, and its figures there.

Reads     derived `snapshots`, `changes`, `ticks`, `trades` and `turns`, as the reading library does
Promises  memory follows one market and hour; what is damaged or not derived is a note, and counts
          as not covered; a segment that a person called invalid counts as not covered
Never     writes
"""

import msgspec

from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.report.stats import Spreads, Sums
from workers.core.report.stream_stats import Fold, Span
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.films import Film
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders
from workers.edge.reading.logs import Logs
from workers.edge.reading.reels import Print
from workers.edge.reading.shelf import Shelf
from workers.edge.reading.streams import Streams
from workers.edge.reading.tables import Tables
from workers.edge.reading.vault import Vault
from workers.edge.reports.stock import Stock
from workers.edge.spool.directory import DataDir

_CACHE_BYTES = 1 << 20


class Streamed(msgspec.Struct):
    """Of one token: where the stream covered it, and what it told there."""

    spans: list[Span]
    sums: Sums
    spreads: Spreads


def streamed(data: DataDir, found: Stock) -> tuple[dict[str, Streamed], list[str]]:
    """By token, what the stream told of each market that was due, and notes."""
    folders, vault, findings = Folders(data.root), Vault(data, _CACHE_BYTES), Findings("label")
    tables = Tables(folders, vault)
    logs = Logs(folders, vault, tables, source="derived")
    streams = Streams(Shelf(data, folders, vault, "frames"), logs, vault, tables, source="derived")
    told: dict[str, Streamed] = {}
    for market in found.markets:
        stretch = found.stretch
        hours = streams.hours(market.subject.slug, stretch.from_ms, stretch.until_ms)
        for hour_ms in (each for each in stretch.hours if each in hours):
            window = (
                max(hour_ms, stretch.from_ms) * NS_PER_MS,
                min(hour_ms + MS_PER_HOUR, stretch.until_ms) * NS_PER_MS,
            )
            film = streams.within(market.subject, *window, findings)
            if film is not None and not _is_invalid(film, found.invalid):
                _add(told, market.subject, film, window)
    return told, findings.said


def _is_invalid(film: Film, invalid: tuple[str, ...]) -> bool:
    return any(each.piece.stem in invalid for each in film.reels)


def _add(told: dict[str, Streamed], subject: Subject, film: Film, window: Span) -> None:
    for token_id, _ in subject.tokens:
        stretches = film.lines(token_id).stretches()
        cut = ((max(begin, window[0]), min(end, window[1])) for begin, end in stretches)
        spans = [each for each in cut if each[0] < each[1]]
        fold = Fold(spans)
        for reel in film.reels:
            if isinstance(reel, Print):
                fold.read(reel.steps(token_id))
        fold.end(window[1])
        if spans:
            of = told.setdefault(token_id, Streamed([], Sums(), Spreads()))
            of.spans += spans
            of.sums.update(fold.sums)
            of.spreads.update(fold.spreads)
