"""Holds edge.reading on any sequence of books, gaps, deaths and publications the recorder wrote.

The model is the list of what was sent and when: what is read back is equal to it, or labelled.
"""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.core.books import raw, sides
from tests.tools.archives import HOUR_MS, Fleet, S, market
from workers.core.reading.evidence import Answer, State
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks

MS = 1_000_000
TICKS = 24
SLUG, TOKENS = "btc-updown-5m-1", ("101", "102")
FAILURES = (
    {"cause": "http_503", "status": 503},
    {"cause": "timeout", "status": None},
    {"change": lambda body: b"<html>"},
    {"change": lambda body: b"[]"},
)

#: What happens at a tick: books of both tokens, of one alone, a failure, or nobody asks.
happenings = st.one_of(
    st.tuples(st.just("both"), sides(), sides()),
    st.tuples(st.just("up"), sides(), sides()),
    st.tuples(st.just("failed"), st.sampled_from(FAILURES), st.none()),
    st.tuples(st.just("silent"), st.none(), st.none()),
)
#: What happens behind it: nothing, a flush, a publication, a clean or a hard end and a new start.
turns = st.sampled_from(("", "", "", "flush", "publish", "restart", "kill"))
stories = st.lists(st.tuples(happenings, turns), min_size=1, max_size=TICKS)


class Told:
    """The archive, and what was sent into it: (recv_ns, due_ms, bytes) by token."""

    def __init__(self, root: Path) -> None:
        self.fleet = Fleet(root)
        self.named = market(1, HOUR_MS, TICKS)
        self.fleet.publish_universe(HOUR_MS - 10 * S, self.named)
        self.worker = self.fleet.collector(HOUR_MS - 5 * S)
        self.safe: dict[str, list[tuple[int, int, bytes]]] = {token: [] for token in TOKENS}
        self._unsafe: list[tuple[str, tuple[int, int, bytes]]] = []

    def tick(self, due_ms: int, happening) -> None:
        what, first, second = happening
        if what == "failed":
            self.worker.tick(due_ms, **first)
        elif what != "silent":
            wanted = zip(TOKENS, (first, second), strict=True)
            books = {
                token: raw(
                    *levels,
                    condition_id=self.named.condition_id,
                    token_id=token,
                    timestamp_ms=due_ms,
                )
                for token, levels in wanted
                if what == "both" or token == TOKENS[0]
            }
            body = b"[" + b",".join(books.values()) + b"]"
            self.worker.tick(due_ms, change=lambda _: body)
            self._unsafe += [
                (token, ((due_ms + 52) * MS, due_ms, sent)) for token, sent in books.items()
            ]

    def turn(self, at_ms: int, turn: str) -> None:
        if turn == "flush":
            self.worker.flush(at_ms)
        elif turn == "publish":
            self.worker.publish(at_ms, "size")
        elif turn == "restart":
            self.worker.stop(at_ms)
        if turn in ("kill", "restart"):
            if turn == "kill":
                # What was not flushed dies with it.
                self._unsafe = []
            self.worker = self.fleet.collector(at_ms + 1)
        if turn:
            for token, row in self._unsafe:
                self.safe[token].append(row)
            self._unsafe = []


def told(root: Path, story) -> Told:
    """Record a story."""
    made = Told(root)
    for number, (happening, turn) in enumerate(story):
        due_ms = HOUR_MS + number * S
        made.tick(due_ms, happening)
        made.turn(due_ms + 900, turn)
    made.turn(HOUR_MS + TICKS * S, "restart")
    locks.release_all()
    return made


RULES = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@RULES
@given(stories, st.data())
def test_every_instant_gives_the_last_book_before_it_or_says_what_is_missing(story, data):
    with tempfile.TemporaryDirectory() as folder:
        made = told(Path(folder) / "var", story)
        archive = open_archive(made.fleet.data.root)
        for _ in range(20):
            at_ms = data.draw(st.integers(HOUR_MS - S, HOUR_MS + (TICKS + 3) * S))
            for outcome, token in zip(("Up", "Down"), TOKENS, strict=True):
                check(archive.book(SLUG, outcome, at_ms), made.safe[token], at_ms)


def check(answer: Answer, safe: list[tuple[int, int, bytes]], at_ms: int) -> None:
    """One answer against what was sent of its token."""
    rows = [each for each in safe if each[0] <= at_ms * MS]
    last = rows[-1] if rows else None
    held = {each[1] for each in safe}
    due = range((last[1] if last else HOUR_MS - S) + S, HOUR_MS + TICKS * S, S)
    missed = [each for each in due if each <= at_ms and each not in held]

    assert (last[2] if last else None) == (answer.book and answer.book.spelling)
    assert (last[1] if last else None) == answer.due_ms
    assert bool(missed) == (answer.gap is not None)
    if missed:
        assert State.GAP == answer.state
        assert (missed[0], missed[-1]) == (answer.gap.from_due_ms, answer.gap.until_due_ms)
        assert answer.cause
    elif answer.state == State.SYNCED:
        assert answer.age_ns <= 2 * S * MS
        assert "verified" == answer.hash_verdict


@RULES
@given(stories)
def test_all_books_come_back_in_order_and_every_missed_tick_is_named(story):
    with tempfile.TemporaryDirectory() as folder:
        made = told(Path(folder) / "var", story)
        found = list(open_archive(made.fleet.data.root).books(SLUG, "open", "close+10s"))

        for token in TOKENS:
            own = [each for each in found if each.token_id == token]
            books = [each for each in own if each.book is not None]
            assert [(each[0], each[1], each[2]) for each in made.safe[token]] == [
                (each.recv_wall_ns, each.due_ms, each.book.spelling) for each in books
            ]
            missed = {
                due_ms
                for each in own
                if each.gap
                for due_ms in range(each.gap.from_due_ms, each.gap.until_due_ms + 1, S)
            }
            held = {each[1] for each in made.safe[token]}
            assert missed == set(range(HOUR_MS, HOUR_MS + TICKS * S, S)) - held
            assert [each.at_ns for each in found] == sorted(each.at_ns for each in found)


@RULES
@given(stories, st.data())
def test_one_flipped_bit_anywhere_is_never_read_as_good(story, data):
    with tempfile.TemporaryDirectory() as folder:
        made = told(Path(folder) / "var", story)
        files = [*made.fleet.segments("books"), *made.fleet.manifests("books")]
        if not files:
            return
        path = data.draw(st.sampled_from(files))
        spoiled = bytearray(path.read_bytes())
        at = data.draw(st.integers(0, len(spoiled) * 8 - 1))
        spoiled[at // 8] ^= 1 << at % 8
        path.write_bytes(bytes(spoiled))

        found = list(open_archive(made.fleet.data.root, "label").books(SLUG, "open", "close+10s"))

        is_said = any(each.state == State.LABELLED for each in found)
        for token in TOKENS:
            books = {
                each.recv_wall_ns: each
                for each in found
                if each.token_id == token and each.book is not None
            }
            for recv_ns, _, sent in made.safe[token]:
                each = books.get(recv_ns)
                assert is_said or (each is not None and each.book.spelling == sent)
                assert each is None or each.book.spelling == sent or each.state == State.LABELLED
