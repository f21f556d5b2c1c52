"""What a person sees: tables, colour and a progress line; plain text when it goes into a pipe.

Writes    stdout and stderr of a command
Promises  colour and the progress line appear only on a terminal, and never with NO_COLOR; what
          is printed to a pipe is the same text without them
"""

import os
import re
import sys
import time
from collections.abc import Iterable, Sequence
from typing import TextIO

_COLOURS = {"red": 31, "green": 32, "yellow": 33, "dim": 2, "bold": 1}
_REDRAW_S = 0.1
_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
#: Remote text must not move the cursor or paint the screen.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Text that cannot steer a terminal; slugs and errors are remote input."""
    return _CONTROL.sub("?", text)


def coloured(text: str, colour: str, stream: TextIO | None = None) -> str:
    """The text in a colour, if the stream is a terminal that wants colours."""
    stream = sys.stdout if stream is None else stream
    if not stream.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Aligned columns under a head; numbers to the right, everything else to the left."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max(_width(row[column]) for row in [list(head), *cells]) for column in range(len(head))
    ]
    numeric = [
        bool(cells) and all(_is_number(row[column]) for row in cells) for column in range(len(head))
    ]
    lines = [list(head), *cells]
    return "\n".join(
        "  ".join(
            _padded(text, width, ">" if right else "<")
            for text, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _width(text: str) -> int:
    return len(_ESCAPES.sub("", text))


def _padded(text: str, width: int, side: str) -> str:
    blank = " " * (width - _width(text))
    return blank + text if side == ">" else text + blank


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"-|[-+]?[\d,.]+ ?(%|[a-zA-Z]{1,3})?", _ESCAPES.sub("", text)))


def age(seconds: float | None) -> str:
    """A duration a person reads at a glance: "0.4 s", "12 s", "3 min", "5.0 h", "2.1 d"."""
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def size(count: int) -> str:
    """Bytes a person reads at a glance: "812 B", "3.4 MB"."""
    number = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


class Progress:
    """One line on stderr that is drawn over itself; nothing at all in a pipe."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0
        self._drawn_s = 0.0
        self._shows = sys.stderr.isatty()

    def advance(self) -> None:
        """One more is done."""
        self._done += 1
        now_s = time.monotonic()
        if self._shows and now_s - self._drawn_s >= _REDRAW_S:
            self._drawn_s = now_s
            print(f"\r{self._what} {self._done}/{self._total}\x1b[K", end="", file=sys.stderr)

    def end(self) -> None:
        """Remove the line."""
        if self._shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def complain(message: str, hint: str = "") -> None:
    """An expected failure, on stderr: what, then what a person does next."""
    print(coloured("orderbooks: ", "red", sys.stderr) + printable_lines(message), file=sys.stderr)
    if hint:
        print(f"  hint: {hint}", file=sys.stderr)


def printable_lines(text: str) -> str:
    """`printable` for text of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def clear_screen() -> None:
    """Begin a new picture, on a terminal."""
    if sys.stdout.isatty():
        print("\x1b[H\x1b[2J", end="")
