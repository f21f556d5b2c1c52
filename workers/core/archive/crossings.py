"""Ledgers against books: every row was asked for, and every promised row is there.

What a death may take is known exactly: rows after the last one that reached the disk. So a hole
is excused only behind the end of a run that did not stop as asked, or behind the end of a segment
that was cut short; a hole anywhere else is damage. Rows of a data file that was offloaded and let
go count as present: its manifest says which requests they are of.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from workers.core.archive.proofs import Proof, Unread
from workers.core.archive.runs import Run, Runs, points_of

#: Holes are told by their first numbers.
SHOWN = 3


class Crossing(msgspec.Struct, frozen=True):
    """What does not match: problems, and how many rows are excused by a death."""

    problems: list[str]
    excused: int


class _Evidence:
    """All proofs, by run."""

    def __init__(self, proofs: Iterable[Proof]) -> None:
        self.asked: dict[str, list[Run]] = {}
        self.promised: dict[tuple[str, str], list[Run]] = {}
        self.held: dict[tuple[str, str], list[Run]] = {}
        self.ends: dict[object, set[int]] = {}
        self.stopped: set[str] = set()
        self.unread: dict[object, list[Unread]] = {}
        for proof in proofs:
            self._add(proof)

    def _add(self, proof: Proof) -> None:
        self.stopped.update(proof.stopped)
        for run, asked in proof.asked.items():
            self.asked.setdefault(run, []).extend(asked)
            self._end(proof, run, asked)
        for key, promised in proof.promised.items():
            self.promised.setdefault(key, []).extend(promised)
        for key, held in proof.held.items():
            self.held.setdefault(key, []).extend(held)
            self._end(proof, key, held)
        if proof.unread is not None:
            self._add_unread(proof, proof.unread)

    def _add_unread(self, proof: Proof, unread: Unread) -> None:
        run = unread.run
        keys = [run] if unread.tokens is None else [(run, token) for token in unread.tokens]
        for key in keys:
            self.unread.setdefault(key, []).append(unread)
            if proof.is_cut_short:
                self.ends.setdefault(key, set()).add(unread.last)

    def present(self, key: object, here: list[int], expected: list[int]) -> list[int]:
        """The numbers that are here, and of those expected the ones that were offloaded."""
        elsewhere = self.unread.get(key)
        if not elsewhere:
            return here
        covered = {
            number
            for number in expected
            if any(each.first <= number <= each.last for each in elsewhere)
        }
        return sorted({*here, *covered, *(each.last for each in elsewhere)})

    def ends_of(self, key: object, run: str, present: list[int]) -> set[int]:
        """The numbers behind which rows may have died: of cut segments, and of a run's death."""
        ends = self.ends.get(key, set())
        if run in self.stopped:
            return ends
        return ends | {present[-1] if present else 0}

    def _end(self, proof: Proof, key: object, runs: list[Run]) -> None:
        if proof.is_cut_short:
            self.ends.setdefault(key, set()).add(max(run.last_due_ms for run in runs))


def crossing(proofs: Iterable[Proof]) -> Crossing:
    """Match everything that ledgers and books segments say of each other."""
    evidence = _Evidence(proofs)
    problems: list[str] = []
    excused = 0
    for key in sorted(evidence.promised.keys() | evidence.held.keys()):
        run = key[0]
        asked = _numbers(evidence.asked.get(run, []))
        held = _numbers(evidence.held.get(key, []))
        promised = _numbers(evidence.promised.get(key, []))
        there = evidence.present(key, held, promised)
        lost = _holes(promised, there, evidence.ends_of(key, run, there))
        known = evidence.present(run, asked, held)
        unasked = _holes(held, known, evidence.ends_of(run, run, known))
        denied = sorted(set(held) & set(asked) - set(promised))
        excused += lost.excused + unasked.excused
        problems += _told(key, lost.numbers, "promised by the ledger, in no books segment")
        problems += _told(key, unasked.numbers, "in a books segment, in no ledger")
        problems += _told(key, denied, "in a books segment, the ledger does not promise it")
    return Crossing(problems, excused)


def of_part(proofs: Iterable[Proof]) -> list[Proof]:
    """The same proofs for a part of an archive: a promise counts where its books segment is here.

    And a row where the ledger of its request is here; what is not here was not asked for.
    """
    listed = list(proofs)
    books: dict[tuple[str, str], list[Run]] = {}
    ledgers: dict[str, list[Run]] = {}
    for proof in listed:
        for key, held in proof.held.items():
            books.setdefault(key, []).append(_span(held))
        for run, asked in proof.asked.items():
            ledgers.setdefault(run, []).append(_span(asked))
    return [
        msgspec.structs.replace(
            proof,
            promised={
                key: _within(runs, books.get(key, [])) for key, runs in proof.promised.items()
            },
            held={key: _within(runs, ledgers.get(key[0], [])) for key, runs in proof.held.items()},
        )
        for proof in listed
    ]


def _span(runs: list[Run]) -> Run:
    first, last = min(run.first_due_ms for run in runs), max(run.last_due_ms for run in runs)
    return Run("", 1, first, last)


def _within(runs: list[Run], spans: list[Run]) -> list[Run]:
    kept = Runs("")
    for number in _numbers(runs):
        if any(span.first_due_ms <= number <= span.last_due_ms for span in spans):
            kept.add(number)
    return kept.listed()


def _numbers(runs: Iterable[Run]) -> list[int]:
    return sorted({number for run in runs for number in points_of(run)})


class _Holes(msgspec.Struct, frozen=True):
    numbers: list[int]
    excused: int


def _holes(expected: list[int], present: list[int], ends: set[int]) -> _Holes:
    """What is expected and not present, without what stands right behind an end."""
    missing = sorted(set(expected) - set(present))
    before = (bisect_left(present, number) for number in missing)
    behind_end = [(present[at - 1] if at else 0) in ends for at in before]
    left = [number for number, excused in zip(missing, behind_end, strict=True) if not excused]
    return _Holes(left, len(missing) - len(left))


def _told(key: tuple[str, str], numbers: list[int], what: str) -> Iterator[str]:
    run, token = key
    if numbers:
        first = ", ".join(f"{run}.{number}" for number in numbers[:SHOWN])
        more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
        yield f"token {token}: the row of {first}{more} is {what}"
