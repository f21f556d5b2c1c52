"""Levels of many books at once: where plain ones follow each other, and their numbers.

A level is plain when it is spelled `{"price":"0.48","size":"14511.59"}`: a price below 1 with up to
six decimals, a size of up to eight digits and up to six decimals. Eight bytes are read as one
number of 64 bits, and each step is done for thousands of levels by one loop of numpy.

Promises  the numbers of a plain level are exact; a level of any other spelling ends the run
Never     knows where an array begins: who looks a run up says so, and sees where it ends
"""

from array import array
from itertools import starmap

import msgspec
import numpy as np
import numpy.typing as npt

from workers.core.books.ladders import Better, Ladder, best_at

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Truths = npt.NDArray[np.bool_]

#: Levels at once: the working set of one step stays in a core's cache.
_AT_ONCE = 8192
#: No level is longer; behind the last brace must be as many bytes, to read words from.
_LONGEST = 64


def _word(text: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(text, "little"))


_OPENING, _ZERO, _SIZE, _COMMA = (
    _word(each) for each in (b'{"price"', b':"0.', b'"size":"', b'",')
)
_BRACE, _POINT, _QUOTE, _CLOSING, _NEXT, _LAST = b'{."},]'
_HIGH, _LOW = np.uint64(0x8080808080808080), np.uint64(0x7F7F7F7F7F7F7F7F)
_NINES, _NAUGHTS = np.uint64(0x7676767676767676), np.uint64(0x3030303030303030)
_PAIRS, _BYTE, _TWO_BYTES = (np.uint64(each) for each in (0x000000FF000000FF, 0xFF, 0xFFFF))
_FOUR_BYTES, _SIX_BYTES = np.uint64((1 << 32) - 1), np.uint64((1 << 48) - 1)
_HUNDREDS, _UNITS = np.uint64(100 + (1000000 << 32)), np.uint64(1 + (10000 << 32))
_NONE, _ONE, _SEVEN, _EIGHT, _TEN = (np.uint64(each) for each in (0, 1, 7, 8, 10))
_SIXTEEN, _HALF, _ALL = (np.uint64(each) for each in (16, 32, 64))
_MICROS = np.uint64(1_000_000)


class Run(msgspec.Struct, frozen=True, gc=False):
    """Plain levels that follow each other: their numbers from `first` to before `after`."""

    first: int
    after: int
    #: Where the text behind the last one's brace begins.
    end: int
    #: No other price is higher, or lower, than the last one.
    is_last_highest: bool
    is_last_lowest: bool


class LevelRuns:
    """The runs of one text."""

    def __init__(self, text: bytes) -> None:
        braces = np.flatnonzero(np.frombuffer(text, np.uint8) == _BRACE)
        braces = braces[braces < len(text) - _LONGEST]
        parts = [
            _numbers(text, braces[at : at + _AT_ONCE]) for at in range(0, len(braces), _AT_ONCE)
        ]
        prices, sizes, ends = (_whole([part[at] for part in parts]) for at in range(3))
        self._prices, self._sizes = (array("q", each.tobytes()) for each in (prices, sizes))
        self._runs = _runs(braces, prices, ends) if parts else {}

    def run(self, start: int) -> Run | None:
        """The run whose first brace stands there."""
        return self._runs.get(start)

    def ladder(self, run: Run, better: Better) -> Ladder:
        """The levels of a run, as a side of a book."""
        first, after = run.first, run.after
        prices = self._prices[first:after]
        is_last = run.is_last_highest if better is max else run.is_last_lowest
        at = after - first - 1 if is_last else best_at(prices, better)
        return Ladder(prices, self._sizes[first:after], at)


def _whole(parts: list[Places]) -> Places:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _runs(braces: Places, prices: Places, ends: Places) -> dict[int, Run]:
    """Runs by their first brace; `ends` is where each level ends, 0 = not plain, < 0 = the last."""
    is_joined = (ends[:-1] > 0) & (ends[1:] != 0) & (braces[1:] == ends[:-1] + 1)
    is_first = np.append(True, ~is_joined) & (ends != 0)
    is_last = np.append(~is_joined, True) & (ends != 0)
    firsts, lasts = np.flatnonzero(is_first), np.flatnonzero(is_last)
    # Of a run and what is not plain behind it, up to the next run.
    highest, lowest = (each.reduceat(prices, firsts) for each in (np.maximum, np.minimum))
    columns = (
        *(firsts, lasts + 1, np.abs(ends[lasts])),
        *(prices[lasts] == highest, prices[lasts] == lowest),
    )
    told = zip(*(each.tolist() for each in columns), strict=True)
    return dict(zip(braces[firsts].tolist(), starmap(Run, told), strict=True))


def _numbers(text: bytes, braces: Places) -> tuple[Places, Places, Places]:
    """Prices and sizes in micros, and ends as `_runs` takes them, of the levels at some braces."""
    octets = np.frombuffer(text, np.uint8)
    opening, middle, rest = _words(text, braces)
    word = (middle >> _HALF) | (rest << _HALF)
    digits, before = _digits(word)
    bits = _bits(before)
    is_plain = (opening == _OPENING) & (middle & _FOUR_BYTES == _ZERO) & _is_fraction(before)
    is_plain &= (word >> bits) & _TWO_BYTES == _COMMA
    price = _number(digits << _SIXTEEN)
    at = braces + 14 + _bytes(bits)
    name, word, rest = _words(text, at)
    digits, before = _digits(word)
    bits = _bits(before)
    is_plain &= (name == _SIZE) & (bits != _NONE)
    whole = _number(digits << (_ALL - bits)) * _MICROS
    word = (word >> bits) | (rest << (_ALL - bits))
    at += 8 + _bytes(bits)
    has_point = (word & _BYTE) == _POINT
    digits, before = _digits(word >> _EIGHT)
    is_plain &= ~has_point | _is_fraction(before)
    size = whole + np.where(has_point, _number(digits << _SIXTEEN), _NONE)
    at += np.where(has_point, 1 + _bytes(_bits(before)), 0)
    ending = octets[at + 2]
    is_plain &= (octets[at] == _QUOTE) & (octets[at + 1] == _CLOSING)
    is_plain &= (ending == _NEXT) | (ending == _LAST)
    ends = np.where(is_plain, np.where(ending == _LAST, -2 - at, 2 + at), 0)
    return price.view(np.int64), size.view(np.int64), ends


def _words(text: bytes, places: Places) -> tuple[Words, Words, Words]:
    """The 24 bytes that begin at each place, as three numbers: one look-up is as dear as three."""
    records = np.ndarray((len(text) - 23,), "V24", text, strides=(1,))
    columns = records[places].view("<u8").reshape(-1, 3)
    return columns[:, 0], columns[:, 1], columns[:, 2]


def _digits(words: Words) -> tuple[Words, Words]:
    """The digits that words begin with, each a byte of its value, and the bits they stand in."""
    digits = words ^ _NAUGHTS
    others = (((digits & _LOW) + _NINES) | digits) & _HIGH
    before = ((others & (~others + _ONE)) >> _SEVEN) - _ONE
    return digits & before, before


def _number(digits: Words) -> Words:
    """The number of eight digits, the first in the lowest byte."""
    pairs = digits * _TEN + (digits >> _EIGHT)
    return ((pairs & _PAIRS) * _HUNDREDS + ((pairs >> _SIXTEEN) & _PAIRS) * _UNITS) >> _HALF


def _is_fraction(before: Words) -> Truths:
    """One to six digits; two bytes before them make eight, so that their number is micros."""
    is_one: Truths = (before != _NONE) & (before <= _SIX_BYTES)
    return is_one


def _bits(before: Words) -> Words:
    return np.bitwise_count(before).astype(np.uint64)


def _bytes(bits: Words) -> Places:
    return (bits >> np.uint64(3)).view(np.int64)


# Until a large block was freed, glibc gives what numpy frees back to the kernel and asks for it
# again: the page faults were half of the time (13 µs a book, 7.5 without).
bytearray(16 << 20)
