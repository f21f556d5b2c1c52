"""Coverage: what became of every tick of every market that was due. The archive's main proof.

| state          | of a market's tick                                                           |
|----------------|------------------------------------------------------------------------------|
| CAPTURED       | a row of both tokens exists                                                  |
| FAILED(cause)  | asked and not answered well, or not asked for a cause that is the fleet's own |
| VENUE_ABSENT   | the venue answered and left the token out                                    |
| PAUSED(cause)  | not asked, on purpose: the disk, or a stepped clock                          |
| DOWN(why)      | no worker was there: stopped, crashed, not_started, starting, undiscovered   |
| UNEXPLAINED    | a worker was there and knew the market, and nothing says why there is no row |
| OFFLOADED      | no row, and the ledger that says why lies on the remote alone                 |
| ACKNOWLEDGED   | not captured, and a person has said so with a label                          |

Each state stands above those below it, but a label comes last and never hides a capture.

Promises  every due tick has exactly one state; the states of a market add up to what was due,
          which is counted a second time by arithmetic.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from workers.core.archive.labels import Acknowledged
from workers.core.archive.ledger import Loaded
from workers.core.archive.runs import Run
from workers.core.causes import ABSENT, OK, PAUSE_CAUSES
from workers.core.coverage.canvas import (
    CAPTURED,
    Canvas,
    Gap,
    Hour,
    gaps_of,
    hours_of,
    in_all,
    mask_of,
    without,
)
from workers.core.coverage.lives import NS_PER_MS, Life
from workers.core.coverage.plans import DueTicks, Known, due_count
from workers.core.polling.cadence import phase_due
from workers.core.universe.shards import shard_of

VENUE_ABSENT = "VENUE_ABSENT"
UNEXPLAINED = "UNEXPLAINED"
OFFLOADED = "OFFLOADED"
ACKNOWLEDGED = "ACKNOWLEDGED"
#: A living worker holds its newest rows in memory for no longer than this.
UNWRITTEN_MAX_MS = 60_000
STATES = (CAPTURED, "FAILED", VENUE_ABSENT, "PAUSED", "DOWN", OFFLOADED, ACKNOWLEDGED, UNEXPLAINED)


class Offloaded(msgspec.Struct, frozen=True):
    """A stretch whose ledger retention let go: what a shard did not capture then is told there.

    It lasts until the first ledger row here that lists the shard's markets again.
    """

    from_ms: int
    until_ms: int
    shard: int
    shards: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive holds of one market: captured runs, by token; `invalid` by a label.

    `offloaded` is of all shards.
    """

    captured: dict[str, list[Run]] = {}
    invalid: dict[str, list[Run]] = {}
    offloaded: list[Offloaded] = []


class MarketCoverage(msgspec.Struct, frozen=True):
    """One market: how many ticks were due, and what became of them."""

    slug: str
    condition_id: str
    series: str
    due: int
    hours: list[Hour]
    gaps: list[Gap]

    def counts(self) -> Counter[str]:
        """The states over all hours."""
        total: Counter[str] = Counter()
        for hour in self.hours:
            total.update(hour.counts)
        return total

    def adds_up(self) -> bool:
        """True when every due tick has a state."""
        return self.counts().total() == self.due


def judge(
    known: Known,
    seen: Seen,
    lives: Sequence[Life],
    answers: Sequence["Answered"],
    acknowledged: Sequence[Acknowledged],
    *,
    from_ms: int,
    until_ms: int,
    gap_ms: int,
) -> MarketCoverage:
    """Give every due tick of one market its state.

    Args:
        known: the market and its plans.
        seen: what the archive holds of it.
        lives: of all collectors.
        answers: what came of the requests for its tokens (`answers_by_market`).
        acknowledged: labels of this market.
        from_ms: the first moment that counts; never before the first publication.
        until_ms: the end, exclusive.
        gap_ms: from which length on a gap is listed.
    """
    canvas = Canvas(DueTicks(known.plans, from_ms, until_ms))
    mine = [each for each in lives if is_responsible(each, known)]
    _paint_lives(canvas, known, mine)
    rows = {token: mask_of(canvas.ticks, seen.captured.get(token, [])) for token in known.tokens}
    _paint_promises(canvas, rows, answers)
    _paint_told(canvas, known, mine, answers)
    for each in seen.offloaded:
        if shard_of(known.condition_id, each.shards) == each.shard:
            canvas.paint(canvas.ticks.between(each.from_ms, each.until_ms), OFFLOADED)
    for token in known.tokens:
        for run in seen.invalid.get(token, []):
            canvas.paint(canvas.ticks.of_run(run), "FAILED(labelled_invalid)")
    canvas.paint_where(in_all(list(rows.values())), CAPTURED)
    _paint_labels(canvas, acknowledged)
    return MarketCoverage(
        slug=known.slug,
        condition_id=known.condition_id,
        series=known.series,
        due=due_count(known.plans, from_ms, until_ms),
        hours=list(hours_of(canvas)),
        gaps=[each for each in gaps_of(canvas, known.slug) if each.length_ms >= gap_ms],
    )


class Answered(msgspec.Struct, frozen=True):
    """Requests of one life for one token of a market that came to one outcome."""

    life: Life
    cause: str
    token_id: str
    runs: list[Run]


def answers_by_market(
    lives: Iterable[Life], owners: Mapping[str, str]
) -> dict[str, list[Answered]]:
    """What came of all requests, by condition id; `owners` is condition id by token."""
    found: dict[str, list[Answered]] = {}
    told = (
        Answered(life, cause, token, runs)
        for life in lives
        for cause, tokens, runs in life.answered()
        for token in tokens
    )
    for each in told:
        if each.token_id in owners:
            found.setdefault(owners[each.token_id], []).append(each)
    return found


def is_responsible(life: Life, known: Known) -> bool:
    """True when the market belongs to this life's shard."""
    if life.shard is None or not life.shards:
        return False
    return shard_of(known.condition_id, life.shards) == life.shard


def written_ms(known: Known, lives: Iterable[Life], now_ms: int) -> int:
    """What is due before it is on the disk, one way or the other; the rest may yet be written.

    The tick of a living worker's last row is not: it may take several requests, of which only the
    first were written.
    """
    alive = (life for life in lives if life.is_running and is_responsible(life, known))
    return min([now_ms, *(max(life.last_due_ms, now_ms - UNWRITTEN_MAX_MS) for life in alive)])


def _paint_lives(canvas: Canvas, known: Known, lives: Sequence[Life]) -> None:
    """DOWN where nobody was there, UNEXPLAINED where somebody was and knew the market."""
    between = canvas.ticks.between
    canvas.paint(between(0, 1 << 62), "DOWN(not_started)")
    for life in sorted(lives, key=lambda each: each.ended_ms):
        canvas.paint(between(life.ended_ms, 1 << 62), f"DOWN({life.how_it_ended})")
    for life in lives:
        canvas.paint(between(life.started_ms, life.ended_ms), "DOWN(starting)")
    for life in lives:
        known_from_ms = life.started_ms
        if known.plans[0].published_ms < life.started_ms:
            known_from_ms = _loaded_ms(life.loads[0]) if life.loads else life.ended_ms
        canvas.paint(between(known_from_ms, life.ended_ms), "DOWN(undiscovered)")
    for life in lives:
        for part in _expected(canvas.ticks, known, life):
            canvas.paint([part], UNEXPLAINED)
        for from_ms, until_ms in life.holes:
            canvas.paint(between(from_ms, until_ms), "FAILED(lost_in_crash)")


def _loaded_ms(load: Loaded) -> int:
    """The first due time that a load is too early to miss: strictly after it."""
    return load.at_wall_ns // NS_PER_MS + 1


def _expected(ticks: DueTicks, known: Known, life: Life) -> Iterator[slice]:
    """The ticks a life had to poll: after a load that has the market, by the plan it loaded."""
    ends = [*(_loaded_ms(each) for each in life.loads[1:]), life.ended_ms]
    for load, end_ms in zip(life.loads, ends, strict=False):
        if known.condition_id not in load.markets:
            continue
        plan = known.plan_of(load.seq, load.at_wall_ns // NS_PER_MS)
        for part in ticks.between(_loaded_ms(load), min(end_ms, life.ended_ms)):
            stretch = ticks.stretch_of(part.start)
            if stretch.plan == plan:
                yield part
            else:
                yield from (
                    slice(index, index + 1)
                    for index in range(part.start, part.stop)
                    if phase_due(plan.phases, ticks.due_ms(index)) is not None
                )


def _paint_promises(
    canvas: Canvas, rows: Mapping[str, bytearray], answers: Sequence[Answered]
) -> None:
    """What a ledger says was captured and no segment holds."""
    for may_lose in (False, True):
        name = "FAILED(lost_in_crash)" if may_lose else UNEXPLAINED
        for token, mask in rows.items():
            runs = [
                run
                for each in answers
                if each.cause == OK
                and each.token_id == token
                and each.life.may_have_lost_rows == may_lose
                for run in each.runs
            ]
            canvas.paint_where(without(mask_of(canvas.ticks, runs), mask), name)


def _paint_told(
    canvas: Canvas, known: Known, lives: Sequence[Life], answers: Sequence[Answered]
) -> None:
    """What ledgers say of ticks without a row: pauses, then absent tokens, then failures."""
    told: list[tuple[int, str, Iterator[slice]]] = []
    for skip in (skip for life in lives for skip in life.skips):
        if skip.markets is None or known.condition_id in skip.markets:
            parts = canvas.ticks.between(skip.from_due_ms, skip.until_due_ms + 1)
            pauses = skip.cause in PAUSE_CAUSES
            name = f"PAUSED({skip.cause})" if pauses else f"FAILED({skip.cause})"
            told.append((0 if pauses else 2, name, parts))
    for each in answers:
        parts = (part for run in each.runs for part in canvas.ticks.of_run(run))
        if each.cause == ABSENT:
            told.append((1, VENUE_ABSENT, parts))
        elif each.cause != OK:
            told.append((2, f"FAILED({each.cause})", parts))
    for _, name, parts in sorted(told, key=lambda each: each[0]):
        canvas.paint(parts, name)


def _paint_labels(canvas: Canvas, acknowledged: Sequence[Acknowledged]) -> None:
    for label in acknowledged:
        number = canvas.number(ACKNOWLEDGED)
        table = bytes(code if code == 1 else number for code in range(256))
        for part in canvas.ticks.between(label.from_ms, label.until_ms):
            canvas.codes[part] = canvas.codes[part].translate(table)
