"""`make vm-rehearsal`: the document in a virtual machine, whose power is then cut again and again.

    python -m tests.vps.vm [--folder DIR] [--out DIR] [--until STEP] [--seed N]
        [--cuts N] [--sessions N]

Reads     docs/VPS_DEPLOYMENT.md, this checkout (with what is not committed)
Writes    <out>/vm_rehearsal_<date>.{md,json}; <folder>/, made once; <folder>/vm-<time>/, removed
          when everything passed
Promises  exit 0 only if every step passed; what was started ends, whatever happens
"""

import argparse
import random
import sys
import time
from pathlib import Path

from tests.vps import disk, document, image, launch, uml
from tests.vps.blackouts import PLAN, Blackouts, Ground
from tests.vps.outside import MACHINE, Outside
from tests.vps.record import PASS, Record, written
from tests.vps.repository import clone

NOT_SHOWN = """\
* The venue is the loopback venue of this checkout: nothing here is evidence about Polymarket.
* The machine is User Mode Linux: a kernel, a systemd, cgroups, disks and a network of its own, one
  processor, as a process of the host. It is no firmware, and its disks are files of the host.
* A cut ends all of it by SIGKILL: what its kernel had not written is gone. The "forgetful disk" also
  loses, keeps or tears (at 4 KiB) what was written and not flushed; a disk that lies about its
  flushes is not in it. The system disk never forgets: its driver drops flushes anyway.
* What a kernel has no part in (upgrade, rollback, a release that does not start, the gate) is the
  container's to show: `make vps-rehearsal`.
* Settings, packages and wheels are those of `make vps-rehearsal`: no package index was asked.
* It lasts an hour at most. What a day does is `orderbooks soak`'s to show.
"""
GROUND = ("boot", "doc: Install", "doc: Settings", "doc: Start")


def main() -> int:
    """Make the image, enter a network without a way out, take the steps."""
    arguments = _arguments()
    if not arguments.inside:
        launch.make_image(arguments.folder, {**uml.TOOLS, **disk.TOOLS})
        uml.make_image(arguments.folder, MACHINE)
        launch.go_inside("tests.vps.vm", "--mount")
    run = arguments.folder / f"vm-{int(time.time())}"
    run.mkdir()
    record, name = _rehearse(arguments, run, launch.blocks())
    return launch.ended(record, name, run)


def _arguments() -> argparse.Namespace:
    parser = launch.parser("tests.vps.vm", __doc__)
    launch.add_steps(parser, [name for name, *_ in PLAN])
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--cuts", type=int, default=10, help="of the power")
    parser.add_argument("--sessions", type=int, default=3, help="on the forgetful disk")
    return parser.parse_args()


def _report(record: Record, out: Path) -> Path:
    """Write what was seen so far; its path without a suffix."""
    title = "Rehearsal in a virtual machine, with power cuts"
    words = {"title": title, "made_by": "make vm-rehearsal"}
    return written(record, out, "vm_rehearsal", NOT_SHOWN, **words)


def _rehearse(
    arguments: argparse.Namespace, run: Path, blocks: list[document.Block]
) -> tuple[Record, Path]:
    media = {name: arguments.folder / name for name in ("packages", "wheels")}
    (run / "machine").mkdir()
    (run / "states").mkdir()
    machine = uml.VirtualMachine(run / "machine", arguments.folder / "machine/system.img", media)
    ground = Ground(
        machine.media / "repository",
        run / "venue",
        run / "states",
        arguments.seed,
        arguments.cuts,
        arguments.sessions,
    )
    about = {
        "commit": clone(ground.repository),
        "python": image.PYTHON,
        "suite": image.SUITE,
        "kernel": f"{', '.join(uml.kernels())} (User Mode Linux)",
        "seed": str(arguments.seed),
    }
    record = Record({name: meaning for name, meaning, _ in PLAN}, about)
    there = Outside(run)
    uml.plug_in()
    written = arguments.out
    try:
        rehearsal = Blackouts(machine, there, blocks, ground)
        for name, _, act in PLAN:
            with record.step(name) as step:
                act(rehearsal, step)
            written = _report(record, arguments.out)
            if name == arguments.until or (name in GROUND and step.result != PASS):
                break
    finally:
        machine.close()
        there.close()
    return record, written


if __name__ == "__main__":
    sys.exit(main())
