"""Pieces of a Markdown page: tables, commands, pictures, numbers.

Promises  text from outside cannot break a table, begin a link or hold markup
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction

from workers.core.report.stats import NS_PER_S, rounded

NOTHING = "–"
_UNSAFE = re.compile(r"[^\w .:,;()+×±–%/=?'-]")


def table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table; columns of numbers stand to the right."""
    cells = [[safe(str(cell)) for cell in row] for row in rows]
    columns = range(len(head))
    marks = ["---:" if _is_number([row[at] for row in cells]) else "---" for at in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in [list(head), marks, *cells])


def _is_number(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch(r"–|-?[\d.]+( %)?", cell) for cell in cells)


def safe(text: str) -> str:
    """Text that is only text."""
    return _UNSAFE.sub("?", text)


def command(text: str) -> str:
    """A command in a fence."""
    return f"```sh\n{text}\n```"


def picture(pictures: Mapping[str, str], name: str, what: str) -> Iterator[str]:
    """A picture, if it was made."""
    if name in pictures:
        yield f"![{safe(what)}]({pictures[name]})"


def counts(found: Mapping[str, int]) -> str:
    """`name×3 other×2`, or a dash."""
    return " ".join(f"{name}×{count}" for name, count in found.items()) or NOTHING


def percent(count: int, total: int) -> str:
    """A part of a whole: `99.873 %`; only what is all of it is 100.000 %."""
    if not total:
        return NOTHING
    part = Fraction(100 * count, total)
    # Rounding must not make a whole of what is none.
    most = part if count == total else min(part, Fraction(99_999, 1000))
    return f"{rounded(most, 3)} %"


def ms(ns: int | None) -> str:
    """Milliseconds with one digit behind the point."""
    return NOTHING if ns is None else str(rounded(Fraction(ns, 1_000_000), 1))


def seconds(ns: int) -> str:
    """Seconds with three digits behind the point."""
    return str(rounded(Fraction(ns, NS_PER_S), 3))
