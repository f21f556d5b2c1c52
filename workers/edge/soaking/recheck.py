"""A soak report, made anew from its evidence and compared: where it was made, or from a bundle.

Reads     everything that a report rests on
Promises  an edited report, sample, manifest or list is found, and an edited ledger or book by
          `orderbooks verify`: figures are counted again, files hashed again, the verdict is drawn
          again from what is found; nothing of the report is believed. Without the books, what
          verify said of their rows is: their manifests still are as listed
Never     writes
"""

import msgspec

from workers.core.soak import gates
from workers.core.soak.report import Facts, Report, shown_begun
from workers.core.soak.samples import Begun
from workers.edge.soaking import bundle, evidence, reporting, tape
from workers.edge.soaking.account import accounted
from workers.edge.soaking.tape import Told
from workers.edge.spool.directory import DataDir


def differences(data: DataDir, report: Report) -> list[str]:
    """What of a report its evidence does not say; empty when all of it stands."""
    told = tape.told(data, report.soak)
    begun = _begun(told)
    if begun is None:
        return ["it has no samples here"]
    found = [*told.damage, *_listed(data, report, told)]
    if begun != report.facts.begun:
        found.append("it was not begun as it says")
    return [*found, *_compared(report, reporting.facts_of(data, begun, told))]


def in_bundle(data: DataDir, report: Report) -> list[str]:
    """The same of a report as others see it, in a directory that was unpacked from its bundle."""
    broken, left_out = bundle.damage(data, report.evidence)
    if broken:
        return broken
    told = tape.told(data, report.soak)
    begun = _begun(told)
    if begun is None:
        return ["it has no samples here"]
    found = [*told.damage, *_listed(data, report, told)]
    if shown_begun(begun) != report.facts.begun:
        found.append("it was not begun as it says")
    seen = reporting.seen_in(told, begun.soak)
    account = accounted(data, reporting.span_of(seen), left_out)
    archived = msgspec.structs.replace(report.facts.archived, account=account)
    facts = msgspec.structs.replace(report.facts, seen=seen, archived=archived)
    return [*found, *_compared(report, facts)]


def _begun(told: Told) -> Begun | None:
    return next((row for row in told.rows if isinstance(row, Begun)), None)


def _compared(report: Report, now: Facts) -> list[str]:
    found = []
    if now.seen != report.facts.seen:
        found.append("its samples say something else than it says they do")
    elif now.archived.account != report.facts.archived.account:
        found.append("the archive gives another account of these hours")
    if gates.verdict(report.facts) != (report.verdict, report.broken):
        found.append("its verdict does not follow from its own figures by the rules")
    said, _ = gates.verdict(now)
    if said != report.verdict:
        found.append(f"its verdict is {report.verdict}, the evidence gives {said}")
    return found


def _listed(data: DataDir, report: Report, told: Told) -> list[str]:
    """The list is the one the report names, its files are as listed, no sample is missing."""
    found = evidence.changed(data, report.evidence)
    if found:
        return found
    lines = (data.root / report.evidence.path).read_text().splitlines()
    old = {line.partition("  ")[2] for line in lines}
    missing = sorted(path for path in told.files if path not in old)
    return [f"{each}: not among what the report rests on" for each in missing]
