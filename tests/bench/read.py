"""Reading: the book at a random instant of a day, every book of a market in order, and frames.

The rival reads the same rows as most scripts do: gzip, orjson, a dict of floats for each side, its
best by max and min; a second time with decimals, which are exact like ours. It needs orjson, which
the project does not use: without it the rival is the standard json. Both read the raw files, every
level of both sides and the best of each; ours proves the files by their SHA-256 as well, looks for
gaps, and says of each book where it stands.
"""

import gzip
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.bench import day
from workers.core.reading.evidence import State
from workers.core.universe.markets import Market
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks
from workers.tools.__main__ import main

MARKETS, SOME, ASKED, ROUNDS = 400, 6, 2000, 5
TARGET_MS, TARGET_TIMES = 5.0, 2.0
NS_PER_MS = 1_000_000
SPAN = ("open-1h", "close+1h")

try:
    from orjson import loads

    RIVAL = "orjson + dict"
except ImportError:
    loads = json.loads
    RIVAL = "json + dict"
Read = Callable[[Path, list[Market]], int]


def instants(root: Path, markets: list[Market]) -> dict[str, float]:
    """Milliseconds of `book` at random instants, after each market was asked about once.

    On a machine that others use as well, the slowest are those that had to wait for it: their CPU
    time tells what the question itself took.
    """
    reader = open_archive(root)
    dice = random.Random(7)
    for each in markets:
        reader.book(each.slug, "Up", each.phases[0].from_ms + 5000)
    took, spent = [], []
    for _ in range(ASKED):
        each = dice.choice(markets)
        at_ns = (each.phases[0].from_ms + dice.randint(1000, 659_000)) * NS_PER_MS
        before, cpu_before = time.perf_counter_ns(), time.process_time_ns()
        answer = reader.book(each.slug, dice.choice(("Up", "Down")), at_ns)
        took.append((time.perf_counter_ns() - before) / 1e6)
        spent.append((time.process_time_ns() - cpu_before) / 1e6)
        assert answer.state == State.SYNCED, answer.cause
    took.sort()
    spent.sort()
    worst = ASKED * 99 // 100
    return {"p50_ms": took[ASKED // 2], "p99_ms": took[worst], "p99_cpu_ms": spent[worst]}


def ours(root: Path, markets: list[Market]) -> int:
    """Every book of some markets, its levels as integers and its best; returns how many."""
    reader = open_archive(root)
    books = 0
    for each in markets:
        for answer in reader.books(each.slug, *SPAN):
            book = answer.book
            assert book is not None
            assert book.bids.price_micros
            assert book.asks.price_micros
            best = (book.best_bid, book.best_ask)
            assert best[0] is not None
            assert best[1] is not None
            books += best[0].price_micros < best[1].price_micros or 1
    return books


def rival(
    root: Path, markets: list[Market], number: Callable[[str], Decimal | float] = float
) -> int:
    """The same with a JSON parser and dictionaries."""
    books = 0
    for each in markets:
        for path in sorted((root / "raw").glob(f"*/*/*/{each.slug}--*.jsonl.gz")):
            for line in gzip.decompress(path.read_bytes()).splitlines():
                row: dict[str, Any] = loads(line)
                bids = {number(x["price"]): number(x["size"]) for x in row["book"]["bids"]}
                asks = {number(x["price"]): number(x["size"]) for x in row["book"]["asks"]}
                best = (max(bids), min(asks))
                books += best[0] < best[1] or 1
    return books


def exact_rival(root: Path, markets: list[Market]) -> int:
    """The rival whose numbers are exact."""
    return rival(root, markets, Decimal)


def frames(root: Path, markets: list[Market]) -> int:
    """Every book as columns."""
    reader = open_archive(root)
    return sum(len(reader.frame(each.slug, *SPAN)) for each in markets)


def rate(read: Read, root: Path, markets: list[Market]) -> float:
    """Books a CPU-second."""
    before = time.process_time()
    books = read(root, markets)
    return books / (time.process_time() - before)


def derive(root: Path, markets: list[Market]) -> None:
    """Make the tables of some markets' books."""
    files = [
        str(path)
        for each in markets
        for path in (root / "raw").glob(f"*/*/*/{each.slug}--*.jsonl.gz")
    ]
    main(["normalize", "--data", str(root), "--jobs", "1", *files])
    locks.release_all()


def measure(markets: int = MARKETS) -> dict[str, Any]:
    """Make the day, ask, read in turn; medians, and the median of the rounds' ratios."""
    with tempfile.TemporaryDirectory(prefix="bench") as folder:
        root = Path(folder) / "var"
        made = day.make(root, markets)
        some = made[:SOME]
        frames(root, made[-1:])
        table = [
            tuple(rate(read, root, some) for read in (ours, rival, exact_rival, frames))
            for _ in range(ROUNDS)
        ]
        asked = instants(root, made)
        derive(root, some)
        tables = [rate(frames, root, some) for _ in range(ROUNDS)]
    return {
        "markets": markets,
        **asked,
        "ours": statistics.median(each[0] for each in table),
        "rival": statistics.median(each[1] for each in table),
        "times": statistics.median(each[0] / each[1] for each in table),
        "exact_rival": statistics.median(each[2] for each in table),
        "exact_times": statistics.median(each[0] / each[2] for each in table),
        "frames": statistics.median(each[3] for each in table),
        "tables": statistics.median(tables),
    }


def report(found: dict[str, Any]) -> str:
    """The lines a person reads."""
    p50, p99 = f"{found['p50_ms']:.2f} ms", f"{found['p99_ms']:.2f} ms"
    p99 += f", of the CPU {found['p99_cpu_ms']:.2f} ms"
    pair = f"ours {found['ours']:,.0f}, {RIVAL} {found['rival']:,.0f} books/CPU-s"
    exact = f"{found['exact_rival']:,.0f} books/CPU-s: {found['exact_times']:.2f}x"
    whole = f"from raw {found['frames']:,.0f}, from tables {found['tables']:,.0f} books/CPU-s"
    return "\n".join(
        (
            f"reading: a day of {found['markets']} markets, {day.TICKS} ticks of two tokens each",
            f"  book at an instant, raw    p50 {p50}  p99 {p99}; target: p50 {TARGET_MS:.0f} ms",
            f"  every book in order, raw   {pair}: {found['times']:.2f}x; target: {TARGET_TIMES}x",
            f"    of a rival with decimals   {exact}",
            f"  as a frame                 {whole}",
        )
    )


if __name__ == "__main__":
    print(report(measure(int(sys.argv[1]) if len(sys.argv) > 1 else MARKETS)))
