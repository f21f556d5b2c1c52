"""What may leave this disk now, and what stays and why. It never removes anything.

The uploader does that, by the settings of `retention`, with the same rules and a proof asked for
at that moment; this is the rehearsal, --dry-run or not. Each file that may go is asked for on the
remote, unless --offline.
"""

import argparse
import json
import time
from collections import Counter

import msgspec

from workers.core.errors import Temporary
from workers.core.offload.offload import Judged
from workers.core.offload.retention import BARS, Going, planned
from workers.edge import settings_file, terminal
from workers.edge.machine import Machine
from workers.edge.offload import foreground, shipment
from workers.edge.offload.courier import Said
from workers.edge.settings_file import Loaded
from workers.edge.spool import outbox
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
NS_PER_MS = 1_000_000
_BATCH_FILES = 500
_BATCH_BYTES = 1 << 62
EXAMPLES = """\
examples:
  orderbooks retention                  by the settings in force
  orderbooks retention --dry-run        the same: it never removes
  orderbooks retention --offline        without asking the remote

exit codes: 0 said; 1 a file that was proven is not on the remote as it was; 2 cannot do it
"""


class Rehearsed(msgspec.Struct, frozen=True, kw_only=True):
    """What would go, what stays by reason, and what the remote no longer proves."""

    rules: dict[str, int | float]
    going: list[dict[str, object]]
    bytes: int
    kept: dict[str, int]
    lost: list[dict[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--dry-run", action="store_true", help="said for clearness: it always is")
    parser.add_argument("--offline", action="store_true", help="believe the tickets")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print what retention would do; 1 when the remote no longer has what was proven."""
    data, loaded = DataDir(arguments.data), settings_file.load(arguments.config)
    rules = loaded.settings.retention
    plan = planned(
        outbox.candidates(data),
        rules,
        now_ms=time.time_ns() // NS_PER_MS,
        free_bytes=Machine(data.root).room().free_bytes,
    )
    kept, lost, going = Counter(plan.kept), [], plan.going
    if going and not arguments.offline:
        verdicts = _asked(data, loaded, going)
        lost = [each for each in verdicts.values() if not each.is_proven]
        stays = {_name(each) for each in lost} | {
            each.candidate.name
            for each in going
            if outbox.proven_parcel(data, each.candidate.name) is None
        }
        going = [each for each in going if each.candidate.name not in stays]
        kept["unproven"] += len(plan.going) - len(going)
    found = Rehearsed(
        rules=msgspec.to_builtins(rules),
        going=[_row(each) for each in going],
        bytes=sum(each.candidate.facts.bytes for each in going),
        kept={name: count for name, count in kept.items() if count},
        lost=[
            {"path": each.facts.path, "verdict": each.verdict, "detail": each.detail}
            for each in lost
        ],
    )
    if arguments.json:
        print(json.dumps(msgspec.to_builtins(found), indent=1))
    else:
        _print(found)
    return EXIT_WRONG if lost else EXIT_FINE


def _name(verdict: Judged) -> str:
    return outbox.name_of(verdict.facts.path)


def _row(going: Going) -> dict[str, object]:
    facts = going.candidate.facts
    return {"path": facts.path, "bytes": facts.bytes, "reason": going.reason}


def _asked(data: DataDir, loaded: Loaded, going: list[Going]) -> dict[str, Judged]:
    """Fresh verdicts on both files of everything that may go, by path."""
    found: dict[str, Judged] = {}
    names = [(each.candidate.name, each.candidate.facts.bytes) for each in going]
    progress = terminal.Progress("asked for", len(names))
    rules, said = loaded.settings.offload, Said()
    with foreground.crew(data, rules, loaded.remote) as crew:
        for batch in foreground.batches(names, files=_BATCH_FILES, size_bytes=_BATCH_BYTES):
            parcels = [outbox.proven_parcel(data, name) for name in batch]
            facts = [each for parcel in parcels if parcel for each in parcel.files]
            job = shipment.proven(
                crew.courier, facts, said, prove_by_download=rules.prove_by_download
            )
            found |= {each.facts.path: each for each in foreground.finished(job)}
            if said.failure is not None:
                raise Temporary(
                    f"ask {loaded.remote}: {said.failure.cause}: {said.failure.detail}",
                    hint="--offline believes the tickets",
                )
            for _ in batch:
                progress.advance()
    progress.end()
    return found


def _print(found: Rehearsed) -> None:
    for row in found.going:
        print(f"goes  {row['path']}  {row['reason']}")
    for each in found.lost:
        word = terminal.coloured(each["verdict"], "red")
        print(
            f"{word}  {terminal.printable(each['path'])}\n    {terminal.printable(each['detail'])}"
        )
    for name, count in found.kept.items():
        print(f"stays {count} segments: {name}, {BARS.get(name, '')}")
    if not (found.rules["keep_days"] or found.rules["min_free_bytes"]):
        print("retention is off: keep_days and min_free_bytes are 0, everything stays")
    size = terminal.size(found.bytes)
    print(f"{len(found.going)} data files, {size}, may go; nothing was removed")
