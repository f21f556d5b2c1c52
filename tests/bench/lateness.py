"""How late ticks start: the real collector process on 1 s ticks, alone and beside two CPU hogs.

Lateness = send time − due time, from the collector's own ledger. The venue runs on the same
machine and takes its share of the two cores.
"""

import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from tests.rig import Rig, market_of
from tests.venue import Venue
from workers.core.archive.ledger import Request
from workers.core.polling.cadence import Phase

SECONDS = 60
LINES = ("btc-1d", "btc-4h", "btc-1h", "btc-15m", "btc-5m")
TARGET_P99_MS = 50


def hog() -> None:
    """Burn one core."""
    while True:
        pass


def lateness_ms(seconds: int, hogs: int) -> list[float]:
    """Record for a while; every request's lateness in milliseconds."""
    burners = [multiprocessing.Process(target=hog, daemon=True) for _ in range(hogs)]
    with tempfile.TemporaryDirectory(prefix="late") as folder:
        root = Path(folder)
        with Venue(root / "venue", seed=5, lines=LINES) as venue, Rig(root, venue.url) as rig:
            now_ms = time.time_ns() // 1_000_000
            markets = [market for market in venue.open_markets() if market.start_ms <= now_ms]
            rig.write_config(
                schedule={"hot_interval_ms": 1000, "warm_interval_ms": 5000},
                collector={"late_tolerance_ms": 500},
                segments={"flush_interval_s": 2, "sync_interval_s": 5},
            )
            hot = (Phase("hot", now_ms - 1000, now_ms + 3_600_000, 1000),)
            universe = [msgspec.structs.replace(market_of(each), phases=hot) for each in markets]
            rig.publish_universe(universe)
            process = rig.collector()
            for burner in burners:
                burner.start()
            time.sleep(seconds)
            for burner in burners:
                burner.terminate()
                burner.join()
            rig.stop(process)
            rows = [row for row in rig.ledger() if isinstance(row, Request)]
    return [row.send_wall_ns / 1e6 - row.due_ms for row in rows]


def summary(late_ms: list[float]) -> dict[str, float]:
    """Median, 99th percentile, worst and how many."""
    ordered = sorted(late_ms)
    return {
        "ticks": len(ordered),
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)], 2),
        "max_ms": round(ordered[-1], 2),
    }


def measure(*, seconds: int = SECONDS) -> dict[str, object]:
    """Alone and beside two hogs, one after the other."""
    return {f"{hogs} hogs": summary(lateness_ms(seconds, hogs)) for hogs in (0, 2)}


def report(found: dict[str, object]) -> str:
    """The table a person reads."""
    lines = ["lateness of 1 s ticks (send − due)"]
    for name, each in found.items():
        if isinstance(each, dict):
            lines.append(
                f"  {name:10}{each['ticks']:>6} ticks  p50 {each['p50_ms']:>7} ms  "
                f"p99 {each['p99_ms']:>7} ms  max {each['max_ms']:>7} ms"
            )
    lines.append(f"  target: p99 under {TARGET_P99_MS} ms beside two hogs")
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(measure()))
