"""Kills of the uploader and its rclone while files arrive, with a report: `make offload-crash`.

    python -m tests.crash.offload [--kills 200] [--seed N] [--remote local|s3|drive|all]

About eight minutes for 200. SEED (printed) chooses moments and victims. After every death of the
uploader, and at the end when everything has drained, an oracle judges archive and remote.
"""

import argparse
import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.crash import offload_kills as kills
from tests.crash.offload_kills import Hunter
from tests.crash.offload_oracle import Oracle, is_partial
from tests.crash.offload_port import Arrivals, Port
from tests.remotes import S3, Cut, Drive, Local, Remote
from tests.rig import wait_for

KINDS = ("local", "s3", "drive")
#: How long what the uploader started may outlive its SIGKILL: on a busy machine an examination
#: that had just begun needs seconds to start Python and to end.
ORPHAN_LIMIT_S = 5.0
#: Of the kills on S3, so many come together with a reset of every connection.
CUT_SHARE = 0.3


@dataclass
class Campaign:
    """What was done to one port and what came of it; `wrong` empty = every promise held."""

    kind: str
    deaths: Counter[tuple[str, str]] = field(default_factory=Counter)
    aims: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    lives: int = 0
    segments: int = 0
    released: int = 0
    files: int = 0
    batches: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    tried_again: int = 0
    sweeps: int = 0
    drills: int = 0
    partials: int = 0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """How many processes got SIGKILL; two for "both"."""
        return sum(n * (2 if who == "both" else 1) for (_, who), n in self.deaths.items())


@contextlib.contextmanager
def port_at(kind: str, folder: Path, *, plant: str = "") -> Iterator[tuple[Port, Cut | None]]:
    """A port with its remote, and the bad network between them where there is one."""
    with contextlib.ExitStack() as stack:
        makers: dict[str, type[Remote]] = {"local": Local, "s3": S3, "drive": Drive}
        remote = stack.enter_context(makers[kind](folder / "remote"))
        port = Port(folder / "port", remote, plant=plant)
        stack.callback(port.end)
        cut = None
        if kind == "s3":
            cut = stack.enter_context(Cut(remote.port))
            port.reaching = remote.environment_at(cut.port)
        yield port, cut


@dataclass(frozen=True)
class Order:
    """How often to kill, when and whom.

    `plant` is a bug of `offload_plants` to be seen, `offload` settings besides those of a Port.
    """

    deaths: int
    seed: int
    plant: str = ""
    offload: Mapping[str, object] = field(default_factory=dict)
    drain_limit_s: float = 120
    aim_limit_s: float = kills.AIM_LIMIT_S
    aims: Sequence[str] = kills.AIMS
    targets: Sequence[str] = kills.TARGETS


def campaign(kind: str, folder: Path, order: Order) -> Campaign:
    """Kill on one kind of remote as ordered, let everything drain, and judge."""
    found, began_s = Campaign(kind), time.monotonic()
    with port_at(kind, folder, plant=order.plant) as (port, cut):
        port.offload |= order.offload
        oracle = Oracle(port)
        with Arrivals(port, order.seed):
            _kill_all(port, cut, oracle, found, order)
        if not found.wrong:
            _drain(port, found, order.drain_limit_s)
            found.wrong += oracle.at_the_end() + _survivors(port)
        _count(port, oracle, found)
    found.seconds = time.monotonic() - began_s
    return found


def _kill_all(port: Port, cut: Cut | None, oracle: Oracle, found: Campaign, order: Order) -> None:
    dice = random.Random(order.seed)
    hunter = Hunter(port, dice, order.aim_limit_s)
    weights = [kills.TARGET_WEIGHTS[kills.TARGETS.index(each)] for each in order.targets]
    process = None
    while found.deaths.total() < order.deaths and not found.wrong:
        aim = dice.choice(order.aims)
        if aim == "start" and process is not None:
            _end(process)
        if process is None or process.poll() is not None:
            process = port.start()
            found.lives += 1
        if cut is not None and dice.random() < CUT_SHARE:
            cut.after(dice.randrange(1, 2_000_000))
        doing, killed = hunter.kill(process, aim, dice.choices(order.targets, weights)[0])
        found.aims[aim] += 1
        found.deaths[doing, killed] += 1
        if process.poll() is not None:
            found.wrong += _survivors(port) + oracle.at_death()
    found.cuts = cut.breaks if cut else 0
    if process is not None and process.poll() is None:
        _end(process)
        found.wrong += oracle.at_death()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def _survivors(port: Port) -> list[str]:
    """What of the uploader's family is still there when it had time to go."""
    until = time.monotonic() + ORPHAN_LIMIT_S
    while (found := kills.family(port.rig.folder)) and time.monotonic() < until:
        time.sleep(0.02)
    return [f"left running: {each}" for each in found]


def _drain(port: Port, found: Campaign, limit_s: float) -> None:
    """Two lives without a fault: one for all that came, one for the ledger of the first."""
    port.hurry()
    for _ in range(2):
        process = port.start()
        found.lives += 1
        try:
            port.beat()
            wait_for(lambda: _is_drained(port), limit_s=limit_s, what="an empty queue")
            port.stop(process)
        except AssertionError as error:
            found.wrong.append(f"it does not drain: {str(error)[-2000:]}")
            _end(process)
            return


def _is_drained(port: Port) -> bool:
    old = (port.data.root / each.data.path for each in port.published if each.is_old)
    return port.backlog() == 0 and not any(path.exists() for path in old)


def _count(port: Port, oracle: Oracle, found: Campaign) -> None:
    rows = oracle.rows("upload")
    found.segments = len(port.published)
    found.released = sum(
        1 for one in port.published if not (port.data.root / one.data.path).exists()
    )
    found.batches = len(rows)
    found.causes.update(row["cause"] for row in rows if row["cause"])
    tries = {file["path"]: file["tries"] for row in rows for file in row["files"]}
    again = Counter(file["path"] for row in rows for file in row["files"])
    found.tried_again = sum(1 for path in tries if again[path] > 1)
    found.sweeps = sum(row["step"] == "listed" for row in oracle.rows("retention"))
    found.drills = len(oracle.rows("drill"))
    copies = oracle.copies()
    found.files = sum(copies.values())
    found.partials = sum(n for path, n in copies.items() if is_partial(path))


def report(found: Campaign) -> str:
    """What a person reads."""
    doing = sorted({each for each, _ in found.deaths})
    killed = f"{found.deaths.total()} deaths ({found.kills} processes killed)"
    lives = f"{found.lives} lives, {found.cuts} connections cut, {found.seconds:.0f} s"
    lines = [
        f"{found.kind}: {killed}, {lives}",
        f"  {'while it':22}{'uploader':>10}{'rclone':>10}{'both':>10}",
    ]
    for each in doing:
        counts = "".join(f"{found.deaths[each, who]:>10}" for who in kills.TARGETS)
        lines.append(f"  {each:22}{counts}")
    aims = ", ".join(f"{name} {count}" for name, count in sorted(found.aims.items()))
    causes = ", ".join(f"{name} {count}" for name, count in sorted(found.causes.items())) or "none"
    came = f"{found.segments} segments arrived, {found.files} files on the remote"
    left = f"{found.released} data files let go in {found.sweeps} sweeps, {found.drills} drills"
    lines += [
        f"  aimed at: {aims}",
        f"  {came}, {left}",
        f"  {found.batches} batches, {found.tried_again} files in more than one; failed: {causes}",
        f"  {found.partials} half files of a killed rclone lie on the remote (*.partial)",
        f"  {len(found.wrong)} wrong",
    ]
    return "\n".join([*lines, *(f"  WRONG {each}" for each in found.wrong[:20])])


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign; the exit code is 0 when nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.offload", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--remote", choices=[*KINDS, "all"], default="all")
    asked = parser.parse_args(arguments)
    chosen = KINDS if asked.remote == "all" else (asked.remote,)
    print(f"seed {asked.seed}", flush=True)
    bad = 0
    for number, kind in enumerate(chosen):
        deaths = asked.kills // len(chosen) + (number < asked.kills % len(chosen))
        with tempfile.TemporaryDirectory(prefix="offload-crash-") as folder:
            found = campaign(kind, Path(folder), Order(deaths, asked.seed + number))
        print(report(found), flush=True)
        bad += len(found.wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
