"""Holds the crash harness itself: it must see bugs that are planted, and faults that miss."""

import pytest

from tests.crash import harness
from tests.crash.harness import Point


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        ("manifest_first", "a manifest without its data"),
        ("chain_after_commit", "links"),
        ("forked_chain", "two links"),
        ("no_tickets_after_death", "no ticket in"),
        ("salvage_drops_a_row", "row lost in recovery"),
        ("eager_acknowledgement", "synced row lost"),
    ],
)
def test_a_planted_bug_is_seen(life, tmp_path, plant, said):
    lines, root = harness.workload_calls(tmp_path, plant=plant)
    # A publication renames six files: every fifth rename meets each of the six in turn.
    faults = [each for each in harness.kill_points(lines, root) if each.startswith("rename")]
    faults += [each for each in harness.kill_points(lines, root) if each.startswith("fdatasync")]

    _, failures = harness.try_all(map(Point, faults[::5]), plant=plant, tell=lambda _: None)

    assert [] != [each for each in failures if said in each]


def test_a_fault_that_did_not_happen_is_an_error_of_the_run():
    faults = ["rename:signal=KILL:when=9999", "write:error=EIO:when=9999"]

    _, failures = harness.try_all(map(Point, faults), tell=lambda _: None)

    assert "the kill did not happen" in failures[0]
    assert "the error did not happen" in failures[1]
