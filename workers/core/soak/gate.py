"""The production definition of done, step by step, and what each result means.

| result                   | means                                                         |
|--------------------------|---------------------------------------------------------------|
| PASS                     | shown here, now, by the commands that the step names          |
| FAIL                     | something of it is wrong: named                                |
| BLOCKED_NEEDS_VPS_ACCESS | it cannot be shown here, or has not been yet: what is missing |

Promises  what is wrong outweighs what is missing; a step without a finding is never PASS
"""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from workers.core.archive.ledger import Request, Row
from workers.core.report.markdown import command, counts, safe, table
from workers.core.soak.gates import BLOCKED, FAIL, PASS

SCHEMA = "orderbooks.gate/1"
STEPS: dict[str, str] = {
    "service": "the fleet is the service of /opt/orderbooks, its data in /var/lib/orderbooks",
    "venue": "the settings name the live venue, and every endpoint answers as it is known",
    "recording": "rows are written for active markets, published with manifests, all accounted for",
    "restart": "a forced restart: valid rows later, and every earlier file unchanged",
    "network": "a cut network and its recovery show in ledger and health; nothing unexplained",
    "upload": "every copy is proven by hash, and nothing left this disk before",
    "second_copy": "the copies are on another machine",
    "soak": "a soak of 24 hours against the live venue passed, and its evidence is unchanged",
    "risks": "the fleet is well; what a person must know is listed",
}
#: Causes of a request that no answer came to: the network's, not the venue's.
NETWORK = frozenset({"dns", "connect", "timeout", "reset", "tls"})
#: A cut is no shorter; a single failure is none.
CUT_S = 10
NS_PER_S = 1_000_000_000


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One step: what was found, what is wrong, what is missing, and the commands that said so."""

    name: str
    result: str
    found: list[str]
    wrong: list[str]
    missing: list[str]
    commands: list[int]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """A command that was run; its output lies in `out`, relative to the data directory."""

    command: list[str]
    began_utc: str
    ended_utc: str
    code: int
    out: str
    out_bytes: int
    out_sha256: str
    said: str


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """manifests/gate/<time>.json (`orderbooks.gate/1`)."""

    schema: str = SCHEMA
    at_utc: str
    version: str
    machine: str
    data_dir: str
    result: str
    steps: list[Step]
    commands: list[Command]
    files: dict[str, str]


class Cut(msgspec.Struct, frozen=True):
    """A time in which no request of a worker got an answer, and the first one that did."""

    worker: str
    from_wall_ns: int
    until_wall_ns: int
    causes: dict[str, int]


def step(
    name: str,
    *,
    found: Sequence[str] = (),
    wrong: Sequence[str] = (),
    missing: Sequence[str] = (),
    commands: Sequence[int] = (),
) -> Step:
    """A step with the result that follows."""
    missing = missing if found or wrong or missing else ["nothing was found"]
    return Step(
        name=name,
        result=FAIL if wrong else BLOCKED if missing else PASS,
        found=list(found),
        wrong=list(wrong),
        missing=list(missing),
        commands=list(commands),
    )


def result(steps: Sequence[Step]) -> str:
    """The worst of all steps; FAIL when one of the definition is not among them."""
    results = {each.result for each in steps}
    if FAIL in results or {each.name for each in steps} != STEPS.keys():
        return FAIL
    return BLOCKED if BLOCKED in results else PASS


def cuts(rows: Iterable[Row]) -> Iterator[Cut]:
    """The cuts in the requests of each worker that were over; its rows come in their order."""
    failing: dict[str, Cut] = {}
    for row in rows:
        if not isinstance(row, Request):
            continue
        worker = row.id.partition(".")[0]
        if row.cause in NETWORK:
            cut = failing.get(worker) or Cut(worker, row.send_wall_ns, 0, {})
            causes = {**cut.causes, row.cause: cut.causes.get(row.cause, 0) + 1}
            failing[worker] = Cut(worker, cut.from_wall_ns, 0, causes)
        elif worker in failing:
            cut = failing.pop(worker)
            if row.send_wall_ns - cut.from_wall_ns >= CUT_S * NS_PER_S:
                yield msgspec.structs.replace(cut, until_wall_ns=row.send_wall_ns)


def cut_text(cut: Cut) -> str:
    """A cut as a sentence's end."""
    length_s = (cut.until_wall_ns - cut.from_wall_ns) // NS_PER_S
    return f"{cut.worker}: {length_s} s without an answer ({counts(cut.causes)}), then answered"


def page(gate: Gate) -> str:
    """The page."""
    parts = [
        f"# Gate: {gate.result}",
        (
            f"{gate.at_utc}, orderbooks {gate.version}, {gate.machine}. Made anew by "
            "`orderbooks gate`; this page and its JSON are its record, which no later gate reads."
        ),
        table(
            ("step", "result", "what must be shown"),
            ([each.name, each.result, STEPS[each.name]] for each in gate.steps),
        ),
        *(_step_text(each, gate) for each in gate.steps),
        "## Files",
        table(("file", "SHA-256"), sorted(gate.files.items())),
    ]
    return "\n\n".join(parts) + "\n"


def _step_text(told: Step, gate: Gate) -> str:
    parts = [f"## {told.name}: {told.result}"]
    for head, lines in (("Wrong", told.wrong), ("Missing", told.missing), ("Found", told.found)):
        if lines:
            parts.append(f"{head}:\n\n" + "\n".join(f"* {safe(each)}" for each in lines))
    ran = [gate.commands[at] for at in told.commands]
    if ran:
        parts.append(command("\n".join(" ".join(each.command) for each in ran)))
        rows = (
            [each.began_utc, each.ended_utc, each.code, each.out_bytes, each.out_sha256]
            for each in ran
        )
        parts.append(table(("began", "ended", "exit code", "bytes", "SHA-256 of the output"), rows))
    return "\n\n".join(parts)
