"""`make vps-rehearsal`: docs/VPS_DEPLOYMENT.md, word by word, in a machine with its own systemd.

    python -m tests.vps [--folder DIR] [--out DIR] [--until STEP]

Reads     docs/VPS_DEPLOYMENT.md, this checkout (with what is not committed)
Writes    <out>/vps_rehearsal_<date>.{md,json}; <folder>/, made once; <folder>/run-<time>/, removed
          when everything passed
Promises  exit 0 only if every step passed; what was started ends, whatever happens
"""

import argparse
import sys
import time
from pathlib import Path

from tests.vps import document, image, launch
from tests.vps.acts import PLAN
from tests.vps.machine import Machine
from tests.vps.outside import MACHINE, Outside
from tests.vps.record import PASS, Record, written
from tests.vps.rehearsal import Rehearsal
from tests.vps.repository import clone

NOT_SHOWN = """\
* The venue is the loopback venue of this checkout: nothing here is evidence about Polymarket.
* The machine is a container (systemd-nspawn): a systemd, users, files and a network of its own on
  the kernel of the host. Killing it loses no page cache: it is no power cut.
* apt reads packages that were fetched beforehand from a directory (file:/media/packages), pip
  wheels from another (PIP_NO_INDEX, PIP_FIND_LINKS): no package index was asked. The repository is
  a directory, too.
* The name server, the venue's TLS and its authority are the rehearsal's own (SSL_CERT_FILE in
  /etc/orderbooks/env): the system's authorities were not asked.
* Settings differ from the shipped ones in the venue's addresses, the remote (an S3 served by rclone
  outside), and Sentry's check-in each 30 s.
* The host has cgroups of version 1: MemoryHigh and MemoryMax stand in the unit, and were not seen to
  be enforced. chronyd does not run in a container: it may not set the clock.
* It lasts minutes. What a day does is `orderbooks soak`'s to show.
"""
#: Without these nothing after them can be shown.
GROUND = ("boot", "doc: Install", "doc: Settings")


def main() -> int:
    """Make the image, enter a network without a way out, take the steps."""
    parser = launch.parser("tests.vps", __doc__)
    launch.add_steps(parser, [name for name, *_ in PLAN])
    arguments = parser.parse_args()
    if not arguments.inside:
        launch.make_image(arguments.folder, {})
        launch.go_inside("tests.vps")
    run = arguments.folder / f"run-{int(time.time())}"
    run.mkdir()
    record = _rehearse(arguments, run, launch.blocks())
    name = written(record, arguments.out, "vps_rehearsal", NOT_SHOWN)
    return launch.ended(record, name, run)


def _rehearse(arguments: argparse.Namespace, run: Path, blocks: list[document.Block]) -> Record:
    repository = run / "repository"
    commit = clone(repository)
    about = {"commit": commit, "python": image.PYTHON, "suite": image.SUITE}
    record = Record({name: meaning for name, meaning, _ in PLAN}, about)
    media = {
        "packages": arguments.folder / "packages",
        "wheels": arguments.folder / "wheels",
        "repository": repository,
    }
    there = Outside(run)
    machine = Machine(run, arguments.folder / "base", media, MACHINE)
    try:
        rehearsal = Rehearsal(machine, there, blocks, repository)
        for name, _, act in PLAN:
            with record.step(name) as step:
                act(rehearsal, step)
            if name == arguments.until or (name in GROUND and step.result != PASS):
                break
    finally:
        machine.close()
        there.close()
    return record


if __name__ == "__main__":
    sys.exit(main())
