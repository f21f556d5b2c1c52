"""Holds the oracle of the power cuts: it must see a loss that is planted, and excuse no other."""

import math
import random

import msgspec

from tests.edge.spool.bench import LIMITS, Bench
from tests.vps.acknowledged import (
    LATE_S,
    NS_PER_S,
    PROMISED_NS,
    SYNC_S,
    Excuses,
    Held,
    Sent,
    judge,
)
from tests.vps.image import ROOT
from workers.core.settings.settings import Settings
from workers.edge.spool.directory import DataDir

CUT_NS = 1_000 * NS_PER_S
#: The hour of the first two of the script is over then.
FIRST_TICK = 2
SENT = [
    Sent((980 + second) * NS_PER_S, (f"collector-00.1.{second}", "token", f"hash {second}"))
    for second in range(20)
]


def _judged(missing: set[int], failed: set[str] = frozenset()):
    excuses = Excuses()
    excuses.cut(CUT_NS)
    rows = frozenset(each.row for second, each in enumerate(SENT) if second not in missing)
    return judge(SENT, Held(rows, frozenset(failed)), excuses, CUT_NS)


def test_an_archive_that_has_everything_lost_nothing():
    assert (20, 0, ()) == (_judged(set()).sent, _judged(set()).excused, _judged(set()).lost)


def test_the_last_seconds_may_be_lost_and_are_counted():
    judged = _judged({17, 18, 19})

    assert (3, ()) == (judged.excused, judged.lost)
    assert 3.0 == judged.age_s


def test_a_loss_from_before_the_last_sync_is_seen():
    assert (("collector-00.1.5", "token", "hash 5"),) == _judged({5, 19}).lost


def test_an_answer_that_the_ledger_tells_of_as_failed_is_not_lost():
    judged = _judged({5, 6}, {"collector-00.1.5"})

    assert (1, (SENT[6].row,)) == (judged.late, judged.lost)


def test_the_row_of_another_answer_does_not_stand_for_it():
    rows = {("collector-00.1.0", "token", "another hash"), *(each.row for each in SENT[1:])}

    judged = judge(SENT, Held(frozenset(rows)), Excuses(), CUT_NS)

    assert (SENT[0].row,) == judged.lost


def test_a_cut_excuses_what_its_sync_could_not_have_kept_and_no_more():
    excuses = Excuses()
    excuses.cut(CUT_NS)
    first = CUT_NS - PROMISED_NS

    assert excuses.covers(Sent(first, SENT[0].row))
    assert not excuses.covers(Sent(first - 1, SENT[0].row))


def test_the_promise_is_what_a_recorder_with_the_shipped_settings_needs(tmp_path):
    segments = Settings().segments
    limits = msgspec.structs.replace(
        LIMITS,
        flush_interval_s=segments.flush_interval_s,
        sync_interval_s=segments.sync_interval_s,
    )
    bench, dice, sent_s, oldest_s = Bench(DataDir(tmp_path), limits), random.Random(7), [], 0.0
    for tick in range(FIRST_TICK, FIRST_TICK + 300):
        now_s = bench.mono_ns / NS_PER_S
        sent_s.append(math.floor(now_s) + 1)
        bench.put(tick)
        synced = min(each.synced_rows for _, each in bench.recorder._open.values())
        ended_s = sent_s[-1] + dice.uniform(0, LATE_S)
        if synced < len(sent_s):
            oldest_s = max(oldest_s, ended_s - sent_s[synced])
        bench.tend(ended_s - now_s)
    bench.let_go()

    assert SYNC_S < oldest_s <= SYNC_S + LATE_S


def test_the_document_says_what_is_judged():
    page = (ROOT / "docs/VPS_DEPLOYMENT.md").read_text()

    assert f"{SYNC_S:g} s and {LATE_S:g} s" in " ".join(page.split())
    assert f"more than {SYNC_S + LATE_S:g} seconds before" in " ".join(page.split())
