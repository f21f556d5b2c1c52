"""What is on the remote, what waits, what is wrong: the offload as its ledger tells it.

status  what waits, what is proven, the last batch, retention and drill (nothing is asked)
verify  lists the whole remote and compares it with everything the ledger calls proven
plan    what would be copied now, in which batches, with rclone's --dry-run words; copies nothing
retry   puts failed tickets back to ready, by NAME or --all; a NAME that is done is copied again
"""

import argparse
import json
import time
from collections import Counter

import msgspec

from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX
from workers.core.errors import NeedsAPerson, Temporary
from workers.core.instants import MS_PER_HOUR, ms_text, parse_utc, utc_text
from workers.core.offload.offload import VERDICTS, Facts, Judged
from workers.core.offload.restores import patterns_of
from workers.edge import settings_file, terminal
from workers.edge.offload import foreground, ledger, rehearsal
from workers.edge.offload.courier import Said
from workers.edge.offload.inspection import FINE, Inspected, inspected, read_again
from workers.edge.offload.ledger import Proven
from workers.edge.offload.stock import Status, status_of
from workers.edge.settings_file import Loaded
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
ACTIONS = ("status", "verify", "plan", "retry")
SHOWN_STRANGERS = 10
EXAMPLES = """\
examples:
  orderbooks offload                        what waits, what is proven
  orderbooks offload verify                 is everything still there, with our hashes?
  orderbooks offload verify --download --day 2026-11-21
                                            read a day's content back and hash it
  orderbooks offload plan                   what would be copied now
  orderbooks offload retry --all            after what failed was mended

exit codes: 0 all is well; 1 failed tickets, a condition that holds, a failed drill, or a file that
was proven and is not any more; 2 cannot do it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="status")
    parser.add_argument("names", nargs="*", metavar="NAME", help="retry: these tickets")
    parser.add_argument("--all", action="store_true", help="retry: every failed ticket")
    parser.add_argument("--download", action="store_true", help="verify: read all content back")
    parser.add_argument("--day", metavar="D", help="verify: only this UTC day (2026-11-21)")
    parser.add_argument("--batches", type=int, default=10, help="plan: at most so many (10)")
    parser.add_argument("--dry-run", action="store_true", help="the same as plan")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Do what was asked; returns the exit code."""
    data = DataDir(arguments.data)
    if arguments.dry_run and arguments.action == "status":
        arguments.action = "plan"
    if arguments.names and arguments.action != "retry":
        raise NeedsAPerson(
            f"offload {arguments.action}: it takes no names", hint="orderbooks offload --help"
        )
    if arguments.action == "retry":
        return _retry(data, arguments)
    loaded = settings_file.load(arguments.config)
    if arguments.action == "verify":
        return _verify(data, loaded, arguments)
    if arguments.action == "plan":
        return _plan(data, loaded, arguments)
    status = status_of(data, loaded.remote, time.time_ns())
    if arguments.json:
        said = msgspec.json.encode(msgspec.to_builtins(status) | {"is_fine": status.is_fine()})
        print(msgspec.json.format(said, indent=1).decode())
    else:
        _print_status(status)
    return EXIT_FINE if status.is_fine() else EXIT_WRONG


def _print_status(status: Status) -> None:
    yellow = "" if status.is_second_copy else "lies on the disk of data_dir: it is no second copy"
    print(f"remote     {status.remote}  {terminal.coloured(yellow, 'yellow')}".rstrip())
    runs = "runs" if status.uploader_runs else terminal.coloured("does not run", "yellow")
    print(f"uploader   {runs}")
    waiting, batch, drill = status.waiting, status.last_batch, status.last_drill
    oldest = f", the oldest for {terminal.age(waiting.oldest_s)}" if waiting.ready else ""
    print(f"waiting    {waiting.ready} segments, {terminal.size(waiting.ready_bytes)}{oldest}")
    print(f"proven     {status.proven_files} files, {terminal.size(status.proven_bytes)}")
    for remote, count in status.remotes.items():
        if remote != status.remote:
            print(f"           {count} of them on {terminal.printable(remote)}")
    print(f"let go     {status.released_files} files, {terminal.size(status.released_bytes)}")
    if batch:
        verdicts = ", ".join(f"{count} {name}" for name, count in batch.verdicts.items())
        cause = f", {batch.cause}" if batch.cause else ""
        rate = f"{terminal.size(batch.bytes)} at {terminal.size(batch.bytes_per_s)}/s"
        print(f"last batch {batch.ended_at_utc}  {verdicts}{cause}; {rate}")
    if status.last_retention:
        last = status.last_retention
        print(f"retention  {last.at_utc}  {last.step}, {terminal.size(last.bytes)}")
    if drill:
        said = "passed" if drill.passed else "; ".join(drill.problems) or drill.cause or "failed"
        said = terminal.coloured(terminal.printable(said), "green" if drill.passed else "red")
        print(f"last drill {drill.at_utc}  {said}  {drill.path}")
    for name, reason in waiting.failed.items():
        print(f"{terminal.coloured('failed', 'red')}     {terminal.printable(f'{name}: {reason}')}")
    for name, detail in status.conditions.items():
        print(f"{terminal.coloured('holds', 'red')}      {name}: {terminal.printable(detail)}")
    for each in status.damage:
        print(f"{terminal.coloured('damaged', 'red')}    {terminal.printable(each)}")


def _retry(data: DataDir, arguments: argparse.Namespace) -> int:
    """Failed tickets, or named finished ones: a copy that was lost on the remote is made again."""
    failed = {path.stem: path for path in tickets.waiting(data, "upload", tickets.FAILED)}
    done = {path.stem: path for path in tickets.waiting(data, "upload", tickets.DONE)}
    said = {_segment_name(each) for each in arguments.names}
    if not said and not arguments.all:
        raise NeedsAPerson("retry: which?", hint="NAME… as `orderbooks offload` prints, or --all")
    missing = said - failed.keys() - done.keys()
    if missing:
        raise NeedsAPerson(
            f"retry {', '.join(sorted(missing))}: no failed or finished ticket of that name",
            hint="`orderbooks offload` lists them; what is released is not here to be copied",
        )
    chosen = failed if arguments.all else {name: (failed | done)[name] for name in said}
    for path in chosen.values():
        tickets.retry(path)
    print(f"{len(chosen)} put back to ready")
    return EXIT_FINE


def _segment_name(said: str) -> str:
    name = said.rpartition("/")[2]
    for suffix in (tickets.FAILED, tickets.DONE, DATA_SUFFIX, MANIFEST_SUFFIX):
        name = name.removesuffix(suffix)
    return name


def _verify(data: DataDir, loaded: Loaded, arguments: argparse.Namespace) -> int:
    damage: list[str] = []
    proven = ledger.proven_files(data, damage)
    patterns = []
    if arguments.day:
        day_ms = _day_ms(arguments.day)
        patterns = patterns_of({day_ms + hour * MS_PER_HOUR for hour in range(24)})
        proven = {k: each for k, each in proven.items() if f"/date={arguments.day}/" in k}
    facts = [Facts(each.path, each.bytes, each.sha256, each.md5) for each in proven.values()]
    said = Said()
    with foreground.crew(data, loaded.settings.offload, loaded.remote) as crew:
        found = foreground.finished(inspected(crew.courier, facts, patterns, said))
        if said.failure is not None:
            raise Temporary(f"ask {loaded.remote}: {said.failure.cause}: {said.failure.detail}")
        if arguments.download:
            progress = terminal.Progress("read back", len(facts))
            job = read_again(crew.courier, found.verdicts, said, progress.advance)
            found = Inspected(foreground.finished(job), found.strangers)
            progress.end()
    if arguments.day:
        here = f"/date={arguments.day}/"
        strangers = [each for each in found.strangers if here in each]
        found = Inspected(found.verdicts, strangers)
    return _report(found, proven, damage, arguments)


def _day_ms(text: str) -> int:
    try:
        day_ms = parse_utc(text)
    except ValueError as error:
        raise NeedsAPerson(f"read the day: {error}", hint="such as 2026-11-21") from error
    if ms_text(day_ms)[:10] != text:
        raise NeedsAPerson(f"read the day {text!r}", hint="such as 2026-11-21")
    return day_ms


def _report(
    found: Inspected, proven: dict[str, Proven], damage: list[str], arguments: argparse.Namespace
) -> int:
    wrong = [each for each in found.verdicts if each.verdict not in FINE]
    verdicts = dict(Counter(each.verdict for each in found.verdicts))
    if arguments.json:
        problems = [_problem(each, proven[each.facts.path]) for each in wrong]
        told = {"verdicts": verdicts, "problems": problems, "strangers": found.strangers}
        print(json.dumps(told | {"damage": damage, "is_fine": not (wrong or damage)}, indent=1))
        return EXIT_WRONG if wrong or damage else EXIT_FINE
    for each in wrong:
        word = terminal.coloured(each.verdict, "red")
        print(f"{word}  {terminal.printable(each.facts.path)}\n    {_since(each, proven)}")
    for text in damage:
        print(f"{terminal.coloured('damaged ledger', 'red')}  {terminal.printable(text)}")
    for path in found.strangers[:SHOWN_STRANGERS]:
        print(f"note  not in the ledger: {terminal.printable(path)}")
    if len(found.strangers) > SHOWN_STRANGERS:
        print(f"note  and {len(found.strangers) - SHOWN_STRANGERS} more")
    if verdicts.get("unproven"):
        print("note  unproven: size as ours, and no hash to compare; --download reads them back")
    count = ", ".join(f"{number} {name}" for name, number in verdicts.items()) or "none"
    print(f"files     {count}")
    verdict = f"{len(wrong)} files that were proven are not" if wrong else "all as they were proven"
    print(terminal.coloured(verdict, "red" if wrong else "green"))
    return EXIT_WRONG if wrong or damage else EXIT_FINE


def _since(each: Judged, proven: dict[str, Proven]) -> str:
    proof = proven[each.facts.path]
    when = f"proven by {proof.proof} on {proof.remote} at {utc_text(proof.since_wall_ns)}"
    return terminal.printable(f"{each.detail or VERDICTS[each.verdict]}; {when}, {proof.batch}")


def _problem(each: Judged, proof: Proven) -> dict[str, object]:
    return {
        "path": each.facts.path,
        "verdict": each.verdict,
        "detail": each.detail,
        "proven": msgspec.to_builtins(proof),
    }


def _plan(data: DataDir, loaded: Loaded, arguments: argparse.Namespace) -> int:
    rules, at_utc = loaded.settings.offload, utc_text(time.time_ns())
    with foreground.crew(data, rules, loaded.remote) as crew:
        job = rehearsal.rehearsed(crew.courier, data, rules, at_utc=at_utc, limit=arguments.batches)
        plan = foreground.finished(job)
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(plan), indent=1).decode())
    else:
        for number, batch in enumerate(plan.batches, 1):
            now = ", ".join(f"{count} {name}" for name, count in batch.verdicts.items())
            size = terminal.size(batch.bytes)
            print(f"batch {number}  {len(batch.files)} files, {size}; there now: {now}")
            for text in [*batch.files, *(f"rclone: {each}" for each in batch.said)]:
                print(f"    {terminal.printable(text)}")
        for name, why in plan.unfit.items():
            print(f"unfit    {terminal.printable(f'{name}: {why}')}")
        print(f"{plan.cause or 'nothing was copied'}; written to manifests/upload/dry_run.json")
    return (
        EXIT_WRONG if plan.unfit or plan.cause or any(b.said for b in plan.batches) else EXIT_FINE
    )
