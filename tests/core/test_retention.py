"""What may leave the disk: the oldest proven files, by days or for room, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.instants import hour_parts, parse_utc
from workers.core.offload.offload import Facts
from workers.core.offload.retention import BARS, KEEP_DAYS, ROOM, Candidate, hour_end_ms, planned
from workers.core.settings.settings import Retention

NOW_MS = parse_utc("2026-11-21T12:00:00Z")
DAY, HOUR = 24, 1


def file(hours_ago: int, *, size: int = 100, bar: str = "") -> Candidate:
    """A file whose hour ended so long ago."""
    date, hour = hour_parts(NOW_MS - (hours_ago + 1) * 3_600_000)
    path = f"raw/venue=polymarket/date={date}/hour={hour}/m{hours_ago}.jsonl.gz"
    return Candidate(f"m{hours_ago}", Facts(path, size, "", ""), bar)


def gone(rules: Retention, *files: Candidate, free_bytes: int = 0) -> list[tuple[str, str]]:
    plan = planned(files, rules, now_ms=NOW_MS, free_bytes=free_bytes)
    return [(each.candidate.name, each.reason) for each in plan.going]


def test_nothing_goes_unless_a_setting_says_so():
    assert [] == gone(Retention(), file(10 * DAY), file(1000 * DAY))


def test_a_file_goes_when_its_days_are_over_and_not_an_hour_before():
    rules = Retention(keep_days=7)

    assert [("m168", KEEP_DAYS)] == gone(rules, file(7 * DAY), file(7 * DAY - HOUR))


@pytest.mark.parametrize("bar", BARS)
def test_what_is_barred_stays_however_old_it_is_and_is_counted(bar: str):
    rules = Retention(keep_days=1, min_free_bytes=1 << 40)

    plan = planned([file(900 * DAY, bar=bar)], rules, now_ms=NOW_MS, free_bytes=0)

    assert ([], {bar: 1}) == (plan.going, plan.kept)


def test_for_room_the_oldest_go_first_and_no_more_than_are_needed():
    rules = Retention(min_free_bytes=250, min_keep_hours=24)
    files = [file(30), file(60), file(90), file(120)]

    assert [("m120", ROOM), ("m90", ROOM)] == gone(rules, *files, free_bytes=100)


def test_a_young_file_stays_even_when_the_disk_is_full():
    rules = Retention(keep_days=1, min_free_bytes=1 << 40, min_keep_hours=48)

    assert [("m48", KEEP_DAYS)] == gone(rules, file(47), file(48))


@given(st.lists(st.integers(0, 2000), unique=True), st.integers(0, 5000), st.integers(0, 10))
def test_a_plan_counts_every_file_once(hours, free_bytes, keep_days):
    rules = Retention(keep_days=keep_days, min_free_bytes=3000)

    plan = planned([file(each) for each in hours], rules, now_ms=NOW_MS, free_bytes=free_bytes)

    assert len(hours) == len(plan.going) + sum(plan.kept.values())


def test_a_path_outside_the_hours_is_a_bug_and_loud():
    with pytest.raises(ValueError, match="timestamp"):
        hour_end_ms("labels/x.label.json")
