"""collector NN: polls the books of its shard's markets on an absolute grid and keeps every byte.

Reads     spool/universe/universe.json (each tick), spool/guard/disk.json, CLOB POST /books
Writes    books segments (a stream for each market), its ledger segment, its heartbeat
Promises  every due tick of every market of the shard has a row: the books, or why not;
          a missed tick is recorded and never made up; one request at a time, far below
          the venue's limits
Fails     venue or network away → pauses with full jitter, breaker, ledger says so
          disk full             → rows wait in memory, polling pauses, ledger says so
          universe unreadable   → goes on with the last one that could be read
Never     parses or rewrites a book, follows another collector's market, asks in bursts
"""

import os
from typing import Any

from workers import VERSION
from workers.core.archive.ledger import Loaded
from workers.core.causes import OK
from workers.core.health.heartbeats import Condition
from workers.core.polling.batches import Batch, batches, due_markets, grid_ms, mine
from workers.core.polling.courtesy import courtesy_of
from workers.core.polling.grid import Grid, Span
from workers.core.universe.markets import Market
from workers.edge import lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.rest import Call, RestClient
from workers.edge.spool.catch import Catch
from workers.edge.spool.diary import Diary
from workers.edge.spool.follow import GuardFollower, UniverseFollower

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000


class Collector:
    """One shard."""

    def __init__(self, bench: Bench) -> None:
        settings, world = bench.settings.collector, bench.world
        self._bench, self._world, self._settings = bench, world, settings
        self._url = f"{bench.settings.venue.clob_url}/books"
        self._client = RestClient(
            timeout_s=settings.request_timeout_s,
            max_body_bytes=settings.max_body_bytes,
            user_agent=f"orderbooks/{VERSION}",
        )
        self._diary = Diary(bench.recorder, bench.writer)
        self._catch = Catch(
            bench.recorder,
            self._diary,
            version=VERSION,
            kept_bytes=settings.kept_body_bytes,
            big_bytes=settings.big_book_bytes,
        )
        per_10s = settings.requests_per_10s / (bench.writer.shards or 1)
        self._courtesy = courtesy_of(settings, per_10s=per_10s, mono_ns=world.mono_ns())
        self._universe = UniverseFollower(bench.data)
        self._guard, self._guard_level = GuardFollower(bench.data), "ok"
        self._markets: tuple[Market, ...] = ()
        self._batches: dict[tuple[str, ...], tuple[Batch, ...]] = {}
        self._counters = {"failures": 0, "request_ms": 0, "ticks": 0, "ticks_skipped": 0}
        self._last_success_wall_ns: int | None = None
        self._last_error: tuple[str, int] | None = None
        hot_ms = bench.settings.schedule.hot_interval_ms
        self._grid = Grid.laid(world.wall_ns(), world.mono_ns(), hot_ms)
        self._diary.started(
            world.wall_ns(),
            world.mono_ns(),
            pid=os.getpid(),
            boot_id=bench.boot_id,
            config_sha256=bench.config_sha256,
        )

    def step(self) -> int:
        """Poll one tick if it is due, then look after the segments."""
        self._check_clock()
        self._follow_universe()
        if self._world.mono_ns() >= self._grid.due_mono_ns:
            self._grid, late = self._grid.caught_up(
                self._world.mono_ns(), self._settings.late_tolerance_ms
            )
            if late:
                self._miss(late, "late")
            else:
                self._tick(self._grid.due_ms)
                self._grid = self._grid.after_tick()
        self._bench.tend()
        return self._grid.due_mono_ns

    def _check_clock(self) -> None:
        wall_ns, mono_ns = self._world.wall_ns(), self._world.mono_ns()
        step_ns = self._grid.clock_step_ns(wall_ns, mono_ns)
        if step_ns:
            self._bench.tell("clock_stepped", step_ms=step_ns // NS_PER_MS)
            self._diary.clock_stepped(wall_ns, mono_ns, step_ns)
            self._grid, lost = self._grid.laid_anew(wall_ns, mono_ns)
            if lost:
                self._miss(lost, "clock_step")

    def _follow_universe(self) -> None:
        """Take over a new universe; every step looks for one before its tick."""
        universe = self._universe.newer()
        if universe is None:
            return
        writer, wall_ns = self._bench.writer, self._world.wall_ns()
        before = {market.condition_id: market for market in self._markets}
        self._markets = mine(universe.markets, shard=writer.shard or 0, shards=writer.shards or 1)
        ids = [market.condition_id for market in self._markets]
        for condition_id in before.keys() - set(ids):
            self._catch.forget(before[condition_id])
        self._batches = {}
        hot_ms = self._bench.settings.schedule.hot_interval_ms
        self._grid = self._grid.with_step(grid_ms(self._markets, hot_ms))
        self._diary.write(Loaded(at_wall_ns=wall_ns, seq=universe.seq, markets=ids), wall_ns)
        self._bench.tell(
            "universe_loaded", seq=universe.seq, markets=len(universe.markets), mine=len(ids)
        )

    def _miss(self, span: Span, cause: str) -> None:
        """Record ticks that can no longer be asked."""
        first_ms, last_ms = span.from_due_ms, span.until_due_ms
        for due_ms in range(first_ms, last_ms + 1, self._grid.step_ms):
            self._skip(due_markets(self._markets, due_ms), due_ms, cause)
        self._diary.write_skips(self._world.wall_ns())
        self._bench.tell("ticks_missed", cause=cause, from_due_ms=first_ms, until_due_ms=last_ms)

    def _skip(self, markets: tuple[Market, ...], due_ms: int, cause: str) -> None:
        self._counters["ticks_skipped"] += 1
        self._catch.missed(markets, cause, due_ms)
        self._diary.skip(due_ms, cause, self._courtesy.after, self._world.wall_ns())

    def _tick(self, due_ms: int) -> None:
        markets = due_markets(self._markets, due_ms)
        self._counters["ticks"] += 1
        cause = self._forbidden()
        if not markets or cause:
            if cause:
                self._skip(markets, due_ms, cause)
            return
        self._diary.write_skips(self._world.wall_ns())
        for batch in self._batched(self._guarded(markets, due_ms)):
            self._ask(batch, due_ms)

    def _forbidden(self) -> str:
        """The cause that keeps the whole shard from asking now, or ""."""
        if self._bench.recorder.trouble:
            return "disk_full"
        if self._obeyed_guard() == "pause":
            self._bench.recorder.seal_all("guard")
            return "disk_guard"
        return self._courtesy.forbids(self._world.mono_ns())

    def _obeyed_guard(self) -> str:
        """The disk guard's level; told when it changes."""
        level = self._guard.level(self._world.wall_ns())
        if level != self._guard_level:
            self._guard_level = level
            self._bench.tell("guard_obeyed", level=level)
        return level

    def _guarded(self, markets: tuple[Market, ...], due_ms: int) -> tuple[Market, ...]:
        """The markets that the disk guard lets record."""
        if self._guard_level != "stop_opening":
            return markets
        started = tuple(each for each in markets if self._catch.has_started(each))
        new = tuple(each for each in markets if each not in started)
        self._skip_some(new, due_ms, "disk_guard")
        return started

    def _skip_some(self, markets: tuple[Market, ...], due_ms: int, cause: str) -> None:
        if markets:
            ids = [market.condition_id for market in markets]
            self._catch.missed(markets, cause, due_ms)
            wall_ns = self._world.wall_ns()
            self._diary.skip_some(ids, due_ms, cause, self._courtesy.after, wall_ns)

    def _batched(self, markets: tuple[Market, ...]) -> tuple[Batch, ...]:
        key = tuple(market.condition_id for market in markets)
        if key not in self._batches:
            self._batches[key] = batches(markets, self._settings.batch_tokens)
        return self._batches[key]

    def _ask(self, batch: Batch, due_ms: int) -> None:
        forbidden = self._courtesy.spend(self._world.mono_ns())
        if forbidden:
            self._skip_some(batch.markets, due_ms, forbidden)
            return
        request_id = self._diary.next_request_id()
        call = Call(method="POST", url=self._url, body=batch.body, request_id=request_id)
        answer = self._client.fetch(call)
        took_ns = answer.recv_mono_ns - answer.send_mono_ns
        self._counters["request_ms"] += took_ns // NS_PER_MS
        cause = self._catch.take(batch, answer, request_id=request_id, due_ms=due_ms)
        if cause == OK:
            self._succeeded(answer.recv_wall_ns)
        else:
            self._failed(cause, answer.recv_wall_ns, answer.retry_after_s)

    def _succeeded(self, wall_ns: int) -> None:
        self._last_success_wall_ns = wall_ns
        was = self._courtesy.succeeded()
        if was.failures:
            self._last_error = None
            self._bench.tell("requests_recovered", failures=was.failures, cause=was.last_cause)

    def _failed(self, cause: str, wall_ns: int, retry_after_s: float | None) -> None:
        self._counters["failures"] += 1
        self._last_error = (cause, wall_ns)
        pause_s = self._courtesy.failed(
            cause,
            mono_ns=self._world.mono_ns(),
            roll=self._world.roll(),
            retry_after_s=retry_after_s,
        )
        count = self._courtesy.breaker.failures
        self._bench.tell("requests_failed", cause=cause, count=count, pause_s=round(pause_s, 3))

    def beat(self) -> dict[str, Any]:
        """Counters, conditions and one entry for each market."""
        now_ms = self._world.wall_ns() // NS_PER_MS
        recorder, tracks = self._bench.recorder, self._catch.tracks
        known = [each for each in self._markets if each.condition_id in tracks]
        error = self._last_error or (None, None)
        return {
            "last_success_wall_ns": self._last_success_wall_ns,
            "last_error": error[0],
            "last_error_wall_ns": error[1],
            "counters": {
                **self._counters,
                "requests": self._diary.requests,
                "books": self._catch.books,
                **recorder.counters(),
            },
            "conditions": self._conditions(),
            "markets": [tracks[each.condition_id].beat(each, now_ms) for each in known],
        }

    def _conditions(self) -> list[Condition]:
        found = []
        breaker, trouble = self._courtesy.breaker, self._bench.recorder.trouble
        if self._courtesy.is_failing:
            detail = f"{breaker.failures} failures in a row, last {breaker.last_cause}"
            found.append(Condition(alert="venue_failing", detail=detail))
        if trouble:
            found.append(Condition(alert="disk_full", detail=trouble.reason))
        if self._universe.problem:
            found.append(Condition(alert="universe_stale", detail=self._universe.problem))
        return found

    def close(self) -> None:
        """Write the last ledger rows; the lifecycle publishes."""
        self._diary.stopped(self._world.wall_ns(), self._world.mono_ns())
        self._client.close()


def main(argv: list[str] | None = None) -> int:
    """Run one collector; see lifecycle.main for the exit codes."""
    return lifecycle.main("collector", Collector, argv)


if __name__ == "__main__":
    raise SystemExit(main())
