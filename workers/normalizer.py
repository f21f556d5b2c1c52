"""normalizer: makes tables of what was recorded: exact, checked, with the source of every row.

Reads     spool/normalize tickets, raw segments and their manifests
Writes    derived/: Parquet files and their manifests; the state of tickets; tickets for the
          uploader, of files that hold a whole hour
Promises  each row of each segment is in force once, whatever dies when; a segment is read only
          when it is what its manifest says; a bad row is kept with its reason and stops nothing;
          price changes go from tables only where a person set their age, and raw has them;
          this process stays small: the work is done by one short-lived child at a time
Fails     a segment that is unfit        → its ticket is .failed with the reason, others go on
          an hour's evidence is damaged  → it has no table of gaps, one alert, others go on
          … and a label calls it invalid → its ticket is .done with the label's reason, no alert
          a job that dies, a full disk   → tried again with pauses, with ever fewer segments
          another normalizer alive       → waits for it
Never     changes or removes anything of raw; rounds a number; fills a gap
"""

from collections import Counter
from typing import Any

from workers.core.health.heartbeats import Condition
from workers.core.instants import MS_PER_DAY, MS_PER_HOUR
from workers.core.polling.cadence import BackoffRules, backoff_s
from workers.edge import lifecycle
from workers.edge.derived import hours, shelf
from workers.edge.derived.closing import Closing
from workers.edge.derived.shelf import Batch
from workers.edge.derived.shift import Job, Told, derive, prune, tidy
from workers.edge.derived.waiting import Waiting, Waits, give_up
from workers.edge.lifecycle import Bench
from workers.edge.offload import ledger
from workers.edge.spool import locks, tickets

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
#: How often a job that runs is looked at.
POLL_NS = 20_000_000
#: Batches that one job makes at most: its start costs as much as some thousand books.
BATCHES_AT_ONCE = 8
#: Hours that one job tidies at most.
TIDIED_AT_ONCE = 12
#: Jobs with this one segment alone that died.
DEATHS_MAX = 3
RETIDY_NS = 60 * NS_PER_S
#: Hours whose changes one job prunes at most, and how often is looked for such hours.
PRUNED_AT_ONCE = 200
PRUNE_LOOK_NS = 3600 * NS_PER_S
_BACKOFF = BackoffRules(base_s=1.0, cap_s=300.0, blocked_s=1.0, retry_after_cap_s=300.0)


class Normalizer:
    """One job at a time: a batch of segments of one hour, or hours that are over.

    Of those first their files are made one, then their gaps are accounted for; when they are old
    enough, their price changes go.
    """

    def __init__(self, bench: Bench) -> None:
        self._bench, self._world, self._data = bench, bench.world, bench.data
        self._rules = bench.settings.normalizer
        locks.own(bench.data.queue("normalize"))
        shelf.sweep(bench.data)
        self._waiting = Waiting(bench.data)
        self._job: Job | None = None
        self._names: list[str] = []
        self._tidies: list[hours.Untidy] = []
        self._closing, self._closes = Closing(bench.data), list[int]()
        self._prunes: list[int] = []
        self._prune_mono_ns = 0
        #: When an hour was last tidied: what was left then waits for the uploader, or a person.
        self._tidied_mono_ns: dict[hours.Untidy, int] = {}
        #: Hours that may have something to tidy; None = all that there are, at the start.
        self._hours: set[int] | None = None
        self._limit: int | None = None
        self._failures = 0
        self._deaths: Counter[str] = Counter()
        self._look_mono_ns = self._resume_mono_ns = 0
        self._counters: Counter[str] = Counter()
        self._conditions: dict[str, Condition] = {}
        self._last_success_wall_ns: int | None = None
        self._last_error: tuple[str, int] | None = None

    def step(self) -> int:
        """Look after the job, or begin the next one that is due."""
        now_ns = self._world.mono_ns()
        if self._job is not None:
            told = self._job.poll()
            if told is not None:
                self._job = None
                self._settle(told)
                self._look_mono_ns = 0
        elif now_ns >= max(self._look_mono_ns, self._resume_mono_ns):
            self._look_mono_ns = now_ns + int(self._rules.interval_s * NS_PER_S)
            self._begin()
        self._bench.tend()
        if self._job is not None:
            return self._world.mono_ns() + POLL_NS
        return min(max(self._look_mono_ns, self._resume_mono_ns), self._world.mono_ns() + NS_PER_S)

    def _begin(self) -> None:
        now_ms = self._world.wall_ns() // NS_PER_MS
        self._give_up_labelled()
        self._names, self._tidies, self._closes, self._prunes = [], [], [], []
        waits = self._waiting.look(now_ms=now_ms)
        batches = self._due(waits, now_ms)
        if batches:
            if self._limit is not None:
                batches = [batches[0][: self._limit]]
            self._names = [name for each in batches for name in each]
            self._job = self._start(derive(batches))
            return
        self._tidies = self._untidy(now_ms)
        if self._tidies:
            self._tidied_mono_ns.update(dict.fromkeys(self._tidies, self._world.mono_ns()))
            self._job = self._start(tidy(self._tidies))
            return
        grace_ms = int(self._rules.hour_grace_s * 1000)
        self._closes = self._closing.look(now_ms=now_ms, grace_ms=grace_ms)
        if self._closes:
            work = self._closing.work(self._closes, ledger.Gone(self._data))
            self._job = self._start(work)
            return
        self._prunes = self._old(now_ms)
        if self._prunes:
            self._job = self._start(prune(self._prunes, ledger.Gone(self._data)))

    def _give_up_labelled(self) -> None:
        """What a person has decided is no failure any more."""
        given_up = give_up(self._data)
        for name, reason in given_up.items():
            self._bench.tell("segment_given_up", name=name, reason=reason)
        if given_up:
            self._counters["given_up"] += len(given_up)
            self._conditions.pop("derive", None)

    def _start(self, work: Any) -> Job:  # noqa: ANN401 - a function that only the job knows
        return Job(work, Batch(self._data, self._bench.writer.versions, self._world.wall_ns()))

    def _due(self, waits: dict[int, Waits], now_ms: int) -> list[list[str]]:
        """The next batches: of the oldest hour that has enough, has waited enough, or is over."""
        rules = self._rules
        for hour_ms in sorted(waits):
            found = waits[hour_ms]
            is_over = now_ms >= hour_ms + MS_PER_HOUR + int(rules.hour_grace_s * 1000)
            is_full = found.rows >= rules.batch_rows or found.bytes >= rules.batch_bytes
            if is_over or is_full or found.age_ms >= rules.batch_age_s * 1000:
                if self._hours is not None:
                    self._hours.add(hour_ms)
                self._closing.changed(hour_ms)
                batches = found.batches(rows=rules.batch_rows, size_bytes=rules.batch_bytes)
                return batches[:BATCHES_AT_ONCE]
        return []

    def _untidy(self, now_ms: int) -> list[hours.Untidy]:
        found = hours.untidy(self._data, self._hours)
        grace_ms = int(self._rules.hour_grace_s * 1000)
        over = {
            hour_ms: hours.is_over(self._data, hour_ms, now_ms=now_ms, grace_ms=grace_ms)
            for hour_ms in {each.hour_ms for each in found}
        }
        self._hours = {each.hour_ms for each in found}
        last_ns = self._world.mono_ns() - RETIDY_NS
        tidied = {each: at for each, at in self._tidied_mono_ns.items() if at > last_ns}
        self._tidied_mono_ns = tidied
        due = [each for each in found if over[each.hour_ms] and each not in tidied]
        return due[:TIDIED_AT_ONCE]

    def _old(self, now_ms: int) -> list[int]:
        """Hours whose price changes are to go; looked for each hour, and while there are more."""
        days, now_ns = self._rules.prune_changes_days, self._world.mono_ns()
        if not days or now_ns < self._prune_mono_ns:
            return []
        found = hours.prunable(self._data, now_ms - days * MS_PER_DAY)
        if len(found) <= PRUNED_AT_ONCE:
            self._prune_mono_ns = now_ns + PRUNE_LOOK_NS
        return found[:PRUNED_AT_ONCE]

    def _settle(self, told: Told) -> None:
        """Tell what a job did, and learn from it."""
        for unread in told.unread:
            self._bench.tell("segment_unfit", name=unread.segment, reason=unread.reason)
        self._counters["segments"] += told.finished
        self._counters["unfit"] += len(told.unread)
        if self._closes:
            self._closing.settle(self._closes, told)
            if self._hours is not None:
                self._hours.update(told.judged)
        if self._names:
            self._counters["rows"] += sum(each.rows for each in told.made)
            self._counters["bad_rows"] += sum(each.bad for each in told.made)
        self._counters["files"] += len(told.made)
        if told.made and self._prunes:
            self._counters["pruned_hours"] += len(told.made)
            self._bench.tell("changes_pruned", files=[each.name for each in told.made])
        elif told.made:
            self._last_success_wall_ns = self._world.wall_ns()
            self._bench.tell(
                "tables_made",
                segments=told.finished,
                files=[each.name for each in told.made],
                rows=sum(each.rows for each in told.made),
                bad=sum(each.bad for each in told.made),
                bytes=sum(each.bytes for each in told.made),
            )
        due = {"prune": self._prunes, "close": self._closes, "tidy": self._tidies}
        what = next((name for name, of in due.items() if of), "derive")
        if not told.problem:
            self._failures, self._limit = 0, None
            if what != "close" or not self._closing.has_refused:
                self._conditions.pop(what, None)
            return
        self._last_error = (told.problem[:300], self._world.wall_ns())
        if self._prunes:
            self._prune_mono_ns = self._world.mono_ns() + PRUNE_LOOK_NS
        self._conditions[what] = Condition(alert="derive_failing", detail=told.problem[:500])
        self._rest(told)

    def _rest(self, told: Told) -> None:
        """Pause; a batch that fails is tried with half of its segments, to the one at fault."""
        self._failures += 1
        is_death = told.problem.startswith("the job died")
        if is_death and self._names:
            self._limit = max(1, len(self._names) // 2)
        if is_death and len(self._names) == 1:
            self._give_up(self._names[0], told.problem)
        # An hour that cannot be tidied or closed waits for a person; segments need not.
        failures = 1 if not self._names and not is_death else self._failures
        pause_s = backoff_s(
            max(1, failures), "", roll=self._world.roll(), rules=_BACKOFF, retry_after_s=None
        )
        self._resume_mono_ns = self._world.mono_ns() + int(pause_s * NS_PER_S)
        self._bench.tell(
            "derive_failed",
            failures=self._failures,
            pause_s=round(pause_s, 1),
            reason=told.problem[:500],
        )

    def _give_up(self, name: str, problem: str) -> None:
        """Set a segment aside that ended its job alone, and again."""
        self._deaths[name] += 1
        path = self._data.queue("normalize") / f"{name}{tickets.READY}"
        if self._deaths[name] >= DEATHS_MAX and path.exists():
            tickets.fail(path, f"normalising it ends the process: {problem}")
            self._limit = None

    def beat(self) -> dict[str, Any]:
        """Counters, and the condition that holds."""
        error, error_wall_ns = self._last_error or (None, None)
        return {
            "last_success_wall_ns": self._last_success_wall_ns,
            "last_error": error,
            "last_error_wall_ns": error_wall_ns,
            "counters": dict(self._counters),
            "conditions": list(self._conditions.values()),
        }

    def close(self) -> None:
        """End the job; what it did not commit is done by the next start."""
        if self._job is not None:
            self._job.end()


def main(argv: list[str] | None = None) -> int:
    """Run the normalizer until it is asked to stop; returns the exit code."""
    return lifecycle.main("normalizer", Normalizer, argv)


if __name__ == "__main__":
    raise SystemExit(main())
