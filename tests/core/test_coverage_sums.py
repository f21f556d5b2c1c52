"""Holds core.coverage.coverage to a slow twin that judges one tick at a time, on scripts made by chance."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.scripted import CONDITION, DOWN, END_MS, START_MS, UP, Script, market
from tests.core.scripted import universe as published
from workers.core.archive.runs import Run, points_of
from workers.core.causes import ABSENT, OK, PAUSE_CAUSES
from workers.core.coverage.canvas import mask_of
from workers.core.coverage.lives import Life
from workers.core.coverage.plans import DueTicks, Plan
from workers.core.polling.cadence import Phase, phase_due

S = 1000
moments = st.integers(-3, 65).map(lambda s: START_MS + s * S + 137)
ticks = st.integers(0, 299).map(lambda n: START_MS + n * 200)
intervals = st.sampled_from([200, 400, 1000, 5000])


@st.composite
def phase_lists(draw):
    edges = sorted(draw(st.lists(st.integers(0, 300), min_size=2, max_size=4, unique=True)))
    pairs = pairwise(edges)
    return tuple(
        Phase("hot", START_MS + low * 200, START_MS + high * 200, draw(intervals))
        for low, high in pairs
    )


@st.composite
def scripts(draw):
    first = published(1, draw(moments), market(*draw(phase_lists())))
    plans = [first]
    if draw(st.booleans()):
        later = first.published_ms + draw(st.integers(1, 60)) * S
        plans.append(published(2, later, market(*draw(phase_lists()))))
    script = Script(*plans)
    at_ms = draw(moments)
    for _ in range(draw(st.integers(0, 3))):
        script.started(at_ms)
        for _ in range(draw(st.integers(0, 12))):
            _act(draw, script, at_ms)
            at_ms += draw(st.integers(0, 6000))
        if draw(st.booleans()):
            script.stopped(at_ms)
        at_ms += draw(st.integers(1, 9000))
    return script


def _act(draw, script, at_ms):
    due_ms = at_ms // 200 * 200
    causes = st.sampled_from(["ok", "ok", "ok", "http_500", "timeout"])
    kind = draw(st.sampled_from(["loaded", "asked", "asked", "polled", "skipped"]))
    if kind == "loaded":
        script.loaded(at_ms, draw(st.integers(1, 2)), draw(st.sampled_from([[CONDITION], []])))
    elif kind == "skipped":
        cause = draw(st.sampled_from(["late", "disk_full", "backoff"]))
        script.skipped(due_ms, due_ms + draw(st.integers(0, 20)) * 200, cause)
    elif kind == "asked":
        missing = draw(st.sampled_from([[], [], [UP], [UP, DOWN]]))
        script.asked(due_ms, cause=draw(causes), missing=missing)
        for token in draw(st.sampled_from([[], [UP], [UP, DOWN]])):
            script.caught(due_ms, token)
    else:
        step_ms = draw(st.sampled_from([200, 400, 1000, 5000]))
        script.polled(due_ms, due_ms + draw(st.integers(1, 20)) * step_ms, step_ms)


def due_of(script: Script) -> list[int]:
    """Every due tick, by asking each plan about each moment of the 200 ms grid."""
    plans = script.plans.markets[CONDITION].plans
    found = []
    for due_ms in range(script.plans.first_ms // 200 * 200, END_MS, 200):
        in_force = [each for each in plans if each.published_ms <= due_ms] or plans[:1]
        if due_ms >= script.plans.first_ms and phase_due(in_force[-1].phases, due_ms):
            found.append(due_ms)
    return found


def state_of(script: Script, due_ms: int) -> str:
    """One tick, judged from the lives by the table in core.coverage.coverage."""
    lives = script.lives.listed()
    held = {token: _points(runs.listed()) for token, runs in script.captured.items()}
    if all(due_ms in held.get(token, ()) for token in (UP, DOWN)):
        return "CAPTURED"
    came = [
        (life, cause, token)
        for life in lives
        for cause, tokens, runs in life.answered()
        for token in tokens
        if due_ms in _points(runs)
    ]
    failed = {f"FAILED({cause})" for _, cause, _ in came if cause not in (OK, ABSENT)}
    skips = [s for life in lives for s in life.skips if s.from_due_ms <= due_ms <= s.until_due_ms]
    skipped = {f"FAILED({s.cause})" for s in skips if s.cause not in PAUSE_CAUSES}
    if failed | skipped:
        return _one(failed or skipped)
    if any(cause == ABSENT for _, cause, _ in came):
        return "VENUE_ABSENT"
    if any(s.cause in PAUSE_CAUSES for s in skips):
        return "PAUSED(disk_full)"
    promised = [life for life, cause, token in came if due_ms not in held.get(token, ())]
    if promised:
        lost = any(life.may_have_lost_rows for life in promised)
        return "FAILED(lost_in_crash)" if lost else "UNEXPLAINED"
    return _life_state(script, lives, due_ms)


def _one(states: set[str]) -> str:
    return "|".join(sorted(states))


def _points(runs) -> set[int]:
    return {point for run in runs for point in points_of(run)}


def _life_state(script: Script, lives: list[Life], due_ms: int) -> str:
    known = script.plans.markets[CONDITION]
    alive = [each for each in lives if each.started_ms <= due_ms < each.ended_ms]
    for life in alive:
        loads = [each for each in life.loads if each.at_wall_ns < due_ms * 1_000_000]
        if loads and CONDITION in loads[-1].markets:
            plan = known.plan_of(loads[-1].seq, loads[-1].at_wall_ns // 1_000_000)
            if phase_due(plan.phases, due_ms):
                return "UNEXPLAINED"
    for life in alive:
        has_loaded = any(each.at_wall_ns < due_ms * 1_000_000 for each in life.loads)
        if has_loaded or known.plans[0].published_ms >= life.started_ms:
            return "DOWN(undiscovered)"
    if alive:
        return "DOWN(starting)"
    ended = [each for each in lives if each.ended_ms <= due_ms]
    last = max(ended, key=lambda each: each.ended_ms, default=None)
    return f"DOWN({last.how_it_ended})" if last else "DOWN(not_started)"


@settings(max_examples=150, deadline=None)
@given(scripts())
def test_the_states_add_up_to_what_was_due_and_each_tick_has_the_one_its_twin_gives(script):
    judged = script.judged()
    due = due_of(script)
    expected: dict[str, int] = {}
    for due_ms in due:
        state = state_of(script, due_ms)
        expected[state] = expected.get(state, 0) + 1

    assert len(due) == judged.due
    assert judged.adds_up()
    found = judged.counts()
    if any("|" in state for state in expected):
        # Two different failures of one tick: either may stand for it.
        assert sum(expected.values()) == found.total()
    else:
        assert expected == dict(found)


@given(phase_lists(), st.integers(-5, 70), st.integers(0, 70), intervals)
def test_a_run_marks_exactly_its_points_that_were_due(phases, low_s, count, step_ms):
    ticks = DueTicks([Plan(1, 0, phases)], 0, END_MS)
    first_ms = (START_MS + low_s * S) // step_ms * step_ms
    run = Run(UP, step_ms, first_ms, first_ms + count * step_ms)

    marked = {ticks.due_ms(at) for at, mark in enumerate(mask_of(ticks, [run])) if mark}

    assert {each for each in points_of(run) if phase_due(phases, each)} == marked
