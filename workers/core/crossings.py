"""Ledgers against books: every row was asked for, and every promised row is there.

What a death may take is known exactly: rows after the last one that reached the disk. So a hole
is excused only behind the end of a run that did not stop as asked, or behind the end of a segment
that was cut short; a hole anywhere else is damage.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator

import msgspec

from workers.core.proofs import Proof
from workers.core.runs import Run, points_of

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
        lost = _holes(promised, held, evidence.ends_of(key, run, held))
        unasked = _holes(held, asked, evidence.ends_of(run, run, asked))
        denied = sorted(set(held) & set(asked) - set(promised))
        excused += lost.excused + unasked.excused
        problems += _told(key, lost.numbers, "promised by the ledger, in no books segment")
        problems += _told(key, unasked.numbers, "in a books segment, in no ledger")
        problems += _told(key, denied, "in a books segment, the ledger does not promise it")
    return Crossing(problems, excused)


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
