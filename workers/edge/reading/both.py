"""Polls and the stream as one source: the stream where it was proven, polls elsewhere.

Reads     what `edge.reading.sights` and `edge.reading.stream_sights` read
Promises  each answer tells its source; where both have a state of the same millisecond and the
          states differ, it is SUSPECT; where neither has one, both causes are told
Never     carries a book of one source across a gap of it
"""

import heapq
from collections.abc import Iterator

import msgspec

from workers.core.books.bookhash import Verdict
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.reading.evidence import FRESH_INTERVALS, STREAM, Answer, Offloaded, State
from workers.core.stream.course import Course
from workers.core.stream.covers import StreamGap, TokenCovers, clipped
from workers.edge.reading.catalogue import Subject
from workers.edge.reading.films import Film
from workers.edge.reading.findings import Findings, OnDamage
from workers.edge.reading.sights import Sights, Token
from workers.edge.reading.stream_sights import Shot, StreamSights


class Both:
    """The answers of one archive."""

    def __init__(self, polls: Sights, stream: StreamSights) -> None:
        self._polls, self._stream = polls, stream

    def at(self, subject: Subject, token: Token, at_ns: int, findings: Findings) -> Answer:
        """What stood at a moment."""
        shot = self._stream.at(subject, token, at_ns, findings)
        try:
            polled = self._polls.at(subject, token, at_ns, findings)
        except Offloaded:
            if shot.answer is None or shot.answer.state != State.SYNCED:
                raise
            return shot.answer
        return _chosen(shot, polled)

    def between(
        self,
        subject: Subject,
        tokens: tuple[Token, ...],
        from_ns: int,
        until_ns: int,
        on_damage: OnDamage,
    ) -> Iterator[Answer]:
        """Every state of some tokens, and what is missing between them, by time; by the hour."""
        for part in self.parts(subject, from_ns, until_ns, on_damage):
            yield from self.within(subject, tokens, part)

    def parts(
        self, subject: Subject, from_ns: int, until_ns: int, on_damage: OnDamage
    ) -> Iterator["Part"]:
        """The hours of a span in which a market was polled or streamed, in order."""
        hours = self._polls.hours(subject, from_ns, until_ns)
        hours |= self._stream.hours(subject.slug, from_ns, until_ns)
        for hour_ms in sorted(hours):
            start_ns = max(from_ns, hour_ms * NS_PER_MS)
            end_ns = min(until_ns, (hour_ms + MS_PER_HOUR) * NS_PER_MS)
            if start_ns < end_ns:
                findings = Findings(on_damage)
                film = self._stream.film(subject, start_ns, end_ns, findings)
                yield Part((start_ns, end_ns), film, findings)

    def within(self, subject: Subject, tokens: tuple[Token, ...], part: "Part") -> Iterator[Answer]:
        """Every state in a part of an hour, and what is missing, by time."""
        film, span_ns, findings = part.film, part.span_ns, part.findings
        polled = self._polls.within(subject, tokens, *span_ns, findings.on_damage)
        if film is None:
            yield from polled
            return
        if findings.said:
            yield _damaged(subject, tokens[0], span_ns[0], findings.said)
        sources: list[Iterator[_Told]] = [((e, None) for e in _uncovered(polled, film))]
        for token in tokens:
            states = self._stream.states(subject, token, film, span_ns, findings)
            sources.append(((answer, course) for course, answer in states))
            gaps = clipped(film.covers[token[0]].gaps(), *span_ns)
            sources.append(iter([(_missed(subject, token, each), None) for each in gaps]))
        yield from _by_time(sources, film)


class Part(msgspec.Struct, frozen=True):
    """A part of an hour, and what the stream has of it; `film` None: nothing."""

    span_ns: tuple[int, int]
    film: Film | None
    findings: Findings


_Told = tuple[Answer, Course | None]


def _by_time(sources: list[Iterator[_Told]], film: Film) -> Iterator[Answer]:
    """The answers of both by time: polls are left out while the stream's state is proven.

    Where the stream ends, the book polled last stands again.
    """
    streamed: dict[str, _Told] = {}
    polled: dict[str, Answer] = {}
    for answer, course in heapq.merge(*sources, key=lambda each: each[0].at_ns):
        token_id = answer.token_id
        if course is not None:
            streamed[token_id] = answer, course
            yield answer
        elif answer.stream_gap is not None:
            yield _standing(polled.get(token_id), answer)
        elif answer.book is None:
            polled.pop(token_id, None)
            yield answer
        else:
            polled[token_id] = answer
            is_covered = film.covers[token_id].at(answer.at_ns)
            yield from _unless_known(answer, streamed.get(token_id) if is_covered else None)


def _unless_known(answer: Answer, streamed: _Told | None) -> Iterator[Answer]:
    """A poll, unless the stream's state is known: then only what contradicts it."""
    known, course = streamed or (None, None)
    if course is not None and _differ(course, answer):
        yield msgspec.structs.replace(answer, state=State.SUSPECT, cause=_DIFFERS)
    elif known is None or known.state != State.SYNCED:
        yield answer


def _standing(polled: Answer | None, gap: Answer) -> Answer:
    """What is known where the stream ends: the book polled last, if it is a fresh one."""
    if polled is None or polled.interval_ms is None or polled.state == State.LABELLED:
        return gap
    age_ns = gap.at_ns - polled.at_ns
    is_fresh = age_ns <= FRESH_INTERVALS * polled.interval_ms * NS_PER_MS
    return msgspec.structs.replace(polled, at_ns=gap.at_ns) if is_fresh else gap


_DIFFERS = "the stream told another state for the same millisecond"


def _chosen(shot: Shot, polled: Answer) -> Answer:
    """The better one of two answers about a moment."""
    streamed, course = shot.answer, shot.course
    if streamed is None or course is None:
        if shot.gap is None or polled.state != State.GAP:
            return polled
        cause = f"{polled.cause}; stream: {shot.gap.cause}"
        return msgspec.structs.replace(polled, cause=cause, stream_gap=shot.gap)
    if _differ(course, polled) and polled.provenance is not None:
        where = f"{polled.provenance.path}:{polled.provenance.row}"
        cause = "; ".join([each for each in (streamed.cause, f"polls differ: {where}") if each])
        state = State.LABELLED if streamed.state == State.LABELLED else State.SUSPECT
        return msgspec.structs.replace(streamed, state=state, cause=cause)
    if streamed.state != State.SYNCED and polled.state == State.SYNCED:
        return polled
    return streamed


def _differ(course: Course, polled: Answer) -> bool:
    """True when a poll, proven by its hash, shows a state that the stream did not."""
    book = polled.book
    is_good = book is not None and polled.hash_verdict == Verdict.VERIFIED
    return is_good and book is not None and course.contradicts(book.venue_ms, book.hash)


def _uncovered(polled: Iterator[Answer], film: Film) -> Iterator[Answer]:
    """Answers of polls by time; a gap that begins under a cover begins where that ends.

    One that the stream covers to its last tick is none.
    """
    later: list[Answer] = []
    for answer in polled:
        while later and later[0].at_ns <= answer.at_ns:
            yield later.pop(0)
        covers = film.covers.get(answer.token_id)
        if answer.gap is None or answer.book is not None or covers is None:
            yield answer
            continue
        at_ns = _behind(covers, answer.at_ns)
        if at_ns == answer.at_ns:
            yield answer
        elif at_ns < answer.gap.until_due_ms * NS_PER_MS:
            later.append(msgspec.structs.replace(answer, at_ns=at_ns))
            later.sort(key=lambda each: each.at_ns)
    yield from later


def _behind(covers: TokenCovers, at_ns: int) -> int:
    """A moment, or the first one after it that no connection covered."""
    for begin_ns, end_ns in covers.stretches():
        if begin_ns <= at_ns <= end_ns:
            return end_ns + 1
    return at_ns


def _damaged(subject: Subject, token: Token, at_ns: int, said: list[str]) -> Answer:
    """A file of the stream is not what it should be."""
    return Answer(
        slug=subject.slug,
        condition_id=subject.condition_id,
        token_id=token[0],
        outcome=token[1],
        at_ns=at_ns,
        state=State.LABELLED,
        cause="; ".join(said),
        source=STREAM,
    )


def _missed(subject: Subject, token: Token, gap: StreamGap) -> Answer:
    """The stream's book is not known from here."""
    return Answer(
        slug=subject.slug,
        condition_id=subject.condition_id,
        token_id=token[0],
        outcome=token[1],
        at_ns=gap.from_wall_ns,
        state=State.GAP,
        cause=f"stream: {gap.cause}",
        source=STREAM,
        stream_gap=gap,
    )
