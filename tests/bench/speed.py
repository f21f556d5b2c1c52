"""Polled books per CPU-second and archived bytes per book: ours and the rivals, in turn."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / ".venv-clients/bin/python"
POLLS, ROUNDS = 900, 5
SIDES = ("ours", "aiohttp", "pyclob")
TARGET_BOOKS_PER_CPU_S = 20_000
TARGET_SHARE = 0.2


def command(side: str, url: str, tokens: str, folder: str) -> list[str]:
    """How a side is started."""
    if side == "ours":
        head = [sys.executable, "-m", "tests.bench.ours"]
    else:
        head = [str(CLIENTS), "tests/bench/rivals.py", side]
    return [*head, url, tokens, str(POLLS), folder]


def one(side: str, url: str, tokens: str) -> dict[str, float]:
    """One run of one side in a process and folder of its own."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        run = subprocess.run(
            command(side, url, tokens, folder),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    if run.returncode:
        raise SystemExit(f"{side} failed: {run.stderr[-800:]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def measure(*, rounds: int = ROUNDS) -> dict[str, object]:
    """Run all sides `rounds` times in turn; medians, and medians of per-round ratios."""
    sides = SIDES if CLIENTS.exists() else SIDES[:1]
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        feed = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.feed", str(POLLS)], cwd=ROOT, stdout=subprocess.PIPE
        )
        try:
            assert feed.stdout is not None
            said = json.loads(feed.stdout.readline())
            tokens = Path(folder) / "tokens.json"
            tokens.write_text(json.dumps(said["tokens"]))
            table = [
                {side: one(side, said["url"], str(tokens)) for side in sides} for _ in range(rounds)
            ]
        finally:
            feed.kill()
            feed.wait()
    return summary(table)


def summary(table: list[dict[str, dict[str, float]]]) -> dict[str, object]:
    """Medians over rounds, and ours against each rival."""
    found: dict[str, object] = {"rounds": len(table), "polls": POLLS}
    for side in table[0]:
        rates = [each[side]["books"] / each[side]["cpu_s"] for each in table]
        sizes = [each[side]["bytes"] / each[side]["books"] for each in table]
        found[side] = {
            "books_per_cpu_s": round(statistics.median(rates)),
            "bytes_per_book": round(statistics.median(sizes), 1),
            "ours_is_times_faster": round(
                statistics.median(
                    each["ours"]["books"] / each["ours"]["cpu_s"] / rate
                    for each, rate in zip(table, rates, strict=True)
                ),
                2,
            ),
            "ours_bytes_share": round(
                statistics.median(
                    each["ours"]["bytes"] / each["ours"]["books"] / size
                    for each, size in zip(table, sizes, strict=True)
                ),
                3,
            ),
        }
    return found


def report(found: dict[str, object]) -> str:
    """The table a person reads."""
    lines = [
        f"books: {found['polls']} polls of 50 books, median of {found['rounds']} rounds in turn"
    ]
    lines.append(
        f"  {'':10}{'books/CPU-s':>14}{'bytes/book':>14}{'ours faster':>14}{'ours size':>12}"
    )
    for side in SIDES:
        each = found.get(side)
        if isinstance(each, dict):
            lines.append(
                f"  {side:10}{each['books_per_cpu_s']:>14,}{each['bytes_per_book']:>14}"
                f"{each['ours_is_times_faster']:>13}x{each['ours_bytes_share']:>11.1%}"
            )
        else:
            lines.append(f"  {side:10}  skipped: make the clients' environment first")
    lines.append(
        f"  targets: {TARGET_BOOKS_PER_CPU_S:,} books/CPU-s; at most {TARGET_SHARE:.0%} of aiohttp's bytes"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    result = measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    print(report(result))
