"""Drills of what lies outside: the network, the venue's listing, the clock."""

import time

from tests.demo.stage import SCALE
from tests.drills.ground import MARKETS, Ground
from workers.core.universe.universe import Universe
from workers.edge.spool import state

STALE_S = 15
STEP_S = 5


def cut_network(ground: Ground) -> None:
    """Nobody listens at the venue's address for a while; then somebody does again."""
    ground.open()
    ground.wait_new_rows()
    port = ground.url.rpartition(":")[2]
    ground.stop_venue()
    ground.say("the venue's address answers no more")
    ground.wait_told("rows_late")
    ground.wait_told("gamma_unreachable")
    workers = {each.pid for each in ground.recording()}
    ground.truth_folder = ground.folder / "venue-2"
    ground.open_venue("--scale", str(SCALE), "--seed", "7", "--markets", MARKETS, "--port", port)
    ground.say("the venue is back")
    ground.wait_new_rows()
    ground.wait_over("rows_late")
    ground.must(workers == {each.pid for each in ground.recording()}, "a collector was restarted")
    said = ground.finish()
    ground.must("connect" in said, "coverage does not name the cause of the gap")
    ground.say("the gap is in coverage with its cause; no process was restarted")


def stale_universe(ground: Ground) -> None:
    """The listing of markets comes empty; the last good universe stands and is recorded."""
    ground.open()
    before = state.read(ground.data.universe, Universe)
    ground.must(before is not None and before.markets, "there is no universe to begin with")
    until_ms = time.time_ns() // 1_000_000 + STALE_S * 1000
    ground.fault("empty_page", route="events", until_ms=until_ms)
    ground.say(f"for {STALE_S} s the listing comes empty")
    ground.wait_told("universe_stale")
    during = state.read(ground.data.universe, Universe)
    ground.must(during is not None and during.markets, "the last good universe does not stand")
    ground.wait_new_rows()

    def is_well() -> bool:
        beat = ground.beat("discovery")
        is_late = time.time_ns() // 1_000_000 > until_ms
        return is_late and beat is not None and not beat.conditions

    ground.wait_until(is_well, "discovery to be content")
    ground.say("discovery is content again; the alert ends a minute later")
    ground.finish()


def clock_step(ground: Ground) -> None:
    """The wall clock of a watchdog jumps. The machine's own clock is left alone."""
    ground.open_venue("--scale", str(SCALE), "--seed", "7", "--markets", MARKETS)
    wrong_by = ground.folder / "wrong_by_ms"
    wrong_by.write_text("0")
    ground.start_wrong_watchdog(wrong_by)
    ground.wait_until(ground.data.latest("alerts").exists, "the first look")
    ground.must(ground.told().keys() <= {"supervisord_unreachable"}, f"told: {ground.told()}")
    draft = wrong_by.with_suffix(".new")
    draft.write_text(str(STEP_S * 1000))
    draft.replace(wrong_by)
    ground.say(f"the watchdog's wall clock jumps by {STEP_S} s")
    detail = ground.wait_told("clock_stepped")
    step_ms = int(detail.removeprefix("by ").removesuffix(" ms"))
    ground.must(abs(step_ms - STEP_S * 1000) < 1000, f"told another step: {detail}")
