"""What waits in the spool, what failed and why, what is in quarantine, what is being written.

NAME.ready there is work · NAME.done proven done · NAME.failed a person must look
"""

import argparse
import time
from pathlib import Path

import msgspec

from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import OPEN_SUFFIX
from workers.core.errors import NeedsAPerson
from workers.edge import terminal
from workers.edge.spool import locks, proving, reader, tickets
from workers.edge.spool.directory import QUEUES, DataDir
from workers.edge.spool.tickets import Queue

EXIT_FINE, EXIT_WRONG = 0, 1
NO_WHY = "no .why beside it"
EXAMPLES = """\
examples:
  orderbooks spool                       everything
  orderbooks spool upload                one queue, with the names of what failed
  orderbooks spool upload --retry btc-updown-5m-1--books--collector-00--20260416T080000000Z-0002
  orderbooks spool --all-failed          put every failed ticket back
  orderbooks spool --reconcile           give every published segment the tickets it lacks

exit codes: 0 nothing failed; 1 failed tickets or unreadable manifests are there; 2 cannot do it
"""


class OpenSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A segment being written, or left by a dead writer."""

    worker: str
    name: str
    bytes: int
    age_s: float
    is_owned: bool


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """The whole spool; `quarantine` is the reason by name."""

    queues: list[Queue]
    open: list[OpenSeen]
    quarantine: dict[str, str | None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("queue", nargs="?", choices=QUEUES, help="only this one")
    parser.add_argument("--retry", metavar="NAME", help="put one failed ticket back to ready")
    parser.add_argument("--all-failed", action="store_true", help="put all failed ones back")
    parser.add_argument("--reconcile", action="store_true", help="issue tickets that are missing")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Show the spool, or mend it."""
    data = DataDir(arguments.data)
    queues = (arguments.queue,) if arguments.queue else QUEUES
    if arguments.reconcile:
        return _reconcile(data)
    if arguments.retry or arguments.all_failed:
        return _retry(data, queues, arguments.retry)
    seen = _seen(data, queues)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(seen), indent=1).decode())
    else:
        _print(seen)
    return EXIT_WRONG if any(each.failed for each in seen.queues) else EXIT_FINE


def _reconcile(data: DataDir) -> int:
    issued, problems = 0, 0
    for path, manifest in reader.manifests(data):
        if isinstance(manifest, SegmentManifest):
            issued += tickets.issue_lacking(data, manifest, data.relative(path))
        else:
            terminal.complain(f"{data.relative(path)}: {manifest}", hint="orderbooks verify")
            problems += 1
    print(f"{issued} tickets issued")
    return EXIT_WRONG if problems else EXIT_FINE


def _retry(data: DataDir, queues: tuple[str, ...], name: str | None) -> int:
    found = [path for queue in queues for path in tickets.waiting(data, queue, tickets.FAILED)]
    chosen = [path for path in found if name is None or path.stem == _ticket_name(name)]
    if name is not None and not chosen:
        raise NeedsAPerson(f"retry {name}: no such failed ticket", hint="orderbooks spool")
    for path in chosen:
        tickets.retry(path)
    print(f"{len(chosen)} put back to ready")
    return EXIT_FINE


def _ticket_name(said: str) -> str:
    name = said.rpartition("/")[2]
    return name.removesuffix(tickets.FAILED)


def _seen(data: DataDir, queues: tuple[str, ...]) -> Seen:
    wall_ns = time.time_ns()
    opened = [
        _open(data, path, wall_ns) for path in sorted(data.open_root.glob(f"*/*{OPEN_SUFFIX}"))
    ]
    return Seen(
        queues=[tickets.counted(data, queue, wall_ns) for queue in queues],
        open=[each for each in opened if each is not None],
        quarantine=dict(proving.quarantined(data)),
    )


def _open(data: DataDir, path: Path, wall_ns: int) -> OpenSeen | None:
    try:
        found = path.stat()
    except FileNotFoundError:  # its owner has just moved it on
        return None
    return OpenSeen(
        worker=path.parent.name,
        name=path.name.removesuffix(OPEN_SUFFIX),
        bytes=found.st_size,
        age_s=round((wall_ns - found.st_mtime_ns) / 1e9, 1),
        is_owned=locks.is_owned(data.open_folder(path.parent.name)),
    )


def _print(seen: Seen) -> None:
    rows: list[list[object]] = [
        [each.queue, each.ready, terminal.age(each.oldest_s), each.done, len(each.failed)]
        for each in seen.queues
    ]
    print(terminal.table(["queue", "ready", "oldest", "done", "failed"], rows))
    for queue in seen.queues:
        for name, reason in queue.failed.items():
            said = terminal.printable(f"{name}: {reason}")
            print(f"  {terminal.coloured('failed', 'red')} {queue.queue} {said}")
    if seen.open:
        rows = [
            [each.name, each.worker, each.bytes, terminal.age(each.age_s), _owner(each)]
            for each in seen.open
        ]
        head = ["being written", "worker", "bytes", "last write", "owner"]
        print(f"\n{terminal.table(head, rows)}")
    for name, why in seen.quarantine.items():
        print(f"quarantine  {terminal.printable(f'{name}: {why or NO_WHY}')}")


def _owner(segment: OpenSeen) -> str:
    return "alive" if segment.is_owned else "none: its worker salvages it at its next start"
