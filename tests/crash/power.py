"""Power cuts under the spool: a life is written to a disk whose cache forgets, then cut anywhere.

    python -m tests.crash.power [SEED]

Writes    reports/power_cuts_<date>.{md,json}; <tmp>/power-…, removed
Promises  an acknowledgement counts for a cut only when it was made before the cut's last write: it
          carries how much the log of the disk had by then. Exit 0 only when nothing was lost and
          every planted bug was seen
"""

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.crash import oracle
from tests.crash.harness import ROOT
from tests.vps.disk import (
    EVERYTHING,
    FLUSH,
    NOTHING,
    SOME,
    Cut,
    Entry,
    LoggedDisk,
    entries,
    lacking,
    mounted,
    write_state,
)
from tests.vps.record import PASS, Record, Step, written

DISK_BYTES = 64 << 20
LIFE_LIMIT_S = 120
KEPT = (NOTHING, EVERYTHING, SOME, SOME, SOME)
DEATHS = 10
SAMPLE = 500
CONTROL_SAMPLE = 60
SHOWN = 3
CONTROLS = (
    ("no_fsync", "no_fsync", "noatime"),
    ("barrier=0", "", "noatime,barrier=0"),
    ("told too early", "told_too_early", "noatime"),
)
PLAN = {
    "ordered": "ext4 as Debian mounts it: a cut at every write and flush of a life",
    "writeback": "ext4 with data=writeback: names may come before bytes",
    "journal": "ext4 with data=journal",
    "recovery": "a cut at any write of the recovery from a cut",
    "control: no_fsync": "a spool that syncs nothing must be seen to lose rows",
    "control: barrier=0": "a file system that flushes nothing must be seen to lose rows",
    "control: told too early": "a spool that takes what is flushed for synced must be seen",
}
NOT_SHOWN = """\
* The writer is the spool's own, driven by a script for some seconds: not a collector, no network.
  `make vm-rehearsal` cuts the power of a whole machine.
* The disk is a model: what a flush followed is there, anything else may be there, may be missing,
  or may be torn at 4 KiB. A disk that lies about its flushes is not in it, and no spool survives one.
* One kernel, one file system (ext4, 64 MB, in memory).
"""


@dataclass(frozen=True)
class Life:
    """A life, and the log that its disk kept of it."""

    folder: Path
    disk: LoggedDisk
    entries: tuple[Entry, ...]
    options: str

    @property
    def acks(self) -> Path:
        """What the disk was said to have, with how much of the log was there by then."""
        return self.folder / "acks"

    def cuts(self) -> list[Cut]:
        """Every cut of it."""
        return [
            Cut(before, kept, seed)
            for before in range(1, len(self.entries) + 1)
            for seed, kept in enumerate(KEPT)
        ]


def record(folder: Path, *, plant: str = "", options: str = "noatime") -> Life:
    """One life on a disk of its own."""
    folder.mkdir()
    disk = LoggedDisk(folder)
    disk.make(DISK_BYTES)
    oracle.new_acks(folder / "acks")
    _run(disk, options, plant, "workload", folder / "acks", disk.log)
    return Life(folder, disk, tuple(entries(disk.log)), options)


def record_recovery(folder: Path, life: Life, cut: Cut) -> Life:
    """The recovery from a cut, on a disk of its own; its acknowledgements are those of the cut."""
    folder.mkdir()
    disk = LoggedDisk(folder)
    write_state(disk.raw, life.disk.base, life.disk.log, life.entries, cut)
    (folder / "acks").write_bytes(_acks_before(life, cut))
    _run(disk, life.options, "", "recover")
    return Life(folder, disk, tuple(entries(disk.log)), life.options)


def _run(disk: LoggedDisk, options: str, plant: str, what: str, *arguments: Path) -> None:
    place = disk.raw.parent / "mount"
    environment = {**os.environ, "ORDERBOOKS_TEST_PLANT": plant, "PYTHONHASHSEED": "0"}
    try:
        with mounted(disk.show(), place, options):
            told = map(str, (place / "data", *arguments))
            words = [sys.executable, "-m", f"tests.crash.{what}", *told]
            subprocess.run(words, cwd=ROOT, env=environment, check=True, timeout=LIFE_LIMIT_S)
    finally:
        disk.hide()


def _acks_before(life: Life, cut: Cut) -> bytes:
    """The acknowledgements from before a cut; those without a place in the log are older."""
    reached = life.entries[cut.before - 1].end
    kept = []
    for line in life.acks.read_bytes().strip(b"\0").splitlines():
        words = line.split()
        if len(words) < 3 or int(words[2]) <= reached:
            kept.append(b" ".join(words[:2]) + b"\n")
    return b"".join(kept)


def wrong_after(life: Life, cut: Cut) -> list[str]:
    """Everything that is wrong after a cut and the recovery from it."""
    image, acks = life.folder / "state", life.folder / "state.acks"
    write_state(image, life.disk.base, life.disk.log, life.entries, cut)
    acks.write_bytes(_acks_before(life, cut))
    try:
        with mounted(image, life.folder / "state.mount", life.options) as place:
            return oracle.judge(place / "data", acks)
    except subprocess.CalledProcessError as error:
        return [f"the disk cannot be used: {error}"]
    except Exception as error:  # noqa: BLE001 - whatever recovery raises is a finding
        return [f"{type(error).__name__}: {error}"]
    finally:
        image.unlink(missing_ok=True)


def _tried(step: Step, trials: Iterable[tuple[Life, list[Cut]]]) -> tuple[int, int]:
    """How many states were tried and how many were bad; the first bad ones are noted."""
    tried = bad = acknowledged = 0
    for life, cuts in trials:
        flushes = sum(bool(each.flags & FLUSH) for each in life.entries)
        told = f"{len(life.entries)}, {flushes} of them flushes"
        step.check("the log has the writes of the life", told, holds=flushes > 0)
        for cut in cuts:
            wrong = wrong_after(life, cut)
            tried, bad = tried + 1, bad + bool(wrong)
            acknowledged += _acks_before(life, cut).count(b"row ")
            if wrong and bad <= SHOWN:
                step.shown += f"{cut}: {'; '.join(wrong[:3])}\n"
    step.check("acknowledgements held against the states", acknowledged, holds=acknowledged > 0)
    return tried, bad


def _nothing_lost(step: Step, trials: Iterable[tuple[Life, list[Cut]]]) -> None:
    tried, bad = _tried(step, trials)
    step.check("no state is bad", f"{bad} bad of {tried} states", holds=tried > 0 and not bad)


def _is_seen(step: Step, life: Life, cuts: list[Cut]) -> None:
    tried, bad = _tried(step, [(life, cuts)])
    step.check("the bug is seen", f"{bad} bad of {tried} states", holds=bad > 0)


def _sample(life: Life, count: int, dice: random.Random) -> list[Cut]:
    cuts = life.cuts()
    return dice.sample(cuts, min(count, len(cuts)))


def _recoveries(folder: Path, life: Life, dice: random.Random) -> Iterator[tuple[Life, list[Cut]]]:
    """Recoveries from cuts before which something was acknowledged, and cuts of each."""
    cuts = [each for each in life.cuts() if _acks_before(life, each)]
    for number, cut in enumerate(dice.sample(cuts, DEATHS)):
        recovery = record_recovery(folder / f"recovery-{number}", life, cut)
        yield recovery, _sample(recovery, SAMPLE // DEATHS, dice)


def _campaign(folder: Path, record_: Record, dice: random.Random) -> None:
    ordered = record(folder / "ordered")
    with record_.step("ordered") as step:
        _nothing_lost(step, [(ordered, ordered.cuts())])
    for mode in ("writeback", "journal"):
        with record_.step(mode) as step:
            life = record(folder / mode, options=f"noatime,data={mode}")
            _nothing_lost(step, [(life, _sample(life, SAMPLE, dice))])
    with record_.step("recovery") as step:
        _nothing_lost(step, _recoveries(folder, ordered, dice))
    for name, plant, options in CONTROLS:
        with record_.step(f"control: {name}") as step:
            life = record(folder / name.replace(" ", "-"), plant=plant, options=options)
            _is_seen(step, life, _sample(life, CONTROL_SAMPLE, dice))


def main(arguments: list[str]) -> int:
    """Run the campaign and write the report."""
    reason = lacking()
    if reason:
        print(f"the power cannot be cut here: {reason}")
        return 2
    seed = int(arguments[0]) if arguments else random.SystemRandom().randrange(1_000_000)
    told_of = Record(PLAN, {"seed": str(seed)})
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="power-", dir=memory) as folder:
        _campaign(Path(folder), told_of, random.Random(seed))
    words = {"title": "Power cuts under the spool", "made_by": "make power-cuts"}
    name = written(told_of, ROOT / "reports", "power_cuts", NOT_SHOWN, **words)
    result = told_of.told()["result"]
    print(f"{result}  {name}.md")
    return 0 if result == PASS else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
