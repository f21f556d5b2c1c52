"""Holds core.universe.shards: one shard for each market, few moves when the fleet grows."""

import pytest

from workers.core.universe.shards import shard_of

IDS = [f"0x{number:064x}" for number in range(2000)]


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_growing_by_one_moves_markets_to_the_new_shard_only(shards):
    before = {each: shard_of(each, shards) for each in IDS}
    after = {each: shard_of(each, shards + 1) for each in IDS}

    moved = [each for each in IDS if before[each] != after[each]]

    assert {shards} == {after[each] for each in moved}
    assert len(moved) == pytest.approx(len(IDS) / (shards + 1), rel=0.2)


@pytest.mark.parametrize("shards", [1, 2, 5, 16])
def test_every_shard_gets_its_part(shards):
    counts = [0] * shards
    for each in IDS:
        counts[shard_of(each, shards)] += 1

    assert min(counts) > len(IDS) / shards * 0.7


def test_the_choice_is_the_same_for_ever():
    assert [0, 1, 0, 0] == [shard_of(each, 3) for each in ("0xabc", "0xdef", "", "ü")]
