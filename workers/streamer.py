"""streamer NN: records every change of the books of its shard's markets, and proves what it has.

Reads     spool/universe/universe.json, spool/guard/disk.json, spool/snapshot/*.ready; the market
          channel; CLOB POST /books
Writes    frames segments (a stream for each market), its ledger segment, its heartbeat,
          spool/snapshot/*.done
Promises  every message is archived as it came; every book is checked against the venue's own
          words; while a token's book is not known to be right, the ledger says so and why
Fails     a connection ends    → another, with full jitter; the interval is a gap in the ledger
          a market is frozen   → another connection takes over while the old one goes on
          disk full            → rows wait in memory; at `inbox_bytes` connections are closed
          disk guard           → connections are closed, and say so
          REST away            → the stream is recorded on, checked by its own hashes alone
Never     asks for a market of another shard, re-serialises an event, takes PONG for data
"""

import os
from collections.abc import Iterator
from typing import Any

from workers.core.archive.ledger import Loaded
from workers.core.health.heartbeats import Condition
from workers.core.polling.batches import mine
from workers.core.polling.cadence import Anchor
from workers.core.stream.rows import Stalled
from workers.core.stream.subscriptions import Roster
from workers.core.universe.markets import Market
from workers.edge import lifecycle
from workers.edge.lifecycle import Bench
from workers.edge.spool.diary import Diary
from workers.edge.spool.follow import GuardFollower, UniverseFollower
from workers.edge.streaming import pulse
from workers.edge.streaming.checks import Checks
from workers.edge.streaming.orders import Orders
from workers.edge.streaming.switchboard import Switchboard
from workers.edge.streaming.tape import Tape

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
#: How long one step listens: what `stop` waits for, and what a burst of messages shares.
LISTEN_NS = 100 * NS_PER_MS
STALLED_NS = CATCHING_UP_NS = NS_PER_S
STEPPED_NS = 500 * NS_PER_MS
#: Messages on their way when a market was let go still find its segment.
GRACE_NS = 5 * NS_PER_S
#: Without any connection for so long, a person is told.
DOWN_S = 60.0


class Streamer:
    """One shard."""

    def __init__(self, bench: Bench) -> None:
        world, writer = bench.world, bench.writer
        settings = self._settings = bench.settings.streamer
        self._bench, self._world = bench, world
        self._diary = Diary(bench.recorder, writer)
        self._tape = Tape(bench.recorder, self._seeds)
        self._board = Switchboard(
            bench.settings,
            self._diary,
            self._tape,
            world=world,
            name=f"{writer.worker}.{writer.run}",
            tell=bench.tell,
        )
        self._checks = Checks(
            bench.settings, self._diary, self._tape, shards=writer.shards or 1, world=world
        )
        self._orders = Orders(bench.data, bench.recorder, self._tape, self._checks)
        self._universe, self._guard = UniverseFollower(bench.data), GuardFollower(bench.data)
        self._roster = Roster(lead_s=settings.lead_s, tail_s=settings.tail_s)
        self._markets: dict[str, Market] = {}
        self._leaving: dict[str, int] = {}
        self._open_now: frozenset[str] = frozenset()
        self._level, self._paused_by, self._stalls = "ok", "", 0
        mono_ns = world.mono_ns()
        self._anchor = Anchor(world.wall_ns(), mono_ns)
        self._listened_mono_ns = self._up_mono_ns = mono_ns
        self._look_mono_ns = self._verify_mono_ns = mono_ns
        self._deaf_ns, self._catching_up_ns = 0, 0
        bench.recorder.before_flush = self._tell_all
        self._diary.started(
            world.wall_ns(),
            mono_ns,
            pid=os.getpid(),
            boot_id=bench.boot_id,
            config_sha256=bench.config_sha256,
        )

    def step(self) -> int:
        """Listen for a moment, write what came, then look after books, connections and files."""
        self._board.listen(self._world.mono_ns() + LISTEN_NS)
        mono_ns = self._world.mono_ns()
        self._note_stall(mono_ns)
        if mono_ns >= self._look_mono_ns:
            self._look_mono_ns = mono_ns + NS_PER_S
            self._look_around(mono_ns)
        if mono_ns >= self._verify_mono_ns:
            self._verify_mono_ns = mono_ns + int(self._settings.verify_interval_s * NS_PER_S)
            self._board.verify(mono_ns)
        self._pause_or_go_on()
        if not self._paused_by:
            self._checks.tend(self._board.links(), self._open_now)
            self._board.find_frozen(mono_ns)
            self._board.tend()
        self._bench.tend()
        return 0

    def _tell_all(self) -> None:
        """Give the rows to the segments before they go to the disk.

        The ledger is flushed after the others, and its `heard` rows are its last: they say up to
        when all are whole.
        """
        self._board.write_heard()
        self._tape.write_out()

    def _note_stall(self, mono_ns: int) -> None:
        """Say that nobody listened: receive times in that span are late.

        What was told meanwhile lies in the kernel's buffers and comes with the listenings behind
        it, on a busy machine with many: a second of them belongs to the span. What did not fit
        there comes when the sender tries again, by TCP's doubling pauses up to as long after the
        span as it lasted (measured: 1.4 s after 2 s), so that long belongs to it too.
        """
        since_ns, self._listened_mono_ns = mono_ns - self._listened_mono_ns, mono_ns
        if since_ns >= STALLED_NS + LISTEN_NS and self._board.links():
            self._deaf_ns += since_ns
            self._catching_up_ns = CATCHING_UP_NS + since_ns
        elif self._deaf_ns:
            self._deaf_ns += since_ns
            self._catching_up_ns -= since_ns
            if self._catching_up_ns <= 0:
                self._end_stall()

    def _end_stall(self) -> None:
        if self._deaf_ns:
            wall_ns = self._world.wall_ns()
            # Read after the wall clock: what passes between makes the span longer, not shorter.
            for_ns = self._deaf_ns + self._world.mono_ns() - self._listened_mono_ns
            self._stalls, self._deaf_ns = self._stalls + 1, 0
            self._diary.write(Stalled(at_wall_ns=wall_ns, for_ns=for_ns), wall_ns)
            self._bench.tell("stream_stalled", for_ms=for_ns // NS_PER_MS)

    def _look_around(self, mono_ns: int) -> None:
        """Once a second: the clock, the universe, who is wanted, what is asked for."""
        self._check_clock()
        self._follow_universe()
        for link in self._board.links():
            while link.resolved:
                self._roster.resolved(link.resolved.pop())
        self._choose_markets(mono_ns)
        self._orders.tend(self._board.links(), self._markets.values(), self._world)
        if self._board.links() or not self._markets or self._paused_by:
            self._up_mono_ns = mono_ns

    def _check_clock(self) -> None:
        wall_ns, mono_ns = self._world.wall_ns(), self._world.mono_ns()
        step_ns = self._anchor.step_ns(wall_ns, mono_ns)
        self._anchor = Anchor(wall_ns, mono_ns)
        if abs(step_ns) >= STEPPED_NS:
            self._bench.tell("clock_stepped", step_ms=step_ns // NS_PER_MS)
            self._diary.clock_stepped(wall_ns, mono_ns, step_ns)

    def _follow_universe(self) -> None:
        universe = self._universe.newer()
        if universe is None:
            return
        writer, wall_ns = self._bench.writer, self._world.wall_ns()
        found = mine(universe.markets, shard=writer.shard or 0, shards=writer.shards or 1)
        self._roster.load(found, wall_ns // NS_PER_MS)
        ids = [market.condition_id for market in found]
        self._diary.write(Loaded(at_wall_ns=wall_ns, seq=universe.seq, markets=ids), wall_ns)
        self._bench.tell(
            "universe_loaded", seq=universe.seq, markets=len(universe.markets), mine=len(ids)
        )

    def _choose_markets(self, mono_ns: int) -> None:
        now_ms = self._world.wall_ns() // NS_PER_MS
        wanted = {each.condition_id: each for each in self._roster.wanted(now_ms)}
        if self._level == "stop_opening":
            wanted = {key: each for key, each in wanted.items() if key in self._markets}
        self._open_now = frozenset(
            key
            for key, each in wanted.items()
            if each.window.start_ms <= now_ms < each.window.end_ms
        )
        for gone in self._markets.keys() - wanted.keys():
            self._leaving[gone] = mono_ns + GRACE_NS
        for market in wanted.values():
            self._leaving.pop(market.condition_id, None)
            self._tape.carry(market)
        if wanted.keys() != self._markets.keys():
            self._board.carry([*wanted.values()])
        self._markets = wanted
        for gone in [key for key, due_ns in self._leaving.items() if due_ns <= mono_ns]:
            del self._leaving[gone]
            self._tape.drop(gone)

    def _pause_or_go_on(self) -> None:
        """Close every connection while no more can wait for the disk, or the guard says so."""
        level = self._guard.level(self._world.wall_ns())
        if level != self._level:
            self._level = level
            self._bench.tell("guard_obeyed", level=level)
        detail = self._overflowing()
        cause = "overflow" if detail else "disk_guard" if level == "pause" else ""
        if cause and not self._paused_by:
            self._board.close(cause, detail)
            if cause == "disk_guard":
                self._tape.seal("guard")
        self._paused_by = cause

    def _overflowing(self) -> str:
        """What the disk said, once more waits for it than may; until it takes everything."""
        recorder = self._bench.recorder
        if recorder.trouble is None:
            return ""
        is_full = recorder.pending_bytes > self._settings.inbox_bytes
        return recorder.trouble.reason if is_full or self._paused_by == "overflow" else ""

    def _seeds(self, market: str, wall_ns: int) -> Iterator[tuple[bytes, str]]:
        """What is known of a market where a segment of it begins."""
        mono_ns = self._world.mono_ns()
        for link in self._board.links():
            for line in link.snapshots(market, wall_ns, mono_ns, "opened"):
                yield line, link.name

    def beat(self) -> dict[str, Any]:
        """Counters, conditions and one entry for each market."""
        board, recorder = self._board, self._bench.recorder
        streams = pulse.streams(self._markets.values(), board.legs, board.tallies)
        error = board.last_error or (None, None)
        return {
            "last_success_wall_ns": board.last_heard_wall_ns,
            "last_error": error[0],
            "last_error_wall_ns": error[1],
            "counters": {
                **board.counters,
                "requests": self._diary.requests,
                "rows": self._tape.rows,
                "stalls": self._stalls,
                "connections": len(board.links()),
                **recorder.counters(),
            },
            "conditions": self._conditions(streams),
            "streams": streams,
        }

    def _conditions(self, streams: list[Any]) -> list[Condition]:
        down_s = (self._world.mono_ns() - self._up_mono_ns) / NS_PER_S
        found = pulse.conditions(
            streams, self._board.legs, down_s=down_s if down_s >= DOWN_S else 0.0
        )
        trouble = self._bench.recorder.trouble
        if trouble:
            found.append(Condition(alert="disk_full", detail=trouble.reason))
        if self._universe.problem:
            found.append(Condition(alert="universe_stale", detail=self._universe.problem))
        return found

    def close(self) -> None:
        """Write the last rows; the lifecycle publishes."""
        self._end_stall()
        self._board.verify(self._world.mono_ns())
        self._board.shutdown("stop")
        self._checks.close()
        self._tape.write_out()
        self._diary.stopped(self._world.wall_ns(), self._world.mono_ns())


def main(argv: list[str] | None = None) -> int:
    """Run one streamer; see lifecycle.main for the exit codes."""
    return lifecycle.main("streamer", Streamer, argv)


if __name__ == "__main__":
    raise SystemExit(main())
