"""`make demo`: record the bundled venue for about 90 seconds, break things, prove the archive.

    python -m tests.demo [--seconds N] [--folder DIR] [--replay FILE]

Exit code 0 only if the archive is whole, every due tick is accounted for, nothing is unexplained
against the venue's own ledger, every venue hash verifies, and the SIGKILL cost at most
flush_interval_s of rows.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from tests.demo import screen
from tests.demo.judgement import judge
from tests.demo.stage import ROOT, SCALE, Stage, folder_for
from tests.venue import Truth
from workers.core.instants import compact_text, utc_text

FLUSH_INTERVAL_S = 2.0
TICK_S = 1.0
KILLED = "collector-00"


def main() -> int:
    """Run the demo; returns the exit code."""
    arguments = _arguments()
    stamp = compact_text(time.time_ns() // 1_000_000)[:15]
    parent = arguments.folder or ROOT / "var"
    stage = Stage(folder_for(parent, stamp, Path(tempfile.gettempdir())))
    print(f"orderbooks demo in {stage.folder}")
    try:
        kill_wall_ns, stopped_wall_ns = _record(stage, arguments.seconds)
    finally:
        stage.close()
    return _prove(stage, kill_wall_ns, stopped_wall_ns)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--seconds", type=int, default=90, help="how long to record (30 …)")
    parser.add_argument("--folder", type=Path, help="where to make the demo's directory")
    return parser.parse_args()


def _record(stage: Stage, seconds: int) -> tuple[int, int]:
    """Record with faults and a kill; returns when the kill and the stop were, in wall ns."""
    stage.open_venue("--scale", str(SCALE), "--seed", "7", "--markets", "btc-5m,btc-15m,btc-1h")
    stage.open_fleet()
    stage.wait_for(lambda: _recording(stage) == 2, "two recording collectors")
    acts = [
        (0.25, "the venue answers 429, then 503", lambda: _burst(stage)),
        (0.45, "the venue accepts a request and never answers", lambda: _hang(stage)),
        (0.65, f"SIGKILL for {KILLED}", lambda: stage.kill(KILLED)),
    ]
    started, kill_wall_ns, said = time.monotonic(), 0, ""
    while (elapsed_s := time.monotonic() - started) < seconds:
        if acts and elapsed_s >= acts[0][0] * seconds:
            _, said, act = acts.pop(0)
            kill_wall_ns = act() or kill_wall_ns
        screen.progress(stage, elapsed_s, seconds, said)
        time.sleep(0.5)
    screen.progress_done()
    stage.wait_for(lambda: _recording(stage) == 2, "the killed collector to record again")
    print("stopping the fleet (everything is sealed and published) …")
    stopped_wall_ns = time.time_ns()
    stage.close_fleet()
    return kill_wall_ns, stopped_wall_ns


def _recording(stage: Stage) -> int:
    beats = stage.beats()
    collectors = [beat for name, beat in beats.items() if name.startswith("collector")]
    return sum(1 for beat in collectors if beat.counters.get("requests", 0) > 0)


def _burst(stage: Stage) -> None:
    stage.fault("status", route="books", code=429, retry_after="1", count=2)
    stage.fault("status", route="books", code=503, count=2, after_requests=2)


def _hang(stage: Stage) -> None:
    stage.fault("hang", route="books", count=1)


def _prove(stage: Stage, kill_wall_ns: int, stopped_wall_ns: int) -> int:
    print("proving: orderbooks verify, orderbooks coverage, and the venue's own ledger …")
    verify_code, verify_text = stage.tool("verify", "--json")
    until = utc_text(stopped_wall_ns)
    coverage_code, coverage_text = stage.tool("coverage", "--json", "--to", until)
    judgement = judge(
        stage.data,
        Truth(stage.truth_folder),
        kill_wall_ns=kill_wall_ns,
        killed=KILLED,
        allowed_s=FLUSH_INTERVAL_S + TICK_S,
    )
    proof = screen.Proof(
        verify_code=verify_code,
        verify=_read(verify_text),
        coverage_code=coverage_code,
        coverage=_read(coverage_text),
        judgement=judgement,
        flush_interval_s=FLUSH_INTERVAL_S,
        tick_s=TICK_S,
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
