"""The pictures of a soak: memory, descriptors, disk and queues over time.

Promises  the same samples give the same bytes; a time without samples is not bridged by a line
Fails     NoMatplotlib when it is not installed
Never     reads or writes a file
"""

# ruff: noqa: ANN401 - the figures are matplotlib's, which may be missing

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from workers.core.health.reports import ProcessHealth
from workers.core.soak.samples import Sample
from workers.edge import drawing

NS_PER_MS = 1_000_000
_MB = 1_000_000
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#999999", "#333333")
Line = list[tuple[int, float]]


def pictures(samples: Sequence[Sample], hole_ms: int) -> dict[str, bytes]:
    """SVG by name: `memory`, `descriptors`, `disk`, `queues`.

    Args:
        samples: in their order.
        hole_ms: a longer time between two samples leaves the line open.
    """
    memory = _processes(samples, lambda each: each.pss_bytes, _MB)
    fds = _processes(samples, lambda each: each.fds, 1)
    queues = _lines(samples, lambda it: {each.name: each.ready for each in it.queues})
    disk = _lines(samples, lambda it: {name: n / _MB for name, n in it.directories.items()})
    plot = partial(_figure, samples, hole_ms)
    return drawing.rendered(
        {
            "memory": partial(plot, "Memory of each process", "PSS, MB", memory),
            "descriptors": partial(plot, "Open descriptors of each process", "descriptors", fds),
            "disk": partial(plot, "Bytes on disk by directory", "MB", disk),
            "queues": partial(plot, "Tickets that wait", "tickets", queues),
        }
    )


def _processes(
    samples: Sequence[Sample], number: Callable[[ProcessHealth], int | None], unit: int
) -> dict[str, Line]:
    def told(sample: Sample) -> dict[str, float]:
        found = {each.worker: number(each) for each in sample.processes}
        return {name: n / unit for name, n in found.items() if n is not None}

    return _lines(samples, told)


def _lines(
    samples: Sequence[Sample], told: Callable[[Sample], dict[str, float]]
) -> dict[str, Line]:
    found: dict[str, Line] = {}
    for sample in samples:
        for name, value in told(sample).items():
            found.setdefault(name, []).append((sample.at_wall_ns // NS_PER_MS, value))
    return {name: line for name, line in sorted(found.items()) if any(n for _, n in line)}


def _figure(
    samples: Sequence[Sample], hole_ms: int, title: str, unit: str, lines: dict[str, Line]
) -> Any:
    if not lines:
        return None
    figure, axes = drawing.axes_of(3.2, title, "time of the day, UTC", unit)
    for (name, line), colour in zip(lines.items(), _COLOURS * 3, strict=False):
        places, values = _opened(line, hole_ms)
        axes.plot(places, values, "-", color=colour, label=name, linewidth=1.2)
    first, last = samples[0], samples[-1]
    drawing.clock_axis(axes, first.at_wall_ns // NS_PER_MS, last.at_wall_ns // NS_PER_MS)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    return figure


def _opened(line: Line, hole_ms: int) -> tuple[list[int], list[float]]:
    """The line with a point that is no number in each hole."""
    places, values, before_ms = [], [], line[0][0]
    for at_ms, value in line:
        if at_ms - before_ms > hole_ms:
            places.append(before_ms)
            values.append(float("nan"))
        places.append(at_ms)
        values.append(value)
        before_ms = at_ms
    return places, values
