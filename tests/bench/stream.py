"""Messages per CPU-second through the whole streamer, beside what people do today, in turn.

Ours is the real worker process: websocket, verbatim rows for each market, deflate and hashes,
checks, ledger, flushes and syncs. Every side is a process of its own and is given the same bytes
by a server that is not counted. Its CPU is counted from the moment it has all first books until it
has every message (ours: until its heartbeat says so; the hourly end of segments beside), its memory
is the most it ever held.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench.memory import memory_mb
from tests.rig import ROOT, Rig, wait_for
from workers.core.health.heartbeats import Heartbeat
from workers.core.instants import ms_text
from workers.core.settings.settings import Schedule
from workers.core.universe.markets import Market, Token
from workers.core.universe.phases import phases_of
from workers.core.universe.slugs import Window
from workers.edge.spool import state

ENVIRONMENT = ROOT / ".venv-rivals/bin/python"
MESSAGES, ROUNDS = 100_000, 5
#: nautilus takes a minute and gigabytes for the whole mix.
SHORTER = {"nautilus": 2_000}
RIVALS = {
    "websockets": "websockets + gzip -6",
    "picows": "picows + gzip -6",
    "cryptofeed": "cryptofeed raw capture",
    "nautilus": "nautilus feather writer",
}
TARGET_PER_CPU_S, TARGET_TIMES, TARGET_MB = 100_000, 2.0, 60.0
HOUR_MS = 3_600_000
Figures = dict[str, float]


class Server:
    """The market channel of the bench, in a process of its own."""

    def __init__(self, messages: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.stream_feed", str(messages)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.said: dict[str, Any] = json.loads(self.process.stdout.readline())

    def go(self) -> None:
        """Let the mix begin."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def markets(named: list[list[str]], now_ms: int) -> list[Market]:
    """The universe: every market in its window."""
    begin_ms = now_ms - 60_000
    phases = phases_of(Window(begin_ms, begin_ms + HOUR_MS), Schedule())
    return [
        Market(
            slug=f"bench-{number:03d}",
            question="",
            condition_id=condition_id,
            tokens=(Token(token_id=up, outcome="Up"), Token(token_id=down, outcome="Down")),
            series="bench",
            event_slug="",
            listed_at_utc=None,
            window_start_utc=ms_text(begin_ms),
            window_end_utc=ms_text(begin_ms + HOUR_MS),
            tick_size="0.01",
            status="open",
            source="keyset",
            fetched_at_utc=ms_text(now_ms),
            record_from_utc=ms_text(phases[0].from_ms),
            record_until_utc=ms_text(phases[-1].until_ms),
            tier="hot",
            phases=phases,
        )
        for number, (condition_id, up, down) in enumerate(named)
    ]


def cpu_s(pid: int) -> float:
    """What a living process has used, all its threads."""
    # The kernel's number for the CPU clock of a process (clock_getcpuclockid).
    return time.clock_gettime((~pid << 3) | 2)


def ended(process: subprocess.Popen[Any], used_s: float) -> Figures:
    """Wait for the end; CPU since `used_s`, and the most memory it held."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args} failed")
    total_s = usage.ru_utime + usage.ru_stime
    return {"cpu_s": total_s - used_s, "rss_mb": usage.ru_maxrss / 1024}


def ours(server: Server, folder: Path, messages: int) -> Figures:
    """The streamer as supervisord starts it, with the shipped settings.

    REST is not there: its checks, 250 books each 30 s, begin after the bench.
    """
    with Rig(folder, "http://127.0.0.1:9") as rig:
        found = markets(server.said["markets"], time.time_ns() // 1_000_000)
        rest = {"snapshot_interval_s": 86_400, "freeze_after_s": 3_600}
        settings = {
            "data_dir": str(rig.data.root),
            "venue": {"ws_url": server.said["url"], "clob_url": rig.url},
            "streamer": rest,
        }
        rig.config.write_text(json.dumps(settings))
        rig.publish_universe(found)
        process = rig.start("streamer", "--shard=0", "--shards=1")

        def beat() -> Heartbeat:
            seen = state.read(rig.data.heartbeat("streamer-00"), Heartbeat)
            assert isinstance(seen, Heartbeat)
            return seen

        def is_synced() -> bool:
            path = rig.data.heartbeat("streamer-00")
            return path.exists() and {e.state for e in beat().streams} == {"SYNCED"}

        wait_for(is_synced, what="every book")
        due = beat().counters["frames"] + messages
        used_s = cpu_s(process.pid)
        server.go()
        wait_for(lambda: beat().counters["frames"] >= due, what="every message")
        recorded_s = cpu_s(process.pid) - used_s
        pss_mb, _ = memory_mb(process.pid)
        process.send_signal(signal.SIGTERM)
        figures = ended(process, used_s)
        check(beat())
        return {
            **figures,
            "cpu_s": recorded_s,
            "end_cpu_s": figures["cpu_s"] - recorded_s,
            "pss_mb": pss_mb,
            "bytes": size_of(rig.data.root / "raw"),
        }


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check(beat: Heartbeat) -> None:
    """Nothing was doubted, and every verdict was yes."""
    verdicts = {name for each in beat.streams for name in each.checks}
    resyncs = sum(sum(each.resyncs.values()) for each in beat.streams)
    if not verdicts <= {"verified", "explained"} or resyncs:
        raise SystemExit(f"the bench's own mix was not proven: {verdicts}, {resyncs} resyncs")


def rival(side: str, server: Server, folder: Path, messages: int) -> Figures:
    """One of RIVALS."""
    named = folder / "markets.json"
    named.write_text(json.dumps(server.said["markets"]))
    (folder / "out").mkdir()
    words = [side, server.said["url"], str(named), str(messages), str(folder / "out")]
    process = subprocess.Popen(
        [str(ENVIRONMENT), "tests/bench/stream_rivals.py", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    if process.stdout.readline() != b"ready\n":
        process.wait()
        raise SystemExit(f"{side} did not begin")
    used_s = cpu_s(process.pid)
    server.go()
    return {**ended(process, used_s), "bytes": size_of(folder / "out")}


def measure(*, rounds: int = ROUNDS) -> dict[str, Any]:
    """Run all sides in turn, `rounds` times; the slow ones with a part of the mix."""
    sides = ("ours", *(RIVALS if ENVIRONMENT.exists() else ()))
    table: list[dict[str, Figures]] = []
    with contextlib.ExitStack() as stack:
        servers = {count: Server(count) for count in {MESSAGES, *SHORTER.values()}}
        for each in servers.values():
            stack.callback(each.close)
        for _ in range(rounds):
            found = {}
            for side in sides:
                count = SHORTER.get(side, MESSAGES)
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
                run = ours if side == "ours" else partial(rival, side)
                found[side] = per_message(run(servers[count], folder, count), count)
            table.append(found)
    return {"rounds": rounds, "sides": {side: medians(side, table) for side in sides}}


def per_message(figures: Figures, count: int) -> Figures:
    """Rates in place of sums."""
    rate = {"per_cpu_s": count / figures["cpu_s"], "bytes": figures["bytes"] / count}
    return {**figures, **rate}


def medians(side: str, table: list[dict[str, Figures]]) -> Figures:
    """Of all rounds; ratios are of one round each."""
    found = {name: statistics.median(each[side][name] for each in table) for name in table[0][side]}
    times = (each["ours"]["per_cpu_s"] / each[side]["per_cpu_s"] for each in table)
    return {**found, "ours_times": statistics.median(times)}


def report(found: dict[str, Any]) -> str:
    """The table a person reads."""
    lines = [
        f"stream: {MESSAGES:,} messages of 250 tokens, median of {found['rounds']} rounds in turn",
        f"  {'':24}{'messages/CPU-s':>16}{'ours faster':>13}{'bytes/message':>15}{'peak RSS':>11}",
    ]
    for side, each in found["sides"].items():
        lines.append(
            f"  {RIVALS.get(side, 'orderbooks streamer'):24}{each['per_cpu_s']:>16,.0f}"
            f"{each['ours_times']:>12.2f}x{each['bytes']:>15.1f}{each['rss_mb']:>8.1f} MB"
        )
    us = found["sides"]["ours"]
    lines.append(
        f"  ours: PSS {us['pss_mb']:.1f} MB; the end, with 126 segments to publish, "
        f"{us['end_cpu_s']:.2f} s of CPU"
    )
    lines.append(
        f"  targets: {TARGET_PER_CPU_S:,} messages/CPU-s, {TARGET_TIMES}x websockets with fewer "
        f"bytes, {TARGET_MB} MB"
    )
    lines += [
        f"  {name}: not there; ops/setup.sh rivals" for name in RIVALS.keys() - found["sides"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(measure(rounds=int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)))
