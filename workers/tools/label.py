"""Say of a file, or of a stretch of coverage, that it is invalid, deprecated or known.

A label is a small file beside the archive; it deletes and changes nothing, and is never replaced:
a second one of the same artifact gets a number. Verify and coverage honour them.
"""

import argparse
import os
import time
from pathlib import Path

from workers.core.archive.labels import EVERY_MARKET, KINDS, Label, safe_artifact
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX, parse_name
from workers.core.errors import NeedsAPerson
from workers.core.instants import compact_text, ms_text, parse_utc
from workers.edge import terminal
from workers.edge.spool import labels
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks label btc-updown-5m-1776326400--books--collector-00--20260416T080000000Z-0002 \\
      --kind invalid --reason "disk fault of 2026-04-16"
  orderbooks label --market 'btc-updown-5m-1776326400' --from 2026-04-16T08:00:10Z \\
      --to 2026-04-16T08:01:00Z --kind acknowledged --reason "moved house"
  orderbooks label --market '*' --from 2026-04-16T09:00Z --to 2026-04-16T09:10Z \\
      --kind acknowledged --reason "planned reboot"
  orderbooks label --list

exit codes: 0 written or listed; 1 a label in the directory cannot be read; 2 cannot do it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("artifact", nargs="?", help="a segment's name, or a file of the archive")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--reason", metavar="TEXT", help="why; a person will read it")
    parser.add_argument("--replacement", metavar="NAME", help="what to use instead")
    parser.add_argument("--by", metavar="NAME", default=os.environ.get("USER", ""), help="who")
    parser.add_argument("--market", metavar="SLUG", help=f"of coverage; {EVERY_MARKET!r} = all")
    parser.add_argument("--from", dest="from_text", metavar="T", help="first moment, UTC")
    parser.add_argument("--to", dest="to_text", metavar="T", help="end, exclusive")
    parser.add_argument("--list", action="store_true", help="print all labels")


def run(arguments: argparse.Namespace) -> int:
    """Write one label, or list all."""
    data = DataDir(arguments.data)
    if arguments.list:
        return _list(data)
    if not arguments.kind or not (arguments.reason or "").strip():
        raise NeedsAPerson(
            "write a label: --kind and --reason are needed", hint="orderbooks label --help"
        )
    label = _of_coverage(arguments) if arguments.market else _of_file(data, arguments)
    print(labels.write(data, label))
    return EXIT_FINE


def _list(data: DataDir) -> int:
    unreadable: list[str] = []
    rows = [
        [each.at_utc, each.kind, each.artifact, each.by or "-", each.reason]
        for each in labels.all_labels(data, unreadable)
    ]
    print(terminal.printable_lines(terminal.table(["at", "kind", "artifact", "by", "why"], rows)))
    for each in unreadable:
        terminal.complain(each)
    return EXIT_WRONG if unreadable else EXIT_FINE


def _of_file(data: DataDir, arguments: argparse.Namespace) -> Label:
    if not arguments.artifact:
        raise NeedsAPerson(
            "write a label: no artifact", hint="a segment's name, or --market with --from and --to"
        )
    name = safe_artifact(arguments.artifact)
    name = name.removesuffix(DATA_SUFFIX).removesuffix(MANIFEST_SUFFIX)
    if not _exists(data, name, arguments.artifact):
        raise NeedsAPerson(
            f"label {arguments.artifact}: there is none in {data.root}",
            hint="`orderbooks verify` prints names; a path below the data directory works too",
        )
    return _label(arguments, artifact=name)


def _exists(data: DataDir, name: str, said: str) -> bool:
    if parse_name(name) is not None:
        # What is gone may need a label most: then its manifest or its data is left.
        roots = (data.root / "raw", data.manifests, data.quarantine, data.open_root)
        return any(next(root.rglob(f"{name}*"), None) is not None for root in roots)
    path = Path(said).absolute()
    return (data.root / said).exists() or (path.exists() and path.is_relative_to(data.root))


def _of_coverage(arguments: argparse.Namespace) -> Label:
    if arguments.kind != "acknowledged" or not arguments.from_text or not arguments.to_text:
        raise NeedsAPerson(
            "label a stretch of coverage: needs --kind acknowledged, --from and --to",
            hint="other kinds are for files",
        )
    from_ms, until_ms = _moment_ms(arguments.from_text), _moment_ms(arguments.to_text)
    if from_ms >= until_ms:
        raise NeedsAPerson(f"label from {arguments.from_text} to {arguments.to_text}: no length")
    market = "every-market" if arguments.market == EVERY_MARKET else arguments.market
    artifact = f"coverage--{safe_artifact(market)}--{compact_text(from_ms)}"
    return _label(
        arguments,
        artifact=artifact,
        market=arguments.market,
        from_utc=ms_text(from_ms),
        until_utc=ms_text(until_ms),
    )


def _moment_ms(text: str) -> int:
    whole = text.replace("Z", ":00Z") if text.count(":") == 1 else text
    try:
        return parse_utc(whole)
    except ValueError as error:
        raise NeedsAPerson(f"read the time: {error}", hint="2026-04-16T08:00:00Z") from error


def _label(arguments: argparse.Namespace, *, artifact: str, **stretch: str) -> Label:
    return Label(
        artifact=artifact,
        kind=arguments.kind,
        reason=arguments.reason,
        replacement=arguments.replacement,
        by=arguments.by,
        at_utc=ms_text(time.time_ns() // 1_000_000),
        **stretch,
    )
