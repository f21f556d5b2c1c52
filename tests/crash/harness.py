"""Faults at every system call: strace kills the workload, or makes its calls fail.

Promises  a fault that did not happen is an error of the run, never a silent pass: strace counts
          `when=` for each syscall name alone, so every (name, n) pair is enumerated.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.crash import oracle
from tests.crash.workload import GAVE_UP

ROOT = Path(__file__).resolve().parents[2]
CALLS = (
    *("openat", "write", "pwrite64", "fsync", "fdatasync", "rename", "unlink", "mkdir"),
    *("ftruncate", "flock", "fadvise64", "close"),
)
#: They change nothing: a kill there is a kill at the next call.
READERS = {"close", "fadvise64"}
ERRORS = {
    "write": ("ENOSPC", "EIO", "EDQUOT"),
    "fsync": ("EIO", "ENOSPC"),
    "fdatasync": ("EIO", "ENOSPC", "EDQUOT"),
    "rename": ("ENOSPC", "EIO"),
    "openat": ("ENOSPC", "EIO", "EMFILE"),
    "mkdir": ("ENOSPC",),
    "unlink": ("EIO",),
}
RUN_LIMIT_S = 60
KILLED = (-9, 137)


@dataclass(frozen=True)
class Point:
    """One fault in a life; `cut_bytes` are then lost at the end of every open file."""

    fault: str
    cut_bytes: int = 0


@dataclass(frozen=True)
class Again:
    """A fault in the recovery from a death that left `state`, whose readable rows are `rows`."""

    state: Path
    rows: frozenset[str]
    fault: str


def unavailable() -> str:
    """Why strace cannot inject here, or ""."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    argv = [
        "strace",
        "-f",
        "-qq",
        "-o",
        os.devnull,
        "-e",
        "inject=close:error=EIO:when=999",
        "true",
    ]
    done = subprocess.run(argv, capture_output=True, check=False)
    return "" if done.returncode == 0 else "ptrace is refused"


def run(
    what: str, arguments: list[Path], *, fault: str = "", log: Path | None = None, plant: str = ""
) -> int:
    """One process under strace; returns its exit code, negative for a signal."""
    argv = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log or os.devnull)]
    argv += ["-e", f"trace={','.join(CALLS)}", *(["-e", f"inject={fault}"] if fault else [])]
    argv += [sys.executable, "-m", f"tests.crash.{what}", *map(str, arguments)]
    env = {**os.environ, "ORDERBOOKS_TEST_PLANT": plant, "PYTHONHASHSEED": "0"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        argv, env=env, cwd=ROOT, capture_output=True, timeout=RUN_LIMIT_S, check=False
    )
    if done.returncode not in (0, GAVE_UP, *KILLED):
        raise AssertionError(f"{what} {fault} left with {done.returncode}: {done.stderr.decode()}")
    return done.returncode


def traced(what: str, arguments: list[Path], log: Path, **more: str) -> list[str]:
    """The system calls of a run, one line each, without the process id."""
    run(what, arguments, log=log, **more)
    lines = [line.split(None, 1)[1] for line in log.read_text().splitlines()]
    return [line for line in lines if re.match(r"\w+\(", line)]


def calls_at(lines: Iterable[str], root: Path) -> Iterator[tuple[str, int, str]]:
    """Every call that touches `root`: its name, its n-th of that name in the process, its line."""
    counts: Counter[str] = Counter()
    for line in lines:
        name = line.partition("(")[0]
        counts[name] += 1
        if str(root) in line:
            yield name, counts[name], line


def kill_points(lines: Iterable[str], root: Path) -> list[str]:
    """A kill at the entry of every call that changes the data directory."""
    return [
        f"{name}:signal=KILL:when={n}"
        for name, n, line in calls_at(lines, root)
        if name not in READERS and ("O_CREAT" in line or name != "openat")
    ]


def error_points(lines: Iterable[str], root: Path) -> list[str]:
    """Every error at every call: once, five times, and from there on for ever."""
    return [
        f"{name}:error={error}:when={when}"
        for name, n, _ in calls_at(lines, root)
        for error in ERRORS.get(name, ())
        for when in (f"{n}", f"{n}..{n + 4}", f"{n}+")
    ]


def try_point(point: Point, *, plant: str = "") -> list[str]:
    """Everything that is wrong after one fault and the recovery from it."""
    with tempfile.TemporaryDirectory(prefix="crash-") as name:
        folder = Path(name)
        wrong, root = _lived(folder, point, plant=plant)
        acks = None if point.cut_bytes else folder / "acks"
        if not plant:
            return wrong + oracle.judge(root, acks)
        rows = oracle.readable_rows(root)
        run("recover", [root], plant=plant)
        return wrong + oracle.judge_as_it_is(root, rows, acks)


def try_again(again: Again) -> list[str]:
    """Everything that is wrong after a fault in a recovery and the recovery from that."""
    with tempfile.TemporaryDirectory(prefix="again-") as folder:
        root, log = Path(folder) / "data", Path(folder) / "log"
        shutil.copytree(again.state, root)
        left = run("recover", [root], fault=again.fault, log=log)
        wrong = _unexpected(again.fault, left, log.read_text())
        return wrong + oracle.judge(root, None, again.rows)


def deaths_in_recovery(folder: Path, point: Point, *, errors: str = "") -> list[Again]:
    """Every fault in the recovery from one death: kills, or with `errors` failing calls."""
    _, state = _lived(folder, point)
    shutil.copytree(state, folder / "copy")
    lines = traced("recover", [folder / "copy"], folder / "recovery.log")
    points = (error_points if errors else kill_points)(lines, folder / "copy")
    rows = frozenset(oracle.readable_rows(state))
    return [Again(state, rows, fault) for fault in points]


def _lived(folder: Path, point: Point, *, plant: str = "") -> tuple[list[str], Path]:
    root, acks = folder / "data", oracle.new_acks(folder / "acks")
    left = run("workload", [root, acks], fault=point.fault, log=folder / "log", plant=plant)
    wrong = _unexpected(point.fault, left, (folder / "log").read_text())
    for path in root.glob("spool/open/*/*.jsonl.gz.open") if point.cut_bytes else ():
        os.truncate(path, max(0, path.stat().st_size - point.cut_bytes))
    return wrong, root


def _unexpected(fault: str, left: int, log: str) -> list[str]:
    if "signal=KILL" in fault and left not in KILLED:
        return [f"the kill did not happen: exit {left}"]
    if "error=" in fault and "(INJECTED)" not in log:
        return ["the error did not happen"]
    if "error=" in fault and not fault.endswith("+") and left != 0:
        return [f"the fault passed, yet the workload ended with {left}"]
    return []


def try_all(
    points: Iterable[Point | Again], *, plant: str = "", tell: Callable[[str], object] = print
) -> tuple[int, list[str]]:
    """Try every point, two at a time; returns how many, and what was wrong at which."""
    points = list(points)

    def one(point: Point | Again) -> list[str]:
        try:
            return try_again(point) if isinstance(point, Again) else try_point(point, plant=plant)
        except Exception as error:  # noqa: BLE001 - whatever recovery raises is a finding
            return [f"{type(error).__name__}: {error}"]

    failures = []
    with ThreadPoolExecutor(2) as pool:
        for point, wrong in zip(points, pool.map(one, points), strict=True):
            if wrong:
                failures.append(f"{point}: {'; '.join(wrong[:3])}")
                tell(f"FAIL {failures[-1]}")
    return len(points), failures


def workload_calls(folder: Path, *, plant: str = "", fault: str = "") -> tuple[list[str], Path]:
    """The calls of a healthy life, and its data directory."""
    root, acks = folder / "data", oracle.new_acks(folder / "acks")
    return traced("workload", [root, acks], folder / "log", plant=plant, fault=fault), root
