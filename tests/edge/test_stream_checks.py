"""Holds the streamer's questions to REST to what an order may wait for."""

from pathlib import Path

import msgspec

from tests.rig import wait_for
from tests.tools.archives import Fleet
from tests.tools.streams import streamed
from tests.venue import Venue
from workers.core.settings.settings import Settings
from workers.edge.streaming.checks import Checks
from workers.edge.world import World


def test_an_order_is_done_when_it_was_answered_however_often_its_tokens_are_asked_for(
    tmp_path: Path,
):
    streamer, _, _ = streamed(Fleet(tmp_path / "var"))
    with Venue(tmp_path / "venue") as venue:
        settings = Settings()
        there = msgspec.structs.replace(settings.venue, clob_url=venue.url)
        settings = msgspec.structs.replace(settings, venue=there)
        checks = Checks(settings, streamer.diary, streamer.tape, shards=1, world=World())
        market = venue.open_markets()[0]
        checks.want(market.condition_id, market.token_ids)
        assert not checks.is_awaited(market.token_ids)
        checks.order(market.condition_id, market.token_ids)

        def is_done() -> bool:
            # The schedule, or a silent market, asks for the same tokens all the time.
            checks.want(market.condition_id, market.token_ids)
            checks.tend([], frozenset())
            return not checks.is_awaited(market.token_ids)

        assert not is_done()
        wait_for(is_done, limit_s=20, what="the answer")
        checks.close()
    assert streamer.diary.requests >= 1
