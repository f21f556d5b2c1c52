"""What a quality report is made from: coverage, requests, checks, the clock.

Reads     what `edge.reading` reads; derived `requests`; manifests of derived files; health
          segments and ledgers, for the clock
Promises  what cannot be read is named in the report's notes; a table that is not derived leaves
          its part out, and the rest is told all the same
Never     writes, but for the cache of `edge.reports.mine`
"""

from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import msgspec

from workers import VERSION
from workers.core.archive.ledger import ClockStepped
from workers.core.archive.segments import MANIFEST_SUFFIX, ROOTS, parse_name
from workers.core.errors import NeedsAPerson
from workers.core.health.looks import ClockSeen
from workers.core.reading.stretches import Stretch
from workers.core.report import quality_parts
from workers.core.report.quality import (
    Books,
    Clock,
    LegStream,
    Offset,
    Report,
    Requests,
    Step,
    Stream,
)
from workers.core.report.quality_commands import commands, stream_commands
from workers.core.report.token_stats import TokenStats
from workers.core.stream.coverage import total
from workers.core.stream.rows import Closed, Turned
from workers.core.stream.turns import State
from workers.core.tables.manifests import TableManifest
from workers.edge import frames
from workers.edge.reading.archive import NS_PER_MS, Reader, open_archive
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder
from workers.edge.reading.vault import Vault
from workers.edge.reports import mine, stock
from workers.edge.spool.directory import DataDir
from workers.edge.spool.parts import lines_of

Shape = TypeVar("Shape")
#: What a row of a ledger has in it if it is of a shape: most rows are of none.
_MARKS: dict[type, tuple[bytes, ...]] = {
    ClockStepped: (b'"kind":"clock"',),
    Turned: (b'"kind":"turn"',),
    Closed: (b'"kind":"closed"',),
}
_CACHE_BYTES = 8 << 20


class _Health(msgspec.Struct, frozen=True):
    """A row of a health segment, as far as the clock needs it."""

    clock: ClockSeen


def gathered(data: DataDir, stretch: Stretch) -> Report:
    """The report of a stretch that is over."""
    findings = Findings("label")
    reader = open_archive(data.root, "label")
    span = stretch.from_ms * NS_PER_MS, stretch.until_ms * NS_PER_MS
    covered = reader.coverage(*span)
    rows, not_derived, notes = _mined(data, stretch)
    stream = _stream(data, stretch, reader, findings)
    return Report(
        from_ms=stretch.from_ms,
        until_ms=stretch.until_ms,
        version=VERSION,
        coverage=quality_parts.coverage_of(covered),
        gaps=quality_parts.gaps_of(covered),
        requests=_requests(data, stretch),
        books=_books(data, stretch),
        spread=None if rows is None else quality_parts.spread_of(rows),
        clock=_clock(data, stretch, findings),
        stream=stream,
        not_derived=not_derived,
        notes=[*notes, *findings.said],
        commands={**commands(stretch), **(stream_commands(stretch) if stream else {})},
    )


def _mined(data: DataDir, stretch: Stretch) -> tuple[list[TokenStats] | None, list[str], list[str]]:
    """The figures, the segments that are not in them, and notes."""
    try:
        found = stock.stocked(data, stretch)
    except NeedsAPerson as error:
        return None, [], [f"{error}: {error.hint}"]
    mined = mine.mined(data, found)
    return mined.rows, found.not_derived, [*found.notes, *([mined.note] if mined.note else [])]


def _manifests(data: DataDir, table: str, stretch: Stretch) -> list[TableManifest]:
    return [each for hour_ms in stretch.hours for each in stock.in_force(data, table, hour_ms)]


def _requests(data: DataDir, stretch: Stretch) -> Requests | None:
    manifests = _manifests(data, "requests", stretch)
    if not manifests:
        return None
    for each in manifests:
        stock.prove(data, each)
    paths = [data.root / each.path for each in manifests]
    return quality_parts.requests_of(frames.requests(paths, stretch.from_ms, stretch.until_ms))


def _books(data: DataDir, stretch: Stretch) -> Books | None:
    """Checks of the whole hours that the stretch touches: manifests count no less."""
    manifests = _manifests(data, "books", stretch)
    if not manifests and any(stock.raw_names(Folders(data.root), stretch, "books")):
        return None
    checks: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    for each in manifests:
        checks.update(each.checks)
    for table in ("books", "requests", "markets"):
        for each in _manifests(data, table, stretch):
            for source in each.sources:
                bad.update(source.bad)
    return quality_parts.books_of(sum(each.rows for each in manifests), checks, bad)


def _clock(data: DataDir, stretch: Stretch, findings: Findings) -> Clock:
    offsets: dict[int, Offset] = {}
    for _, health in _told(data, "health", _Health, stretch, findings):
        seen = health.clock
        if seen.offset_ms is not None and seen.measured_wall_ns is not None:
            at_ns = seen.measured_wall_ns
            offsets[at_ns] = Offset(at_ns, seen.offset_ms, seen.tolerance_ms)
    steps = [
        Step(each.at_wall_ns, each.step_ns, worker)
        for worker, each in _told(data, "ledger", ClockStepped, stretch, findings)
    ]
    return Clock(
        [offsets[at_ns] for at_ns in sorted(offsets)],
        sorted(steps, key=lambda each: (each.at_wall_ns, each.worker)),
    )


def _stream(data: DataDir, stretch: Stretch, reader: Reader, findings: Findings) -> Stream | None:
    """What it covered, from ledgers; what each leg lost, from `legs` where that is derived."""
    streamed = reader.stream_coverage(stretch.from_ms * NS_PER_MS, stretch.until_ms * NS_PER_MS)
    if not streamed:
        return None
    turned = _told(data, "ledger", Turned, stretch, findings)
    resyncs = Counter(row.reason for _, row in turned if row.state != State.SYNCED)
    ended = _told(data, "ledger", Closed, stretch, findings)
    closed = Counter(row.cause for _, row in ended)
    losses = _losses(data, stretch)
    whole = total(streamed)
    return Stream(
        markets=len(streamed),
        wanted_ns=whole.wanted_ns,
        covered_ns=whole.covered_ns,
        missed_ns=whole.missed_ns,
        resyncs=dict(resyncs.most_common()),
        closed=dict(closed.most_common()),
        legs=[
            LegStream(leg, covered_ns, *losses.get(leg, ()))
            for leg, covered_ns in whole.legs_ns.items()
        ],
    )


def _losses(data: DataDir, stretch: Stretch) -> dict[int, tuple[int, int]]:
    """Events that were due to each leg, and those it lost; of the hours that are derived."""
    manifests = _manifests(data, "legs", stretch)
    for each in manifests:
        stock.prove(data, each)
    return frames.leg_losses([data.root / each.path for each in manifests]) if manifests else {}


def _told(
    data: DataDir, kind: str, shape: type[Shape], stretch: Stretch, findings: Findings
) -> Iterator[tuple[str, Shape]]:
    """(worker, row) of the rows of one shape in the segments of a kind."""
    for worker, path, line in _lines(data, kind, stretch, findings):
        if kind == "ledger" and not any(each in line for each in _MARKS[shape]):
            continue
        try:
            yield worker, msgspec.json.decode(line, type=shape)
        except msgspec.MsgspecError as error:
            findings.damaged(path, f"a row: {error}")


def _lines(
    data: DataDir, kind: str, stretch: Stretch, findings: Findings
) -> Iterator[tuple[str, str, bytes]]:
    """(worker, manifest, row) of published segments; of damaged ones what is whole."""
    folders, vault = Folders(data.root), Vault(data, _CACHE_BYTES)
    for hour_ms in stretch.hours:
        place = hour_folder(ROOTS[kind], hour_ms)
        for each in folders.names(place):
            name = parse_name(each.removesuffix(MANIFEST_SUFFIX))
            if not each.endswith(MANIFEST_SUFFIX) or name is None or name.kind != kind:
                continue
            path = f"{place}/{each}"
            lines = lines_of(_rows(vault, path, findings))
            yield from ((name.worker, path, line) for line in lines)


def _rows(vault: Vault, place: str, findings: Findings) -> bytes:
    manifest = vault.manifest(vault.data.root / place)
    if isinstance(manifest, str):
        findings.damaged(place, manifest)
        return b""
    held = vault.published(manifest)
    if held.is_offloaded:
        findings.offloaded(held.path)
    elif held.damage:
        findings.damaged(held.path, held.damage)
    return held.rows
