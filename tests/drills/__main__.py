"""`make drill`: practise the pages of docs/OPERATIONS.md; about six minutes for all.

    python -m tests.drills [NAME …] [--reports DIR] [--keep]

Every drill has a loopback fleet of its own in a temporary folder and touches nothing else; none is
meant for a running installation. Ends with PASS or FAIL for each; exit code 0 only if all passed.
Without names all run, and reports/drills_<date>.md is written.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.demo.stage import ROOT
from tests.drills import outside, places, processes
from tests.drills.ground import Failed, Ground


@dataclass(frozen=True)
class Drill:
    """What is practised: the page (a heading of docs/OPERATIONS.md) and how."""

    page: str
    act: Callable[[Ground], None]
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def purpose(self) -> str:
        """The first line of its manual."""
        return (self.act.__doc__ or "").strip()


DRILLS: dict[str, Drill] = {
    "kill-worker": Drill("every-day", processes.kill_worker),
    "hang-worker": Drill("worker_silent", processes.hang_worker),
    "hang-supervisord": Drill("supervisord_unreachable", processes.hang_supervisord),
    "bad-settings": Drill("worker_fatal", processes.bad_settings),
    "cut-network": Drill("rows_late", outside.cut_network),
    "stale-universe": Drill("universe_stale", outside.stale_universe),
    "clock-step": Drill("clock_stepped", outside.clock_step),
    "fill-disk": Drill("the-disk-is-full", places.fill_disk, {"watchdog": places.SMALL}),
    "quarantine": Drill("quarantine_grew", places.quarantine),
    "break-remote": Drill("remote_refused", places.break_remote),
    "flip-byte": Drill("every-day", places.flip_byte),
    "restore-day": Drill("offload", places.restore_day),
}


@dataclass(frozen=True)
class Result:
    """How one drill ended; `problem` is empty when it passed."""

    name: str
    took_s: int
    steps: list[str]
    problem: str

    @property
    def verdict(self) -> str:
        """PASS or FAIL."""
        return "FAIL" if self.problem else "PASS"


def main(argv: list[str] | None = None) -> int:
    """Run the drills; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.drills", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=" ".join(DRILLS))
    parser.add_argument("--reports", type=Path, default=ROOT / "reports")
    parser.add_argument("--keep", action="store_true", help="leave a drill's folder behind")
    arguments = parser.parse_args(argv)
    unknown = set(arguments.names) - set(DRILLS)
    if unknown:
        parser.error(f"no drill {' '.join(sorted(unknown))}; expected some of {' '.join(DRILLS)}")
    results = [_run(each, is_kept=arguments.keep) for each in arguments.names or DRILLS]
    if not arguments.names:
        _report(results, arguments.reports)
    return 1 if any(each.problem for each in results) else 0


def _run(name: str, *, is_kept: bool) -> Result:
    drill = DRILLS[name]
    print(f"{name}: {drill.purpose} (docs/OPERATIONS.md#{drill.page})", flush=True)
    # A socket's path holds 108 bytes: not below a long checkout.
    place = Path(tempfile.mkdtemp(prefix="ob-drill-"))
    ground = Ground(place / name, **drill.sections)
    begun_s, problem = time.monotonic(), ""
    try:
        drill.act(ground)
    except (Failed, SystemExit, OSError, AssertionError) as error:
        problem = f"{type(error).__name__}: {error}"
    finally:
        ground.close()
        if not is_kept:
            shutil.rmtree(place)
    result = Result(name, round(time.monotonic() - begun_s), ground.steps, problem)
    print(f"{result.verdict} {name} in {result.took_s} s {problem}".rstrip(), flush=True)
    return result


def _report(results: list[Result], folder: Path) -> None:
    now = datetime.now(UTC)
    folder.mkdir(exist_ok=True)
    lines = [
        f"# Drills, {now:%Y-%m-%d %H:%M} UTC",
        "",
        f"`make drill`: {len(results)} drills in {sum(each.took_s for each in results)} s, each on a",
        "loopback fleet of its own with supervisord, all workers and the imitated venue. Settings are",
        "livelier than the shipped ones, and a process is killed 5 s after TERM instead of 60 s.",
        "",
        "| drill | page of docs/OPERATIONS.md | verdict | seconds |",
        "| --- | --- | --- | --- |",
        *(_row(each) for each in results),
        "",
    ]
    for each in results:
        lines += [f"## {each.name}", "", DRILLS[each.name].purpose, ""]
        lines += [f"* {step}" for step in each.steps]
        lines += [f"* FAIL: {each.problem}"] if each.problem else []
        lines.append("")
    (folder / f"drills_{now:%Y-%m-%d}.md").write_text("\n".join(lines))


def _row(result: Result) -> str:
    page = DRILLS[result.name].page
    return f"| `{result.name}` | `#{page}` | {result.verdict} | {result.took_s} |"


if __name__ == "__main__":
    sys.exit(main())
