"""How long one frozen market of two hundred goes unnoticed and unmended, with the settings shipped.

Each round is a streamer of its own on one connection. The venue stops telling of one market that
is in its window, and goes on telling of the others and answering PING; seconds are counted from
that moment to the ledger's turns of the market's two tokens.
"""

import statistics
import tempfile
import time
from pathlib import Path

import msgspec

from tests.processes.stream_rig import Run, running
from tests.rig import wait_for
from workers.core.instants import ms_text
from workers.core.settings.stream import Streamer
from workers.core.stream.rows import Turned

ROUNDS, MARKETS, TARGET_S = 5, 200, 15.0
NS_PER_S = 1e9


def measure() -> list[tuple[float, float]]:
    """Seconds until it was found and until it was mended, of each round."""
    found = []
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory(prefix="ob-") as folder,
            running(Path(folder), MARKETS, changes_per_s=1, lines=("btc-5m", "btc-1d")) as run,
        ):
            found.append(_seconds(run))
    return found


def _seconds(run: Run) -> tuple[float, float]:
    frozen = msgspec.structs.replace(run.markets[0], window_start_utc=ms_text(0))
    run.markets[0] = frozen
    shipped = msgspec.structs.asdict(Streamer())
    run.start(**{name: shipped[name] for name in shipped if name != "lead_s"})
    frozen_ns = time.time_ns()
    run.spoil("freeze", frozen, connection=1)

    def is_mended() -> bool:
        (seen,) = [e for e in run.beat().streams if e.condition_id == frozen.condition_id]
        return run.beat().counters["freezes"] > 0 and seen.state == "SYNCED"

    wait_for(is_mended, limit_s=120, what="the frozen market")
    turns = [
        row
        for row in run.stop().of(Turned)
        if row.condition_id == frozen.condition_id and row.at_wall_ns > frozen_ns
    ]
    doubted_ns = min(row.at_wall_ns for row in turns if row.reason == "freeze")
    mended_ns = max(row.at_wall_ns for row in turns if row.state == "SYNCED")
    return (doubted_ns - frozen_ns) / NS_PER_S, (mended_ns - frozen_ns) / NS_PER_S


def report(rounds: list[tuple[float, float]]) -> str:
    """A table of what was measured."""
    lines = [f"\nOne market of {MARKETS} frozen, {len(rounds)} rounds, settings as shipped"]
    for at, name in enumerate(("found", "mended")):
        each = [seconds[at] for seconds in rounds]
        lines.append(
            f"  {name:8} median {statistics.median(each):5.1f} s   most {max(each):5.1f} s"
        )
    verdict = "met" if max(each[1] for each in rounds) <= TARGET_S else "MISSED"
    return "\n".join([*lines, f"  target: mended within {TARGET_S:.0f} s: {verdict}"])
