"""What the samples of a soak say: who was there, for how long, and what each process took.

A trend compares the median of the first quarter of a process' life, warm-up left out, with the
median of the last: one outlier moves nothing, and a leak of any shape shows.

Promises  every number follows from the rows alone; a time without samples is a hole, and is never
          counted as time in which something ran
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import msgspec

from workers.core.health.looks import RUNNING
from workers.core.health.reports import ProcessHealth
from workers.core.soak.samples import Begun, Done, Row, Sample

NS_PER_S = 1_000_000_000
NS_PER_HOUR = 3600 * NS_PER_S
#: Supervisord's word for a process that nobody wants to run.
STOPPED = "STOPPED"
#: A process that lived for less tells nothing of leaks.
TREND_LIFE_S = 600
#: Of a life, before it counts: at most half an hour, and at most a quarter.
WARM_UP_S = 1800
#: Intervals without a sample that are a hole.
HOLE_SAMPLES = 4


class Boot(msgspec.Struct, frozen=True):
    """One life of the machine, as far as it was sampled."""

    boot_id: str
    from_wall_ns: int
    until_wall_ns: int
    samples: int


class Hole(msgspec.Struct, frozen=True):
    """A time without samples: the sampler was away, or the machine."""

    from_wall_ns: int
    length_ns: int
    is_reboot: bool


class Trend(msgspec.Struct, frozen=True):
    """How a number of one process went; `first` and `last` are the medians of its quarters."""

    pid: int
    samples: int
    life_s: int
    first: int
    last: int
    low: int
    high: int
    per_hour: int


class WorkerSeen(msgspec.Struct, frozen=True):
    """A process of the fleet; `running` of `samples`; trends are of its longest life, or None.

    `is_off`: in every sample it was STOPPED, as whoever asked supervisord for it wanted.
    """

    worker: str
    samples: int
    running: int
    is_off: bool
    lives: int
    longest_s: int
    memory: Trend | None
    fds: Trend | None


class DiskSeen(msgspec.Struct, frozen=True):
    """Room and growth; `directories` is (first, last) bytes on disk by directory."""

    free_first_bytes: int | None
    free_last_bytes: int | None
    directories: dict[str, tuple[int, int]]
    growth_bytes_per_hour: int
    guards: dict[str, int]


class QueueSeen(msgspec.Struct, frozen=True):
    """One queue: the worst that was seen, and how it stood in the last sample."""

    name: str
    most_ready: int
    most_failed: int
    oldest_s: int
    last_ready: int
    last_failed: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the samples say; `observed_ns` is without the holes."""

    from_wall_ns: int
    until_wall_ns: int
    samples: int
    observed_ns: int
    is_over: bool
    sampler_starts: int
    boots: list[Boot]
    holes: list[Hole]
    unreached: int
    workers: list[WorkerSeen]
    disk: DiskSeen
    queues: list[QueueSeen]
    most_quarantined: int
    verdicts: dict[str, int]
    alerts: dict[str, int]


def seen_of(rows: Sequence[Row]) -> Seen | None:
    """The figures of one soak; None without two samples."""
    samples = [row for row in rows if isinstance(row, Sample)]
    begun = [row for row in rows if isinstance(row, Begun)]
    if len(samples) < 2 or not begun:
        return None
    holes = list(_holes(samples, begun[0].sample_s))
    return Seen(
        from_wall_ns=samples[0].at_wall_ns,
        until_wall_ns=samples[-1].at_wall_ns,
        samples=len(samples),
        observed_ns=_observed_ns(samples, holes),
        is_over=any(isinstance(row, Done) for row in rows),
        sampler_starts=len(begun),
        boots=_boots(samples),
        holes=holes,
        unreached=sum(1 for each in samples if each.problem),
        workers=_workers(samples),
        disk=_disk(samples),
        queues=_queues(samples),
        most_quarantined=max(each.quarantined for each in samples),
        verdicts=dict(Counter(each.verdict for each in samples).most_common()),
        alerts=dict(Counter(name for each in samples for name in each.alerts).most_common()),
    )


def _holes(samples: Sequence[Sample], sample_s: float) -> Iterable[Hole]:
    most_ns = int(HOLE_SAMPLES * sample_s * NS_PER_S)
    for one, later in pairwise(samples):
        length_ns, is_reboot = later.at_wall_ns - one.at_wall_ns, one.boot_id != later.boot_id
        if length_ns > most_ns or is_reboot:
            yield Hole(one.at_wall_ns, length_ns, is_reboot)


def _observed_ns(samples: Sequence[Sample], holes: Sequence[Hole]) -> int:
    """By both clocks: a wall clock that is put ahead makes no day of an hour."""
    away = {each.from_wall_ns for each in holes}
    return sum(
        max(0, min(later.at_wall_ns - one.at_wall_ns, later.at_mono_ns - one.at_mono_ns))
        for one, later in pairwise(samples)
        if one.at_wall_ns not in away
    )


def _boots(samples: Sequence[Sample]) -> list[Boot]:
    found: dict[str, list[Sample]] = {}
    for each in samples:
        found.setdefault(each.boot_id, []).append(each)
    return [
        Boot(boot_id, own[0].at_wall_ns, own[-1].at_wall_ns, len(own))
        for boot_id, own in found.items()
    ]


def _workers(samples: Sequence[Sample]) -> list[WorkerSeen]:
    lives: dict[str, dict[tuple[str, int], list[tuple[int, ProcessHealth]]]] = {}
    states: dict[str, Counter[str]] = {}
    for sample in samples:
        for each in sample.processes:
            states.setdefault(each.worker, Counter())[each.state] += 1
            life = lives.setdefault(each.worker, {})
            if each.pid:
                key = (sample.boot_id, each.pid)
                life.setdefault(key, []).append((sample.at_wall_ns, each))
    return [
        _worker(name, len(samples), states[name], list(own.values()))
        for name, own in sorted(lives.items())
    ]


def _worker(
    name: str, samples: int, states: Counter[str], lives: list[list[tuple[int, ProcessHealth]]]
) -> WorkerSeen:
    longest = max(lives, key=_life_ns, default=[])
    return WorkerSeen(
        worker=name,
        samples=samples,
        running=states[RUNNING],
        is_off=states.keys() == {STOPPED},
        lives=len(lives),
        longest_s=_life_ns(longest) // NS_PER_S,
        memory=_trend(longest, lambda each: each.pss_bytes),
        fds=_trend(longest, lambda each: each.fds),
    )


def _life_ns(life: list[tuple[int, ProcessHealth]]) -> int:
    return life[-1][0] - life[0][0] if life else 0


def _trend(
    life: list[tuple[int, ProcessHealth]], number: Callable[[ProcessHealth], int | None]
) -> Trend | None:
    life_ns = _life_ns(life)
    if life_ns < TREND_LIFE_S * NS_PER_S:
        return None
    warm_ns = life[0][0] + min(WARM_UP_S * NS_PER_S, life_ns // 4)
    points = [(at, n) for at, each in life if at >= warm_ns and (n := number(each)) is not None]
    quarter = len(points) // 4
    if not quarter:
        return None
    first, last = (
        median([n for _, n in points[:quarter]]),
        median([n for _, n in points[-quarter:]]),
    )
    numbers = [n for _, n in points]
    apart_ns = (points[-1][0] - points[0][0]) * 3 // 4
    return Trend(
        pid=life[0][1].pid,
        samples=len(points),
        life_s=life_ns // NS_PER_S,
        first=first,
        last=last,
        low=min(numbers),
        high=max(numbers),
        per_hour=(last - first) * NS_PER_HOUR // max(apart_ns, 1),
    )


def median(numbers: Sequence[int]) -> int:
    """The lower median: a number that was seen."""
    return sorted(numbers)[(len(numbers) - 1) // 2]


def _disk(samples: Sequence[Sample]) -> DiskSeen:
    free = [each.free_bytes for each in samples if each.free_bytes is not None]
    first, last = samples[0], samples[-1]
    names = [name for name in last.directories if name in first.directories]
    grown = sum(last.directories[name] - first.directories[name] for name in names)
    span_ns = max(last.at_wall_ns - first.at_wall_ns, 1)
    return DiskSeen(
        free_first_bytes=free[0] if free else None,
        free_last_bytes=free[-1] if free else None,
        directories={name: (first.directories[name], last.directories[name]) for name in names},
        growth_bytes_per_hour=grown * NS_PER_HOUR // span_ns,
        guards=dict(Counter(each.guard for each in samples).most_common()),
    )


def _queues(samples: Sequence[Sample]) -> list[QueueSeen]:
    names = sorted({queue.name for each in samples for queue in each.queues})
    found = []
    for name in names:
        own = [queue for each in samples for queue in each.queues if queue.name == name]
        found.append(
            QueueSeen(
                name=name,
                most_ready=max(each.ready for each in own),
                most_failed=max(each.failed for each in own),
                oldest_s=max(each.oldest_s or 0 for each in own),
                last_ready=own[-1].ready,
                last_failed=own[-1].failed,
            )
        )
    return found
