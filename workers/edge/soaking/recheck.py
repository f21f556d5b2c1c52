"""A kept soak report, made anew from its evidence and compared.

Reads     manifests/soak/<id>.json, everything that it rests on
Promises  an edited report, sample, manifest or list is found, and an edited ledger or book by
          `orderbooks verify`: figures are counted again, files hashed again, the verdict is drawn
          again from what is found; nothing of the report is believed
Never     writes
"""

from workers.core import gates
from workers.core.soak import Begun
from workers.core.soak_report import Report
from workers.edge.soaking import evidence, reporting, tape
from workers.edge.soaking.tape import Told
from workers.edge.spool.directory import DataDir


def differences(data: DataDir, report: Report) -> list[str]:
    """What of a report its evidence does not say; empty when all of it stands."""
    told = tape.told(data, report.soak)
    begun = next((row for row in told.rows if isinstance(row, Begun)), None)
    if begun is None:
        return ["it has no samples here"]
    found = [*told.damage, *_listed(data, report, told)]
    if begun != report.facts.begun:
        found.append("it was not begun as it says")
    now = reporting.facts_of(data, begun, told)
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
