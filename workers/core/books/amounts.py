"""Amounts: prices and sizes between the venue's text and exact integers of a millionth.

Promises  a text becomes an integer of micros without rounding, or it is refused by a named reason;
          `shortest(micros(text)) == text` for every text that is canonical.
Source    131 captured REST books and 7,437 captured frames: prices and sizes are the shortest
          decimal ("0.3", "311.02"), `last_trade_price` has exactly three decimals or is empty.
"""

import re

MICROS = 1_000_000
INT32_MAX, INT64_MAX = (1 << 31) - 1, (1 << 63) - 1
_DECIMAL = re.compile(r"([0-9]+)(?:\.([0-9]+))?", re.ASCII)


class Inexact(ValueError):
    """A text that no number of micros is equal to; `reason` names why."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(f"{reason}: {text[:80]!r}")
        self.reason = reason


def micros(text: str, at_most: int = INT64_MAX) -> int:
    """The exact value in millionths.

    Args:
        text: a plain decimal: digits, and behind a point at least one more.
        at_most: what the column holds.

    Raises:
        Inexact: `bad_number` (no plain decimal), `inexact` (finer than a micro, or too large).
    """
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise Inexact("bad_number", text)
    whole, fraction = found[1], (found[2] or "").rstrip("0")
    if len(fraction) > 6 or len(whole) > 18:
        raise Inexact("inexact", text)
    value = int(whole) * MICROS + int(fraction.ljust(6, "0"))
    if value > at_most:
        raise Inexact("inexact", text)
    return value


def shortest(value: int) -> str:
    """The venue's spelling of a price, a size or a tick: `shortest(311_020_000) == "311.02"`."""
    whole, rest = divmod(value, MICROS)
    return f"{whole}.{rest:06d}".rstrip("0") if rest else str(whole)


def three_decimals(value: int | None) -> str:
    """The venue's spelling of a last trade's price; None = never traded."""
    if value is None:
        return ""
    return f"{value // MICROS}.{value % MICROS // 1000:03d}"
