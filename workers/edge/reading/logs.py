"""Ledgers of streamers, for answers: who covered a token, and when.

Reads     ledger segments of streamers, published or being written; the table `turns` where one is
          not here
Promises  a ledger that is read is proven; of hours whose ledgers are not here nothing is covered
Never     writes
"""

from collections import OrderedDict
from collections.abc import Iterator
from operator import itemgetter

import msgspec

from workers.core.archive import ledger
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    MANIFEST_SUFFIX,
    OPEN_SUFFIX,
    ROOTS,
    SegmentName,
    parse_name,
)
from workers.core.instants import MS_PER_HOUR
from workers.core.tables.reprints import ledger_row
from workers.core.tables.stream import TURNS
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder, hour_of
from workers.edge.reading.leaves import Source
from workers.edge.reading.tables import Tables
from workers.edge.reading.vault import Held, Vault

_OPEN = "spool/open"
_WORKER = "streamer-"
#: All that covers are made of, and nothing else: the rest is many.
_TOLD = tuple(b'{"kind":"%b"' % each for each in (b"turn", b"subscription", b"heard", b"closed"))
_KEPT = 64
_Log = tuple[SegmentName, tuple[Held, SegmentManifest | None]]


class Logs:
    """The ledgers of all streamers of one archive."""

    def __init__(self, folders: Folders, vault: Vault, tables: Tables, *, source: Source) -> None:
        self._folders, self._vault, self._tables = folders, vault, tables
        self._source = source
        self._read: OrderedDict[tuple[str, int], list[ledger.Row]] = OrderedDict()

    def rows(self, from_ms: int, until_ms: int, findings: Findings) -> Iterator[list[ledger.Row]]:
        """What bears on covers, of the hours that from_ms ≤ t < until_ms touches; by worker."""
        # Before any folder is listed: what is published meanwhile is then found there.
        found = dict(self._opened())
        for hour_ms in range(hour_of(from_ms), until_ms, MS_PER_HOUR):
            found |= dict(self._published(hour_ms, findings))
        by_worker: dict[str, list[ledger.Row]] = {}
        for name, held in sorted(found.items(), key=lambda each: _order(each[0])):
            by_worker.setdefault(name.worker, []).extend(self._rows_of(*held, findings))
        yield from by_worker.values()

    def _opened(self) -> Iterator[_Log]:
        for worker in self._folders.names(_OPEN):
            for each in self._folders.names(f"{_OPEN}/{worker}"):
                name = _named(each, OPEN_SUFFIX)
                path = self._vault.data.root / _OPEN / worker / each
                held = self._vault.open(path) if name is not None else None
                if name is not None and held is not None:
                    yield name, (held, None)

    def _published(self, hour_ms: int, findings: Findings) -> Iterator[_Log]:
        place = hour_folder(ROOTS["ledger"], hour_ms)
        names = self._folders.names(place)
        for each in names:
            name = _named(each, MANIFEST_SUFFIX)
            if name is not None:
                yield from self._proven(name, f"{place}/{each}", findings)
            name = _named(each, DATA_SUFFIX)
            manifest = each.replace(DATA_SUFFIX, MANIFEST_SUFFIX)
            if name is None or manifest in names:
                continue
            drafts = self._folders.names(f"{_OPEN}/{name.worker}")
            if each.replace(DATA_SUFFIX, MANIFEST_DRAFT_SUFFIX) in drafts:
                # Its manifest is on its way.
                held = self._vault.open(self._vault.data.root / place / each)
                yield from [(name, (held, None))] if held is not None else []
            else:
                # Its manifest may have come between the two looks.
                yield from self._proven(name, f"{place}/{manifest}", findings)

    def _proven(self, name: SegmentName, path: str, findings: Findings) -> Iterator[_Log]:
        try:
            manifest = self._vault.manifest(self._vault.data.root / path)
        except FileNotFoundError:
            return
        if isinstance(manifest, str):
            findings.damaged(path, manifest)
        else:
            yield name, (self._vault.published(manifest), manifest)

    def _rows_of(
        self, held: Held, manifest: SegmentManifest | None, findings: Findings
    ) -> list[ledger.Row]:
        if manifest is not None and (held.is_offloaded or self._source == "derived"):
            turns = self._turns(manifest, findings)
            if turns or held.is_offloaded:
                return turns
        if held.damage:
            findings.damaged(held.path, held.damage)
        key = (held.path, len(held.rows))
        kept = self._read.get(key)
        if kept is None:
            kept = self._read[key] = _decoded(held, findings)
            while len(self._read) > _KEPT:
                self._read.popitem(last=False)
        return kept

    def _turns(self, manifest: SegmentManifest, findings: Findings) -> list[ledger.Row]:
        """The same rows from the table, of which there are none where nothing streamed."""
        key = (manifest.path, -1)
        if key not in self._read:
            found = self._tables.rows(manifest, findings, TURNS)
            rows = [] if found is None else sorted(found[1].to_pylist(), key=itemgetter("row"))
            made = (ledger_row(each) for each in rows)
            self._read[key] = [each for each in made if each is not None]
        return self._read[key]


def _decoded(held: Held, findings: Findings) -> list[ledger.Row]:
    found = []
    for line in held.rows.split(b"\n"):
        try:
            found += [ledger.read_row(line)] if line.startswith(_TOLD) else []
        except msgspec.MsgspecError as error:
            findings.damaged(held.path, f"a row: {error}")
    return found


def _named(file: str, suffix: str) -> SegmentName | None:
    name = parse_name(file.removesuffix(suffix)) if file.endswith(suffix) else None
    is_asked = name is not None and name.kind == "ledger" and name.worker.startswith(_WORKER)
    return name if is_asked else None


def _order(name: SegmentName) -> tuple[str, str, int]:
    return name.worker, name.started, name.number
