"""`python -m tests.venue`: the loopback venue as a process, until SIGTERM or SIGINT.

Prints one line of JSON when it listens: {"port":…,"url":…,"ws_url":…,"pid":…}.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from tests.venue import recordings
from tests.venue.events import Tempo
from tests.venue.replay import ReplayWorld
from tests.venue.venue import DEFAULT_MARKETS, Venue

STOPS = (signal.SIGTERM, signal.SIGINT)


def main() -> int:
    """Run until told to stop."""
    options = _parser().parse_args()
    # For every thread: they are waited for below, wherever the main one is when they come.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    with Venue(
        options.state_dir,
        port=options.port,
        channel_port=options.channel_port,
        tempo=Tempo(options.changes_per_s, options.trade_share),
        scale=options.scale,
        seed=options.seed,
        lines=options.markets.split(","),
        encoding="gzip" if options.gzip else "identity",
        world=None if options.replay is None else _replayed(options),
    ) as venue:
        for rule in options.fault:
            venue.faults.add(**json.loads(rule))
        listening = {"port": venue.port, "url": venue.url, "ws_url": venue.ws_url}
        print(json.dumps({**listening, "pid": os.getpid()}), flush=True)
        signal.sigwait(STOPS)
    return 0


def _replayed(options: argparse.Namespace) -> ReplayWorld:
    recording = recordings.load(options.replay)
    if recording.unexplained:
        print(f"{recording.unexplained} books left out: no hash fits", file=sys.stderr)
    return ReplayWorld(
        recording,
        born_ms=time.time_ns() // 1_000_000,
        lead_ms=round(options.replay_lead_s * 1000),
        speed=options.replay_speed,
        second=options.replay_second,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests.venue", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--channel-port", type=int, default=0)
    parser.add_argument("--changes-per-s", type=float, help="of each market with a book")
    parser.add_argument("--trade-share", type=float, default=Tempo().trade_share)
    parser.add_argument("--state-dir", type=Path, required=True)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markets", default=",".join(DEFAULT_MARKETS))
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--replay", type=Path, help="a capture file instead of the simulation")
    parser.add_argument("--replay-speed", type=float, default=1.0)
    parser.add_argument("--replay-lead-s", type=float, default=5.0, help="to the first window")
    parser.add_argument("--replay-second", choices=("omit", "mirror"), default="omit")
    parser.add_argument("--fault", action="append", default=[], help="a rule as JSON; repeatable")
    return parser


if __name__ == "__main__":
    sys.exit(main())
