"""The loopback Polymarket: Gamma, CLOB, market channel, a fault menu, a ledger of the truth.

Gamma and CLOB share one port, the market channel has another.

An independent witness: it shares no code with the recorder it is used to judge.

    with Venue(tmp_path, scale=15) as venue:
        venue.faults.add("status", "books", code=429, retry_after="3", count=2)
        ... point the recorder at venue.url ...
        rows = venue.answers()

The market channel (websocket) is at `venue.ws_url`; its faults have the route "channel" (menu in
spoil_channel), its truth is in changes.jsonl and sent.jsonl (channel_truth), its pace a `Tempo`:

    with Venue(tmp_path, tempo=Tempo(changes_per_s=15)) as venue:
        venue.faults.add("freeze", "channel", connection=1, market=condition_id)
        produced, sent = venue.channel_truth.changes(), venue.channel_truth.sent()

With real books instead of simulated ones, at their own pace:

    world = ReplayWorld(recordings.load(path), born_ms=now_ms, speed=10, second="mirror")
    with Venue(tmp_path, world=world) as venue: ...

From bottom to top: bookhash, dates, markets, states, walk, events, telling, simulate, live,
recordings, replay · answers, clob, gamma_objects, gamma · faults, spoil_answers, spoil_books,
spoil_gamma · app, wire, truth, server · channel_truth, subscriptions, subscriber, spoil_channel,
watching, channel · venue.
"""

from tests.venue import recordings
from tests.venue.channel_truth import ChangeRow, ChannelTruth, SentRow
from tests.venue.events import Tempo
from tests.venue.faults import Rule
from tests.venue.replay import ReplayWorld
from tests.venue.truth import AnswerRow, MarketRow, StateRow, Truth
from tests.venue.venue import Venue

__all__ = [
    "AnswerRow",
    "ChangeRow",
    "ChannelTruth",
    "MarketRow",
    "ReplayWorld",
    "Rule",
    "SentRow",
    "StateRow",
    "Tempo",
    "Truth",
    "Venue",
    "recordings",
]
