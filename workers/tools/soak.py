"""Watch a fleet for hours, and report what happened: with evidence, and a verdict by written rules.

Runs beside the fleet of the data directory: it reads what the workers leave and asks nothing of
them. Samples are segments of kind soak (manifests/soak). A soak that was killed, or whose machine
was started anew, goes on with --resume; the time without samples is said. At the end, or with
--report, reports/soak_test_DATE.md, .json and pictures are written (docs/SOAK_AND_GATE.md); with
--pack its evidence as well, which --check holds a report against, wherever both are.
"""

import argparse
import os
import re
import tempfile
import time
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.archive.manifests import encode
from workers.core.errors import NeedsAPerson, Refused
from workers.core.instants import compact_text, utc_text
from workers.core.soak.gates import FAIL
from workers.core.soak.page import page
from workers.core.soak.report import Report, shown
from workers.core.soak.samples import Begun, Done, Sample
from workers.core.soak.seen import HOLE_SAMPLES
from workers.edge import durable, settings_file, terminal
from workers.edge.drawing import NoMatplotlib
from workers.edge.soaking import bundle, pictures, recheck, reporting, tape
from workers.edge.soaking.sampler import Sampler, boot_id
from workers.edge.soaking.tape import Tape
from workers.edge.spool.directory import DataDir
from workers.edge.world import World, stop_on_signals

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT = 0, 1, 2
NS_PER_S = 1_000_000_000
MS_PER_S = 1000
_LABEL = re.compile(r"[a-z0-9_]{0,40}", re.ASCII)
EXAMPLES = """\
examples:
  orderbooks soak --hours 24                 beside a fleet; then the report
  orderbooks soak --resume                   goes on with one that was cut short
  orderbooks soak --report                   the report of the newest soak, so far
  orderbooks soak --report --pack            and its evidence in a file beside it
  orderbooks soak --check reports/soak_test_2026-11-21.json      is it what that evidence says?

exit codes: 0 PASS or NEEDS_REVIEW; 1 FAIL, or --check found otherwise; 2 cannot do it, or
stopped before the time was over
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--hours", type=float, metavar="H", help="how long")
    parser.add_argument("--sample-s", type=float, default=15, metavar="N", help="default: 15")
    parser.add_argument("--resume", action="store_true", help="go on with the newest one")
    parser.add_argument(
        "--report", nargs="?", const="", metavar="ID", help="report on it (default: the newest)"
    )
    parser.add_argument("--label", default="", help="part of the report's name: a-z, 0-9, _")
    parser.add_argument("--note", action="append", default=[], help="what a reader must know")
    parser.add_argument("--out", type=Path, default=Path("reports"), metavar="DIR")
    parser.add_argument("--pack", action="store_true", help="its evidence, too, without the books")
    parser.add_argument(
        "--check", action=_Beside, type=Path, metavar="REPORT", help="hold it to its evidence"
    )


class _Beside(argparse.Action):
    """A report is held to what lies beside it: no data directory is needed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's names
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        namespace.check = values
        namespace.data = Path(str(values)).absolute().parent


def run(arguments: argparse.Namespace) -> int:
    """Sample until the time is over, then report."""
    if arguments.check is not None:
        return _check(arguments.check)
    data = DataDir(arguments.data)
    is_over = True
    if arguments.report is None:
        _prepare(arguments.out)
        begun = _resumed(data) if arguments.resume else _begun(arguments)
        is_over = _sample(data, begun)
    if not is_over:
        print("stopped; `orderbooks soak --resume` goes on, `--report` reports what there is")
        return EXIT_CANNOT
    report, samples = reporting.made(data, reporting.begun_as(data, arguments.report or ""))
    evidence = _packed(data, shown(report)) if arguments.pack else None
    _write(arguments.out, shown(report), samples, evidence)
    return EXIT_WRONG if report.verdict == FAIL else EXIT_FINE


def _packed(data: DataDir, report: Report) -> bytes:
    """The bundle, held against the report before anybody relies on it."""
    made = bundle.packed(data, report.evidence)
    if found := _differences(made, report):
        hint = "the last rows are published after the hour, or when the fleet stops: then again"
        raise NeedsAPerson(f"pack the evidence: {found[0]}", hint=hint)
    return made


def _differences(made: bytes, report: Report) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        unpacked = DataDir(Path(folder))
        bundle.unpack(made, unpacked)
        return recheck.in_bundle(unpacked, report)


def _check(path: Path) -> int:
    """Hold a report against the bundle beside it; print what does not stand."""
    beside = path.with_name(path.stem + bundle.SUFFIX)
    try:
        report, made = reporting.read(path.read_bytes()), beside.read_bytes()
    except OSError as error:
        raise NeedsAPerson(
            f"check {path}: {error}", hint="report and bundle in one place"
        ) from error
    try:
        found = _differences(made, report)
    except Refused as error:
        found = [str(error)]
    for each in found:
        print(terminal.printable(each))
    if not found:
        print(
            f"{report.verdict} stands: {report.evidence.files} files are as the report names them;"
        )
        print("samples, the account of every tick and the rules give the same again.")
        told = report.facts.verified
        print(f"Not here: the books themselves. verify said then: {len(told.problems)} problems.")
    return EXIT_WRONG if found else EXIT_FINE


def _prepare(folder: Path) -> None:
    """Not after a day: the place of the report must be writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NeedsAPerson(f"write into {folder}: {error}", hint="--out names another") from error
    if not os.access(folder, os.W_OK):
        raise NeedsAPerson(f"write into {folder}: not this user's", hint="--out names another")


def _begun(arguments: argparse.Namespace) -> Begun:
    if not arguments.hours or arguments.hours <= 0 or arguments.sample_s <= 0:
        raise NeedsAPerson("begin a soak: for how long?", hint="--hours 24, or --resume, --report")
    if not _LABEL.fullmatch(arguments.label):
        raise NeedsAPerson(f"begin a soak: label {arguments.label!r}", hint="a-z, 0-9 and _")
    loaded, wall_ns = settings_file.load(arguments.config), time.time_ns()
    system = os.uname()
    return Begun(
        soak=compact_text(wall_ns // 1_000_000),
        at_wall_ns=wall_ns,
        until_wall_ns=wall_ns + int(arguments.hours * 3600 * NS_PER_S),
        sample_s=arguments.sample_s,
        boot_id=boot_id(),
        version=VERSION,
        machine=f"{system.sysname} {system.release} {system.machine}, {os.cpu_count()} CPUs",
        config_sha256=loaded.config_sha256,
        gamma_url=loaded.settings.venue.gamma_url,
        clob_url=loaded.settings.venue.clob_url,
        remote=loaded.settings.offload.remote,
        label=arguments.label,
        notes=arguments.note,
    )


def _resumed(data: DataDir) -> Begun:
    """The newest soak, begun once more."""
    newest = reporting.begun_as(data)
    if any(isinstance(row, Done) for row in tape.told(data, newest.soak).rows):
        raise NeedsAPerson(
            f"go on with soak {newest.soak}: it is over", hint="orderbooks soak --report"
        )
    return msgspec.structs.replace(newest, at_wall_ns=time.time_ns(), boot_id=boot_id())


def _sample(data: DataDir, begun: Begun) -> bool:
    """Sample until it is over; False when asked to stop before."""
    world = World()
    stop_on_signals(world)
    log = Tape(data, begun.at_wall_ns)
    log.add(begun, world.mono_ns())
    sampler = Sampler(data, begun.soak)
    print(f"soak {begun.soak} until {utc_text(begun.until_wall_ns)}", flush=True)
    again_mono_ns = world.mono_ns()
    while not world.stop.is_set():
        log.add(sampler.look(), world.mono_ns())
        if world.wall_ns() >= begun.until_wall_ns:
            break
        again_mono_ns = max(again_mono_ns + int(begun.sample_s * NS_PER_S), world.mono_ns())
        world.wait_until(again_mono_ns)
    is_over = world.wall_ns() >= begun.until_wall_ns
    if is_over:
        log.add(Done(soak=begun.soak, at_wall_ns=world.wall_ns()), world.mono_ns())
    log.close(world.wall_ns(), world.mono_ns())
    return is_over


def _write(folder: Path, report: Report, samples: list[Sample], evidence: bytes | None) -> None:
    begun = report.facts.begun
    date = utc_text(begun.at_wall_ns)[:10]
    name = f"soak_test_{date}{f'_{begun.label}' if begun.label else ''}"
    told, packed = f"{name}.json", f"{name}{bundle.SUFFIX}"
    drawn, hint = _pictures(samples, begun)
    files = {f"{name}_{each}.svg": svg for each, svg in drawn.items()} | {told: encode(report)}
    files |= {} if evidence is None else {packed: evidence}
    said = page(
        report,
        {each: f"{name}_{each}.svg" for each in drawn},
        None if evidence is None else (told, packed),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each, raw in {**files, f"{name}.md": said.encode()}.items():
            durable.replace(folder / each, raw)
    except OSError as error:
        raise NeedsAPerson(f"write into {folder}: {error}", hint="--out names another") from error
    print(f"{report.verdict}  {folder / name}.md  .json  {len(drawn)} pictures")
    for broken in report.broken:
        print(f"  {broken.rule}: {terminal.printable(broken.found)}")
    if hint:
        print(f"without pictures: {hint}")


def _pictures(samples: list[Sample], begun: Begun) -> tuple[dict[str, bytes], str]:
    """SVG by name, or how to get them."""
    try:
        return pictures.pictures(samples, int(HOLE_SAMPLES * begun.sample_s * MS_PER_S)), ""
    except NoMatplotlib as error:
        return {}, f"{error}; {error.hint}"
