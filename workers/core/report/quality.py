"""A data-quality report as a value: coverage, gaps, latency, hashes and flags, spread, clock.

Promises  every number is a count, a measured value or an exact sum (`core.report.quality_parts`)
Never     judges: it says what is there and how to see it again (`core.report.quality_commands`)
"""

import msgspec

from workers.core.coverage.canvas import CAPTURED

SCHEMA = "orderbooks.quality/1"


class Hour(msgspec.Struct, frozen=True):
    """One UTC hour of one market, or of all: ticks due, and what became of them."""

    from_ms: int
    due: int
    states: dict[str, int]

    @property
    def captured(self) -> int:
        """Ticks with a row of both tokens."""
        return self.states.get(CAPTURED, 0)


class Market(msgspec.Struct, frozen=True):
    """One market, hour by hour."""

    slug: str
    series: str
    condition_id: str
    hours: list[Hour]


class Coverage(msgspec.Struct, frozen=True):
    """What became of every due tick; `adds_up` when the states of each market sum to those due."""

    due: int
    adds_up: bool
    totals: dict[str, int]
    hours: list[Hour]
    markets: list[Market]


class Cause(msgspec.Struct, frozen=True):
    """Missed ticks of one state: how many, and in how many gaps they lie."""

    state: str
    gaps: int
    ticks: int


class SharedGap(msgspec.Struct, frozen=True):
    """One gap, of one market or of several at once; `ticks` of each of them, by state."""

    from_ms: int
    length_ms: int
    slugs: list[str]
    ticks: dict[str, int]


class Gaps(msgspec.Struct, frozen=True):
    """All gaps: a gap is of one market."""

    count: int
    causes: list[Cause]
    longest: list[SharedGap]


class Latency(msgspec.Struct, frozen=True):
    """From send to the last byte, of good answers; None where there is none."""

    good: int
    p50_ns: int | None = None
    p90_ns: int | None = None
    p99_ns: int | None = None
    max_ns: int | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """All requests of one method and route."""

    endpoint: str
    requests: int
    causes: dict[str, int]
    latency: Latency


class Span(msgspec.Struct, frozen=True):
    """Some minutes, or an hour, of the endpoint that was asked most."""

    from_ms: int
    requests: int
    latency: Latency


class Bin(msgspec.Struct, frozen=True):
    """Good answers that took from_ns ≤ t < until_ns; the last bin has no end."""

    from_ns: int
    until_ns: int | None
    count: int


class Requests(msgspec.Struct, frozen=True):
    """Everything that was asked; `bins`, `hours` and `spans` are of `busiest` alone."""

    endpoints: list[Endpoint]
    busiest: str
    bins: list[Bin]
    hours: list[Span]
    spans: list[Span]


class Books(msgspec.Struct, frozen=True):
    """Checks of every row of `books`, and rows that no table took, by reason."""

    rows: int
    verdicts: dict[str, int]
    flags: dict[str, int]
    bad: dict[str, int]


class Width(msgspec.Struct, frozen=True):
    """A spread in ticks (`numerator / denominator`; 0 / 0: the tick is not told), and its time."""

    numerator: int
    denominator: int
    ns: int


class Named(msgspec.Struct, frozen=True):
    """An outcome of a market."""

    slug: str
    outcome: str


class Top(msgspec.Struct, frozen=True):
    """The first of each ranking (`core.report.token_stats.RANKINGS`)."""

    depth: list[Named]
    tightness: list[Named]
    activity: list[Named]


class Spread(msgspec.Struct, frozen=True):
    """Time at each spread over all outcomes, and who leads."""

    held_ns: int
    two_sided_ns: int
    widths: list[Width]
    top: Top


class Offset(msgspec.Struct, frozen=True):
    """One measurement: the venue's clock − ours, known to ± tolerance."""

    at_wall_ns: int
    offset_ms: int
    tolerance_ms: int


class Step(msgspec.Struct, frozen=True):
    """A wall clock that was set, as a worker saw it."""

    at_wall_ns: int
    step_ns: int
    worker: str


class Clock(msgspec.Struct, frozen=True):
    """Our clock: measured against the venue's, and set."""

    offsets: list[Offset]
    steps: list[Step]


class LegStream(msgspec.Struct, frozen=True):
    """One leg of the streamers: how long it covered, and of the events due to it what it lost.

    The counts are of derived `legs`; None where the table is not derived.
    """

    leg: int
    covered_ns: int
    due: int | None = None
    missing: int | None = None


class Stream(msgspec.Struct, frozen=True):
    """The stream of all markets: times are of tokens; how often books were doubted, and why."""

    markets: int
    wanted_ns: int
    covered_ns: int
    missed_ns: dict[str, int]
    resyncs: dict[str, int]
    closed: dict[str, int]
    legs: list[LegStream]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The report (`orderbooks.quality/1`); a part is None where its tables are not derived yet."""

    schema: str = SCHEMA
    from_ms: int
    until_ms: int
    version: str
    coverage: Coverage
    gaps: Gaps
    requests: Requests | None
    books: Books | None
    spread: Spread | None
    clock: Clock
    stream: Stream | None = None
    not_derived: list[str]
    notes: list[str]
    commands: dict[str, str]

    def is_whole(self) -> bool:
        """True when every part is there and could be read, and the states add up."""
        parts = (self.requests, self.books, self.spread)
        is_there = all(each is not None for each in parts) and not self.not_derived
        return is_there and not self.notes and self.coverage.adds_up
