"""What every worker and market is doing now, from the files they leave.

Asks nothing of the workers and nothing of the network: heartbeats, the newest manifests, and
supervisord's socket when there is one.
"""

import argparse
import time
from pathlib import Path

import msgspec

from workers.core.health.heartbeats import Heartbeat
from workers.core.health.looks import Queue
from workers.core.health.reports import AlertsManifest, DiskManifest
from workers.core.health.standing import (
    MarketStanding,
    Standing,
    StreamStanding,
    WorkerStanding,
    alert_lines,
    market_standings,
    stream_standings,
    universe_age_s,
    worker_standings,
)
from workers.core.instants import ms_text
from workers.core.settings.settings import Watchdog
from workers.core.universe.universe import Universe
from workers.edge import fleet, settings_file, terminal
from workers.edge.spool import state, tickets
from workers.edge.spool.directory import QUEUES, DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
ANSWER_LIMIT_S = 1.0
REDRAW_S = 2.0
EXAMPLES = """\
examples:
  orderbooks status
  orderbooks status --watch            again every 2 s, until Ctrl-C
  orderbooks status --json | jq '.markets[] | select(.row_s > 10)'

exit codes: 0 all is well; 1 something is wrong, first of all the fleet not running; 2 cannot do it
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--watch", action="store_true", help="draw it again every 2 s")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each look")


def run(arguments: argparse.Namespace) -> int:
    """Print how the fleet stands; 0 when all is well."""
    data, rules = DataDir(arguments.data), settings_file.load(arguments.config).settings.watchdog
    if not arguments.watch:
        return _show(data, rules, arguments.json)
    try:
        while True:
            terminal.clear_screen()
            _show(data, rules, arguments.json)
            time.sleep(REDRAW_S)
    except KeyboardInterrupt:
        print()
    return EXIT_FINE


def _show(data: DataDir, rules: Watchdog, as_json: object) -> int:
    standing = standing_of(data, rules, time.time_ns())
    if as_json:
        print(msgspec.json.encode(standing).decode(), flush=True)
    else:
        _print(standing)
    return EXIT_WRONG if standing.wrongs() else EXIT_FINE


def standing_of(data: DataDir, rules: Watchdog, wall_ns: int) -> Standing:
    """Read everything that says how the fleet stands."""
    beats = state.heartbeats(data)
    seen = fleet.look(data.socket, ANSWER_LIMIT_S)
    universe = state.read(data.universe, Universe)
    disk = state.read(data.latest("disk"), DiskManifest)
    told = state.read(data.latest("alerts"), AlertsManifest)
    alive = {each.worker: each for each in beats if _is_alive(each)}
    late_s = rules.heartbeat_late_s
    return Standing(
        at_utc=ms_text(wall_ns // 1_000_000),
        supervisord=f"pid {seen.pid}" if seen.is_reached else seen.problem,
        workers=worker_standings(beats, seen, state.crashes(data), alive, wall_ns, late_s=late_s),
        markets=market_standings(beats, wall_ns),
        streams=stream_standings(beats, wall_ns),
        universe_seq=universe.seq if universe else None,
        universe_s=universe_age_s(universe, wall_ns),
        universe_markets=len(universe.markets) if universe else 0,
        stale=(universe.stale_reason or universe.stale_since_utc) if universe else None,
        guard=state.guard(data).level,
        free_bytes=disk.disk.free_bytes if disk and disk.disk else None,
        hours_left=disk.forecast.hours_left if disk else None,
        alerts=alert_lines(told.active) if told else [],
        queues=[_queue(data, name, wall_ns) for name in QUEUES],
        quarantined=sum(1 for each in data.quarantine.glob("*") if each.suffix != ".why"),
    )


def _is_alive(beat: Heartbeat) -> bool:
    """True when the process that wrote the heartbeat is there, in this boot of the machine."""
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    is_here = beat.boot_id == boot_id and Path(f"/proc/{beat.pid}").exists()
    return is_here and beat.state != "stopped"


def _queue(data: DataDir, name: str, wall_ns: int) -> Queue:
    ready = tickets.waiting(data, name)
    oldest_s = None
    if ready:
        try:
            oldest_s = int(wall_ns / 1e9 - ready[0].stat().st_mtime)
        except FileNotFoundError:
            ready = ready[1:]
    failed = len(tickets.waiting(data, name, tickets.FAILED))
    return Queue(name=name, ready=len(ready), failed=failed, oldest_s=oldest_s)


def _print(standing: Standing) -> None:
    print(f"{standing.at_utc}  supervisord: {terminal.printable(standing.supervisord)}")
    if standing.workers:
        head = ["worker", "process", "pid", "up", "beat", "last success", "published", "said"]
        rows = [_worker_row(each) for each in standing.workers]
        print(f"\n{terminal.table(head, rows)}")
    if standing.markets:
        head = ["market", "tier", "row", "update", "due", "captured", "failed", "hashes", "gaps"]
        rows = [_market_row(each) for each in standing.markets]
        print(f"\n{terminal.table(head, rows)}")
    if standing.streams:
        head = ["stream", "connection", "state", "seq", "row", "update", "books", "changes"]
        head += ["applied", "invalid", "hashes", "resyncs"]
        rows = [_stream_row(each) for each in standing.streams]
        print(f"\n{terminal.table(head, rows)}")
    print(f"\nuniverse  {_universe(standing)}")
    print(f"disk      guard {standing.guard}{_room(standing)}")
    queues = ", ".join(
        f"{each.name} {each.ready} ready{f' {each.failed} FAILED' if each.failed else ''}"
        for each in standing.queues
    )
    print(f"spool     {queues}, {standing.quarantined} in quarantine")
    wrongs = standing.wrongs()
    for each in wrongs:
        print(f"{terminal.coloured('look', 'red')}      {terminal.printable(each)}")
    if not wrongs:
        print(terminal.coloured("all is well", "green"))


def _worker_row(worker: WorkerStanding) -> list[object]:
    process = terminal.coloured(worker.process, "green" if worker.is_well else "red")
    said = [*worker.conditions, *([worker.last_error] if worker.last_error else [])]
    said += [f"crashed {terminal.age(worker.crashed_s)} ago"] if worker.crashed_s else []
    return [
        worker.worker,
        process,
        worker.pid,
        terminal.age(worker.up_s),
        terminal.age(worker.beat_s),
        terminal.age(worker.success_s),
        worker.counters.get("published"),
        terminal.printable("; ".join(said)),
    ]


def _market_row(market: MarketStanding) -> list[object]:
    failed = _counted(market.failed)
    hashes = f"{market.verified} ok"
    if market.hash_failed or market.hash_absent:
        hashes += terminal.coloured(
            f" {market.hash_failed} failed {market.hash_absent} absent", "red"
        )
    return [
        terminal.printable(market.slug),
        market.tier,
        terminal.age(market.row_s),
        terminal.age(market.update_s),
        market.due,
        market.captured,
        failed or "0",
        hashes,
        market.due - market.captured,
    ]


def _stream_row(stream: StreamStanding) -> list[object]:
    is_good = stream.state == "SYNCED"
    state = terminal.coloured(stream.state, "green" if is_good else "red")
    state += "" if is_good else f" {stream.reason}"
    state += " isolated" if stream.is_isolated else ""
    return [
        terminal.printable(stream.slug),
        stream.connection,
        state,
        stream.last_seq,
        terminal.age(stream.row_s),
        terminal.age(stream.update_s),
        stream.snapshots,
        stream.changes,
        stream.applied,
        stream.invalid,
        _counted(stream.checks),
        _counted(stream.resyncs) or "0",
    ]


def _counted(counts: dict[str, int]) -> str:
    return " ".join(f"{name}×{count}" for name, count in sorted(counts.items()))


def _universe(standing: Standing) -> str:
    if standing.universe_seq is None:
        return "none yet; discovery publishes one when the venue first answers"
    age = terminal.age(standing.universe_s)
    text = f"no. {standing.universe_seq}, {standing.universe_markets} markets, changed {age} ago"
    stale = f", STALE: {terminal.printable(standing.stale)}" if standing.stale else ""
    return text + stale


def _room(standing: Standing) -> str:
    if standing.free_bytes is None:
        return ", free space not known: the watchdog has not written it"
    left = "" if standing.hours_left is None else f", {standing.hours_left:.0f} h left"
    return f", {terminal.size(standing.free_bytes)} free{left}"
