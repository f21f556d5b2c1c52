"""Holds the streamer's questions to REST: what an order waits for, what an answer may stand for."""

from pathlib import Path

import msgspec

from tests.core.told import TOKEN, Book
from tests.derived_rows import rows_of
from tests.edge.derived.raw import batch, segments
from tests.edge.derived.streams import OWN, Tape
from tests.rig import wait_for
from tests.tools.archives import HOUR_MS, Fleet
from tests.tools.streams import streamed
from tests.venue import Venue
from workers.core.settings.settings import Settings
from workers.core.stream.turns import State
from workers.edge.derived import build, shelf
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


def test_before_anything_came_of_a_token_an_answer_is_no_book_of_its_connection(tmp_path: Path):
    """Its subscription may be on its way still: what is said until it arrives never comes."""
    streamer, book, _ = streamed(Fleet(tmp_path / "var"))
    link = streamer.open(HOUR_MS)
    moment = {"sent_wall_ns": HOUR_MS * 10**6, "recv_wall_ns": HOUR_MS * 10**6, "mono_ns": 1}

    assert ("older", ()) == msgspec.structs.astuple(link.compare(TOKEN, book.rest(), **moment))
    assert State.EMPTY == link.tokens[TOKEN].state

    link.note_lacking(TOKEN, HOUR_MS * 10**6, 1)
    assert "not_synced" == link.compare(TOKEN, book.rest(), **moment).verdict
    assert State.SYNCED == link.tokens[TOKEN].state


def test_the_tables_begin_no_line_with_a_book_that_the_streamer_did_not_stand_on(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    tape.rest(1, book.rest(), "older")
    book.change("BUY", 30, "7")  # said before the subscription came
    tape.heard(1, book.dump().raw)
    data = tape.close()
    build.build(batch(data), HOUR_MS, "frames", segments(data, "frames"))
    (made,) = shelf.standing(data, "snapshots", HOUR_MS)
    rows = sorted(rows_of(data.root / made.path, "snapshots"), key=lambda each: each["row"])

    assert [("rest", None), ("dump", 1)] == [(each["kind"], each["line"]) for each in rows]
