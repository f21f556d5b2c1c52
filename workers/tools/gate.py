"""Run the production definition of done, step by step, and record what showed it.

Each step runs its commands and reads its evidence now: nothing that an earlier gate wrote is read.
A soak's report is made anew from its samples and the archive, and every file that it rests on is
hashed again. On a machine that is not the production one, or that does not reach the venue, the
result is BLOCKED_NEEDS_VPS_ACCESS, with what is missing (docs/SOAK_AND_GATE.md).
"""

import argparse
import time
from pathlib import Path

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_DAY
from workers.core.offload.rclone_places import no_second_copy, place_text
from workers.core.soak.gate import Step, step
from workers.core.soak.gates import BLOCKED, NEEDS_REVIEW, PASS, is_live
from workers.core.soak.report import Report
from workers.edge import fleet, machine, settings_file, terminal
from workers.edge.gating import history
from workers.edge.gating.record import Record
from workers.edge.offload import foreground
from workers.edge.offload.courier import Said
from workers.edge.settings_file import Loaded
from workers.edge.soaking import evidence, recheck, reporting
from workers.edge.soaking.account import Span
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT, EXIT_BLOCKED = 0, 1, 2, 3
UNIT = "orderbooks.service"
RELEASES, CURRENT = Path("/opt/orderbooks/releases"), Path("/opt/orderbooks/current")
CONFIG, DATA = Path("/etc/orderbooks/orderbooks.yaml"), Path("/var/lib/orderbooks")
ANSWER_LIMIT_S = 2.0
#: A hot market has a row each second.
FRESH_S = 30
EXAMPLES = """\
examples:
  orderbooks gate                       everything; writes manifests/gate/<time>.json and .md
  orderbooks gate --days 30             restarts and cuts of the last 30 days count, too

exit codes: 0 every step is PASS; 1 a step is FAIL; 2 cannot do it; 3 BLOCKED_NEEDS_VPS_ACCESS
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--days", type=int, default=7, help="how far back restarts and cuts count")


def run(arguments: argparse.Namespace) -> int:
    """Take every step, write the record, print the table."""
    data, loaded = DataDir(arguments.data), settings_file.load(arguments.config)
    record, now_ms = Record(data, loaded.path), time.time_ns() // 1_000_000
    record.saw(loaded.path)
    span = Span(now_ms - arguments.days * MS_PER_DAY, now_ms - reporting.UNWRITTEN_MS)
    steps = [
        _service(record, data, loaded),
        _venue(record, loaded),
        _recording(record, data, span),
        _restart(record, data, span),
        _network(data, span),
        _upload(record, data),
        _second_copy(data, loaded),
        _soak(record, data),
        _risks(record),
    ]
    told, page = record.written(steps)
    print(terminal.table(["step", "result", "why"], [_row(each) for each in told.steps]))
    print(f"\n{told.result}  {page}")
    return {PASS: EXIT_FINE, BLOCKED: EXIT_BLOCKED}.get(told.result, EXIT_WRONG)


def _row(told: Step) -> list[object]:
    why = [*told.wrong, *told.missing, *told.found]
    return [told.name, told.result, terminal.printable(" ".join(why[0].split())[:110])]


def _service(record: Record, data: DataDir, loaded: Loaded) -> Step:
    names = (
        "LoadState,ActiveState,SubState,MainPID,User,FragmentPath,ExecMainStartTimestamp,NRestarts"
    )
    number, ran = record.ran("systemctl", "show", UNIT, f"--property={names}")
    told = dict(line.partition("=")[::2] for line in ran.out.decode(errors="replace").splitlines())
    release = CURRENT.resolve()
    missing = [] if told.get("LoadState") == "loaded" else [f"a loaded {UNIT} (ops/install.sh)"]
    missing += [] if release.parent == RELEASES else [f"{CURRENT} as a link into {RELEASES}"]
    missing += [] if loaded.path == CONFIG else [f"settings at {CONFIG}, not {loaded.path}"]
    missing += [] if data.root == DATA else [f"data in {DATA}, not {data.root}"]
    wrong = []
    if not missing:
        seen = fleet.look(data.socket, ANSWER_LIMIT_S)
        state = f"{told.get('ActiveState')} ({told.get('SubState')})"
        wrong += [] if state == "active (running)" else [f"{UNIT} is {state}"]
        if str(seen.pid) != told.get("MainPID"):
            wrong.append(f"supervisord is {seen.pid or seen.problem}, not {told.get('MainPID')}")
        wrong += [] if told.get("User") == "orderbooks" else [f"it runs as {told.get('User')}"]
        record.saw(Path(told.get("FragmentPath", "")), release / "supervisord.conf")
    found = [f"{name}={value}" for name, value in told.items()] + [f"{CURRENT} is {release}"]
    return step("service", found=found, wrong=wrong, missing=missing, commands=[number])


def _venue(record: Record, loaded: Loaded) -> Step:
    venue = loaded.settings.venue
    others = [url for url in (venue.gamma_url, venue.clob_url) if not is_live(url)]
    if others:
        return step("venue", missing=[f"the live venue: the settings name {', '.join(others)}"])
    number, ran = record.probe()
    if ran.code == EXIT_CANNOT:
        return step("venue", missing=["a network that reaches the venue"], commands=[number])
    wrong = [] if ran.code == EXIT_FINE else [f"`orderbooks probe` ended with {ran.code}"]
    return step("venue", found=["every endpoint was asked"], wrong=wrong, commands=[number])


class _Market(msgspec.Struct, frozen=True):
    slug: str
    tier: str
    row_s: float | None


class _Status(msgspec.Struct, frozen=True):
    """The members of `orderbooks status --json` that are looked at."""

    markets: list[_Market]


def _recording(record: Record, data: DataDir, span: Span) -> Step:
    seen = fleet.look(data.socket, ANSWER_LIMIT_S)
    if not seen.is_reached:
        return step("recording", missing=[f"a running fleet: {seen.problem}"])
    number, ran = record.orderbooks("status", "--json")
    wrong = [] if ran.code == EXIT_FINE else ["`orderbooks status` names something wrong"]
    markets = msgspec.json.decode(ran.out, type=_Status).markets
    hot = [each for each in markets if each.tier == "hot"]
    late = [each.slug for each in hot if each.row_s is None or each.row_s > FRESH_S]
    wrong += [f"no row of {slug} for {FRESH_S} s" for slug in late]
    missing = [] if hot else ["an active market"]
    found = [f"{len(hot)} active markets, each with a row of the last {FRESH_S} s"]
    days = f"{(span.until_ms - span.from_ms) // MS_PER_DAY}d"
    coverage, accounted = record.orderbooks("coverage", "--json", "--from", days)
    if accounted.code == EXIT_CANNOT:
        missing.append(f"an account of the last {days}: {accounted.said}")
    elif accounted.code:
        wrong.append("`orderbooks coverage`: a tick is UNEXPLAINED, or not read")
    numbers = [number, coverage]
    return step("recording", found=found, wrong=wrong, missing=missing, commands=numbers)


def _restart(record: Record, data: DataDir, span: Span) -> Step:
    told = history.restarts(data, span)
    hint = f"systemctl kill -s KILL {UNIT}; wait two minutes; then again"
    missing = [] if told.found else [f"a forced restart in the archive ({hint})"]
    number, ran = record.orderbooks("verify", "--json", "--jobs", "1")
    wrong = list(told.wrong)
    wrong += [f"`orderbooks verify` ended with {ran.code}"] if ran.code else []
    found = [*told.found, "every published file is as its manifest says, those before it too"]
    return step("restart", found=found, wrong=wrong, missing=missing, commands=[number])


def _network(data: DataDir, span: Span) -> Step:
    told = history.network(data, span)
    missing = [] if told.found else ["a cut of a minute that ledger and health show (ops/drills)"]
    return step("network", found=told.found, wrong=told.wrong, missing=missing)


def _upload(record: Record, data: DataDir) -> Step:
    number, ran = record.orderbooks("offload", "verify", "--json")
    if ran.code == EXIT_CANNOT:
        return step("upload", missing=[f"a remote that answers: {ran.said}"], commands=[number])
    wrong = [] if ran.code == EXIT_FINE else [f"`orderbooks offload verify` ended with {ran.code}"]
    now_ms = time.time_ns() // 1_000_000
    told = evidence.upload(data, Span(now_ms - MS_PER_DAY, now_ms))
    wrong += [f"{each}: gone without proof" for each in told.unproven_gone]
    missing = [] if told.proven else ["a file of the last day that is proven on the remote"]
    found = [f"{told.proven} of {told.published} segments of the last day are proven"]
    return step("upload", found=found, wrong=wrong, missing=missing, commands=[number])


def _second_copy(data: DataDir, loaded: Loaded) -> Step:
    said = Said()
    try:
        with foreground.crew(data, loaded.settings.offload, loaded.remote) as crew:
            places = foreground.finished(crew.courier.places(said))
    except NeedsAPerson as error:
        return step("second_copy", missing=[f"where offload.remote lies: {error}"])
    here = {each.host: machine.is_here(each.host) for each in places if each.host}
    missing = no_second_copy(places, here)
    if said.failure is not None:
        missing.append(f"where offload.remote lies: {said.failure.detail}")
    found = [f"offload.remote is {' on '.join(map(place_text, places))}"] if places else []
    return step("second_copy", found=found, missing=missing)


def _soak(record: Record, data: DataDir) -> Step:
    kept = reporting.kept(data)
    wrong = [f"{path}: {what}" for path, what in kept if isinstance(what, str)]
    reports = [
        (path, what) for path, what in kept if isinstance(what, Report) and what.facts.seen.is_over
    ]
    missing = [] if reports else ["a soak: `orderbooks soak --hours 24`"]
    found: list[str] = []
    for path, report in reports:
        record.saw(data.root / path, data.root / report.evidence.path)
        wrong += [f"{path}: {each}" for each in recheck.differences(data, report)[:5]]
        found.append(f"{path}: {report.verdict}, {report.evidence.files} files as they were")
    verdicts = [report.verdict for _, report in reports]
    if reports and PASS not in verdicts:
        last = reports[-1][1]
        why = "; ".join(f"{each.rule}: {each.found}" for each in last.broken[:4])
        said = f"a soak that passed; the newest is {last.verdict} ({why})"
        is_review = last.verdict == NEEDS_REVIEW
        missing, wrong = ([said], wrong) if is_review else (missing, [*wrong, said])
    return step("soak", found=found, wrong=wrong, missing=missing)


def _risks(record: Record) -> Step:
    number, ran = record.orderbooks("health", "--json")
    said = ran.out.decode(errors="replace")
    is_unknown = '"unknown"' in said
    missing = [f"a watchdog that looks: {said}"] if is_unknown else []
    wrong = [f"health: {said}"] if ran.code and not is_unknown else []
    status, told = record.orderbooks("status")
    lines = told.out.decode(errors="replace").splitlines()
    found = [line for line in lines if line.startswith(("look", "disk", "spool", "universe"))]
    return step("risks", found=found, wrong=wrong, missing=missing, commands=[number, status])
