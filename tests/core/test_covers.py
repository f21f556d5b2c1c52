"""What a streamer's ledger says of one token: covered, or not and why."""

from workers.core.covers import STARTING, Covers, StreamGap
from workers.core.stream_rows import Closed, Heard, Subscription, Turned

S = 10**9
CONNECTION = "streamer-00.1000.1"


def subscription(at_s: int, operation: str = "subscribe") -> Subscription:
    return Subscription(
        connection=CONNECTION, at_wall_ns=at_s * S, operation=operation, token_ids=["7"]
    )


def turned(state: str, reason: str, since_s: int, at_s: int) -> Turned:
    return Turned(
        connection=CONNECTION,
        leg=0,
        condition_id="0xa",
        token_id="7",
        state=state,
        reason=reason,
        since_wall_ns=since_s * S,
        at_wall_ns=at_s * S,
    )


def gaps(*rows: object) -> list[StreamGap]:
    covers = Covers(["7"])
    covers.read(rows)  # type: ignore[arg-type]
    return [*covers.listed({}, {})["7"].gaps()]


def closed(at_s: int) -> Closed:
    return Closed(
        connection=CONNECTION, leg=0, at_wall_ns=at_s * S, heard_wall_ns=at_s * S, cause="stop"
    )


def test_until_the_first_book_it_is_starting():
    found = gaps(subscription(1), turned("SYNCED", "book", 3, 3), closed(9))

    assert found == [StreamGap(1 * S, 3 * S, STARTING)]


def test_a_first_book_that_never_came_is_told_by_that_name():
    never = gaps(subscription(1), turned("SUSPECT", "missing_book", 11, 11), closed(30))
    late = gaps(
        subscription(1),
        turned("SUSPECT", "missing_book", 11, 11),
        turned("SYNCED", "book", 20, 20),
        closed(30),
    )

    assert never == [StreamGap(1 * S, 30 * S, "missing_book")]
    assert late == [StreamGap(1 * S, 20 * S, "missing_book")]


def test_a_doubt_is_a_gap_from_the_last_moment_at_which_the_book_was_right():
    found = gaps(
        subscription(1),
        turned("SYNCED", "book", 1, 1),
        turned("SUSPECT", "checksum", 5, 6),
        turned("SYNCED", "rest", 8, 8),
        closed(9),
    )

    assert found == [StreamGap(5 * S, 8 * S, "checksum")]


def test_a_writer_that_died_covers_until_its_last_word_and_not_behind_it():
    word = Heard(
        connection=CONNECTION,
        at_wall_ns=4 * S,
        frames=1,
        events=1,
        bytes=1,
        last_recv_wall_ns=4 * S,
    )
    covers = Covers(["7"])
    covers.read([subscription(1), turned("SYNCED", "book", 1, 1), word])

    found = covers.listed({}, {"7": 20 * S})["7"]

    assert [(each.from_wall_ns, each.until_wall_ns) for each in found.covered] == [(S, 4 * S)]
    assert [*found.gaps()] == [StreamGap(4 * S, 20 * S, "down")]
    assert found.gap_at(10 * S) == StreamGap(4 * S, 20 * S, "down")
    assert found.gap_at(3 * S) is None


def test_what_nobody_wanted_any_more_is_no_gap():
    assert (
        gaps(subscription(1), turned("SYNCED", "book", 1, 1), subscription(5, "unsubscribe")) == []
    )
