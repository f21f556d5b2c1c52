"""The rows of a market: its segments opened, published or being written, as findings allow.

Reads     segments of one market; labels
Promises  a segment that is damaged, offloaded or called invalid is a finding, and what can be read
          of it is there; a segment that is published while it is looked for is found
Never     writes
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import msgspec

from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.runs import Run
from workers.core.books import bookhash
from workers.core.instants import MS_PER_HOUR
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_of
from workers.edge.reading.sheet import Row, Rows, Spot
from workers.edge.reading.shelf import Piece, Shelf, started_ms
from workers.edge.reading.tables import IN_NO_TABLE, Tables, TableSheet
from workers.edge.reading.vault import Held
from workers.edge.spool import labels
from workers.edge.spool.directory import DataDir

NS_PER_MS = 1_000_000
#: Where books are read from; a segment that is not here is read from tables either way.
Source = Literal["raw", "derived"]
#: An answer comes at most this long after its tick.
LATE_MS = 120_000
#: Segments whose rows are kept from tables; about 5 MB each.
_TABLES_KEPT = 16


class Leaf(msgspec.Struct, frozen=True):
    """One segment whose rows can be asked; `table` is the derived file they are read from."""

    piece: Piece
    held: Held
    rows: Rows
    table: str = ""

    @property
    def sha256(self) -> str | None:
        """Of the raw file, whether its rows come from it or from a table; None of an open one."""
        return self.piece.manifest.sha256 if self.piece.manifest else None


class Found(msgspec.Struct, frozen=True):
    """A row and the segment it stands in."""

    leaf: Leaf
    spot: Spot

    def row(self) -> Row:
        """The row itself."""
        return self.leaf.rows.row(self.spot)


class Leaves:
    """The segments of an archive, by market and hour."""

    def __init__(
        self,
        data: DataDir,
        folders: Folders,
        shelf: Shelf,
        tables: Tables,
        *,
        source: Source,
    ) -> None:
        self._data, self._folders, self._shelf = data, folders, shelf
        self._tables, self._source = tables, source
        self._tables_read: dict[str, tuple[str, TableSheet]] = {}
        self._labels: tuple[tuple[str, ...], dict[str, str]] = ((), {})

    def last(
        self,
        names: tuple[str, str, str],
        at_ns: int,
        begins_ms: int,
        findings: Findings,
    ) -> Found | None:
        """The row received last, from the moment back to where the market begins.

        Args:
            names: slug, condition id and token id.
            at_ns: the moment.
            begins_ms: nothing was due before it.
            findings: of this question.
        """
        slug, condition_id, token_id = names
        at_ms = at_ns // NS_PER_MS
        opened = self._shelf.open_pieces(slug)
        hours = [each for each in reversed(self._shelf.hours()) if each <= at_ms]
        near = [each for each in hours if each > at_ms - LATE_MS - MS_PER_HOUR]
        rest = [each for each in hours if each not in near and each + MS_PER_HOUR > begins_ms]
        for group in [near, *([each] for each in rest)]:
            pieces = self._merged(opened, slug, condition_id, group, findings)
            found = self._last_of(pieces, token_id, at_ns, findings)
            if found is not None:
                return found
            opened = []
        return None

    def all(
        self, slug: str, condition_id: str, from_ms: int, until_ms: int, findings: Findings
    ) -> list[Leaf]:
        """Every segment that may hold a row received in from_ms ≤ t < until_ms."""
        pieces = self.pieces(slug, condition_id, from_ms - LATE_MS, until_ms, findings)
        near = (each for each in pieces if _ends_ns(each) >= from_ms * NS_PER_MS)
        leaves = (self._leaf(each, findings) for each in near)
        return [each for each in leaves if each is not None]

    def hours(self, slug: str, from_ms: int, until_ms: int) -> set[int]:
        """Hours in which rows of a market may have been received, as far as names tell.

        All of a span are among them.
        """
        held = self._shelf.hours_of(slug, from_ms, until_ms)
        held |= {hour_of(started_ms(each.name)) for each in self._shelf.open_pieces(slug)}
        # An answer comes a little after its tick.
        return held | {hour + MS_PER_HOUR for hour in held}

    def pieces(
        self, slug: str, condition_id: str, from_ms: int, until_ms: int, findings: Findings
    ) -> list[Piece]:
        """Every segment that holds ticks of from_ms ≤ due < until_ms, and those being written.

        A segment has the ticks of one hour, its folder's.
        """
        opened = self._shelf.open_pieces(slug)
        hours = [each for each in self._shelf.hours() if hour_of(from_ms) <= each < until_ms]
        return self._merged(opened, slug, condition_id, hours, findings)

    def runs(
        self, pieces: Iterable[Piece], token_id: str, until_ns: int, findings: Findings
    ) -> Iterator[Run]:
        """The ticks of a token that these segments show.

        Of a segment that begins behind `until_ns` its manifest tells, of any other its rows.
        """
        for piece in pieces:
            if piece.manifest is not None and _begins_ns(piece) > until_ns:
                captured = piece.manifest.told.captured
                yield from (run for run in captured if run.token_id == token_id)
            else:
                leaf = self._leaf(piece, findings)
                yield from leaf.rows.runs.get(token_id, []) if leaf else []

    def _merged(
        self,
        opened: list[Piece],
        slug: str,
        condition_id: str,
        hours: Iterable[int],
        findings: Findings,
    ) -> list[Piece]:
        """Open and published segments; one that is both is published."""
        found = {each.stem: each for each in opened}
        for hour_ms in hours:
            pieces = self._shelf.pieces(slug, condition_id, hour_ms, findings)
            found |= {each.stem: each for each in pieces}
        return sorted(found.values(), key=lambda each: each.order)

    def _last_of(
        self, pieces: list[Piece], token_id: str, at_ns: int, findings: Findings
    ) -> Found | None:
        found: Found | None = None
        for piece in sorted(pieces, key=_ends_ns, reverse=True):
            if found is not None and found.spot.recv_wall_ns >= _ends_ns(piece):
                break
            leaf = self._leaf(piece, findings) if _may_hold(piece, token_id, at_ns) else None
            spot = leaf.rows.last_before(token_id, at_ns) if leaf else None
            if leaf and spot and (found is None or spot > found.spot):
                found = Found(leaf, spot)
        return found

    def held(self, piece: Piece, findings: Findings) -> Held | None:
        """A segment's own rows, with a finding for what is wrong; None when it is nowhere."""
        held = self._shelf.held(piece)
        if held is None:
            return None
        if held.is_offloaded:
            findings.offloaded(held.path)
        if held.sheet.damage or held.damage:
            findings.damaged(held.path, held.damage)
        return held

    def _leaf(self, piece: Piece, findings: Findings) -> Leaf | None:
        if self._source == "derived":
            derived = self._derived(piece.manifest, findings) if piece.manifest else None
            if derived is None:
                findings.damaged(piece.stem, IN_NO_TABLE)
                return None
            path = piece.manifest.path if piece.manifest else ""
            return Leaf(piece, Held(path, b""), derived[1], derived[0])
        held = self._shelf.held(piece)
        if held is not None and held.is_offloaded and piece.manifest is not None:
            derived = self._derived(piece.manifest, findings)
            if derived is not None:
                return Leaf(piece, held, derived[1], derived[0])
        held = self.held(piece, findings)
        return None if held is None else Leaf(piece, held, held.sheet)

    def _derived(
        self, manifest: SegmentManifest, findings: Findings
    ) -> tuple[str, TableSheet] | None:
        """A table's path and the rows it has of a segment."""
        kept = self._tables_read.get(manifest.name)
        if kept is None:
            read = self._tables.rows(manifest, findings)
            if read is None:
                return None
            kept = self._tables_read[manifest.name] = (read[0], TableSheet(read[1]))
            while len(self._tables_read) > _TABLES_KEPT:
                self._tables_read.pop(next(iter(self._tables_read)))
        return kept

    def doubts(
        self, found: Found, row: Row, invalid: Mapping[str, str], findings: Findings
    ) -> list[str]:
        """What stands against a row: damage of its segment, a label, a hash that is another now.

        A published file is proven by its SHA-256; what is being written has no proof but the hash.
        """
        held, piece = found.leaf.held, found.leaf.piece
        damage = held.damage
        if not damage and piece.manifest is not None and piece.stem not in invalid:
            return []
        said = [f"damaged: {held.path}: {damage}"] if damage else []
        if piece.stem in invalid:
            said.append(f"invalid: {piece.stem}: {invalid[piece.stem]}")
        if piece.manifest is None and bookhash.verdict(row.raw) != row.verdict:
            what = f"row {row.row}: its hash was {row.verdict} when it was recorded"
            findings.damaged(held.path, what)
            said.append(f"damaged: {held.path}: {what}")
        return said

    def invalid(self, findings: Findings) -> dict[str, str]:
        """Segments that a person called invalid, and why."""
        names = self._folders.names("labels")
        if names != self._labels[0]:
            unreadable: list[str] = []
            said = {
                each.artifact: each.reason
                for each in labels.all_labels(self._data, unreadable)
                if each.kind == "invalid"
            }
            for each in unreadable:
                path, _, what = each.partition(": ")
                findings.damaged(path, what)
            self._labels = (() if unreadable else names, said)
        return self._labels[1]


def _ends_ns(piece: Piece) -> int:
    """When its last row was received; of one being written, that is to come."""
    if piece.manifest is None:
        return 1 << 62
    told = piece.manifest.told
    return max(told.first_wall_ns or 0, told.last_wall_ns or 0)


def _begins_ns(piece: Piece) -> int:
    """When its first row was received, or before: a name is harder to damage than a number."""
    if piece.manifest is None:
        return 0
    told = piece.manifest.told
    named_ns = started_ms(piece.name) * NS_PER_MS
    return min(told.first_wall_ns or 0, told.last_wall_ns or 0, named_ns)


def _may_hold(piece: Piece, token_id: str, at_ns: int) -> bool:
    """False when the manifest says that no row of the token is that old."""
    if piece.manifest is None:
        return True
    captured = piece.manifest.told.captured
    return _begins_ns(piece) <= at_ns and any(run.token_id == token_id for run in captured)
