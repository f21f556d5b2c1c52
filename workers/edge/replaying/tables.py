"""Scenes out of the derived table `books`; what was missed comes from coverage, as ever.

The bytes of a book are made again from its columns: those that the venue hashed. A row whose book
was not of the hashed shape has no bytes there and comes without a book.

Reads     derived/books and its manifests; manifests of raw segments; labels; and for gaps what
          `orderbooks coverage` reads
Promises  a table is read when it has the SHA-256 of its manifest; a segment that no table holds,
          or in another state, is said to be missing
Fails     Refused with on_damage "raise"
Never     writes
"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from workers.core.book import Book, with_hash
from workers.core.bookhash import Verdict
from workers.core.columns import BOOKS
from workers.core.errors import Refused
from workers.core.evidence import (
    Answer,
    Intervals,
    Provenance,
    Sighting,
    State,
    causes_text,
    judged,
)
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.ladders import ladder_of
from workers.core.manifests import read_manifest
from workers.core.payloads import Hashed, payload
from workers.core.replay import Kind, Scene, merged
from workers.core.segments import MANIFEST_SUFFIX, ROOTS, parse_name, safe_subject
from workers.core.table_manifests import TableManifest, covered, table_folder
from workers.edge import durable, parquet
from workers.edge.derived import shelf
from workers.edge.reading.archive import Reader
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.folders import hour_folder, hour_of
from workers.edge.replaying.cast import Cast
from workers.edge.replaying.raw import hours
from workers.edge.spool import labels

_BATCH = 64
#: pyarrow has one owner, and no types.
Frame = Any
#: Of the flags of a table, those that the recorder itself gave: the others are checks.
_RECORDED = frozenset({"time_went_back", "verdict_differs"})
Row = dict[str, Any]


class Source(msgspec.Struct, frozen=True):
    """One table file, its hour's folder, and the SHA-256 of each segment in it."""

    manifest: TableManifest
    hour_ms: int
    segments: dict[str, str]


class _Wanted(msgspec.Struct, frozen=True):
    """One token's rows of one file, received in from_ns ≤ t < until_ns."""

    source: Source
    subject: Subject
    token: tuple[str, str]
    from_ns: int
    until_ns: int


class Tables:
    """The scenes of one replay out of tables."""

    def __init__(self, reader: Reader, cast: Cast) -> None:
        self._reader, self._cast, self._data = reader, cast, reader.data
        self._proven: set[str] = set()
        self._invalid: dict[str, str] = {}
        self._intervals = {each.condition_id: Intervals(each.known) for each in cast.subjects}

    def scenes(self) -> Iterator[Scene]:
        """Every scene, by time."""
        unreadable: list[str] = []
        self._invalid = {
            each.artifact: each.reason
            for each in labels.all_labels(self._data, unreadable)
            if each.kind == "invalid"
        }
        for from_ns, until_ns in hours(self._cast):
            sources = [*self._sources(from_ns)]
            for subject in self._cast.subjects:
                said = [*self._missing(subject, sources, from_ns), *unreadable]
                yield from (_damage(subject, from_ns, each) for each in self._told(said))
            streams = [
                self._rows(_Wanted(source, subject, token, from_ns, until_ns))
                for source in sources
                for subject in self._cast.subjects
                for token in subject.tokens
            ]
            gaps = [self._gaps(each, from_ns, until_ns) for each in self._cast.subjects]
            yield from merged([*gaps, *streams])

    def _told(self, said: list[str]) -> list[str]:
        if said and self._reader.on_damage == "raise":
            hint = "orderbooks normalize, or --source raw; --on-damage label goes on"
            raise Refused(f"replay the tables: {said[0]}", hint=hint)
        return said

    def _sources(self, from_ns: int) -> Iterator[Source]:
        """The table files with rows that may have come in an hour: its own and the one before."""
        hour_ms = hour_of(from_ns // NS_PER_MS)
        for each_ms in (hour_ms - MS_PER_HOUR, hour_ms):
            for manifest in self._standing(each_ms):
                self._prove(manifest)
                segments = {name: each.sha256 for name, each in covered([manifest]).items()}
                yield Source(manifest, each_ms, segments)

    def _standing(self, hour_ms: int) -> list[TableManifest]:
        try:
            return shelf.standing(self._data, BOOKS.name, hour_ms)
        except msgspec.MsgspecError as error:
            place = table_folder(BOOKS.name, hour_ms)
            raise Refused(
                f"read a manifest in {place}: {error}", hint="orderbooks verify"
            ) from error

    def _prove(self, manifest: TableManifest) -> None:
        if manifest.name in self._proven:
            return
        digest = hashlib.sha256()
        for piece in durable.read_back(self._data.root / manifest.path):
            digest.update(piece)
        if digest.hexdigest() != manifest.sha256:
            raise Refused(
                f"read {manifest.path}: sha256 {digest.hexdigest()}, not {manifest.sha256}",
                hint="orderbooks rebuild makes it anew from raw",
            )
        self._proven.add(manifest.name)

    def _missing(self, subject: Subject, sources: list[Source], from_ns: int) -> Iterator[str]:
        """Segments of a market in an hour that no table holds as they are."""
        safe = {safe_subject(f"{subject.slug}{each}") for each in ("", "-t0", "-t1")}
        held = {name: sha for source in sources for name, sha in source.segments.items()}
        folder = self._data.root / hour_folder(ROOTS["books"], hour_of(from_ns // NS_PER_MS))
        for path in sorted(folder.glob(f"*{MANIFEST_SUFFIX}")):
            name = path.name.removesuffix(MANIFEST_SUFFIX)
            parsed = parse_name(name)
            if parsed is None or parsed.kind != "books" or parsed.subject not in safe:
                continue
            manifest = read_manifest(path.read_bytes())
            market = manifest.told.market
            if market and market.condition_id != subject.condition_id:
                continue
            if held.get(name) != manifest.sha256:
                yield f"{name} is in no table"

    def _gaps(self, subject: Subject, from_ns: int, until_ns: int) -> Iterator[Scene]:
        judged_markets = self._reader.coverage(from_ns, until_ns, subject.slug)
        for gap in (gap for each in judged_markets for gap in each.gaps):
            for token_id, outcome in subject.tokens:
                answer = Answer(
                    slug=subject.slug,
                    condition_id=subject.condition_id,
                    token_id=token_id,
                    outcome=outcome,
                    at_ns=gap.from_due_ms * NS_PER_MS,
                    state=State.GAP,
                    cause=causes_text(gap.counts),
                    gap=gap,
                )
                yield Scene(Kind.GAP, answer)

    def _rows(self, wanted: _Wanted) -> Iterator[Scene]:
        """A row group at a time, as they are needed."""
        condition_id, token_id = wanted.subject.condition_id, wanted.token[0]
        spans: dict[str, tuple[Any, Any]] = {
            "condition_id": (condition_id, condition_id),
            "token_id": (token_id, token_id),
            "recv_wall_ns": (wanted.from_ns, wanted.until_ns - 1),
        }
        file = parquet.opened(self._data.root / wanted.source.manifest.path, BOOKS)
        try:
            for at in range(file.metadata.num_row_groups):
                if _may_hold(file.metadata.row_group(at), spans):
                    yield from self._of_group(file.read_row_group(at, use_threads=False), wanted)
        finally:
            file.close()

    def _of_group(self, table: Frame, wanted: _Wanted) -> Iterator[Scene]:
        tokens = table["token_id"].to_pylist()
        times = table["recv_wall_ns"].to_pylist()
        inside = [
            at
            for at, (each, time) in enumerate(zip(tokens, times, strict=True))
            if each == wanted.token[0] and wanted.from_ns <= time < wanted.until_ns
        ]
        # Sorted by token and time: they stand together.
        for first in range(inside[0], inside[-1] + 1, _BATCH) if inside else ():
            count = min(_BATCH, inside[-1] + 1 - first)
            for row in table.slice(first, count).to_pylist():
                yield self._scene(row, wanted.source, wanted.subject, wanted.token)

    def _scene(self, row: Row, source: Source, subject: Subject, token: tuple[str, str]) -> Scene:
        book = _book_of(row)
        reason = self._invalid.get(row["segment"])
        due_ms, intervals = row["due_ms"], self._intervals[subject.condition_id]
        interval_ms = intervals.at(row["recv_wall_ns"] // NS_PER_MS)
        state, cause = judged(
            Sighting(
                age_ns=0,
                verdict=Verdict(row["hash_verdict"]),
                flags=[each for each in row["flags"] if each in _RECORDED],
                damage=[f"invalid: {row['segment']}: {reason}"] if reason is not None else [],
                interval_ms=interval_ms,
                last_interval_ms=intervals.at(due_ms),
            )
        )
        answer = Answer(
            slug=subject.slug,
            condition_id=subject.condition_id,
            token_id=token[0],
            outcome=token[1],
            at_ns=row["recv_wall_ns"],
            state=state,
            cause=cause,
            book=book,
            due_ms=due_ms,
            send_wall_ns=row["send_wall_ns"],
            recv_wall_ns=row["recv_wall_ns"],
            hash_verdict=Verdict(row["hash_verdict"]),
            flags=tuple(row["flags"]),
            interval_ms=interval_ms,
            provenance=_provenance(row, source),
        )
        return Scene(Kind.BOOK, answer, book.spelling)


def _provenance(row: Row, source: Source) -> Provenance:
    """The raw row, and the table that was read instead."""
    return Provenance(
        path=f"{hour_folder(ROOTS['books'], source.hour_ms)}/{row['segment']}.jsonl.gz",
        row=row["row"],
        sha256=source.segments.get(row["segment"]),
        request="",
        source=row["source"],
        derived=source.manifest.path,
    )


def _may_hold(group: Frame, spans: dict[str, tuple[Any, Any]]) -> bool:
    """False when the statistics of a row group say that no row of it is within."""
    for at in range(group.num_columns):
        column = group.column(at)
        span = spans.get(column.path_in_schema)
        told = column.statistics if span is not None else None
        if span is None or told is None or not told.has_min_max:
            continue
        if told.max < span[0] or told.min > span[1]:
            return False
    return True


def _book_of(row: Row) -> Book:
    """The book; its spelling is empty where the columns are not all the venue hashed."""
    names = (
        *("condition_id", "token_id", "venue_ms", "min_order_size_micros", "tick_micros"),
        *("neg_risk", "last_trade_price_micros"),
    )
    same = {name: row[name] for name in names}
    ladders = [f"{side}_{what}_micros" for side in ("bid", "ask") for what in ("price", "size")]
    spelling = b""
    if row["hash_verdict"] != Verdict.ABSENT:
        hashed = Hashed(**same, **{name: row[name] for name in ladders}, texts=row["texts"])
        spelling = with_hash(payload(hashed), row["hash"])
    bids, asks = (
        ladder_of(row[f"{side}_price_micros"], row[f"{side}_size_micros"])
        for side in ("bid", "ask")
    )
    return Book(**same, hash=row["hash"], bids=bids, asks=asks, spelling=spelling)


def _damage(subject: Subject, at_ns: int, what: str) -> Scene:
    token_id, outcome = subject.tokens[0]
    answer = Answer(
        slug=subject.slug,
        condition_id=subject.condition_id,
        token_id=token_id,
        outcome=outcome,
        at_ns=at_ns,
        state=State.LABELLED,
        cause=what,
    )
    return Scene(Kind.DAMAGE, answer)
