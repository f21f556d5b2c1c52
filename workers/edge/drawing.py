"""The pictures of reports, as SVG. The one owner of matplotlib.

matplotlib is optional (dependency group `report`) and imported when a picture is drawn.

Promises  the same report gives the same bytes, with the same matplotlib; units stand on the axes;
          colours can be told apart by colour-blind people (Okabe and Ito)
Fails     NoMatplotlib when it is not installed
Never     opens a window, or reads or writes a file
"""

# ruff: noqa: ANN401, PLC0415 - matplotlib may be missing, and is loaded by the pictures alone

import io
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_HOUR, ms_text
from workers.core.reading.stretches import Stretch
from workers.core.report.quality import Hour, Market, Report
from workers.core.report.quality_page import SHOWN_MARKETS, width_text
from workers.core.report.quality_parts import SPAN_MS

_INK, _GRID, _PALE = "#333333", "#dddddd", "#cde4f3"
_BLUE, _ORANGE, _GREEN, _PINK = "#0072b2", "#e69f00", "#009e73", "#cc79a7"
_RED, _SKY, _YELLOW, _GREY = "#d55e00", "#56b4e9", "#f0e442", "#999999"
_CAUSES = (_RED, _BLUE, _ORANGE, _SKY, _PINK, _GREEN, _YELLOW)
#: Captured ticks in %: below each edge its colour; 100 has one of its own.
_CLASSES = (
    *((50, "#67001f", "below 50 %"), (90, "#d6604d", "50 to 90 %"), (99, "#f4a582", "90 to 99 %")),
    *((99.9, "#c9def0", "99 to 99.9 %"), (100, "#6baed6", "99.9 to 100 %")),
)
_WHOLE = ("#08519c", "100 %")
_STYLE = {
    "svg.hashsalt": "orderbooks",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Arial", "sans-serif"],
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "legend.frameon": False,
}
_STEPS_MS = tuple(minutes * 60_000 for minutes in (1, 2, 5, 10, 15, 30, 60, 120, 180, 360))
_MOST_BARS = 20
_NS_PER_MS = 1_000_000


class NoMatplotlib(NeedsAPerson):
    """Pictures were asked for, and matplotlib is not installed."""


def pictures(report: Report) -> dict[str, bytes]:
    """SVG by name; a picture without anything to show is left out."""
    return rendered({name: partial(draw, report) for name, draw in _PICTURES.items()})


def rendered(draws: Mapping[str, Callable[[], Any]]) -> dict[str, bytes]:
    """The figures that were drawn, as SVG by name."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise NoMatplotlib(
            "draw pictures: matplotlib is not installed", hint="ops/setup.sh report"
        ) from error
    found = {}
    style: Any = _STYLE  # matplotlib names its keys one by one
    with mpl.rc_context(style):
        for name, draw in draws.items():
            if (figure := draw()) is not None:
                found[name] = _svg(figure)
    return found


def _svg(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": "orderbooks"})
    return file.getvalue()


def axes_of(height: float, title: str, x: str, y: str) -> tuple[Any, Any]:
    """A figure with one pair of axes; `height` in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, height), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def clock_axis(axes: Any, from_ms: int, until_ms: int) -> None:
    """An axis of Unix ms, marked at round times of the day."""
    span_ms = max(until_ms - from_ms, 1)
    step_ms = next((each for each in _STEPS_MS if span_ms / each <= 12), _STEPS_MS[-1])
    marks = range(-(-from_ms // step_ms) * step_ms, until_ms + 1, step_ms)
    axes.set_xlim(from_ms, until_ms)
    axes.set_xticks(list(marks), [ms_text(each)[11:16] for each in marks])


def _coverage(report: Report) -> Any:
    """Rows are markets, or series where there are too many; columns are hours."""
    if not report.coverage.hours:
        return None
    hours = Stretch(report.from_ms, report.until_ms).hours
    rows = _rows(report.coverage.markets)
    height = 1.5 + 0.24 * len(rows)
    what = "market" if len(report.coverage.markets) <= SHOWN_MARKETS else "series"
    title = f"Captured ticks by {what} and hour, {ms_text(report.from_ms)[:10]}"
    figure, axes = axes_of(height, title, "hour of the day, UTC", "")
    first_ms = hours[0]
    for at, (_, cells) in enumerate(rows):
        boxes = [((cell.from_ms - first_ms) / MS_PER_HOUR, 1.0) for cell in cells]
        colours = [_shade(cell) for cell in cells]
        axes.broken_barh(boxes, (at + 0.06, 0.88), facecolors=colours, edgecolor="white")
    axes.set_yticks([at + 0.5 for at in range(len(rows))], [name for name, _ in rows])
    axes.set_ylim(len(rows), 0)
    _hour_axis(axes, hours)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    seen = {_shade(cell) for _, cells in rows for cell in cells}
    _legend(
        axes,
        [(colour, name) for _, colour, name in _CLASSES if colour in seen]
        + ([_WHOLE] if _WHOLE[0] in seen else []),
    )
    return figure


def _hour_axis(axes: Any, hours: Sequence[int]) -> None:
    """Columns of one hour from the first to the last; at most 24 marks."""
    count = (hours[-1] - hours[0]) // MS_PER_HOUR + 1
    every = -(-count // 24)
    marks = range(0, count, every)
    axes.set_xlim(0, max(count, 6))
    labels = [ms_text(hours[0] + each * MS_PER_HOUR)[11:13] for each in marks]
    axes.set_xticks([each + 0.5 for each in marks], labels)


def _rows(markets: Sequence[Market]) -> list[tuple[str, list[Hour]]]:
    if len(markets) <= SHOWN_MARKETS:
        return [(each.slug, each.hours) for each in markets]
    found: dict[str, dict[int, Counter[str]]] = {}
    for market in markets:
        for hour in market.hours:
            of_hour = found.setdefault(market.series, {}).setdefault(hour.from_ms, Counter())
            of_hour.update(hour.states)
    return [
        (name, [Hour(at, it.total(), dict(it)) for at, it in sorted(hours.items())])
        for name, hours in sorted(found.items())
    ]


def _shade(hour: Hour) -> str:
    if hour.captured == hour.due:
        return _WHOLE[0]
    share = 100 * hour.captured / hour.due
    return next(colour for edge, colour, _ in _CLASSES if share < edge)


def _legend(axes: Any, entries: Iterable[tuple[str, str]]) -> None:
    """To the right of the picture, in the order given."""
    from matplotlib.patches import Patch

    handles = [Patch(facecolor=colour, label=name) for colour, name in entries]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)


def _missed(report: Report) -> Any:
    """Stacked bars; causes beyond the palette share one."""
    causes = [each.state for each in report.gaps.causes]
    if not causes:
        return None
    hours = Stretch(report.from_ms, report.until_ms).hours
    title = "Missed ticks by hour and cause"
    figure, axes = axes_of(3.2, title, "hour of the day, UTC", "ticks of one market")
    own = causes[: len(_CAUSES)]
    names = [*own, *(["other causes"] if len(causes) > len(own) else [])]
    found = report.coverage.hours
    places = [(each.from_ms - hours[0]) / MS_PER_HOUR + 0.5 for each in found]
    under = [0] * len(found)
    for name, colour in zip(names, (*_CAUSES, _GREY), strict=False):
        chosen = [name] if name in own else causes[len(own) :]
        counts = [sum(it.states.get(each, 0) for each in chosen) for it in found]
        axes.bar(places, counts, 0.8, bottom=under, color=colour)
        under = [low + count for low, count in zip(under, counts, strict=True)]
    _hour_axis(axes, hours)
    axes.grid(axis="y")
    _legend(axes, zip((*_CAUSES, _GREY), names, strict=False))
    return figure


def _latency(report: Report) -> Any:
    """Bars as wide as their bins, on an axis of decades."""
    requests = report.requests
    if requests is None or not requests.bins:
        return None
    title = f"Latency of {requests.busiest}, good answers"
    figure, axes = axes_of(3.2, title, "from send to the last byte, ms", "answers")
    lows = [max(each.from_ns, 1) / _NS_PER_MS for each in requests.bins]
    ends = [(each.until_ns or 2 * each.from_ns) / _NS_PER_MS for each in requests.bins]
    widths = [end - low for low, end in zip(lows, ends, strict=True)]
    axes.bar(lows, [each.count for each in requests.bins], widths, align="edge", color=_SKY)
    axes.set_xscale("log")
    _plain_decades(axes.xaxis)
    axes.grid(axis="y")
    latency = next(it.latency for it in requests.endpoints if it.endpoint == requests.busiest)
    for name, ns, dashes in (("p50", latency.p50_ns, "-"), ("p99", latency.p99_ns, "--")):
        at_ms = (ns or 0) / _NS_PER_MS
        axes.axvline(at_ms, color=_INK, linestyle=dashes, label=f"{name} {at_ms:.1f} ms")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    return figure


def _plain_decades(axis: Any) -> None:
    """1, 2, 5, 10 … as they are read, not as powers."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1, 2, 5), numticks=12))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())


def _latency_over_time(report: Report) -> Any:
    """A dot for each five minutes: pauses stay empty, nothing is joined across them."""
    spans = [it for it in (report.requests.spans if report.requests else []) if it.latency.good]
    if report.requests is None or not spans:
        return None
    title = f"Latency of {report.requests.busiest} by five minutes"
    figure, axes = axes_of(3.2, title, "time of the day, UTC", "ms")
    places = [each.from_ms + SPAN_MS // 2 for each in spans]
    for name, colour, mark in (("max", _GREY, "_"), ("p99", _RED, "."), ("p50", _BLUE, ".")):
        values = [getattr(each.latency, f"{name}_ns") / _NS_PER_MS for each in spans]
        axes.plot(places, values, mark, color=colour, label=name, markersize=6)
    axes.set_yscale("log")
    _plain_decades(axes.yaxis)
    clock_axis(axes, spans[0].from_ms, spans[-1].from_ms + SPAN_MS)
    axes.grid(axis="y")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
    return figure


def _spread(report: Report) -> Any:
    """A bar for each spread; the widest ones share the last."""
    spread = report.spread
    if spread is None or not spread.two_sided_ns:
        return None
    names = [width_text(each) for each in spread.widths]
    shares = [100 * each.ns / spread.two_sided_ns for each in spread.widths]
    if len(names) > _MOST_BARS:
        rest = sum(shares[_MOST_BARS - 1 :])
        names = [*names[: _MOST_BARS - 1], f"> {names[_MOST_BARS - 2]}"]
        shares = [*shares[: _MOST_BARS - 1], rest]
    title = "Time at each spread, all outcomes"
    figure, axes = axes_of(3.2, title, "spread, ticks", "% of the time with a bid and an ask")
    bars = axes.bar(names, shares, 0.7, color=_SKY)
    axes.bar_label(bars, [f"{each:.1f}" for each in shares], padding=2)
    axes.set_xlim(-0.6, max(len(names), 6) - 0.4)
    axes.margins(y=0.1)
    axes.grid(axis="y")
    return figure


def _clock(report: Report) -> Any:
    """Each measurement with how well it is known."""
    offsets = report.clock.offsets
    if not offsets:
        return None
    title = "Offset of our clock, each measurement with its tolerance"
    figure, axes = axes_of(2.8, title, "time of the day, UTC", "venue − ours, ms")
    places = [each.at_wall_ns // _NS_PER_MS for each in offsets]
    values = [each.offset_ms for each in offsets]
    known = [each.tolerance_ms for each in offsets]
    axes.errorbar(places, values, known, fmt=".", color=_BLUE, ecolor=_PALE, elinewidth=1.5)
    axes.axhline(0, color=_INK, linewidth=0.8)
    clock_axis(axes, places[0] - SPAN_MS // 5, places[-1] + SPAN_MS // 5)
    axes.grid(axis="y")
    return figure


_PICTURES: dict[str, Callable[[Report], Any]] = {
    "coverage": _coverage,
    "missed": _missed,
    "latency": _latency,
    "latency_over_time": _latency_over_time,
    "spread": _spread,
    "clock": _clock,
}
