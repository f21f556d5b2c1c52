"""Drills of processes that die, hang, or must not start."""

import os
import signal
import time

import psutil

from tests.demo.judgement import Kill, judge
from tests.drills.ground import Ground
from tests.venue import Truth

FLUSH_AND_TICK_S = 3.0


def kill_worker(ground: Ground) -> None:
    """SIGKILL a collector; it comes back, and the venue's own ledger says what that cost."""
    ground.open()
    ground.wait_new_rows()
    victim, wall_ns = ground.kill_busiest()
    ground.say(f"SIGKILL of {victim.worker}")

    def is_back() -> bool:
        beat = ground.beat(victim.worker)
        return beat is not None and beat.pid != victim.pid and bool(beat.last_success_wall_ns)

    ground.wait_until(is_back, "its successor's first book")
    ground.say(f"it records again {(time.time_ns() - wall_ns) / 1e9:.1f} s later")
    ground.finish()
    kill = Kill(wall_ns, victim.worker, victim.run, FLUSH_AND_TICK_S)
    found = judge(ground.data, Truth(ground.truth_folder), kill)
    ground.must(not found.problems, f"the venue's ledger differs: {found.problems[:3]}")
    ground.say(f"{found.sent_books} books were sent, {found.lost_to_kill} were lost to the kill")


def hang_worker(ground: Ground) -> None:
    """SIGSTOP a collector; it is told as silent; `ctl restart` ends it and starts another."""
    ground.open()
    victim = ground.recording()[0]
    os.kill(victim.pid, signal.SIGSTOP)
    ground.say(f"SIGSTOP of {victim.worker}")
    detail = ground.wait_told("worker_silent")
    ground.must(str(victim.pid) in detail, f"the alert names another process: {detail}")
    ground.ctl("restart", victim.worker)
    ground.must(not psutil.pid_exists(victim.pid), "the process that hung lives on")
    ground.wait_over("worker_silent")
    ground.wait_new_rows()
    ground.finish()


def hang_supervisord(ground: Ground) -> None:
    """SIGSTOP supervisord, end it as its page says, start the fleet anew."""
    ground.open()
    family = psutil.Process(ground.fleet.pid).children()
    ground.fleet.send_signal(signal.SIGSTOP)
    ground.say("SIGSTOP of supervisord")
    ground.wait_told("supervisord_unreachable")
    ground.fleet.kill()
    ground.fleet.wait(10)
    gone, alive = psutil.wait_procs(family, timeout=30)
    ground.must(not alive, f"workers outlived supervisord: {alive}")
    ground.must(not list(ground.data.open_root.glob("*/*.open")), "segments were left open")
    ground.say(f"{len(gone)} workers sealed their segments and ended")
    ground.open_fleet()
    ground.wait_over("supervisord_unreachable")
    ground.wait_new_rows()
    ground.finish()


def bad_settings(ground: Ground) -> None:
    """A mistake in the settings; the next start of a worker needs a person."""
    ground.open()
    ground.write_config(ground.config, discovery={"intervall_s": 1})
    beat = ground.beat("discovery")
    ground.must(beat is not None, "discovery does not beat")
    os.kill(beat.pid, signal.SIGTERM)  # type: ignore[union-attr]
    ground.say("a misspelled setting; discovery starts anew")
    ground.wait_told("worker_fatal")
    code, said = ground.tool("config", "check")
    ground.must(code == 1 and "intervall_s" in said, f"config check ended with {code}: {said}")
    ground.say("orderbooks config check names the line")
    ground.write_config(ground.config)
    ground.ctl("start", "discovery")
    ground.wait_over("worker_fatal")
    ground.wait_new_rows()
    ground.finish()
