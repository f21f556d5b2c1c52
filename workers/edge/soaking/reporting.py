"""The report of a soak, made of its samples and the archive beside them.

Reads     the samples, the archive; runs `orderbooks verify`
Writes    manifests/soak/<id>.sha256, manifests/soak/<id>.json
Promises  what a report says is made of evidence whose SHA-256 it names
Fails     NeedsAPerson when there is no such soak, or nothing to report of it yet
"""

import time

import msgspec

from workers import VERSION
from workers.core.archive.manifests import encode
from workers.core.errors import NeedsAPerson, Refused
from workers.core.instants import utc_text
from workers.core.soak import gates
from workers.core.soak.report import SCHEMA, Facts, Report, Verified
from workers.core.soak.samples import Begun, Sample
from workers.core.soak.seen import Seen, seen_of
from workers.edge import commands, durable
from workers.edge.soaking import evidence, tape
from workers.edge.soaking.account import Span
from workers.edge.soaking.tape import Told
from workers.edge.spool.directory import DataDir

NS_PER_MS = 1_000_000
#: What a living worker may still hold in memory is not due yet (core.coverage.coverage).
UNWRITTEN_MS = 60_000
_report = msgspec.json.Decoder(Report)


class _Problem(msgspec.Struct, frozen=True):
    path: str
    detail: str
    labelled: str | None = None


class _Derived(msgspec.Struct, frozen=True):
    files: dict[str, int]


class _Verify(msgspec.Struct, frozen=True):
    """The members of `orderbooks verify --json` that a report repeats."""

    segments: dict[str, int]
    rows: int
    hashes: dict[str, int]
    cut_short: int
    excused_rows: int
    derived: _Derived
    problems: list[_Problem]


def begun_as(data: DataDir, soak: str = "") -> Begun:
    """How a soak was begun: the one of this id, or the newest."""
    found = [each for each in tape.soaks(data) if soak in {"", each.soak}]
    if not found:
        hint = "begin one: orderbooks soak --hours 24"
        raise NeedsAPerson(f"find soak {soak or 'of any id'} in {data.root}: none", hint=hint)
    return found[-1]


def made(data: DataDir, begun: Begun) -> tuple[Report, list[Sample]]:
    """Make the report, and keep it in manifests/soak; returns the samples, too."""
    told = tape.told(data, begun.soak)
    facts = facts_of(data, begun, told)
    said, broken = gates.verdict(facts)
    report = Report(
        soak=begun.soak,
        made_at_utc=utc_text(time.time_ns()),
        version=VERSION,
        verdict=said,
        broken=broken,
        evidence=evidence.written(data, begun.soak, span_of(facts.seen)),
        facts=facts,
    )
    durable.replace(data.manifests / "soak" / f"{begun.soak}.json", encode(report))
    return report, [row for row in told.rows if isinstance(row, Sample)]


def facts_of(data: DataDir, begun: Begun, told: Told) -> Facts:
    """Everything that the samples, the archive and `orderbooks verify` say now."""
    seen = seen_in(told, begun.soak)
    archived = evidence.archived(data, span_of(seen))
    archived = msgspec.structs.replace(archived, damage=[*told.damage, *archived.damage])
    return Facts(begun=begun, seen=seen, archived=archived, verified=verified(data))


def seen_in(told: Told, soak: str) -> Seen:
    """The figures of the samples; NeedsAPerson when there are not two."""
    seen = seen_of(told.rows)
    if seen is None:
        raise NeedsAPerson(
            f"report on soak {soak}: it has no two samples yet", hint="wait for them"
        )
    return seen


def span_of(seen: Seen) -> Span:
    """The time that is judged: all that the workers must have written by the last sample.

    Of a soak of less than two minutes it is the first half.
    """
    from_ms, until_ms = seen.from_wall_ns // NS_PER_MS, seen.until_wall_ns // NS_PER_MS
    return Span(from_ms, max(until_ms - UNWRITTEN_MS, (from_ms + until_ms) // 2))


def verified(data: DataDir) -> Verified:
    """What `orderbooks verify` says of the whole directory now."""
    ran = commands.orderbooks(["verify", "--json", "--jobs", "1", "--data", str(data.root)])
    try:
        told = msgspec.json.decode(ran.out, type=_Verify)
    except msgspec.MsgspecError as error:
        raise Refused(f"read what verify printed: {error}; {ran.said}") from error
    return Verified(
        segments=sum(told.segments.values()),
        rows=told.rows,
        derived=sum(told.derived.files.values()),
        cut_short=told.cut_short,
        excused_rows=told.excused_rows,
        problems=[f"{each.path}: {each.detail}" for each in told.problems if not each.labelled],
        hashes=told.hashes,
    )


def read(raw: bytes) -> Report:
    """A report as JSON; Refused when it is none."""
    try:
        report = _report.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"read a soak report: {error}") from error
    if report.schema != SCHEMA:
        raise Refused(f"read a soak report: its schema is {report.schema}")
    return report


def kept(data: DataDir) -> list[tuple[str, Report | str]]:
    """(path, the report or why it is none) of each report that was kept, oldest first."""
    found: list[tuple[str, Report | str]] = []
    for path in sorted((data.manifests / "soak").glob("*.json")):
        try:
            report = _report.decode(path.read_bytes())
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
            found.append((data.relative(path), str(error)))
            continue
        is_ours = report.schema == SCHEMA and f"{report.soak}.json" == path.name
        found.append((data.relative(path), report if is_ours else "of another schema or soak"))
    return found
