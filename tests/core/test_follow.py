"""Holds core.stream.follow: several views of one market become one line that is true and whole."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.core.stream import follow
from workers.core.stream.follow import Cover, Item, Line, Step

SPAN = 40
PART = 1_000


class Shown:
    """What connections show of one market whose events are numbered; `times[n]` is when n was."""

    def __init__(self, times: list[int]) -> None:
        self.times = times
        self.rows: list[Item] = []
        self.covers: list[Cover] = []
        self.covered: dict[str, list[range]] = {}
        self.lags: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"{self.covered} {[(row.recv_wall_ns, row.key) for row in self.rows]}"

    def event(self, connection: str, number: int, recv: int) -> None:
        name = f"event {number}".encode()
        self.rows.append(Item(connection, recv, self.times[number], name, state=f"state {number}"))

    def untrue(self, connection: str, number: int, recv: int) -> None:
        """What a connection shows in doubt, before the next book."""
        self.rows.append(Item(connection, recv, self.times[number] - 1, f"untrue {recv}".encode()))

    def cover(self, connection: str, numbers: range, lag: int, lost: frozenset[int]) -> None:
        """A dump of the first state, then every event up to the last but the `lost`."""
        self.lags[connection] = lag
        begin, *events = numbers
        recv = [number * PART + lag for number in numbers]
        self.rows.append(
            Item(
                connection,
                recv[0],
                self.times[begin],
                f"dump {connection} {recv[0]}".encode(),
                state=f"state {begin}",
                is_whole=True,
                is_copy=True,
            )
        )
        for number in events:
            if number not in lost:
                self.event(connection, number, number * PART + lag)
        self.covers.append(Cover(recv[0], recv[-1], connection))
        self.covered.setdefault(connection, []).append(numbers)

    def line(self) -> list[Step]:
        line = Line(self.covers)
        rows = sorted(self.rows, key=lambda each: each.recv_wall_ns)
        return [*(step for row in rows for step in line.took(row)), *line.finish()]


@st.composite
def shows(draw: Callable, *, losses: bool = False, apart: int = 1) -> Shown:
    """Up to four connections with covers, lags, and lies outside of their covers."""
    gaps = draw(st.lists(st.integers(apart, 2), min_size=SPAN, max_size=SPAN))
    shown = Shown([sum(gaps[: n + 1]) for n in range(SPAN)])
    for at in range(draw(st.integers(1, 4))):
        # Receive times of different connections are never equal.
        lag = draw(st.integers(0, 8)) * PART + at * 10
        cuts = sorted(draw(st.sets(st.integers(0, SPAN - 1), max_size=6)))
        for begin, end in zip(cuts[::2], cuts[1::2], strict=False):
            lost = draw(st.frozensets(st.integers(begin + 1, end), max_size=4 if losses else 0))
            shown.cover(f"c{at}", range(begin, end + 1), lag, lost)
            if draw(st.booleans()):
                shown.untrue(f"c{at}", end, end * PART + lag + 5)
    return shown


def _number(step: Step) -> int:
    return int(step.item.key.split()[1])


def _events(steps: list[Step]) -> list[int]:
    return [_number(step) for step in steps if not step.item.is_copy]


@settings(max_examples=400)
@given(shows())
def test_the_line_is_the_truth_wherever_a_connection_covers(shown):
    steps = shown.line()
    covered = {n for parts in shown.covered.values() for part in parts for n in part[1:]}
    on_time = _events([step for step in steps if not step.is_late])

    assert not [step for step in steps if step.item.key.startswith(b"untrue")]
    assert sorted(_events(steps)) == sorted(covered)
    assert on_time == sorted(on_time)


@settings(max_examples=200)
@given(shows(apart=0))
def test_events_of_one_millisecond_come_out_once_and_by_their_time(shown):
    steps = shown.line()
    covered = {n for parts in shown.covered.values() for part in parts for n in part[1:]}
    on_time = [step.item.timestamp_ms for step in steps if not step.is_late]

    assert sorted(_events(steps)) == sorted(covered)
    assert on_time == sorted(on_time)


@settings(max_examples=400)
@given(shows())
def test_a_line_breaks_only_where_no_cover_yet_holds_both_sides(shown):
    steps = [step for step in shown.line() if not step.is_late]
    at = None
    for step in steps:
        number = int(step.item.state.split()[1])
        if at is not None and step.begins:
            assert not [
                part
                for connection, parts in shown.covered.items()
                for part in parts
                if at in part and at + 1 in part
                if part[0] * PART + shown.lags[connection] < step.item.recv_wall_ns
            ]
        elif at is not None:
            assert number == at + 1
        else:
            assert step.begins
        at = number


@settings(max_examples=400)
@given(shows(losses=True))
def test_what_one_connection_lost_unseen_another_brings(shown):
    steps = shown.line()
    told = {
        int(row.key.split()[1])
        for row in shown.rows
        if not row.is_copy and not row.key.startswith(b"untrue")
    }
    ordered = [step.item.timestamp_ms for step in steps if not step.is_late]

    assert sorted(_events(steps)) == sorted(told)
    assert ordered == sorted(ordered)


def test_a_change_lost_by_the_followed_one_comes_before_what_follows_it():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(10), 5, frozenset({4}))
    shown.cover("b", range(10), 0, frozenset({7}))

    assert _events(shown.line()) == list(range(1, 10))


def test_a_book_that_repairs_what_all_have_lost_comes_before_what_stands_on_it():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(3), 0, frozenset())
    shown.cover("a", range(5, 8), 0, frozenset())
    shown.cover("b", range(10), 10, frozenset({3, 4, 5, 6}))
    steps = shown.line()

    assert [f"state {n}" for n in (0, 1, 2, 5, 6, 7, 8, 9)] == [e.item.state for e in steps]
    assert [0, 5] == [int(e.item.state.split()[1]) for e in steps if e.begins]


def test_a_dump_of_the_state_a_line_ends_at_goes_on_with_it():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(6), 10, frozenset())
    shown.cover("b", range(5, 9), 0, frozenset())
    steps = shown.line()

    assert [step.begins for step in steps] == [True] + [False] * 8
    assert _events(steps) == list(range(1, 9))


def test_one_that_is_behind_but_unbroken_is_followed_before_one_that_begins_anew():
    shown = Shown(list(range(SPAN)))
    shown.cover("slow", range(2, 5), 7 * PART, frozenset())
    shown.cover("fast", range(2, 10), 10, frozenset())
    shown.cover("fast", range(10, 12), 10, frozenset())
    shown.cover("whole", range(1, 12), PART + 20, frozenset())
    steps = [step for step in shown.line() if not step.is_late]

    assert 1 == sum(step.begins for step in steps)
    assert _events(steps) == list(range(3, 12))


#: Found by the tests above: (connection, events, lag, lost), and how many are in one millisecond.
FOUND = {
    "two begin in one millisecond": (
        *(("slow", range(2), 8000, ()), ("slow", range(2, 23), 8000, ())),
        *(("later", range(2), 10, ()), ("later", range(2, 4), 10, ())),
        *(("later", range(24, 30), 10, ()), ("first", range(2), 20, ())),
        ("first", range(23, 25), 20, ()),
    ),
    "two are ahead and one lost something": (
        *(("a", range(2), 2000, ()), ("a", range(3, 26), 2000, ())),
        *(("slow", range(24), 4010, ()), ("b", range(18, 27), 20, (25,))),
    ),
    "one goes on where another waits": (
        *(("a", range(13, 15), 2000, ()), ("slow", range(13), 8010, ())),
        *(("b", range(2), 20, ()), ("b", range(14, 21), 20, ())),
    ),
}


@pytest.mark.parametrize("together", [1, 19, 29])
@pytest.mark.parametrize("told", FOUND.values(), ids=FOUND)
def test_what_was_shown_ahead_comes_once_and_in_the_venues_order_or_late(told, together):
    shown = Shown([0] * together + list(range(1, SPAN)))
    for connection, part, lag, lost in told:
        shown.cover(connection, part, lag, frozenset(lost))
    steps = shown.line()
    on_time = [step.item.timestamp_ms for step in steps if not step.is_late]
    covered = {n for _, part, _, lost in told for n in part[1:]}

    assert sorted(covered) == sorted(_events(steps))
    assert sorted(on_time) == on_time


def test_a_change_that_comes_behind_the_followed_one_is_late():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(10), 0, frozenset({4}))
    shown.cover("b", range(10), 5 * PART + 1, frozenset())
    late = [step for step in shown.line() if step.is_late]

    assert [4] == _events(late)


def test_the_loss_of_each_connection_is_counted():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(11), 0, frozenset({4, 5}))
    shown.cover("b", range(11), 1, frozenset())
    line = Line(shown.covers)
    for row in sorted(shown.rows, key=lambda each: each.recv_wall_ns):
        line.took(row)
    line.finish()

    assert (10, {"a": 8, "b": 10}) == (line.events, dict(line.shown))


def test_what_is_shown_before_the_followed_one_shows_it_counts_too():
    shown = Shown(list(range(SPAN)))
    shown.cover("a", range(11), 5, frozenset())
    shown.cover("b", range(1, 11), 0, frozenset())
    line = Line(shown.covers)
    for row in sorted(shown.rows, key=lambda each: each.recv_wall_ns):
        line.took(row)
    line.finish()

    assert {"a": 10, "b": 9} == dict(line.shown)


def test_changes_that_wait_for_a_book_of_rest_come_behind_it():
    shown = Shown(list(range(SPAN)))
    shown.event("a", 3, 1)
    shown.event("a", 4, 2)
    shown.event("a", 5, 3)
    shown.cover("a", range(4, 5), 0, frozenset())
    shown.covers[:] = [Cover(4 * PART, 9 * PART, "a")]
    shown.event("a", 6, 5 * PART)
    states = [step.item.state for step in shown.line()]

    assert ["state 4", "state 4", "state 5", "state 6"] == states


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(follow, "KEYS_MAX", 8)
    monkeypatch.setattr(follow, "AHEAD_MAX", 8)
    shown = Shown(list(range(SPAN)))
    shown.cover("slow", range(SPAN), 30 * PART + 1, frozenset())
    shown.cover("fast", range(SPAN), 0, frozenset())
    line = Line([Cover(0, 1 << 40, "slow"), Cover(0, 1 << 40, "fast")])
    rows = sorted(shown.rows, key=lambda each: each.recv_wall_ns)
    steps = [step for row in rows for step in line.took(row)]

    assert _events(steps) == list(range(1, SPAN))
    assert len(line._known) <= 8
    assert all(len(view.ahead) <= 8 for view in line._views.values())
    assert line.unjudged > 0
