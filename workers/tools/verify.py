"""Prove that every published file is whole and unchanged.

For each manifest: its schema and place, the file's size, SHA-256 and MD5, the gzip stream to its
last byte, every row's JSON, its counts counted again, every book's hash hashed again. Then across
files: the chain of each writer, each ledger against its books, files nobody accounts for.
Of each derived file: its place, size and hashes, and that what it was made from is here as it was.
With PATHs (segments, manifests or directories) only those are read, each by itself.

A data file that retention let go is not damage: its manifest stays in the chain, and the file is
counted as offloaded (`orderbooks offload verify` asks the remote for it). In a directory made by
`orderbooks restore` chains and ledgers are judged as far as what lies there can show.
"""

import argparse
import json
import os
import time
from collections import Counter
from functools import partial
from pathlib import Path

import msgspec

from workers.core.archive.chains import breaks, breaks_of_part
from workers.core.archive.crossings import crossing, of_part
from workers.core.archive.manifests import Head
from workers.core.archive.proofs import Proof
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX
from workers.core.offload.restores import MARKER, RestoredMarker
from workers.core.tables.manifests import DATA_SUFFIX as TABLE_SUFFIX
from workers.edge import terminal
from workers.edge.offload import ledger
from workers.edge.spool import labels, proving, state, table_proving, tables
from workers.edge.spool.directory import DataDir
from workers.edge.spool.proving import Proven
from workers.edge.spool.table_proving import Derived

EXIT_FINE, EXIT_WRONG = 0, 1
SETTLE_TRIES = 20
SETTLE_PAUSE_S = 0.1
EXAMPLES = """\
examples:
  orderbooks verify                                   everything
  orderbooks verify --jobs 1 --json > verify.json
  orderbooks verify var/raw/venue=polymarket/date=2026-11-21

exit codes: 0 all is whole (or its damage is labelled); 1 damage, named to file and byte; 2 cannot
do it
"""


class Problem(msgspec.Struct, frozen=True):
    """One thing wrong: with which file, and what; `labelled` when a person knows already."""

    path: str
    detail: str
    labelled: str | None = None


class Report(msgspec.Struct):
    """Everything verify found."""

    segments: dict[str, int] = {}
    rows: int = 0
    bytes: int = 0
    hashes: dict[str, int] = {}
    offloaded: int = 0
    offloaded_bytes: int = 0
    cut_short: int = 0
    excused_rows: int = 0
    derived: Derived = msgspec.field(default_factory=Derived)
    problems: list[Problem] = []
    notes: list[str] = []

    def is_fine(self) -> bool:
        """True when nothing is wrong that nobody has labelled."""
        return all(each.labelled for each in self.problems)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="only these")
    jobs = os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=jobs, help=f"processes (default: {jobs})")
    parser.add_argument("--json", action="store_true", help="the whole report, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; 0 when all is whole, else 1."""
    data = DataDir(arguments.data)
    selected = list(data.chosen_manifests(arguments.paths))
    derived = [each for each in selected if tables.is_derived(data.relative(each))]
    selected = [each for each in selected if each not in set(derived)]
    work = verified(data, selected, jobs=arguments.jobs)
    if not arguments.paths:
        _verify_across(data, selected, work)
    report = work.report
    _verify_tables(data, work, derived if arguments.paths else None, jobs=arguments.jobs)
    _label(data, report)
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(report) | {"is_fine": report.is_fine()}, indent=1))
    else:
        _print(report)
    return EXIT_FINE if report.is_fine() else EXIT_WRONG


class Work(msgspec.Struct):
    """A report under way, and what its cross-checks need."""

    report: Report
    proven: list[Proven] = []


def verified(data: DataDir, paths: list[Path], *, jobs: int) -> Work:
    """Prove each segment by itself, in `jobs` processes."""
    work = Work(Report())
    progress = terminal.Progress("verified", len(paths))
    kinds: Counter[str] = Counter()
    hashes: Counter[str] = Counter()
    absent = []
    for proven in proving.proved(data.root, paths, jobs=jobs):
        if proven.absent:
            absent.append(proven)
        else:
            _take(work, proven, kinds)
            hashes.update(proven.proof.hashes if proven.proof.kind == "books" else {})
        progress.advance()
    progress.end()
    _settle_absent(data, work, absent, kinds)
    work.report.segments, work.report.hashes = dict(sorted(kinds.items())), dict(hashes)
    return work


def _take(work: Work, proven: Proven, kinds: Counter[str]) -> None:
    proof = proven.proof
    kinds[proof.kind or "unreadable"] += 1
    work.report.rows += proof.rows
    work.report.bytes += proof.bytes
    work.report.cut_short += proof.is_cut_short
    work.report.problems += [Problem(proof.path, each) for each in proof.problems]
    work.proven.append(proven)


def _verify_tables(data: DataDir, work: Work, paths: list[Path] | None, *, jobs: int) -> None:
    """Prove the derived files of these manifests; of all of them (None) the sources, too."""
    report = work.report
    chosen = tables.manifest_paths(data) if paths is None else paths
    progress = terminal.Progress("derived", len(chosen))
    proofs = []
    for proof in tables.proved(data.root, chosen, jobs=jobs):
        proofs.append(proof)
        progress.advance()
    progress.end()
    released = partial(ledger.released, data, report.notes)
    report.derived, standing = table_proving.by_themselves(data, proofs, released)
    if paths is None:
        table_proving.across(data, report.derived, standing)
    report.problems += [Problem(path, what) for path, what in report.derived.problems]
    report.notes += report.derived.notes


def _settle_absent(data: DataDir, work: Work, absent: list[Proven], kinds: Counter[str]) -> None:
    """Data files that are gone: let go on a proof that is written down, or lost.

    Retention writes before it removes, so its manifests are read after the files were missed.
    """
    if not absent:
        return
    gone = ledger.released(data, work.report.notes)
    for proven in absent:
        entry = gone.get(proven.absent)
        if entry is None:
            _take(work, proven, kinds)
            continue
        found = proving.trusted(data.root, data.root / proven.proof.path, entry.row.sha256)
        _take(work, found, kinds)
        work.report.offloaded += 1
        work.report.offloaded_bytes += entry.row.bytes


def _verify_across(data: DataDir, selected: list[Path], work: Work) -> None:
    """What no file shows by itself: chains, ledgers against books, strays, quarantine."""
    report = work.report
    known, heads, opened = set(selected), proving.heads(data), list[Proof]()
    for _ in range(SETTLE_TRIES):
        # A live writer publishes on: what is open, and its chain, are looked at while nothing is.
        later = [path for path in data.manifest_paths() if path not in known]
        more = verified(data, later, jobs=1)
        known.update(later)
        work.proven += more.proven
        report.problems += more.report.problems
        opened = list(proving.open_proofs(data))
        before, heads = heads, proving.heads(data)
        if heads == before and proving.are_settled(data, heads, known):
            break
        time.sleep(SETTLE_PAUSE_S)
    proofs = [*(each.proof for each in work.proven), *opened]
    marker = state.read(data.root / MARKER, RestoredMarker)
    if marker is None:
        _verify_chains(data, work, heads)
    else:
        _verify_chains_of_part(work)
        proofs = of_part(proofs)
        report.notes.append(f"{MARKER}: a part of an archive, from {marker.remote}: {marker.asked}")
    crossed = crossing(proofs)
    report.problems += [Problem("ledger and books", each) for each in crossed.problems]
    report.excused_rows = crossed.excused
    for path, what in proving.strays(data):
        report.problems.append(Problem(data.relative(path), what))
    for name, why in proving.quarantined(data):
        if why is None:
            report.problems.append(Problem(f"spool/quarantine/{name}", "no .why beside it"))
        else:
            report.notes.append(f"quarantine: {name}: {why}")


def _verify_chains(data: DataDir, work: Work, heads: dict[str, tuple[Head, str]]) -> None:
    workers = heads.keys() | {each.worker for each in work.proven if each.link}
    for worker in sorted(workers):
        path = data.relative(data.open_folder(worker) / "chain.json")
        head, _ = heads.get(worker, (Head(), path))
        links = [each.link for each in work.proven if each.link and each.worker == worker]
        is_ahead = head.seq > max((each.chain.seq for each in links), default=0)
        is_committing = is_ahead and proving.is_committing(data, worker, head)
        for found in breaks(worker, links, head, head_path=path):
            if found.path == path and is_committing:
                work.report.notes.append(f"{path}: the commit of {head.name} is under way")
            else:
                work.report.problems.append(Problem(found.path, found.detail))


def _verify_chains_of_part(work: Work) -> None:
    for worker in sorted({each.worker for each in work.proven if each.link}):
        links = [each.link for each in work.proven if each.link and each.worker == worker]
        for found in breaks_of_part(worker, links):
            work.report.problems.append(Problem(found.path, found.detail))


def _label(data: DataDir, report: Report) -> None:
    """Mark the problems of artifacts that a person has labelled."""
    unreadable: list[str] = []
    said = {each.artifact: each.kind for each in labels.all_labels(data, unreadable)}
    report.problems = [
        msgspec.structs.replace(each, labelled=said.get(_artifact(each.path)))
        for each in report.problems
    ]
    report.problems += [Problem(each.partition(": ")[0], each) for each in unreadable]


def _artifact(path: str) -> str:
    name = path.rpartition("/")[2].removesuffix(TABLE_SUFFIX)
    return name.removesuffix(MANIFEST_SUFFIX).removesuffix(DATA_SUFFIX)


def _print(report: Report) -> None:
    for each in report.problems:
        mark = terminal.coloured(f"labelled {each.labelled}", "yellow") if each.labelled else ""
        mark = mark or terminal.coloured("DAMAGED", "red")
        print(f"{mark}  {terminal.printable(each.path)}\n    {terminal.printable(each.detail)}")
    for note in report.notes:
        print(f"note  {terminal.printable(note)}")
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.segments.items()) or "none"
    print(f"segments  {kinds}; {report.rows} rows, {terminal.size(report.bytes)}")
    if report.derived.files:
        files = ", ".join(f"{count} {table}" for table, count in report.derived.files.items())
        print(f"derived   {files}; {terminal.size(report.derived.bytes)}")
    hashes = ", ".join(f"{count} {name}" for name, count in report.hashes.items() if count)
    print(f"hashes    {hashes or 'none'}")
    if report.offloaded:
        print(
            f"offloaded {report.offloaded} segments, {terminal.size(report.offloaded_bytes)}, "
            "proven before they were let go; check them with `orderbooks offload verify`"
        )
    if report.cut_short or report.excused_rows:
        print(
            f"deaths    {report.cut_short} segments cut short, {report.excused_rows} rows "
            "that a ledger or a books segment lost with its writer"
        )
    known = sum(1 for each in report.problems if each.labelled)
    wrong = len(report.problems) - known
    verdict = f"{wrong} problems" if wrong else "all whole"
    verdict = terminal.coloured(verdict, "red" if wrong else "green")
    print(f"{verdict}{f', {known} labelled' if known else ''}")
