"""Damage met while one question is answered: raised at once, or carried into the answer.

Promises  nothing that was found is dropped: with "raise" the first finding ends the question,
          with "label" every finding stands in the answer's cause
Fails     Damaged, Offloaded
"""

from collections.abc import Iterable
from typing import Literal

from workers.core.reading.evidence import Damaged, Offloaded

OnDamage = Literal["raise", "label"]
_OFFLOADED = "offloaded"


class Findings:
    """The findings of one question, as (path, what)."""

    def __init__(self, on_damage: OnDamage) -> None:
        self.on_damage = on_damage
        self.pairs: list[tuple[str, str]] = []

    @property
    def said(self) -> list[str]:
        """Every finding as a person reads it."""
        return [_text(each) for each in self.pairs]

    def damaged(self, path: str, what: str) -> None:
        """A file that is not what it should be."""
        if self.on_damage == "raise":
            raise Damaged(path, what)
        if (path, what) not in self.pairs:
            self.pairs.append((path, what))

    def offloaded(self, path: str) -> None:
        """A file that retention has let go."""
        if self.on_damage == "raise":
            raise Offloaded(path)
        self.damaged(path, _OFFLOADED)

    def repeat(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Findings of an earlier reading whose result is used again."""
        for path, what in pairs:
            if what == _OFFLOADED:
                self.offloaded(path)
            else:
                self.damaged(path, what)


def _text(pair: tuple[str, str]) -> str:
    path, what = pair
    if what == _OFFLOADED:
        return f"offloaded: restore it: orderbooks restore --to DIR {path}"
    return f"damaged: {path}: {what}"
