"""Books of a market as one Arrow table, with the columns of `docs/ORDERBOOK_SCHEMA.md`.

    polars.from_arrow(reader.frame("btc-updown-5m-1776326400", "open", "close"))

Rows come from derived tables where they are current, else from raw by the normalizer's own code:
the same rows either way. The gaps, and what was damaged, stand in the schema's metadata, as JSON
under `orderbooks.gaps` and `orderbooks.findings`: a column cannot hold what is not there.

Reads     derived/books, raw segments
Promises  rows in the table's order; of damaged or invalid segments none
Never     writes; imports pyarrow before a frame is asked for
"""

# ruff: noqa: PLC0415 - pyarrow takes 60 MB and 0.2 s: only who needs a frame loads it

from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from workers.core.canvas import Gap
from workers.core.columns import BOOKS
from workers.core.normalizing import BooksReader
from workers.core.story import ManifestMarket
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.leaves import LATE_MS, Leaves
from workers.edge.reading.shelf import Piece
from workers.edge.reading.tables import Frame, Tables, chosen

#: Lines that are turned into columns at once.
_LINES = 2000


class Frames:
    """The frames of one archive."""

    def __init__(self, leaves: Leaves, tables: Tables) -> None:
        self._leaves, self._tables = leaves, tables

    def frame(
        self,
        subject: Subject,
        tokens: Collection[str],
        span_ns: tuple[int, int],
        gaps: Sequence[Gap],
        findings: Findings,
    ) -> Frame:
        """Every book of some tokens received in from ≤ t < until, as a pyarrow.Table."""
        from workers.edge import parquet

        from_ms, until_ms = span_ns[0] // 1_000_000, -(-span_ns[1] // 1_000_000)
        pieces = self._leaves.pieces(
            subject.slug, subject.condition_id, from_ms - LATE_MS, until_ms, findings
        )
        invalid = self._leaves.invalid(findings)
        empty = parquet.from_rows(BOOKS, [])
        portions: list[Frame] = []
        for piece in pieces:
            if piece.stem in invalid:
                findings.pairs.append((piece.stem, f"invalid: {invalid[piece.stem]}"))
                continue
            found = self._portions(subject, piece, findings)
            within = (_within(each, tokens, span_ns) for each in found)
            portions += [each for each in within if len(each)]
        batches = [
            batch for part in parquet.in_order(BOOKS, portions) for batch in part.to_batches()
        ]
        told = {
            **(empty.schema.metadata or {}),
            "orderbooks.gaps": msgspec.json.encode(gaps),
            "orderbooks.findings": msgspec.json.encode(findings.said),
        }
        whole = empty.from_batches(batches, schema=empty.schema)
        return whole.replace_schema_metadata(told)

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


def _within(table: Any, tokens: Collection[str], span_ns: tuple[int, int]) -> Frame:  # noqa: ANN401
    received = table.column("recv_wall_ns").to_pylist()
    owners = table.column("token_id").to_pylist()
    kept = [
        at
        for at, (recv_ns, token) in enumerate(zip(received, owners, strict=True))
        if span_ns[0] <= recv_ns < span_ns[1] and token in tokens
    ]
    return table if len(kept) == len(table) else chosen(table, kept)
