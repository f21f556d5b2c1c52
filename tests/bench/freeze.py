"""How long one frozen market of two hundred goes unnoticed and unmended, with the settings shipped.

Each round is a streamer of its own on one connection. The venue stops telling of one market that
is in its window, and goes on telling of the others and answering PING; seconds are counted from
that moment to the ledger's turns of the market's two tokens.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import msgspec

from tests.processes.stream_rig import Run, two_hundred
from tests.rig import wait_for
from workers.core.settings.stream import Streamer
from workers.core.stream.rows import Turned

ROUNDS, TARGET_S = 5, 15.0


def measure() -> list[tuple[float, float]]:
    """Seconds until it was found and until it was mended, of each round."""
    found = []
    for _ in range(ROUNDS):
        with (
            tempfile.TemporaryDirectory(prefix="ob-") as folder,
            two_hundred(Path(folder)) as run,
        ):
            found.append(_seconds(run))
    return found


def _seconds(run: Run) -> tuple[float, float]:
    frozen = run.markets[0]
    shipped = msgspec.structs.asdict(Streamer())
    run.start(**{name: shipped[name] for name in shipped if name != "lead_s"})
    frozen_ns = time.time_ns()
    run.spoil("freeze", frozen, connection=1)
    wait_for(partial(run.has_thawed, frozen), limit_s=120, what="the frozen market")
    turns = [
        row
        for row in run.stop().of(Turned)
        if row.condition_id == frozen.condition_id and row.at_wall_ns > frozen_ns
    ]
    doubted_ns = min(row.at_wall_ns for row in turns if row.reason == "freeze")
    mended_ns = max(row.at_wall_ns for row in turns if row.state == "SYNCED")
    return (doubted_ns - frozen_ns) / 1e9, (mended_ns - frozen_ns) / 1e9


def report(rounds: list[tuple[float, float]]) -> str:
    """A table of what was measured."""
    lines = [f"\nOne market of 200 frozen, {len(rounds)} rounds, settings as shipped"]
    for at, name in enumerate(("found", "mended")):
        each = [seconds[at] for seconds in rounds]
        lines.append(
            f"  {name:8} median {statistics.median(each):5.1f} s   most {max(each):5.1f} s"
        )
    verdict = "met" if max(each[1] for each in rounds) <= TARGET_S else "MISSED"
    return "\n".join([*lines, f"  target: mended within {TARGET_S:.0f} s: {verdict}"])
