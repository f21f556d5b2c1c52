"""Soak the real fleet against the loopback venue, and report.

    python -m tests.soak day [--minutes 24]      24 venue hours, 60 times faster, with faults
    python -m tests.soak hour [--minutes 60]     real pace, no faults

Reads     nothing
Writes    <folder>/ (a data directory, the venue's ledger), and the reports into --out, made of the
          archive after the fleet stopped: then everything that they rest on is published and goes
          into their bundle
Promises  whatever happens, the processes started here are ended
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.demo.stage import ROOT, Stage
from tests.soak import fleet, mix
from workers.core.instants import compact_text

#: The exit code of a soak that was stopped before its time.
CANNOT = 2


def main() -> int:
    """Run one of the two soaks; returns the exit code of `orderbooks soak`."""
    arguments = _arguments()
    is_day = arguments.which == "day"
    minutes = arguments.minutes or (24 if is_day else 60)
    settings = fleet.ACCELERATED if is_day else fleet.REAL
    stage = Stage(arguments.folder, overrides=settings)
    print(f"soak in {stage.folder}", flush=True)
    try:
        scale = str(fleet.SCALE if is_day else 1)
        rules = [] if not is_day else list(mix.RULES)
        stage.open_venue("--scale", scale, "--seed", "11", "--markets", fleet.MARKETS)
        stage.remote_folder.mkdir()
        stage.open_fleet()
        stage.wait_for(stage.recording, "a recording collector")
        for kind, route, probability, params in rules:
            stage.fault(kind, route=route, probability=probability, **params)
        notes = [fleet.NOTE_ACCELERATED, mix.NOTE] if is_day else [fleet.NOTE_REAL]
        code = _soak(stage, arguments, minutes, notes, list(mix.acts()) if is_day else [])
        stage.close_fleet()
        return code if code == CANNOT else _tool(stage, arguments, "--report", "--pack").wait()
    finally:
        stage.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("which", nargs="?", choices=("day", "hour"), default="day")
    parser.add_argument("--minutes", type=float, help="of real time (default: 60, or 24)")
    parser.add_argument("--sample-s", type=float, default=10)
    parser.add_argument("--folder", type=Path, default=_folder(), help="made anew; a short path")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    return parser.parse_args()


def _folder() -> Path:
    """A unix socket's path is short, and a checkout's may not be."""
    stamp = compact_text(time.time_ns() // 1_000_000)[:15]
    return Path(tempfile.gettempdir()) / f"orderbooks-soak-{stamp}"


def _soak(
    stage: Stage,
    arguments: argparse.Namespace,
    minutes: float,
    notes: list[str],
    acts: list[mix.Act],
) -> int:
    begin_s, soak = time.monotonic(), _begin(stage, arguments, minutes, notes)
    while soak.poll() is None:
        elapsed = (time.monotonic() - begin_s) / (minutes * 60)
        if acts and elapsed >= acts[0].at:
            act = acts.pop(0)
            print(f"{elapsed:6.1%}  {act.what}", flush=True)
            act.do(stage)
        time.sleep(0.5)
    return soak.returncode


def _begin(
    stage: Stage, arguments: argparse.Namespace, minutes: float, notes: list[str]
) -> "subprocess.Popen[bytes]":
    words: list[Any] = ["--hours", minutes / 60, "--sample-s", arguments.sample_s]
    words += ["--label", "accelerated" if arguments.which == "day" else "real_time"]
    words += [word for note in notes for word in ("--note", note)]
    return _tool(stage, arguments, *words)


def _tool(stage: Stage, arguments: argparse.Namespace, *words: object) -> "subprocess.Popen[bytes]":
    """`orderbooks soak` on that archive."""
    places = ("--out", arguments.out.absolute(), "--config", stage.config)
    command = [sys.executable, "-m", "workers.tools", "soak", *map(str, (*words, *places))]
    return subprocess.Popen(command, cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
