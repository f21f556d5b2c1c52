"""What was seen of a token at a moment, and between two, with the state of each answer.

Reads     segments of the market asked about, labels, publications; ledgers where a gap needs a
          cause
Promises  an answer is a row that was received before its moment; every due tick between that row
          and the moment is accounted for
Never     writes
"""

import re
from collections import Counter
from collections.abc import Iterator

import msgspec

from workers.core.books.book import Book, BookReader
from workers.core.coverage.canvas import Gap, mask_of
from workers.core.coverage.plans import DueTicks, Known
from workers.core.errors import Refused
from workers.core.instants import MS_PER_HOUR
from workers.core.reading.evidence import (
    Answer,
    Intervals,
    Provenance,
    Sighting,
    State,
    causes_text,
    judged,
)
from workers.edge.reading.accounts import Accounts
from workers.edge.reading.catalogue import Catalogue, Subject
from workers.edge.reading.findings import Findings, OnDamage
from workers.edge.reading.folders import hour_of
from workers.edge.reading.leaves import Found, Leaves
from workers.edge.reading.sheet import Row

NS_PER_MS = 1_000_000
Token = tuple[str, str]


class Question(msgspec.Struct, frozen=True):
    """Who is asked about, when it was due, and what was found on the way."""

    subject: Subject
    known: Known | None
    first_ms: int
    findings: Findings
    intervals: Intervals

    def interval_ms(self, at_ms: int) -> int | None:
        """How often it was asked for at a moment, or None when it was not due."""
        return self.intervals.at(at_ms)

    @property
    def begins_ms(self) -> int:
        """No tick was due before it."""
        phases = [each for plan in self.known.plans for each in plan.phases] if self.known else []
        return min((each.from_ms for each in phases), default=0)


class Seen(msgspec.Struct, frozen=True):
    """What was found of a token: the row, what stands against it, the ticks missed behind it."""

    found: Found | None
    row: Row | None
    doubts: list[str]
    gap: Gap | None


class Sights:
    """The answers of one archive."""

    def __init__(self, catalogue: Catalogue, accounts: Accounts, leaves: Leaves) -> None:
        self._catalogue, self._accounts, self._leaves = catalogue, accounts, leaves
        self._books = BookReader()

    def at(self, subject: Subject, token: Token, at_ns: int, findings: Findings) -> Answer:
        """The last row of a token at a moment, judged."""
        at_ms = at_ns // NS_PER_MS
        question = self._question(subject, at_ms, at_ms + 1, findings)
        names = (subject.slug, subject.condition_id, token[0])
        found = self._leaves.last(names, at_ns, question.begins_ms, findings)
        row = found.row() if found else None
        gaps = self._gaps(question, token[0], row.due_ms + 1 if row else 0, at_ms + 1)
        invalid = self._leaves.invalid(findings)
        doubts = self._leaves.doubts(found, row, invalid, findings) if found and row else []
        doubts = list(dict.fromkeys([*findings.said, *doubts]))
        seen = Seen(found, row, doubts, _joined(gaps))
        return _answer(question, token, at_ns, seen, self._books)

    def hours(self, subject: Subject, from_ns: int, until_ns: int) -> set[int]:
        """The hours of a span in which a market has rows or was due, Unix ms."""
        span_ms = from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS)
        hours = self._leaves.hours(subject.slug, *span_ms)
        for plan in subject.known.plans if subject.known else []:
            for phase in plan.phases:
                hours |= set(range(hour_of(phase.from_ms), phase.until_ms, MS_PER_HOUR))
        return {
            each
            for each in hours
            if each * NS_PER_MS < until_ns and (each + MS_PER_HOUR) * NS_PER_MS > from_ns
        }

    def within(
        self,
        subject: Subject,
        tokens: tuple[Token, ...],
        from_ns: int,
        until_ns: int,
        on_damage: OnDamage,
    ) -> Iterator[Answer]:
        """Every row of some tokens in a part of an hour, and every stretch of missed ticks.

        What was found to be damaged comes first, as an answer without a book. A stretch that goes
        on in the next hour comes in two parts.
        """
        from_ms, until_ms = from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS)
        question = self._question(subject, from_ms, until_ms, Findings(on_damage))
        leaves = self._leaves.all(
            subject.slug, subject.condition_id, from_ms, until_ms, question.findings
        )
        gaps = [
            (gap.from_due_ms * NS_PER_MS, token, gap)
            for token in tokens
            for gap in self._gaps(question, token[0], from_ms, until_ms)
        ]
        gaps.sort(key=lambda each: each[0], reverse=True)
        wanted = frozenset(each[0] for each in tokens)
        spots = sorted(
            (spot, at, token)
            for at, leaf in enumerate(leaves)
            for token, spot in leaf.rows.in_order(wanted)
            if from_ns <= spot.recv_wall_ns < until_ns
        )
        invalid = self._leaves.invalid(question.findings)
        if question.findings.said:
            yield _gap_answer(question, from_ns, tokens[0], None)
        names, rows = dict(tokens), [each.rows.onward() for each in leaves]
        for spot, at, token_id in spots:
            while gaps and gaps[-1][0] <= spot.recv_wall_ns:
                yield _gap_answer(question, *gaps.pop())
            found = Found(leaves[at], spot)
            row, token = rows[at](spot), (token_id, names[token_id])
            doubts = self._leaves.doubts(found, row, invalid, question.findings)
            seen = Seen(found, row, doubts, None)
            yield _answer(question, token, row.recv_wall_ns, seen, self._books)
        while gaps:
            yield _gap_answer(question, *gaps.pop())

    def gaps(
        self,
        subject: Subject,
        tokens: tuple[Token, ...],
        span_ns: tuple[int, int],
        findings: Findings,
    ) -> list[Gap]:
        """The stretches of due ticks between two moments that a token has no row of."""
        found = []
        for hour_ms in sorted(self.hours(subject, *span_ns)):
            from_ns = max(span_ns[0], hour_ms * NS_PER_MS)
            until_ns = min(span_ns[1], (hour_ms + MS_PER_HOUR) * NS_PER_MS)
            from_ms, until_ms = from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS)
            question = self._question(subject, from_ms, until_ms, findings)
            for token_id, _ in tokens:
                found += self._gaps(question, token_id, from_ms, until_ms)
        return found

    def _question(
        self, subject: Subject, from_ms: int, until_ms: int, findings: Findings
    ) -> Question:
        epoch = self._catalogue.epoch(from_ms, until_ms, findings)
        known = epoch.plans.markets.get(subject.condition_id, subject.known)
        return Question(subject, known, epoch.plans.first_ms or 0, findings, Intervals(known))

    def _gaps(self, question: Question, token_id: str, from_ms: int, until_ms: int) -> list[Gap]:
        """The stretches of due ticks in from_ms ≤ due < until_ms that have no row of a token."""
        known, subject = question.known, question.subject
        if known is None:
            return []
        ticks = DueTicks(known.plans, max(from_ms, question.first_ms), until_ms)
        if not ticks.size:
            return []
        first_ms, last_ms = ticks.due_ms(0), ticks.due_ms(ticks.size - 1)
        pieces = self._leaves.pieces(
            subject.slug, subject.condition_id, first_ms, last_ms + 1, question.findings
        )
        until_ns = until_ms * NS_PER_MS
        runs = list(self._leaves.runs(pieces, token_id, until_ns, question.findings))
        mask = mask_of(ticks, runs)
        stretches = [
            (ticks.due_ms(each.start()), ticks.due_ms(each.end() - 1))
            for each in re.finditer(b"\x00+", bytes(mask))
        ]
        return [self._gap(question, known, first, last) for first, last in stretches]

    def _gap(self, question: Question, known: Known, first_ms: int, last_ms: int) -> Gap:
        counts = self._accounts.states(known, first_ms, last_ms + 1, question.findings)
        interval_ms = question.interval_ms(last_ms) or 0
        length_ms = last_ms - first_ms + interval_ms
        return Gap(question.subject.slug, first_ms, last_ms, length_ms, dict(counts))


def _answer(question: Question, token: Token, at_ns: int, seen: Seen, reader: BookReader) -> Answer:
    row, gap = seen.row, seen.gap
    book, unreadable = _book_of(row, reader)
    interval_ms = question.interval_ms(at_ns // NS_PER_MS)
    state, cause = judged(
        Sighting(
            age_ns=at_ns - row.recv_wall_ns if row else None,
            verdict=row.verdict if row else None,
            flags=row.flags if row else (),
            unreadable=unreadable,
            damage=seen.doubts,
            gap=gap,
            interval_ms=interval_ms,
            last_interval_ms=question.interval_ms(row.due_ms) if row else None,
        )
    )
    return Answer(
        slug=question.subject.slug,
        condition_id=question.subject.condition_id,
        token_id=token[0],
        outcome=token[1],
        at_ns=at_ns,
        state=state,
        cause=cause,
        book=book,
        due_ms=row.due_ms if row else None,
        send_wall_ns=row.send_wall_ns if row else None,
        recv_wall_ns=row.recv_wall_ns if row else None,
        hash_verdict=row.verdict if row else None,
        flags=row.flags if row else (),
        interval_ms=interval_ms,
        gap=gap,
        provenance=_provenance(seen.found, row) if seen.found and row else None,
    )


def _book_of(row: Row | None, reader: BookReader) -> tuple[Book | None, str]:
    if row is None:
        return None, ""
    try:
        return (row.made or reader.read(row.raw)), ""
    except Refused as error:
        return None, str(error)


def _provenance(found: Found, row: Row) -> Provenance:
    leaf = found.leaf
    return Provenance(
        path=leaf.held.path,
        row=row.row,
        sha256=leaf.sha256,
        request=row.request,
        derived=leaf.table,
    )


def _joined(gaps: list[Gap]) -> Gap | None:
    """One stretch from the first missed tick to the last."""
    if not gaps:
        return None
    counts: Counter[str] = Counter()
    for each in gaps:
        counts.update(each.counts)
    first, last = gaps[0], gaps[-1]
    length_ms = last.from_due_ms + last.length_ms - first.from_due_ms
    return Gap(first.slug, first.from_due_ms, last.until_due_ms, length_ms, dict(counts))


def _gap_answer(question: Question, at_ns: int, token: Token, gap: Gap | None) -> Answer:
    said = question.findings.said
    return Answer(
        slug=question.subject.slug,
        condition_id=question.subject.condition_id,
        token_id=token[0],
        outcome=token[1],
        at_ns=at_ns,
        state=State.LABELLED if said else State.GAP,
        cause="; ".join([*([causes_text(gap.counts)] if gap else []), *said]),
        gap=gap,
    )
