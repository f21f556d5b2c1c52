"""What a streamer's ledger says of one token: covered, or not and why."""

import msgspec

from workers.core.stream.covers import STARTING, Covers, StreamGap, TokenCovers
from workers.core.stream.rows import Closed, Heard, Subscription, Turned

S = 10**9
CONNECTION, OTHER = "streamer-00.1000.1", "streamer-00.1000.2"
NEXT = "streamer-00.2000.1"


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
    return [*covers.listed([], {})["7"].gaps()]


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

    found = covers.listed([], {"7": 20 * S})["7"]

    assert [(each.from_wall_ns, each.until_wall_ns) for each in found.covered] == [(S, 4 * S)]
    assert [*found.gaps()] == [StreamGap(4 * S, 20 * S, "down")]
    assert found.gap_at(10 * S) == StreamGap(4 * S, 20 * S, "down")
    assert found.gap_at(3 * S) is None


def seeded(*rows: object) -> TokenCovers:
    """A segment begins with a book at 10 s; nothing before it is read."""
    covers = Covers(["7"])
    covers.seeded("7", CONNECTION, 0, 10 * S)
    covers.read(rows)  # type: ignore[arg-type]
    return covers.listed([], {"7": 20 * S})["7"]


def test_a_seed_whose_token_was_proven_last_before_it_lies_in_the_gap():
    lost = seeded(
        turned("SUSPECT", "checksum", 8, 12), turned("SYNCED", "book", 15, 15), closed(20)
    )
    down = seeded(heard(CONNECTION, 11, 9))
    proven = seeded(turned("SUSPECT", "checksum", 11, 12), closed(20))

    assert lost.at(10 * S) == down.at(10 * S) == []
    assert [*lost.gaps()] == [StreamGap(10 * S, 15 * S, "checksum")]
    assert [*down.gaps()] == [StreamGap(10 * S, 20 * S, "down")]
    assert [10 * S] == [each.from_wall_ns for each in proven.at(11 * S)]


def test_a_doubt_tells_that_the_token_was_wanted():
    found = gaps(turned("SUSPECT", "checksum", 5, 6), turned("SYNCED", "rest", 8, 8), closed(9))

    assert found == [StreamGap(6 * S, 8 * S, "checksum")]


def heard(connection: str, at_s: int, told_s: int) -> Heard:
    return Heard(
        connection=connection,
        at_wall_ns=at_s * S,
        frames=1,
        events=1,
        bytes=1,
        last_recv_wall_ns=at_s * S,
        told_ms=told_s * 1_000,
    )


def again(at_s: int) -> tuple[Turned, Heard]:
    """Another life covers it from then on."""
    synced = msgspec.structs.replace(turned("SYNCED", "book", at_s, at_s), connection=NEXT)
    return synced, heard(NEXT, 30, 30)


def test_what_a_lagging_connection_had_not_brought_when_it_ended_lies_in_the_gap():
    """It heard at 9 s what the venue had said at 6 s."""
    ended = msgspec.structs.replace(closed(9), cause="reset", told_ms=6_000)
    rows = (subscription(1), turned("SYNCED", "book", 1, 1))

    assert gaps(*rows, ended, *again(12)) == [StreamGap(6 * S, 12 * S, "reset")]
    killed = gaps(*rows, heard(CONNECTION, 9, 6), *again(12))
    assert killed == [StreamGap(6 * S, 12 * S, "down")]


def test_a_connection_whose_clock_is_behind_the_venues_covers_until_it_was_heard():
    ended = msgspec.structs.replace(closed(9), cause="reset", told_ms=10_000)

    found = gaps(subscription(1), turned("SYNCED", "book", 1, 1), ended, *again(12))

    assert found == [StreamGap(9 * S, 12 * S, "reset")]


def test_a_cover_that_would_end_before_it_begins_is_its_book_alone():
    ended = msgspec.structs.replace(closed(9), cause="reset", told_ms=2_000)

    found = gaps(subscription(1), turned("SYNCED", "book", 5, 5), ended, *again(12))

    assert found == [StreamGap(1 * S, 5 * S, STARTING), StreamGap(5 * S, 12 * S, "reset")]


def test_a_connection_that_goes_on_is_not_cut_at_its_last_event():
    covers = Covers(["7"])
    covers.read([subscription(1), turned("SYNCED", "book", 1, 1), heard(CONNECTION, 9, 6)])

    found = covers.listed([("streamer-00", "1000")], {})["7"]

    assert [(S, 9 * S)] == [(each.from_wall_ns, each.until_wall_ns) for each in found.covered]


def test_the_end_that_came_last_names_the_gap_after_several():
    """One leg is in doubt, the other lags a little; then the process dies."""
    second = msgspec.structs.replace(turned("SYNCED", "book", 2, 2), connection=OTHER)

    found = gaps(
        subscription(1),
        turned("SYNCED", "book", 1, 1),
        second,
        turned("SUSPECT", "checksum", 7, 8),
        heard(CONNECTION, 9, 8),
        heard(OTHER, 9, 6),
        *again(20),
    )

    assert StreamGap(7 * S, 20 * S, "down") == found[0]


def of_two(first: Closed, second: Closed) -> list[StreamGap]:
    """Two connections overlap, the second is `OTHER`; another life follows at 25 s."""
    synced = msgspec.structs.replace(turned("SYNCED", "book", 2, 2), connection=OTHER)
    second = msgspec.structs.replace(second, connection=OTHER)
    rows = [subscription(1), turned("SYNCED", "book", 1, 1), synced]
    ends = sorted((first, second), key=lambda each: each.at_wall_ns)
    return gaps(*rows, *ends, *again(25))


def test_a_connection_that_handed_over_does_not_name_the_gap_behind_its_heir():
    """It was heard later than its heir, by what came between two listenings; then all stopped."""
    old = msgspec.structs.replace(closed(9), cause="freeze", at_wall_ns=9 * S + 1)
    heir = msgspec.structs.replace(closed(8), cause="stop", at_wall_ns=10 * S)

    assert [StreamGap(9 * S, 25 * S, "stop")] == of_two(old, heir)


def test_a_silence_names_no_gap_of_a_connection_that_was_lost_before_it_was_noticed():
    silent = msgspec.structs.replace(closed(5), cause="silent", at_wall_ns=20 * S)
    lost = msgspec.structs.replace(closed(10), cause="reset")

    assert [StreamGap(10 * S, 25 * S, "reset")] == of_two(silent, lost)


def test_what_nobody_wanted_any_more_is_no_gap():
    assert (
        gaps(subscription(1), turned("SYNCED", "book", 1, 1), subscription(5, "unsubscribe")) == []
    )
