"""Holds the order of syncs and renames, which no killed process can show.

Data before manifest, chain before commit, bytes before names, read back before believed, tickets
last.
"""

from pathlib import Path

import pytest

from tests.crash import harness, order

#: The third fdatasync of a life is a flush, and not of its last segment.
REFUSED_SYNC = "fdatasync:error=EIO:when=3"


def _broken(folder: Path, *, plant: str = "", fault: str = "") -> list[str]:
    lines, _ = harness.workload_calls(folder, plant=plant, fault=fault)
    return order.broken_laws(order.calls(lines))


def test_every_rename_of_a_life_stands_between_its_syncs(life):
    lines, _ = life
    trace = order.calls(lines)

    commits = [each for each in trace if each.target.endswith(".manifest.json")]

    assert [] == order.broken_laws(trace)
    assert len(commits) >= 6


def test_a_failed_sync_is_never_tried_again(tmp_path):
    lines, _ = harness.workload_calls(tmp_path, fault=REFUSED_SYNC)

    assert any("(INJECTED)" in line for line in lines)
    assert [] == order.broken_laws(order.calls(lines))


@pytest.mark.parametrize(
    ("plant", "said"),
    [
        ("manifest_first", "the manifest got its name before the data"),
        ("chain_after_commit", "expected draft, then chain.json, then the data"),
        ("ticket_first", "expected two tickets after the commit"),
        ("no_fsync", "renamed before its bytes were synced"),
        ("no_directory_fsync", "was not synced after a rename"),
        ("trust_cache", "renamed without being read back"),
        ("retry_fsync", "fdatasync again after it failed"),
    ],
)
def test_a_planted_disorder_is_seen(tmp_path, plant, said):
    fault = REFUSED_SYNC if plant == "retry_fsync" else ""

    wrong = _broken(tmp_path, plant=plant, fault=fault)

    assert [] != [each for each in wrong if said in each]
