"""The hands and eyes of the rehearsal: commands in the machine, and looks at it from outside.

Reads     the machine's processes, and its archive, as files of this machine
Promises  a command of the document is given as it is written; only its environment tells where the
          repository and the wheels are
"""

import json
import subprocess
import time
from pathlib import Path

from tests.vps.document import Block
from tests.vps.machine import Machine, Process, wait_for
from tests.vps.outside import Outside
from tests.vps.record import Step
from workers.core.archive.ledger import Request, read_row
from workers.core.archive.manifests import SegmentManifest
from workers.core.report.markdown import counts
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

WORKERS = ("collector", "discovery", "normalizer", "uploader", "watchdog")
DATA = "/var/lib/orderbooks"
FLEET = 6
"""Processes of the shipped table that start by themselves: two collectors."""
WELL_LIMIT_S = 180
FRESH_S = 15
#: What pip is told in a machine without an index; on a VPS none of it is set.
WITHOUT_AN_INDEX = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/media/wheels"}


class Rehearsal:
    """The machine, what lies outside of it, the document, and the repository it clones."""

    def __init__(
        self, machine: Machine, outside_: Outside, blocks: list[Block], repository: Path
    ) -> None:
        self.machine = machine
        self.outside = outside_
        self.blocks = blocks
        self.repository = repository

    @property
    def data(self) -> DataDir:
        """The archive as it is now."""
        return DataDir(self.machine.archive())

    def run(self, step: Step, command: str, *, expected: int = 0) -> str:
        """Give a command; its output."""
        ran = self.machine.run(command)
        step.ran(ran, expected)
        return ran.out

    def follow(self, step: Step, heading: str, *, last_code: int = 0) -> None:
        """Give the commands of a section; `last_code` is what the last one must end with."""
        commands = []
        for block in self.blocks:
            if block.heading == heading:
                commands += [(block.wait_s, block.commands[0])]
                commands += [(0, command) for command in block.commands[1:]]
        step.check("the section has commands", len(commands), holds=bool(commands))
        for at, (wait_s, command) in enumerate(commands, 1):
            time.sleep(wait_s)
            environment = {"ORDERBOOKS_REPOSITORY": "/media/repository", **WITHOUT_AN_INDEX}
            ran = self.machine.run(command, environment)
            expected = last_code if at == len(commands) else 0
            step.ran(ran, expected)
            if ran.code != expected:
                raise RuntimeError(f"{command}: exit {ran.code}: {ran.out[-500:]}")

    def fleet(self) -> dict[str, list[int]]:
        """The pids of each worker: `collector-00` and so on."""
        found: dict[str, list[int]] = {}
        for process in self.machine.processes():
            module = next((w for w in process.words if w.startswith("workers.")), "")
            shard = next((w[8:] for w in process.words if w.startswith("--shard=")), "")
            if module.removeprefix("workers.") in WORKERS:
                name = module.removeprefix("workers.") + (f"-{int(shard):02d}" if shard else "")
                found.setdefault(name, []).append(process.pid)
        return found

    def supervisord(self) -> Process | None:
        """The fleet's parent."""
        found = self.machine.processes("supervisor.supervisord")
        return found[0] if len(found) == 1 else None

    def is_whole(self) -> bool:
        """Each worker once, under one supervisord."""
        fleet = self.fleet()
        once = all(len(pids) == 1 for pids in fleet.values())
        return self.supervisord() is not None and len(fleet) == FLEET and once

    def is_recording(self, for_s: float) -> bool:
        """Every hot market has a row that is younger than so many seconds."""
        ran = self.machine.run("orderbooks status --json")
        try:
            markets = json.loads(ran.out)["markets"]
        except ValueError:
            return False
        hot = [each["row_s"] for each in markets if each["tier"] == "hot"]
        return bool(hot) and all(age is not None and age < min(for_s, FRESH_S) for age in hot)

    def wait_well(self, step: Step) -> None:
        """Wait until all are there, once, with rows from now on; how long it took is noted."""
        began_s = time.monotonic()

        def well() -> bool:
            return self.is_whole() and self.is_recording(time.monotonic() - began_s)

        wait_for(well, "rows again", WELL_LIMIT_S)
        took_s = time.monotonic() - began_s
        step.check("each worker runs once, and later rows flow", f"{took_s:.0f} s", holds=True)

    def published(self) -> dict[str, str]:
        """SHA-256 of every file below raw/ by its path, as the machine reads them."""
        said = self.machine.run(f"cd {DATA} && find raw -type f -exec sha256sum {{}} + || true").out
        found = (line.partition("  ")[::2] for line in said.splitlines())
        return {path: sha256 for sha256, path in sorted(found)}

    def account(self, step: Step) -> dict[str, int]:
        """Due ticks by state; nothing may be UNEXPLAINED, as a tick would be whose rows were lost."""
        totals: dict[str, int] = json.loads(self.run(step, "orderbooks coverage --json"))["totals"]
        holds = totals["CAPTURED"] > 0 and not totals.get("UNEXPLAINED")
        step.check("nothing is UNEXPLAINED", counts(totals), holds=holds)
        return totals

    def survived(self, step: Step, files: dict[str, str]) -> None:
        """All is well again, and every published file from before is as it was."""
        self.wait_well(step)
        now = self.published()
        changed = [path for path, sha256 in files.items() if now.get(path) != sha256]
        told = f"{len(files)} before, {len(now)} now; changed: {changed or 'none'}"
        holds = bool(files) and not changed
        step.check("every earlier published file is as it was", told, holds=holds)
        self.run(step, "orderbooks verify")
        self.run(step, "orderbooks coverage")

    def commit(self, what: str) -> None:
        """Commit everything that changed in the repository that the machine pulls from."""
        git = ("git", "-C", str(self.repository))
        subprocess.run([*git, "add", "--all"], check=True)
        who = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")
        subprocess.run([*git, *who, "commit", "-q", "-m", what], check=True)

    def current(self) -> str:
        """The release that runs."""
        return Path(self.machine.run("readlink /opt/orderbooks/current").out.strip()).name

    def causes(self, from_s: float) -> dict[str, int]:
        """What came of the requests since a moment, by cause, as the ledger tells."""
        data, kinds = self.data, frozenset({"ledger"})
        rows = [stream.rows for stream in reader.open_streams(data, kinds=kinds)]
        for _, manifest in reader.manifests(data, kinds=kinds):
            if isinstance(manifest, SegmentManifest):
                rows.append(reader.read_stream(data.root / manifest.path).data)
        found: dict[str, int] = {}
        for line in (line for data in rows for line in data.splitlines()):
            row = read_row(line)
            if isinstance(row, Request) and row.send_wall_ns >= from_s * 1e9:
                found[row.cause] = found.get(row.cause, 0) + 1
        return found
