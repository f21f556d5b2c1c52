"""Holds the promise of the spool under a disk whose cache forgets, and that the trial can fail.

These are samples, the same in every run; `make power-cuts` tries every cut.
"""

import random

import pytest

from tests.crash import power
from tests.vps import disk

STATES = 24


@pytest.fixture(autouse=True)
def _disk() -> None:
    reason = disk.lacking()
    if reason:
        pytest.skip(f"the power cannot be cut here: {reason}")


def _bad(life: power.Life) -> list[str]:
    cuts = random.Random(7).sample(life.cuts(), STATES)
    return [each for cut in cuts for each in power.wrong_after(life, cut)]


def test_a_power_cut_loses_nothing_that_was_synced(tmp_path):
    assert [] == _bad(power.record(tmp_path / "life"))


@pytest.mark.parametrize("plant", ["no_fsync", "told_too_early"])
def test_a_spool_that_does_not_sync_is_seen(tmp_path, plant):
    bad = _bad(power.record(tmp_path / "life", plant=plant))

    assert [] != [each for each in bad if "synced row lost" in each]
