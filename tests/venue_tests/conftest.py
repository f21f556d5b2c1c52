"""Fixtures of the venue's own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.venue import Venue
from tests.venue_tests.peers import Hand

CAPTURES = Path(__file__).parents[2] / ".." / "shared" / "captures"


@pytest.fixture
def captures() -> Path:
    if not CAPTURES.is_dir():
        pytest.skip("the recorded captures are not on this machine")
    return CAPTURES


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def venue(tmp_path: Path, hand: Hand) -> Iterator[Venue]:
    """A venue whose clock stands still at noon, with windows of real length."""
    with Venue(tmp_path / "venue", lines=("btc-5m", "btc-15m", "btc-1h"), clock_ns=hand.ns) as it:
        yield it
