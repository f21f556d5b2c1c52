"""Holds core.stream.sync, core.stream.tokens, core.stream.turns: no false alarm, no change lost in silence."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.told import MARKET, OTHER, TOKEN, Book, event
from workers.core.stream import sync
from workers.core.stream.frames import Event
from workers.core.stream.sync import Token
from workers.core.stream.tokens import Tokens
from workers.core.stream.turns import BOOKS, MOVES, RESYNCS, IllegalMove, State, moved, table_page

EMPTY, SYNCED, SUSPECT = State.EMPTY, State.SYNCED, State.SUSPECT
PRICE = st.integers(1, 99)
SIZE = st.sampled_from(["0", "1", "2.5", "900"])
WAIT = st.integers(0, 2)
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("change"), st.sampled_from(["BUY", "SELL"]), PRICE, SIZE, WAIT),
        st.tuples(st.just("two"), PRICE, PRICE, SIZE, WAIT),
        st.tuples(st.just("book"), SIZE, WAIT),
    ),
    min_size=1,
    max_size=25,
)


def _told(book: Book, act: tuple) -> Event:
    match act:
        case "change", side, price, size, wait:
            return book.change(side, price, size, after_ms=wait)
        case "two", first, second, size, wait:
            return book.told(
                book.put("BUY", first, size, after_ms=wait),
                book.put("SELL", second, size, after_ms=0),
            )
        case _, size, wait:
            book.put("BUY", 40, size, after_ms=wait)
            return book.later()


def _story(acts: list[tuple]) -> list[tuple[Event, Book]]:
    """Each event with the book after it, beginning with the dump."""
    book = Book()
    story = [(book.dump(), copy.deepcopy(book))]
    for act in acts:
        told = _told(book, act)
        story.append((told, copy.deepcopy(book)))
    return story


def _synced(book: Book) -> Tokens:
    tokens = Tokens()
    tokens.watch(MARKET, TOKEN)
    tokens.took(book.dump(), 1)
    tokens[TOKEN].verify(1)
    return tokens


@settings(max_examples=300)
@given(ACTS, st.data())
def test_a_faithful_stream_is_never_doubted(acts, data):
    story = _story(acts)
    tokens = Tokens()
    token = tokens.watch(MARKET, TOKEN)
    for at, (told, book) in enumerate(story):
        turns = tokens.took(told, at)
        assert (at == 0) == bool(turns)
        assert token.rebuilt is not None
        assert book.rest().partition(b'"bids"')[2] == token.seed().partition(b'"bids"')[2]
        match data.draw(st.sampled_from(["", "", "verify", "repeat", "rest"])):
            case "verify":
                assert token.verify(at).verdict in ("", "verified", "explained")
            case "repeat":
                again = story[data.draw(st.integers(max(at - 3, 0), at))]
                # One that came before another of its millisecond cannot be told from a new one.
                if again[0] is told or again[1].ms < book.ms:
                    assert not tokens.took(again[0], at)
            case "rest":
                other = data.draw(st.integers(max(at - 3, 0), min(at + 3, len(acts))))
                checked = token.rest(story[other][1].rest(), at, at)
                assert not checked.turns
                assert checked.verdict == "agrees" or story[other][1].hash != book.hash
    assert SYNCED is token.state
    assert not token.resyncs


@settings(max_examples=300)
@given(ACTS, st.data())
def test_a_lost_change_is_found_by_the_next_one(acts, data):
    changes = [(*act[:-1], 1) for act in acts if act[0] == "change"]
    story = _story([*changes, ("change", "SELL", 77, "1.25", 1)])
    lost = data.draw(st.integers(1, len(story) - 1))
    tokens = _synced(Book())
    token = tokens[TOKEN]
    is_felt = story[lost][1].rest()[200:] != story[lost - 1][1].rest()[200:]
    told = [told for at, (told, _) in enumerate(story) if at not in (0, lost)]
    turns = []
    for at, each in enumerate(told, 2):
        turns += tokens.took(each, at)
        turns += token.verify(at).turns
        if at > lost:
            break
    healed = lost + 1 < len(story) and story[lost + 1][0].changes[0].price == (
        story[lost][0].changes[0].price
    )
    if is_felt and lost + 1 < len(story) and not healed:
        assert [(SUSPECT, lost)] == [(turn.state, turn.since_wall_ns) for turn in turns]
        assert turns[0].reason in ("gap", "checksum")


def test_a_change_before_any_book_waits_for_it():
    book, tokens = Book(), Tokens()
    token = tokens.watch(MARKET, TOKEN)
    before = copy.deepcopy(book)
    (first,) = tokens.took(book.change("BUY", 45, "3"), 5)
    (second,) = tokens.took(before.dump(), 6)

    assert (SUSPECT, "first_delta", 5) == (first.state, first.reason, first.since_wall_ns)
    assert (SYNCED, "book", 6) == (second.state, second.reason, second.since_wall_ns)
    assert {"verified": 1} == token.verdicts
    assert book.rest() == token.seed()


def test_rests_book_of_before_the_first_change_heard_is_no_book_to_stand_on():
    """What was said between the two may have been said before the subscription arrived."""
    book, tokens = Book(), Tokens()
    token = tokens.watch(MARKET, TOKEN)
    old = book.rest()
    book.change("BUY", 44, "2")
    tokens.took(book.change("BUY", 45, "3"), 5)
    now = book.rest()
    tokens.took(book.change("BUY", 46, "4"), 6)

    assert ("older", SUSPECT) == (token.rest(old, 4, 7).verdict, token.state)
    assert ("not_synced", SYNCED) == (token.rest(now, 8, 9).verdict, token.state)
    assert book.rest() == token.seed()


def test_a_change_lost_right_behind_the_first_book_is_found():
    book, tokens = Book(), Tokens()
    token = tokens.watch(MARKET, TOKEN)
    tokens.took(book.dump(), 5)
    book.change("BUY", 45, "3")
    tokens.took(book.change("BUY", 44, "2"), 7)

    (turn,) = token.verify(8).turns

    assert (SUSPECT, "checksum", 5) == (turn.state, turn.reason, turn.since_wall_ns)


def test_a_doubt_begins_when_the_venue_had_said_what_is_proven_however_late_that_came():
    book, tokens = Book(), Tokens()
    token, lag_ns = tokens.watch(MARKET, TOKEN), 2 * 10**9
    tokens.took(book.dump(), book.ms * 10**6)
    tokens.took(book.change("BUY", 45, "3"), book.ms * 10**6 + lag_ns)
    proven_ns = book.ms * 10**6
    token.verify(proven_ns + lag_ns)
    book.change("BUY", 44, "2")
    tokens.took(book.change("BUY", 43, "2"), book.ms * 10**6 + lag_ns)

    (turn,) = token.verify(book.ms * 10**6 + lag_ns).turns

    assert (SUSPECT, proven_ns) == (turn.state, turn.since_wall_ns)
    (turn,) = tokens.took(book.dump(), book.ms * 10**6 + lag_ns)
    assert (SYNCED, book.ms * 10**6 + lag_ns) == (turn.state, turn.since_wall_ns)


def test_a_gap_is_mended_by_a_rest_book_and_the_changes_that_came_after_it():
    book = Book()
    tokens = _synced(book)
    token = tokens[TOKEN]
    book.change("BUY", 49, "0")  # lost
    (gap,) = tokens.took(book.change("BUY", 10, "6"), 20)
    stale = copy.deepcopy(book)
    stale.ms -= 1
    tokens.took(book.change("BUY", 11, "6"), 21)
    rest = book.rest()
    tokens.took(book.change("SELL", 60, "8"), 22)

    assert ("gap", 1) == (gap.reason, gap.since_wall_ns)
    assert "older" == token.rest(stale.rest(), 22, 22).verdict
    checked = token.rest(rest, 23, 24)
    assert ("not_synced", "rest") == (checked.verdict, checked.turns[0].reason)
    assert (SYNCED, 24) == (token.state, checked.turns[0].since_wall_ns)
    assert "verified" == token.verify(25).verdict
    assert book.rest() == token.seed()
    assert {"gap": 1} == dict(token.resyncs)


def test_a_rest_book_that_waiting_changes_do_not_fit_mends_nothing():
    book = Book()
    tokens = _synced(book)
    token = tokens[TOKEN]
    token.doubt("overflow", 2)
    rest = book.rest()
    book.change("BUY", 49, "0")  # lost
    tokens.took(book.change("BUY", 10, "6"), 3)

    assert not token.rest(rest, 4, 4).turns
    assert SUSPECT is token.state
    assert "older" == token.rest(rest, 5, 5).verdict
    assert token.rest(book.rest(), 6, 6).turns


def test_a_lost_change_is_noted_in_front_of_the_book_that_hides_it():
    book = Book()
    tokens = _synced(book)
    book.change("BUY", 10, "6")  # lost
    tokens.took(book.change("BUY", 11, "6"), 20)
    turns = tokens.took(book.later(), 21)

    assert [(SUSPECT, "checksum", 1), (SYNCED, "book", 21)] == [
        (turn.state, turn.reason, turn.since_wall_ns) for turn in turns
    ]


def test_a_book_after_a_trade_that_differs_is_no_doubt():
    book = Book()
    tokens = _synced(book)
    book.put("BUY", 49, "0")
    tokens.took(book.later(), 3)

    assert (2, SYNCED) == (tokens[TOKEN].snapshots, tokens[TOKEN].state)
    assert book.rest() == tokens[TOKEN].seed()


def test_a_stale_book_changes_nothing():
    book = Book()
    tokens = _synced(book)
    old = book.later()
    tokens.took(book.change("BUY", 49, "0"), 2)

    assert () == tokens.took(old, 3)
    assert (1, book.rest()) == (tokens[TOKEN].stale, tokens[TOKEN].seed())


def test_a_change_older_than_the_book_is_in_it_already():
    book = Book()
    tokens = _synced(book)
    late = book.change("BUY", 49, "7")
    book.put("BUY", 49, "8")
    tokens.took(book.later(), 2)

    assert () == tokens.took(late, 3)
    assert (1, book.rest()) == (tokens[TOKEN].stale, tokens[TOKEN].seed())


def test_a_late_repetition_does_not_bring_an_old_level_back():
    book = Book()
    tokens = _synced(book)
    first = book.change("BUY", 40, "7")
    for at, told in enumerate([first, book.change("BUY", 40, "8"), first], 2):
        tokens.took(told, at)

    assert (1, book.rest()) == (tokens[TOKEN].duplicates, tokens[TOKEN].seed())


def test_what_is_told_again_in_its_millisecond_is_counted_and_nothing_else_is():
    book = Book()
    tokens = _synced(book)
    first = book.change("BUY", 40, "7")
    second = book.change("BUY", 40, "8", after_ms=0)
    for at, told in enumerate([first, second, second, book.change("BUY", 40, "9")], 2):
        tokens.took(told, at)

    assert (1, book.rest()) == (tokens[TOKEN].duplicates, tokens[TOKEN].seed())


def test_the_items_of_a_late_event_do_not_repeat_each_other():
    book = Book()
    tokens = _synced(book)
    items = [book.put("BUY", 40, "7"), book.put("BUY", 41, "8", after_ms=0)]
    late = book.told(*({**each, "hash": items[1]["hash"]} for each in items))
    tokens.took(book.change("BUY", 39, "9"), 2)
    tokens.took(late, 3)

    assert (0, "verified") == (tokens[TOKEN].duplicates, tokens[TOKEN].verify(4).verdict)


def test_a_change_in_the_millisecond_of_a_book_is_not_compared():
    book = Book()
    tokens = _synced(book)
    early = book.change("BUY", 40, "7")
    book.put("BUY", 50, "9", after_ms=0)
    tokens.took(book.later(), 2)

    assert () == tokens.took(early, 3)
    assert () == tokens[TOKEN].verify(4).turns


def test_a_late_change_that_spoils_the_book_is_found():
    book = Book()
    tokens = _synced(book)
    first = book.change("BUY", 40, "7")
    second = book.change("BUY", 40, "8")
    tokens.took(second, 2)
    tokens.took(first, 3)

    assert "failed" == tokens[TOKEN].verify(4).verdict


@pytest.mark.parametrize("is_told_after_each", [True, False])
def test_two_items_of_one_token_are_compared_when_both_are_applied(is_told_after_each):
    book = Book()
    tokens = _synced(book)
    first = book.put("BUY", 49, "0")
    second = book.put("BUY", 50, "4", after_ms=0)
    if not is_told_after_each:
        first = {**first, **{key: second[key] for key in ("hash", "best_bid", "best_ask")}}

    assert () == tokens.took(book.told(first, second), 2)
    assert "verified" == tokens[TOKEN].verify(3).verdict


def test_an_unreadable_item_is_a_gap():
    book = Book()
    tokens = _synced(book)
    (turn,) = tokens.took(book.told({**book.put("BUY", 49, "3"), "size": "many"}), 2)

    assert ("gap", 1) == (turn.reason, tokens[TOKEN].invalid)


def test_a_hash_that_never_agreed_proves_nothing():
    book, tokens = Book(minimum="7"), Tokens()
    token = tokens.watch(MARKET, TOKEN)
    tokens.took(book.dump(), 1)
    verdicts = []
    for at in range(8):
        tokens.took(book.change("BUY", 20 + at, "1"), 2 + at)
        verdicts.append(token.verify(2 + at).verdict)

    assert ["unproven"] * 8 == verdicts
    assert SYNCED is token.state
    assert "agrees" == token.rest(book.rest(), 20, 21).verdict  # and tells the minimum
    tokens.took(book.change("BUY", 30, "1"), 22)
    assert "verified" == token.verify(22).verdict


def test_a_price_nobody_told_yet_is_searched_once():
    book = Book()
    tokens = _synced(book)
    book.last_trade = "0.733"
    tokens.took(book.later(), 2)
    assert "explained" == tokens[TOKEN].verify(2).verdict
    tokens.took(book.change("BUY", 30, "1"), 3)
    assert "verified" == tokens[TOKEN].verify(3).verdict


def test_a_tick_change_waits_for_a_book():
    book = Book()
    tokens = _synced(book)
    book.tick = "0.001"
    told = {"event_type": "tick_size_change", "asset_id": TOKEN, "market": MARKET}
    (turn,) = tokens.took(event(told | {"new_tick_size": "0.001", "timestamp": "100000000"}), 2)
    assert ("tick_change", SUSPECT) == (turn.reason, turn.state)
    tokens.took(book.change("BUY", 30, "1"), 3)
    assert SUSPECT is tokens[TOKEN].state
    tokens[TOKEN].rest(book.rest(), 4, 5)
    assert (SYNCED, book.rest()) == (tokens[TOKEN].state, tokens[TOKEN].seed())


def test_rest_ahead_of_a_stream_that_stays_is_a_freeze_to_be_told():
    book = Book()
    tokens = _synced(book)
    token = tokens[TOKEN]
    book.change("BUY", 10, "6")
    assert "newer" == token.rest(book.rest(), 50, 51).verdict
    assert token.ahead is not None
    assert 51 == token.ahead.since_wall_ns
    assert "newer" == token.rest(book.rest(), 60, 61).verdict
    assert 51 == token.ahead.since_wall_ns

    (turn,) = token.doubt("freeze", 70)
    assert 1 == turn.since_wall_ns
    assert "not_synced" == token.rest(book.rest(), 80, 81).verdict
    assert token.ahead is None


def test_rest_some_events_behind_agrees_by_its_hash():
    book = Book()
    tokens = _synced(book)
    behind = book.rest()
    tokens.took(book.change("BUY", 10, "6"), 2)
    other = copy.deepcopy(book)
    other.put("BUY", 11, "1", after_ms=-1)

    assert "agrees" == tokens[TOKEN].rest(behind, 5, 6).verdict
    assert "older" == tokens[TOKEN].rest(other.rest(), 5, 6).verdict


def test_rest_that_agrees_moves_the_last_good_moment():
    book = Book()
    tokens = _synced(book)
    assert "agrees" == tokens[TOKEN].rest(book.rest(), 500, 510).verdict
    (turn,) = tokens[TOKEN].doubt("overflow", 900)

    assert 500 == turn.since_wall_ns


def test_other_levels_at_the_same_state_are_a_gap_mended_at_once():
    book = Book()
    tokens = _synced(book)
    other = copy.deepcopy(book)
    other.bids[49] = "101"
    assert "newer" == tokens[TOKEN].rest(other.rest(), 5, 6).verdict
    checked = tokens[TOKEN].rest(other.rest(), 7, 8)

    assert ("differs", ["gap", "rest"]) == (checked.verdict, [t.reason for t in checked.turns])
    assert other.rest() == tokens[TOKEN].seed()


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"bids":[],"asks":1}', b"\xff"])
def test_an_unreadable_rest_book_changes_nothing(raw):
    tokens = _synced(Book())

    assert "unreadable" == tokens[TOKEN].rest(raw, 5, 6).verdict
    assert SYNCED is tokens[TOKEN].state


def test_what_waits_is_bounded_and_then_only_a_later_book_will_do(monkeypatch):
    monkeypatch.setattr(sync, "WAITING_MAX", 3)
    book, tokens = Book(), Tokens()
    token = tokens.watch(MARKET, TOKEN)
    early = book.rest()
    for at in range(6):
        tokens.took(book.change("BUY", 20 + at, "1"), at)

    assert 3 == len(token._waiting)
    assert "older" == token.rest(early, 7, 7).verdict
    assert "not_synced" == token.rest(book.rest(), 8, 8).verdict


def test_memory_of_hashes_is_bounded():
    book = Book()
    tokens = _synced(book)
    for at in range(500):
        tokens.took(book.change("BUY", 20, str(at + 1)), at)

        tokens.took(book.later(), at)
        assert len(tokens[TOKEN]._recent) <= sync.RECENT_MAX


def test_events_of_others_and_of_new_kinds_are_nothing():
    book = Book()
    tokens = _synced(book)
    foreign = {**book.put("BUY", 49, "3"), "asset_id": OTHER}
    kinds = [{"event_type": "book", "asset_id": OTHER}, {"event_type": "new_kind"}, {}]

    assert () == tokens.took(book.told(foreign), 2)
    assert [(), (), ()] == [tokens.took(event(kind), 2) for kind in kinds]
    tokens.leave(TOKEN)
    assert () == tokens.took(book.dump(), 3)
    assert not tokens._tails


def test_moves_outside_of_the_table_are_refused_and_change_nothing():
    words = RESYNCS.keys() | BOOKS.keys() | {"", "nonsense"}
    legal = {(state, word) for state, word in MOVES}
    for state in State:
        for word in words:
            if (state, word) in legal:
                assert moved(state, word) in State
                continue
            with pytest.raises(IllegalMove):
                moved(state, word)
    token = Token(MARKET, TOKEN)
    with pytest.raises(IllegalMove):
        token.doubt("checksum", 1)
    assert (EMPTY, {}) == (token.state, dict(token.resyncs))


def test_every_word_of_the_table_is_explained_and_shown():
    page = table_page()

    assert {word for _, word in MOVES} == RESYNCS.keys() | BOOKS.keys()
    assert all(f"| `{word}` |" in page for word in RESYNCS.keys() | BOOKS.keys())
    assert "| `first_delta` | SUSPECT | illegal | illegal |" in page
