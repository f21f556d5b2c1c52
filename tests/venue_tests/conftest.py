"""Fixtures of the venue's own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.venue import Venue
from tests.venue_tests.channel_peers import Connect, Peer
from tests.venue_tests.peers import Hand


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def venue(tmp_path: Path, hand: Hand) -> Iterator[Venue]:
    """A venue whose clock stands still at noon, with windows of real length."""
    with Venue(tmp_path / "venue", lines=("btc-5m", "btc-15m", "btc-1h"), clock_ns=hand.ns) as it:
        yield it


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Opens connections to the market channel of any venue; all are closed at the end."""
    opened: list[Peer] = []

    def opener(venue: Venue, path: str = "/ws/market") -> Peer:
        opened.append(Peer(venue, path))
        return opened[-1]

    yield opener
    for peer in opened:
        peer.close()


@pytest.fixture
def peer(venue: Venue, connect: Connect) -> Peer:
    """One connection to the market channel."""
    return connect(venue)
