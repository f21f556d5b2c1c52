"""`make demo`: record the bundled venue for about 80 seconds, break things, prove the archive.

Then prove the remote, too: an hour leaves this disk and comes back, and a flipped byte is found.

    python -m tests.demo [--seconds N] [--folder DIR]

Exit code 0 only if the archive is whole, every due tick is accounted for, nothing is unexplained
against the venue's own ledger, every venue hash verifies, the SIGKILL cost at most
flush_interval_s of rows, every published file is proven on the remote, and what was let go came
back byte for byte.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.demo import offload, screen
from tests.demo.judgement import Kill, judge
from tests.demo.stage import ROOT, SCALE, Stage, folder_for
from tests.venue import Truth
from workers.core.instants import compact_text, utc_text

FLUSH_INTERVAL_S = 2.0
TICK_S = 1.0
MARKETS = "btc-5m,btc-15m,btc-1h,btc-4h,btc-1d"


def main() -> int:
    """Run the demo; returns the exit code."""
    arguments = _arguments()
    stamp = compact_text(time.time_ns() // 1_000_000)[:15]
    parent = arguments.folder or ROOT / "var"
    stage = Stage(folder_for(parent, stamp, Path(tempfile.gettempdir())))
    print(f"orderbooks demo in {stage.folder}")
    try:
        kill, stopped_wall_ns = _record(stage, arguments.seconds)
        return _prove(stage, kill, stopped_wall_ns)
    finally:
        stage.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--seconds", type=int, default=80, help="how long to record (20 …)")
    parser.add_argument("--folder", type=Path, help="where to make the demo's directory")
    return parser.parse_args()


def _record(stage: Stage, seconds: int) -> tuple[Kill, int]:
    """Record with faults and a kill; returns the kill, and when the stop was, in wall ns."""
    stage.open_venue("--scale", str(SCALE), "--seed", "7", "--markets", MARKETS)
    stage.open_fleet()
    stage.wait_for(stage.recording, "a recording collector")
    acts, progress = list(ACTS), screen.Progress(seconds)
    started, kill, said = time.monotonic(), None, ""
    while (elapsed_s := time.monotonic() - started) < seconds:
        if acts and elapsed_s >= acts[0][0] * seconds:
            _, said, act = acts.pop(0)
            kill = act(stage) or kill
        progress.show(stage, elapsed_s, said)
        time.sleep(0.5)
    progress.end()
    if kill is None:
        raise SystemExit("demo: too short for its acts; give it at least 20 seconds")
    print("stopping the fleet (everything is sealed and published) …")
    stopped_wall_ns = time.time_ns()
    stage.close_fleet()
    return kill, stopped_wall_ns


def _burst(stage: Stage) -> None:
    stage.fault("status", route="books", code=429, retry_after="1", count=2)
    stage.fault("status", route="books", code=503, count=2, after_requests=2)


def _hang(stage: Stage) -> None:
    stage.fault("hang", route="books", count=1)


def _kill(stage: Stage) -> Kill:
    # The hang is to be seen in the ledger: on a slow machine its row may not be there yet.
    stage.wait_for(lambda: "timeout" in stage.causes(), "the hang in the ledger")
    victim, wall_ns = stage.kill_busiest()
    return Kill(wall_ns, victim.worker, victim.run, FLUSH_INTERVAL_S + TICK_S)


#: When in the demo (as a share of it), what is said, what is done.
ACTS: tuple[tuple[float, str, Callable[[Stage], Kill | None]], ...] = (
    (0.25, "the venue answers 429, then 503", _burst),
    (0.45, "the venue accepts a request and never answers", _hang),
    (0.65, "a collector got SIGKILL", _kill),
)


def _prove(stage: Stage, kill: Kill, stopped_wall_ns: int) -> int:
    print("proving: orderbooks verify, orderbooks coverage, and the venue's own ledger …")
    verify_code, verify_text = stage.tool("verify", "--json")
    until = utc_text(stopped_wall_ns)
    coverage_code, coverage_text = stage.tool("coverage", "--json", "--gaps", "2", "--to", until)
    judgement = judge(stage.data, Truth(stage.truth_folder), kill)
    print("proving the remote: an hour leaves this disk and comes back, a byte is flipped …")
    proof = screen.Proof(
        verify_code=verify_code,
        verify=_read(verify_text),
        coverage_code=coverage_code,
        coverage=_read(coverage_text),
        judgement=judgement,
        killed=kill.worker,
        flush_interval_s=FLUSH_INTERVAL_S,
        tick_s=TICK_S,
        offloaded=offload.offloaded(stage),
    )
    print(screen.report(stage, proof))
    return 0 if proof.is_true() else 1


def _read(text: str) -> dict[str, object]:
    try:
        found: dict[str, object] = json.loads(text)
    except ValueError:
        return {"error": text[-2000:]}
    return found


if __name__ == "__main__":
    sys.exit(main())
