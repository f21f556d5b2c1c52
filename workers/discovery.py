"""discovery: keeps the list of markets to record current, and never lets it go.

    Reads     Gamma GET /events/keyset, /events/slug; its own last universe; the disk guard
    Writes    spool/universe/universe.json, manifests/discovery/{latest.json,universe.md},
              segments: every answer (pages), every request (ledger), every publication (universe)
    Promises  a universe.json is whole at every moment, and its row is on the disk before it;
              every answer is kept byte for byte; one request a step, below the venue's limits;
              names computed from the clock are looked up when the listing lacks them
    Fails     Gamma away            → pauses with full jitter, breaker; the universe goes stale
              empty, absurd, broken → the universe stays as it is, stale, until a good answer
              a mapping changed     → refused, the old one stands, a condition for a person
              disk full, or guarded → the publication waits for its row, the next round for room
              universe.json broken  → goes on from manifests/discovery/latest.json
    Never     removes a market before its recording is over, or exchanges its tokens

One round: the listing of each series, tag and event selected, page by page, then the look-ups of
the cross-check (`core.universe.survey` asks, `core.universe.rounds` judges). `orderbooks discover
--once` runs the same two without this process.
"""

import os
from typing import Any

from workers import VERSION
from workers.core.causes import BLOCKED, OK
from workers.core.health.heartbeats import Condition
from workers.core.polling.answers import Answer
from workers.core.polling.cadence import NS_PER_MS, NS_PER_S
from workers.core.polling.courtesy import courtesy_of
from workers.core.universe.refusals import QUIET
from workers.core.universe.rounds import Outcome, next_universe
from workers.core.universe.survey import Survey
from workers.core.universe.universe import Universe
from workers.edge import lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.rest import Call, RestClient
from workers.edge.spool.diary import Diary
from workers.edge.spool.follow import GuardFollower
from workers.edge.spool.pagekeeper import PageKeeper
from workers.edge.spool.universe_files import UniverseFiles

#: The loop beats and flushes between two steps; no pause may be longer.
PULSE_NS = NS_PER_S
NOT_FOUND = "http_404"


class Discovery:
    """The one keeper of the universe."""

    def __init__(self, bench: Bench) -> None:
        settings, collector = bench.settings.discovery, bench.settings.collector
        self._bench, self._world, self._settings = bench, bench.world, settings
        self._client = RestClient(
            timeout_s=settings.request_timeout_s,
            max_body_bytes=settings.max_body_bytes,
            user_agent=f"orderbooks/{VERSION}",
        )
        self._diary = Diary(bench.recorder, bench.writer)
        self._pages = PageKeeper(
            bench.recorder,
            self._diary,
            bench.writer.worker,
            kept_bytes=collector.kept_body_bytes,
        )
        self._courtesy = courtesy_of(
            collector, per_10s=settings.requests_per_10s, mono_ns=self._world.mono_ns()
        )
        self._survey: Survey | None = None
        self._due_ms = self._next_round_mono_ns = 0
        self._outcome: Outcome | None = None
        self._files = UniverseFiles(bench.data, bench.recorder, bench.writer.worker)
        self._universe = self._files.recall()
        if self._files.problem:
            bench.tell("universe_kept", seq=self._universe.seq, reason=self._files.problem)
        self._guard = GuardFollower(bench.data)
        self._is_paused = False
        self._counters = {"rounds": 0, "failures": 0}
        self._last_success_wall_ns: int | None = None
        self._last_error: tuple[str, int] | None = None
        self._diary.started(
            self._world.wall_ns(),
            self._world.mono_ns(),
            pid=os.getpid(),
            boot_id=bench.boot_id,
            config_sha256=bench.config_sha256,
        )

    def step(self) -> int:
        """Ask one question, or end the round, or publish; then look after the segments."""
        now_ns = self._world.mono_ns()
        again_ns = now_ns + PULSE_NS
        if self._survey is not None:
            again_ns = min(again_ns, self._ask(self._survey))
        elif now_ns < self._next_round_mono_ns:
            again_ns = min(again_ns, self._next_round_mono_ns)
        elif self._may_begin():
            self._begin()
            again_ns = now_ns
        world = self._world
        self._files.publish(wall_ns=world.wall_ns(), mono_ns=world.mono_ns())
        self._bench.tend()
        return again_ns

    def _may_begin(self) -> bool:
        """A round writes pages; a disk that refuses them or that the guard protects gets none."""
        level = self._guard.level(self._world.wall_ns())
        if (level == "pause") != self._is_paused:
            self._is_paused = level == "pause"
            self._bench.tell("guard_obeyed", level=level)
            if self._is_paused:
                self._bench.recorder.seal_all("guard")
        return not self._is_paused and self._bench.recorder.trouble is None

    def _begin(self) -> None:
        self._due_ms = self._world.wall_ns() // NS_PER_MS
        interval_ns = int(self._settings.interval_s * NS_PER_S)
        self._next_round_mono_ns = self._world.mono_ns() + interval_ns
        self._survey = Survey(self._bench.settings, now_ms=self._due_ms)

    def _ask(self, survey: Survey) -> int:
        """Ask the next question if that is allowed now; returns when to go on."""
        question = survey.question()
        mono_ns = self._world.mono_ns()
        if question is None:
            self._end(survey)
            return mono_ns
        forbidden = self._courtesy.spend(mono_ns)
        if forbidden == "breaker_open":
            survey.abandon(self._courtesy.after or forbidden)
            return mono_ns
        if forbidden:
            return max(self._courtesy.breaker.resume_mono_ns, mono_ns + PULSE_NS // 20)
        request_id = self._diary.next_request_id()
        url = f"{self._bench.settings.venue.gamma_url}{question.target}"
        answer = self._client.fetch(Call(method="GET", url=url, request_id=request_id))
        now_ms = self._world.wall_ns() // NS_PER_MS
        cause = survey.take(answer.cause, answer.body, now_ms=now_ms)
        self._pages.keep(question, answer, cause, request_id=request_id, due_ms=self._due_ms)
        self._count(cause, answer)
        if cause in BLOCKED:
            # Who refuses us refuses the next question too; the pause is minutes, so end the round.
            survey.abandon(cause)
        return self._world.mono_ns()

    def _count(self, cause: str, answer: Answer) -> None:
        """Let the breaker know; "there is no such event" is an answer like another."""
        if cause in (OK, NOT_FOUND):
            self._last_success_wall_ns = answer.recv_wall_ns
            was = self._courtesy.succeeded()
            if was.failures:
                self._bench.tell("requests_recovered", failures=was.failures, cause=was.last_cause)
            return
        self._counters["failures"] += 1
        self._last_error = (cause, answer.recv_wall_ns)
        pause_s = self._courtesy.failed(
            cause,
            mono_ns=self._world.mono_ns(),
            roll=self._world.roll(),
            retry_after_s=answer.retry_after_s,
        )
        count = self._courtesy.breaker.failures
        self._bench.tell("requests_failed", cause=cause, count=count, pause_s=round(pause_s, 3))

    def _end(self, survey: Survey) -> None:
        """Judge the round; what must be published is remembered until the disk has it."""
        before, wall_ns = self._universe, self._world.wall_ns()
        outcome = next_universe(
            before,
            survey.found(),
            horizon_s=self._settings.horizon_s,
            now_ms=wall_ns // NS_PER_MS,
        )
        self._survey, self._outcome, self._universe = None, outcome, outcome.universe
        self._counters["rounds"] += 1
        self._files.offer(outcome, wall_ns=wall_ns)
        self._tell(before, outcome)

    def _tell(self, before: Universe, outcome: Outcome) -> None:
        universe = outcome.universe
        known = {(each.slug, each.reason) for each in before.refused}
        for each in universe.refused:
            if each.reason not in QUIET and (each.slug, each.reason) not in known:
                self._bench.tell(
                    "mapping_refused", slug=each.slug, reason=each.reason, detail=each.detail
                )
        if universe.stale_since_utc and not before.stale_since_utc:
            self._bench.tell("universe_kept", seq=universe.seq, reason=universe.stale_reason)
        if outcome.changed:
            self._bench.tell(
                "universe_published",
                seq=universe.seq,
                markets=len(universe.markets),
                added=len(outcome.entered),
                removed=len(outcome.left),
                refused=len(universe.refused),
            )

    def beat(self) -> dict[str, Any]:
        """Counters and conditions; the markets are in universe.json."""
        recorder, error = self._bench.recorder, self._last_error or (None, None)
        conditions = list(self._outcome.conditions) if self._outcome else []
        if recorder.trouble:
            conditions.append(Condition(alert="disk_full", detail=recorder.trouble.reason))
        return {
            "last_success_wall_ns": self._last_success_wall_ns,
            "last_error": error[0],
            "last_error_wall_ns": error[1],
            "counters": {
                **self._counters,
                "publications": self._files.publications,
                "requests": self._diary.requests,
                "seq": self._universe.seq,
                "markets": len(self._universe.markets),
                "refused": len(self._universe.refused),
                "pending": len(self._outcome.pending) if self._outcome else 0,
                **recorder.counters(),
            },
            "conditions": conditions,
        }

    def close(self) -> None:
        """Write the last ledger rows; the lifecycle publishes."""
        self._diary.stopped(self._world.wall_ns(), self._world.mono_ns())
        self._client.close()


def main(argv: list[str] | None = None) -> int:
    """Run discovery; see lifecycle.main for the exit codes."""
    return lifecycle.main("discovery", Discovery, argv)


if __name__ == "__main__":
    raise SystemExit(main())
