"""What the watchdog saw, as Prometheus text: one page, replaced whole, for a textfile collector.

Promises  every family of FAMILIES stands on each page with its help and type, samples or not; no
          time stamps (a textfile collector refuses a file that has one); the number of samples does
          not grow with the number of markets that ever were
Source    exposition format 0.0.4; tests/ops/test_metrics.py shows it to promtool and node_exporter
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from workers.core.health.alerts import Active
from workers.core.health.heartbeats import GUARD_LEVELS, Heartbeat, MarketBeat
from workers.core.health.looks import RUNNING
from workers.core.health.reports import DiskManifest, HealthManifest, ProcessHealth, WorkerHealth

NS_PER_S = 1_000_000_000
MS_PER_S = 1000
S_PER_HOUR = 3600
#: Counters of heartbeats that are no counts of events.
_PENDING, _REQUEST_MS = "pending_bytes", "request_ms"
#: Of a market that the universe does not name any more.
NO_CLASS = "other"


class Family(msgspec.Struct, frozen=True):
    """A metric: its type (`gauge` or `counter`), its labels in order, and what it means."""

    type: str
    labels: tuple[str, ...]
    help: str


Sample = tuple[str, tuple[str, ...], float]

_WORKER = ("worker", "shard")
_CLASS = ("worker", "shard", "class")
FAMILIES: dict[str, Family] = {
    "orderbooks_build_info": Family("gauge", ("version",), "1; the version of each worker"),
    "orderbooks_look_timestamp_seconds": Family(
        "gauge", (), "Unix time of the watchdog's look; older than a minute: nobody looks"
    ),
    "orderbooks_look_seconds": Family("gauge", (), "how long the look took"),
    "orderbooks_verdict": Family(
        "gauge", ("verdict",), "1 for the verdict that holds: ok, degraded or failing"
    ),
    "orderbooks_alert_active": Family(
        "gauge", ("alert", "level", "worker"), "conditions told to a person that still hold"
    ),
    "orderbooks_process_running": Family(
        "gauge", ("worker",), "1 when supervisord says RUNNING, else 0"
    ),
    "orderbooks_process_uptime_seconds": Family("gauge", ("worker",), "since its last start"),
    "orderbooks_process_memory_bytes": Family(
        "gauge", ("worker",), "PSS: what the process costs beside the others"
    ),
    "orderbooks_process_open_fds": Family("gauge", ("worker",), "its open descriptors"),
    "orderbooks_worker_silent_seconds": Family("gauge", _WORKER, "age of its heartbeat"),
    "orderbooks_worker_last_success_timestamp_seconds": Family(
        "gauge", _WORKER, "Unix time of its last success, whatever its work is"
    ),
    "orderbooks_worker_events_total": Family(
        "counter",
        (*_WORKER, "event"),
        "what its heartbeat counts since its start, such as books, requests, failures, resyncs",
    ),
    "orderbooks_worker_request_seconds_total": Family(
        "counter", _WORKER, "time from sends to last bytes; by requests it is the mean latency"
    ),
    "orderbooks_worker_pending_bytes": Family(
        "gauge", _WORKER, "compressed bytes in memory that the disk has not taken"
    ),
    "orderbooks_markets": Family(
        "gauge", (*_CLASS, "tier"), "markets recorded now; class is the series of the settings"
    ),
    "orderbooks_market_ticks": Family(
        "gauge",
        (*_CLASS, "state"),
        "token-ticks of the markets recorded now: captured, or the cause of the failure",
    ),
    "orderbooks_market_hashes": Family(
        "gauge", (*_CLASS, "verdict"), "books of the markets recorded now, by hash verdict"
    ),
    "orderbooks_market_row_age_seconds": Family(
        "gauge", _CLASS, "since the newest row of any market of the class"
    ),
    "orderbooks_queue_tickets": Family("gauge", ("queue", "state"), "tickets, ready or failed"),
    "orderbooks_queue_oldest_seconds": Family(
        "gauge", ("queue",), "age of the ready ticket that waits longest"
    ),
    "orderbooks_quarantined_files": Family("gauge", (), "files nobody could read"),
    "orderbooks_disk_free_bytes": Family("gauge", (), "free, as this user may use it"),
    "orderbooks_disk_total_bytes": Family("gauge", (), "size of the filesystem"),
    "orderbooks_disk_free_inodes": Family("gauge", (), "free inodes"),
    "orderbooks_disk_used_bytes": Family("gauge", ("directory",), "below data_dir, as du counts"),
    "orderbooks_disk_growth_bytes_per_second": Family("gauge", (), "of data_dir, over its history"),
    "orderbooks_disk_left_seconds": Family("gauge", (), "until recording pauses, at that growth"),
    "orderbooks_disk_guard": Family("gauge", ("level",), "1 for the level that holds"),
    "orderbooks_clock_offset_seconds": Family("gauge", (), "the venue's clock less ours"),
    "orderbooks_clock_tolerance_seconds": Family("gauge", (), "the offset is known to ± this"),
}


def page(
    health: HealthManifest,
    disk: DiskManifest,
    active: Iterable[Active],
    beats: Sequence[Heartbeat],
    classes: Mapping[str, str],
) -> str:
    """The whole page.

    Args:
        health: of this look.
        disk: of this look.
        active: the conditions that hold.
        beats: every heartbeat of this look.
        classes: series by condition id, of the universe.
    """
    found: dict[str, list[Sample]] = {name: [] for name in FAMILIES}
    samples = (
        *_look(health, active),
        *(sample for each in health.processes for sample in _process(each)),
        *(sample for each in health.workers for sample in _worker(each)),
        *(sample for each in beats for sample in _markets(each, classes, health.at_wall_ns)),
        *(("orderbooks_build_info", (each,), 1) for each in sorted({b.version for b in beats})),
        *_queues(health),
        *_disk(disk),
        *_clock(health),
    )
    for sample in samples:
        found[sample[0]].append(sample)
    return "".join(_family(name, found[name]) for name in FAMILIES)


def _look(health: HealthManifest, active: Iterable[Active]) -> Iterator[Sample]:
    yield "orderbooks_look_timestamp_seconds", (), health.at_wall_ns / NS_PER_S
    yield "orderbooks_look_seconds", (), health.look_ms / MS_PER_S
    for verdict in ("ok", "degraded", "failing"):
        yield "orderbooks_verdict", (verdict,), int(verdict == health.verdict)
    told = Counter((each.alert, each.level, each.worker) for each in active if each.is_raised)
    for labels, count in sorted(told.items()):
        yield "orderbooks_alert_active", labels, count
    yield "orderbooks_quarantined_files", (), health.quarantined


def _process(process: ProcessHealth) -> Iterator[Sample]:
    labels = (process.worker,)
    yield "orderbooks_process_running", labels, int(process.state == RUNNING)
    yield "orderbooks_process_uptime_seconds", labels, process.up_s
    if process.pss_bytes is not None:
        yield "orderbooks_process_memory_bytes", labels, process.pss_bytes
    if process.fds is not None:
        yield "orderbooks_process_open_fds", labels, process.fds


def _worker(worker: WorkerHealth) -> Iterator[Sample]:
    labels = (worker.worker, _shard(worker.shard))
    yield "orderbooks_worker_silent_seconds", labels, worker.silent_s
    if worker.last_success_wall_ns is not None:
        since_s = worker.last_success_wall_ns / NS_PER_S
        yield "orderbooks_worker_last_success_timestamp_seconds", labels, since_s
    counters = dict(worker.counters)
    if _PENDING in counters:
        yield "orderbooks_worker_pending_bytes", labels, counters.pop(_PENDING)
    if _REQUEST_MS in counters:
        spent_s = counters.pop(_REQUEST_MS) / MS_PER_S
        yield "orderbooks_worker_request_seconds_total", labels, spent_s
    for name, count in sorted(counters.items()):
        yield "orderbooks_worker_events_total", (*labels, name), count


def _markets(beat: Heartbeat, classes: Mapping[str, str], wall_ns: int) -> Iterator[Sample]:
    groups: dict[str, list[MarketBeat]] = {}
    for market in beat.markets:
        groups.setdefault(classes.get(market.condition_id, NO_CLASS), []).append(market)
    for name, markets in sorted(groups.items()):
        labels = (beat.worker, _shard(beat.shard), name)
        for tier, count in sorted(Counter(each.tier for each in markets).items()):
            yield "orderbooks_markets", (*labels, tier), count
        ticks = Counter[str]()
        for each in markets:
            ticks.update({"captured": each.captured, **each.failed})
        for state, count in sorted(ticks.items()):
            yield "orderbooks_market_ticks", (*labels, state), count
        verdicts = {
            "verified": sum(each.verified for each in markets),
            "failed": sum(each.hash_failed for each in markets),
            "absent": sum(each.hash_absent for each in markets),
        }
        for verdict, count in verdicts.items():
            yield "orderbooks_market_hashes", (*labels, verdict), count
        newest_ns = max((each.last_row_wall_ns or 0 for each in markets), default=0)
        if newest_ns:
            age_s = max(0, wall_ns - newest_ns) / NS_PER_S
            yield "orderbooks_market_row_age_seconds", labels, age_s


def _queues(health: HealthManifest) -> Iterator[Sample]:
    for queue in health.queues:
        yield "orderbooks_queue_tickets", (queue.name, "ready"), queue.ready
        yield "orderbooks_queue_tickets", (queue.name, "failed"), queue.failed
        if queue.oldest_s is not None:
            yield "orderbooks_queue_oldest_seconds", (queue.name,), queue.oldest_s


def _disk(told: DiskManifest) -> Iterator[Sample]:
    for level in GUARD_LEVELS:
        yield "orderbooks_disk_guard", (level,), int(level == told.guard)
    if told.disk is not None:
        yield "orderbooks_disk_free_bytes", (), told.disk.free_bytes
        yield "orderbooks_disk_total_bytes", (), told.disk.total_bytes
        yield "orderbooks_disk_free_inodes", (), told.disk.free_inodes
        for directory, size in sorted(told.disk.directories.items()):
            yield "orderbooks_disk_used_bytes", (directory,), size
    if told.forecast.growth_bytes_per_hour is not None:
        growth = told.forecast.growth_bytes_per_hour / S_PER_HOUR
        yield "orderbooks_disk_growth_bytes_per_second", (), growth
    if told.forecast.hours_left is not None:
        yield "orderbooks_disk_left_seconds", (), told.forecast.hours_left * S_PER_HOUR


def _clock(health: HealthManifest) -> Iterator[Sample]:
    if health.clock.offset_ms is not None:
        yield "orderbooks_clock_offset_seconds", (), health.clock.offset_ms / MS_PER_S
        yield "orderbooks_clock_tolerance_seconds", (), health.clock.tolerance_ms / MS_PER_S


def _shard(shard: int | None) -> str:
    return "" if shard is None else str(shard)


def _family(name: str, samples: list[Sample]) -> str:
    family = FAMILIES[name]
    lines = [f"# HELP {name} {family.help}", f"# TYPE {name} {family.type}"]
    lines += [
        f"{name}{_labels(family.labels, values)} {number:.15g}" for _, values, number in samples
    ]
    return "\n".join(lines) + "\n"


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escaped(text: str) -> str:
    """A label value: heartbeats are files, and a file may hold anything."""
    plain = text.encode("utf-8", "backslashreplace").decode()
    return plain.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
