"""Holds the oracle of the power cuts: it must see a loss that is planted, and excuse no other."""

from tests.vps.acknowledged import LATE_S, NS_PER_S, SYNC_S, Excuses, Held, Sent, judge

CUT_NS = 1_000 * NS_PER_S
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
    first = CUT_NS - (SYNC_S + LATE_S) * NS_PER_S

    assert excuses.covers(Sent(first, SENT[0].row))
    assert not excuses.covers(Sent(first - 1, SENT[0].row))
