"""Faults of the market channel in random mixes, in full flow: `make stream-faults`.

    python -m tests.stream_campaign [ROUNDS [SEED]]

A round is a streamer of ten markets at several hundred to some 1,500 messages a second, on one
connection or on two legs: rules of the whole fault menu come and go, and now and then it is killed
(SIGKILL) and started again. At the end every change of a book that the venue produced is looked
for in the archive. Eight rounds by default, about five minutes.

Prints    for each round its faults, deaths, causes, and what is missing: in gaps, or `hidden`, which
          only one connection can have, and of what a fault withheld: by what came next, the end of
          the connection (`cut`), a whole `book`, a hash that is `verified` without it, or one that
          `failed`, as the tables say
Promises  exit 0 when nothing is missing outside a gap that the ledger tells; with two legs whose
          faults hit one leg alone, nothing at all is missing while both were up
"""

import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes.stream_oracle import Archive, Judgement
from tests.processes.stream_rig import Run, running
from tests.rig import wait_for
from tests.venue.channel_truth import ChangeRow
from tests.venue.faults import CHANNEL
from workers.core.stream.rows import Closed, Turned

ROUNDS, MARKETS, ROUND_S, DEATHS = 8, 10, 20.0, 2
RATES = (60, 100, 150)
"""changes a second of each market"""
SHARE_OF_MARKETS = 0.5
"""of the faults of events, those of one to three markets; the others are of all"""
MENU: tuple[tuple[str, dict[str, Any]], ...] = (
    ("freeze", {}),
    ("drop", {"probability": 0.05}),
    ("duplicate", {"probability": 0.2}),
    ("reorder", {"probability": 0.05}),
    ("reorder", {"probability": 0.02, "by": 4}),
    ("bad_json", {"probability": 0.02}),
    ("bad_utf8", {"probability": 0.02}),
    ("foreign", {"probability": 0.02}),
    ("half_frame", {"count": 1}),
    ("half_frame", {"count": 1, "at": "reset"}),
    ("slow", {"bytes_per_s": 50_000}),
    ("deaf", {}),
    ("storm", {"count": 3}),
    ("close", {"count": 1}),
    ("close", {"count": 1, "code": 1008}),
    ("stale_book", {"count": 2}),
    ("missing_book", {"count": 2}),
    ("refuse", {"count": 2}),
)
#: A connection has these as a whole.
OF_CONNECTIONS = frozenset({"slow", "deaf", "storm", "close", "refuse"})
#: Reconnects that a rule foresees.
NEXT_CONNECTIONS = 12
END_CALM_S, LIFE_LIMIT_S = 2.0, 180.0


@dataclass
class Course:
    """What was done to a streamer so far."""

    run: Run
    legs: int
    until_s: float
    spoiled: list[int] | None = None
    killed_ns: list[int] = field(default_factory=list)
    heard: int = 0
    applied: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Outcome:
    """What became of one round."""

    course: Course
    frames_per_s: float
    unflushed_ms: int
    judged: Judgement
    closed: Counter[str]
    turned: Counter[str]

    @property
    def gaps(self) -> dict[str, int]:
        """Changes in gaps by their cause, between the first start and the stop."""
        return {e: count for e, count in self.judged.lost.items() if e not in ("start", "stop")}

    @property
    def is_good(self) -> bool:
        """True when all that is missing lies in a gap; two legs miss nothing between deaths."""
        if self.judged.unexplained:
            return False
        return self.course.legs == 1 or (not self.judged.hidden and self.gaps.keys() <= {"down"})


def _say(text: str) -> None:
    print(text, flush=True)


def _choose_leg(course: Course) -> None:
    """With two legs one is left alone, from the streamer's start to its end."""
    if course.legs == 1:
        return
    run = course.run
    wait_for(lambda: run.beat().counters["connections"] == course.legs, what="both legs")
    opened = [row.connection for row in run.venue.channel_truth.sent() if row.kind == "opened"]
    newest = max(opened)
    course.spoiled = [*range(newest, newest + NEXT_CONNECTIONS)]


def _rules(course: Course, dice: random.Random) -> Iterator[tuple[int, str]]:
    """One to three faults, of some markets or of all."""
    for kind, fields in dice.sample(MENU, dice.randint(1, 3)):
        named: dict[str, Any] = {}
        if course.spoiled is not None and kind != "refuse":
            named["connection"] = course.spoiled
        if kind not in OF_CONNECTIONS and dice.random() < SHARE_OF_MARKETS:
            chosen = dice.sample(course.run.markets, dice.randint(1, 3))
            named["market"] = [each.condition_id for each in chosen]
        yield course.run.venue.faults.add(kind, CHANNEL, **named, **fields), kind


def _spoil_for_a_while(course: Course, dice: random.Random) -> None:
    run, rules = course.run, [*_rules(course, dice)]
    run.rests(dice.uniform(0.5, 2.5))
    for number, kind in rules:
        course.applied[kind] += run.venue.faults.applied(number)
        run.venue.faults.remove(number)
    run.rests(dice.uniform(0.1, 1.0))


def _one_round(folder: Path, dice: random.Random, *, legs: int) -> Outcome:
    """Spoil, kill, calm down, stop, judge."""
    with running(folder, MARKETS, changes_per_s=dice.choice(RATES)) as run:
        # A busy machine alone lets both legs lag for some tenths of a second: no freeze.
        run.start(legs=legs, pong_timeout_s=2.0, confirm_s=1.0)
        began_s = time.monotonic()
        course = Course(run, legs, began_s + ROUND_S)
        _choose_leg(course)
        deaths_at = sorted(began_s + dice.uniform(0.1, 0.9) * ROUND_S for _ in range(DEATHS))
        while time.monotonic() < course.until_s:
            _spoil_for_a_while(course, dice)
            if deaths_at and time.monotonic() > deaths_at[0]:
                deaths_at.pop(0)
                _kill(course)
        # What is lost last shows only in what follows it.
        wait_for(run.is_synced, limit_s=LIFE_LIMIT_S, what="every book")
        run.rests(END_CALM_S)
        course.heard += run.beat().counters["frames"]
        rate = course.heard / (time.monotonic() - began_s)
        archive = run.stop()
        return Outcome(
            course=course,
            frames_per_s=rate,
            unflushed_ms=_unflushed_ms(archive, course.killed_ns),
            judged=run.judged(archive),
            closed=Counter(row.cause for row in archive.of(Closed)),
            turned=Counter(row.reason for row in archive.of(Turned) if row.state == "SUSPECT"),
        )


def _unflushed_ms(archive: Archive, killed_ns: list[int]) -> int:
    """What the worst of the deaths cost: from the last row before it."""
    moments = [row.recv_wall_ns for row in archive.rows]
    costs_ns = [at - max(each for each in moments if each < at) for at in killed_ns]
    return max(costs_ns, default=0) // 1_000_000


def _kill(course: Course) -> None:
    """SIGKILL it, and start it again."""
    run = course.run
    course.heard += run.beat().counters["frames"]
    process = run.rig.processes[-1]
    process.kill()
    process.wait(10)
    course.killed_ns.append(time.time_ns())
    run.start_again()
    wait_for(
        lambda: run.beat().pid != process.pid and run.is_synced(),
        limit_s=LIFE_LIMIT_S,
        what="its next life",
    )
    _choose_leg(course)


def _told(counts: Counter[str] | dict[str, int]) -> str:
    return " ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def _missing(change: ChangeRow) -> str:
    return f"{change.kind} {change.token_id[:8]}… {change.timestamp} at {change.at_wall_ns}"


def _report(number: int, found: Outcome) -> None:
    judged = found.judged
    _say(
        f"round {number}: {found.course.legs} leg(s), {found.frames_per_s:.0f} messages/s, "
        f"{len(found.course.killed_ns)} deaths, {judged.archived} changes archived, "
        f"{sum(found.gaps.values())} in gaps, {sum(judged.hidden.values())} hidden, "
        f"{len(judged.unexplained)} missing outside gaps"
    )
    _say(f"  faults   {_told(found.course.applied)}")
    _say(f"  closed   {_told(found.closed)}")
    _say(f"  suspect  {_told(found.turned)}")
    _say(f"  gaps     {_told(found.gaps)}")
    _say(f"  hidden   {_told(judged.hidden)}")
    _say(f"  a death cost {found.unflushed_ms} ms at most")
    for change in judged.unexplained[:10]:
        _say(f"  MISSING  {_missing(change)}")


def main(arguments: list[str]) -> int:
    """Run the campaign; the exit code is 0 when nothing was missing outside a gap."""
    rounds = int(arguments[0]) if arguments else ROUNDS
    seed = int(arguments[1]) if arguments[1:] else random.SystemRandom().randrange(1_000_000)
    _say(f"seed {seed}")
    found = []
    for number in range(rounds):
        dice = random.Random(f"{seed}:{number}")
        with tempfile.TemporaryDirectory(prefix="stream-") as folder:
            found.append(_one_round(Path(folder), dice, legs=1 + number % 2))
        _report(number, found[-1])
    bad = [each for each in found if not each.is_good]
    _say(
        f"{sum(len(e.course.killed_ns) for e in found)} deaths, "
        f"{sum(e.judged.archived for e in found)} changes archived, "
        f"{sum(sum(e.gaps.values()) for e in found)} in gaps, "
        f"{sum(sum(e.judged.hidden.values()) for e in found)} hidden, "
        f"{sum(len(e.judged.unexplained) for e in found)} missing outside gaps; "
        f"{len(bad)} rounds bad"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
