"""The loopback Polymarket: Gamma and CLOB on one port, a fault menu, a ledger of the truth.

An independent witness: it shares no code with the recorder it is used to judge.

    with Venue(tmp_path, scale=15) as venue:
        venue.faults.add("status", "books", code=429, retry_after="3", count=2)
        ... point the recorder at venue.url ...
        rows = venue.answers()

With real books instead of simulated ones, at their own pace:

    world = ReplayWorld(recordings.load(path), born_ms=now_ms, speed=10, second="mirror")
    with Venue(tmp_path, world=world) as venue: ...

From bottom to top: bookhash, dates, markets, states, simulate, live, recordings, replay · answers,
clob, gamma_objects, gamma · faults, spoil_answers, spoil_books, spoil_gamma · app, wire, truth,
server, venue.
"""

from tests.venue import recordings
from tests.venue.faults import Rule
from tests.venue.replay import ReplayWorld
from tests.venue.truth import AnswerRow, MarketRow, StateRow, Truth
from tests.venue.venue import Venue

__all__ = [
    "AnswerRow",
    "MarketRow",
    "ReplayWorld",
    "Rule",
    "StateRow",
    "Truth",
    "Venue",
    "recordings",
]
