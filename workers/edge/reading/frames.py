"""What `books` tells of a market as one Arrow table: columns of `core.tables.framed`.

    polars.from_arrow(reader.frame("btc-updown-5m-1776326400", "open", "close"))

Rows of polls come from derived tables where they are current, else from raw by the normalizer's own
code: the same rows either way. Where a streamer recorded the market the rows are those of its
answers, in their order. Gaps, and what was damaged, stand in the schema's metadata, as JSON under
`orderbooks.gaps`, `orderbooks.stream_gaps` and `orderbooks.findings`: a column cannot hold what is
not there.

Reads     derived/books, raw segments; of the stream what `edge.reading.both` reads
Promises  by token, then by time, the books that `books` tells; of damaged or invalid segments none
Never     writes; imports pyarrow before a frame is asked for
"""

# ruff: noqa: PLC0415 - pyarrow takes 60 MB and 0.2 s: only who needs a frame loads it

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.books.bookhash import Verdict
from workers.core.coverage.canvas import Gap
from workers.core.coverage.plans import Known
from workers.core.reading.evidence import POLLS, STREAM, Answer, Intervals, Sighting, State, judged
from workers.core.stream.covers import StreamGap, clipped
from workers.core.tables.columns import BOOKS
from workers.core.tables.framed import FRAME, OWN, TOLD, stem_of, stream_row
from workers.core.tables.normalizing import BooksReader
from workers.edge.reading.both import Both, Part
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.leaves import LATE_MS, Leaves
from workers.edge.reading.shelf import Piece
from workers.edge.reading.sights import Sights, Token
from workers.edge.reading.tables import RAW_FLAGS, Frame, Tables, chosen

#: Lines that are turned into columns at once.
_LINES = 2000


class Wanted(msgspec.Struct, frozen=True):
    """What a frame is of: `known` says when the market was due."""

    subject: Subject
    tokens: tuple[Token, ...]
    span_ns: tuple[int, int]
    known: Known | None


class _MissedStream(msgspec.Struct, frozen=True):
    """A gap of the stream, and whose."""

    token_id: str
    gap: StreamGap


class _Lacks:
    """What a frame has no rows for."""

    def __init__(self) -> None:
        self.gaps: list[Gap] = []
        self.stream_gaps: list[_MissedStream] = []
        self.said: dict[str, None] = {}

    def told(self, findings: Findings) -> dict[str, bytes]:
        """The metadata that says so."""
        said = list(dict.fromkeys([*findings.said, *self.said]))
        return {
            "orderbooks.gaps": msgspec.json.encode(self.gaps),
            "orderbooks.stream_gaps": msgspec.json.encode(self.stream_gaps),
            "orderbooks.findings": msgspec.json.encode(said),
        }


class Frames:
    """The frames of one archive."""

    def __init__(self, leaves: Leaves, tables: Tables, polls: Sights, both: Both) -> None:
        self._leaves, self._tables, self._polls, self._both = leaves, tables, polls, both

    def frame(self, wanted: Wanted, findings: Findings) -> Frame:
        """Every book of some tokens told in from ≤ t < until, as a pyarrow.Table."""
        lacks, blocks = _Lacks(), []
        parts = self._both.parts(wanted.subject, *wanted.span_ns, findings.on_damage)
        for each, film in _joined(parts):
            part = msgspec.structs.replace(wanted, span_ns=each.span_ns)
            polled = self._polled(part, findings)
            if film is None:
                lacks.gaps += self._polls.gaps(part.subject, part.tokens, part.span_ns, findings)
                blocks.append(polled)
            else:
                blocks.append(self._streamed(part, each, polled, lacks))
        whole = _together(blocks)
        schema = whole.schema.with_metadata({**whole.schema.metadata, **lacks.told(findings)})
        order = sorted(range(len(whole)), key=whole.column("token_id").to_pylist().__getitem__)
        return chosen(whole, order).replace_schema_metadata(schema.metadata)

    def _polled(self, wanted: Wanted, findings: Findings) -> Frame:
        """The polls received in a span, in the order of their table."""
        from workers.edge import parquet

        subject, span_ns = wanted.subject, wanted.span_ns
        from_ms, until_ms = span_ns[0] // 1_000_000, -(-span_ns[1] // 1_000_000)
        pieces = self._leaves.pieces(
            subject.slug, subject.condition_id, from_ms - LATE_MS, until_ms, findings
        )
        invalid = self._leaves.invalid(findings)
        portions: list[Frame] = []
        for piece in pieces:
            if piece.stem in invalid:
                findings.pairs.append((piece.stem, f"invalid: {invalid[piece.stem]}"))
                continue
            within = (_within(each, wanted) for each in self._portions(subject, piece, findings))
            portions += [each for each in within if len(each)]
        return _together(
            [_judged(each, wanted.known) for each in parquet.in_order(BOOKS, portions)]
        )

    def _streamed(self, wanted: Wanted, part: Part, polled: Frame, lacks: _Lacks) -> Frame:
        """The books of both sources in the order in which they are told."""
        from workers.edge import parquet

        keys = zip(
            polled.column("segment").to_pylist(), polled.column("row").to_pylist(), strict=True
        )
        places = {key: at for at, key in enumerate(keys)}
        told = _Told(wanted.subject.series, len(polled))
        taken: list[tuple[int, Answer]] = []
        for answer in self._both.within(wanted.subject, wanted.tokens, part):
            if answer.state == State.LABELLED:
                lacks.said[answer.cause] = None
            elif answer.book is not None and answer.source == STREAM:
                taken.append((told.add(answer), answer))
            elif answer.book is not None and answer.provenance is not None:
                key = stem_of(answer.provenance.path), answer.provenance.row
                taken += [(places[key], answer)] if key in places else []
            elif answer.gap is not None:
                lacks.gaps.append(answer.gap)
        covers = part.film.covers if part.film else {}
        lacks.stream_gaps += [
            _MissedStream(token_id, gap)
            for token_id, _ in wanted.tokens
            for gap in clipped(covers[token_id].gaps(), *part.span_ns)
        ]
        rows = chosen(_together([polled, *told.blocks()]), [at for at, _ in taken])
        told_of = [(e.at_ns, e.state.value, e.cause) for _, e in taken]
        return _with(rows, parquet.from_rows(TOLD, told_of))

    def _portions(self, subject: Subject, piece: Piece, findings: Findings) -> list[Frame]:
        """The rows of one segment: from a current table, else from its own lines."""
        from workers.edge import parquet

        if piece.manifest is not None:
            read = self._tables.rows(piece.manifest, findings)
            if read is not None:
                return [read[1]]
        held = self._leaves.held(piece, findings)
        if held is None or held.damage or held.is_offloaded or not held.rows:
            return []
        tokens = dict(subject.tokens)
        market = ManifestMarket(
            slug=subject.slug,
            condition_id=subject.condition_id,
            series=subject.series,
            tokens=tokens,
        )
        reader = BooksReader(piece.stem, market)
        lines = held.rows[:-1].split(b"\n")
        found = []
        for at in range(0, len(lines), _LINES):
            reader.read(lines[at : at + _LINES])
            found.append(parquet.from_chunk(reader.chunk(), piece.stem, market))
        return found


class _Told:
    """States of the stream becoming columns, some at a time; the first has number `begins`."""

    def __init__(self, series: str, begins: int) -> None:
        self._series, self._next = series, begins
        self._rows: list[tuple[object, ...]] = []
        self._blocks: list[Frame] = []

    def add(self, answer: Answer) -> int:
        """The number of its row."""
        self._rows.append(stream_row(answer, self._series))
        if len(self._rows) == _LINES:
            self._flush()
        self._next += 1
        return self._next - 1

    def blocks(self) -> list[Frame]:
        """All of them."""
        self._flush()
        return self._blocks

    def _flush(self) -> None:
        from workers.edge import parquet

        self._blocks.append(parquet.from_rows(FRAME, self._rows))
        self._rows = []


def _joined(parts: Iterable[Part]) -> Iterator[tuple[Part, object]]:
    """The parts of a span; those without a stream that follow each other as one."""
    waiting: Part | None = None
    for part in parts:
        if waiting is not None and part.film is None:
            span_ns = waiting.span_ns[0], part.span_ns[1]
            waiting = msgspec.structs.replace(waiting, span_ns=span_ns)
            continue
        if waiting is not None:
            yield waiting, None
        waiting = part if part.film is None else None
        if part.film is not None:
            yield part, part.film
    if waiting is not None:
        yield waiting, None


def _together(blocks: Sequence[Frame]) -> Frame:
    """Blocks of a frame as one."""
    from workers.edge import parquet

    empty = parquet.from_rows(FRAME, [])
    batches = [batch for each in blocks for batch in each.to_batches()]
    return empty.from_batches(batches, schema=empty.schema)


def _with(rows: Frame, own: Frame) -> Frame:
    """The same rows, with other columns of these names."""
    for name in own.schema.names:
        at, field = rows.schema.names.index(name), rows.schema.field(name)
        rows = rows.set_column(at, field, own.column(name))
    return rows


def _judged(rows: Frame, known: Known | None) -> Frame:
    """Rows of the table `books` as rows of a frame, each with the state that `books` tells."""
    from workers.edge import parquet

    schema, states = parquet.schema_of(FRAME), _States(known)
    names = ("recv_wall_ns", "due_ms", "hash_verdict", "flags")
    told = zip(*(rows.column(name).to_pylist() for name in names), strict=True)
    own = parquet.from_rows(
        OWN, [(POLLS, each[0], *states.of(*each), "", "", None, None) for each in told]
    )
    rows = rows.drop_columns(["source"])
    for name in own.schema.names:
        rows = rows.append_column(schema.field(name), own.column(name))
    return rows.select(schema.names).cast(schema)


class _States:
    """States of polls when they were received; there are few."""

    def __init__(self, known: Known | None) -> None:
        self._intervals = Intervals(known)
        self._states: dict[tuple[object, ...], tuple[str, str]] = {}

    def of(self, recv_ns: int, due_ms: int, verdict: str, flags: Sequence[str]) -> tuple[str, str]:
        """State and cause, as `books` tells them."""
        intervals = (self._intervals.at(recv_ns // 1_000_000), self._intervals.at(due_ms))
        key = (*intervals, verdict, *flags)
        if key not in self._states:
            raw = [each for each in flags if each in RAW_FLAGS]
            sighting = Sighting(
                age_ns=0,
                verdict=Verdict(verdict),
                flags=raw,
                interval_ms=intervals[0],
                last_interval_ms=intervals[1],
            )
            self._states[key] = judged(sighting)
        return self._states[key]


def _within(table: Frame, wanted: Wanted) -> Frame:
    received = table.column("recv_wall_ns").to_pylist()
    owners = table.column("token_id").to_pylist()
    tokens, span_ns = {each[0] for each in wanted.tokens}, wanted.span_ns
    kept = [
        at
        for at, (recv_ns, token) in enumerate(zip(received, owners, strict=True))
        if span_ns[0] <= recv_ns < span_ns[1] and token in tokens
    ]
    return table if len(kept) == len(table) else chosen(table, kept)
