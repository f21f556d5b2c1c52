"""Holds edge.reading on any story of a stream: a book that is told as known is the venue's.

The model is the list of states of the venue's book. Connections come and go, lose messages, and
lag behind each other; segments are sealed; the writer dies.
"""

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edge.reading.test_stream import SLUG, Truth
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.streams import MS, streamed
from workers.core.reading.evidence import State
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks

STEP_MS = 200
#: What happens next: an event for all legs, one that the first leg loses, a check and a flush, the
#: end of the first leg, another one, a publication.
happenings = st.sampled_from(("tell",) * 6 + ("lose", "check", "close", "open", "seal"))
stories = st.lists(happenings, min_size=5, max_size=40)
#: An example is a real archive: no time to look for a smaller one.
RULES = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)


class Told:
    """The archive of a story, and whether anything was lost in it."""

    def __init__(self, root: Path, legs: int, begins_ms: int) -> None:
        self.fleet = Fleet(root)
        self.streamer, book, _ = streamed(self.fleet)
        book.ms = begins_ms - S
        self.truth = Truth(book)
        self.truth.states.append((begins_ms - S, book.rest()))
        self.links = []
        self.now_ms = begins_ms
        self.opened = 0
        self.is_lossless, self.has_lost, self.was_alone = True, False, legs == 1
        for _ in range(legs):
            self.open()

    def open(self) -> None:
        link = self.streamer.open(self.now_ms, self.opened % 2)
        self.opened += 1
        self.links.append(link)
        self.streamer.hear(link, self.now_ms, self.truth.book.dump())

    def step(self, what: str) -> None:
        self.now_ms += STEP_MS
        if what in ("tell", "lose"):
            heard = self.links[1:] if what == "lose" else self.links
            # A whole book behind a lost change hides that it was lost (METHODOLOGY.md).
            books = 0.0 if self.has_lost else 0.2
            self.truth.tell(self.streamer, heard, self.now_ms, books=books)
            self.has_lost = what == "lose"
            # A loss is a gap from the last proof on: another leg must have been there since.
            self.is_lossless &= what == "tell" or not self.was_alone
            self.is_lossless &= bool(heard)
        elif what == "close" and self.links:
            if self.has_lost:
                # Nothing tells of a change that was lost with the end of its connection.
                self.check()
            link = self.links.pop(0)
            link.verify(self.now_ms * MS, 1)
            self.streamer.lose(link, self.now_ms, "reset", self.now_ms)
            self.is_lossless &= bool(self.links)
            self.was_alone = True
        elif what == "open" and len(self.links) < 2:
            self.open()
        elif what == "seal":
            self.check()
            self.streamer.seal(self.now_ms)
        elif what == "check":
            self.check()

    def check(self) -> None:
        """An event that all legs hear, and the checks behind it: what was lost before shows."""
        self.now_ms += STEP_MS
        self.truth.tell(self.streamer, self.links, self.now_ms, books=0.0)
        self.has_lost = False
        self.is_lossless &= bool(self.links)
        self.streamer.heard(self.now_ms + 10)

    def end(self, how: str) -> None:
        self.check()
        if how == "stop":
            self.streamer.end(self.now_ms + 20)
        locks.release_all()


def levels(raw: bytes) -> list[object]:
    """Both sides of a book."""
    told = json.loads(raw)
    return [told["bids"], told["asks"]]


@RULES
@given(stories, st.integers(1, 2), st.sampled_from(("stop", "kill")), st.data())
def test_what_is_told_as_known_is_true_at_every_instant(story, legs, how, data):
    with tempfile.TemporaryDirectory() as folder:
        # A writer that dies loses what it has not flushed; only one that lives sees the hour end.
        begins_ms = HOUR_MS - S if how == "stop" else HOUR_MS + S
        made = Told(Path(folder) / "var", legs, begins_ms)
        for what in story:
            made.step(what)
        made.end(how)
        archive = open_archive(made.fleet.data.root)

        for _ in range(12):
            at_ms = data.draw(st.integers(begins_ms, made.now_ms)) // STEP_MS * STEP_MS + 5
            answer = archive.book(SLUG, "Up", at_ms)
            if answer.state == State.SYNCED:
                # A lost change that changed nothing is not missed.
                assert levels(made.truth.at(at_ms)) == levels(answer.book.spelling)
            else:
                assert State.GAP == answer.state, answer.cause
                assert answer.book is None
                assert not made.is_lossless
        spelled = {raw for _, raw in made.truth.states}
        for each in archive.books(SLUG, begins_ms, made.now_ms, "Up"):
            assert each.state in {State.SYNCED, State.GAP}
            assert each.state == State.GAP or each.book.spelling in spelled


@settings(RULES, max_examples=6)
@given(stories, st.integers(1, 2), st.data())
def test_what_tables_tell_as_known_is_true_and_what_raw_has_without_loss(story, legs, data):
    with tempfile.TemporaryDirectory() as folder:
        made = Told(Path(folder) / "var", legs, HOUR_MS - S)
        for what in story:
            made.step(what)
        made.end("stop")
        assert 0 == made.fleet.orderbooks("normalize", "--jobs", "1")
        locks.release_all()
        archive = open_archive(made.fleet.data.root, source="derived")

        for _ in range(12):
            at_ms = data.draw(st.integers(HOUR_MS - S, made.now_ms)) // STEP_MS * STEP_MS + 5
            answer = archive.book(SLUG, "Up", at_ms)
            if answer.state == State.SYNCED:
                assert levels(made.truth.at(at_ms)) == levels(answer.book.spelling)
            else:
                assert not made.is_lossless
        told = {json.dumps(levels(raw)) for _, raw in made.truth.states}
        for each in archive.books(SLUG, HOUR_MS - S, made.now_ms, "Up"):
            if each.state == State.SYNCED:
                assert json.dumps(levels(each.book.spelling)) in told


#: The same book comes again behind a gap; a leg that lost a change begins the hour beside a dump.
_AGAIN = "tell lose seal tell tell tell tell tell close close open open tell tell tell tell"
_BESIDE = "tell lose tell lose open close check lose close open tell seal tell tell"


@pytest.mark.parametrize("story", [_AGAIN, _BESIDE])
def test_tables_tell_no_book_of_before_a_gap(story, tmp_path):
    made = Told(tmp_path / "var", 1, HOUR_MS - S)
    for what in story.split():
        made.step(what)
    made.end("stop")
    assert 0 == made.fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    archive = open_archive(made.fleet.data.root, source="derived")

    for at_ms in range(HOUR_MS - S + 5, made.now_ms, STEP_MS):
        answer = archive.book(SLUG, "Up", at_ms)
        if answer.state == State.SYNCED:
            assert levels(made.truth.at(at_ms)) == levels(answer.book.spelling), at_ms - HOUR_MS
