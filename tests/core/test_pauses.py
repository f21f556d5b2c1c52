"""How long offload rests."""

import pytest

from workers.core.instants import parse_utc
from workers.core.offload.pauses import PAUSES, is_quiet, pause_s


def at(clock: str) -> int:
    return parse_utc(f"2026-11-21T{clock}:00Z")


@pytest.mark.parametrize(
    ("hours", "quiet", "loud"),
    [
        (("18:00-23:30",), ("18:00", "23:29"), ("17:59", "23:30")),
        (("22:00-06:00",), ("22:00", "23:59", "00:00", "05:59"), ("06:00", "21:59")),
        (("01:00-02:00", "03:00-04:00"), ("01:30", "03:30"), ("02:30", "04:00")),
        ((), (), ("00:00", "12:00")),
        (("08:00-08:00",), ("08:00", "07:59"), ()),
    ],
)
def test_quiet_hours_hold_their_first_minute_and_not_their_last(hours, quiet, loud):
    assert all(is_quiet(hours, at(each)) for each in quiet)
    assert not any(is_quiet(hours, at(each)) for each in loud)


def test_a_used_up_limit_rests_as_long_as_the_setting_says():
    assert 3600.0 == pause_s("limit", 1, roll=0.0, limit_pause_s=3600.0)


@pytest.mark.parametrize("kind", PAUSES)
def test_pauses_grow_with_each_failure_up_to_their_cap(kind: str):
    rests = [pause_s(kind, n, roll=0.999, limit_pause_s=1.0) for n in range(1, 40)]
    base_s, cap_s = PAUSES[kind]

    assert rests == sorted(rests)
    assert base_s * 0.9 < rests[0] <= base_s
    assert cap_s * 0.9 < rests[-1] <= cap_s
