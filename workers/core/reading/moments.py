"""What a person asks about: a moment, and a market, in every form people have them in.

    moment   2026-04-16T08:00:30Z · 1776326430 · 1776326430052 · open+30s · close-1m30s · now-5s
    market   btc-updown-5m-1776326400 · 0x… (condition id) · https://polymarket.com/event/…
    outcome  Up · down · 0 · 1 · a token id

Promises  a text that could mean two things is refused; no clock is read
"""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import parse_utc
from workers.core.universe.slugs import Window

Moment = str | int | datetime
NS_PER_MS = 1_000_000
_NS_OF_UNIT = {"ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_NS_BY_DIGITS = {13: 10**6, 16: 10**3, 19: 1}
_RELATIVE = re.compile(r"(open|close)((?:[+-](?:\d+(?:ms|s|m|h))+)?)")
_NOW = re.compile(r"now((?:-(?:\d+(?:ms|s|m|h))+)?)")
_SPAN = re.compile(r"(\d+)(ms|s|m|h)")
_UNIX = re.compile(r"(\d{9,11}|\d{13}|\d{16}|\d{19})(?:\.(\d{1,9}))?")
_FRACTION = re.compile(r"(.*:\d\d)\.(\d{1,9})(.*)")
_MINUTE = re.compile(r".*T\d\d:\d\dZ?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CONDITION = re.compile(r"0x[0-9a-fA-F]{1,64}")
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
MOMENT_HINT = 'such as "2026-04-16T08:00:30Z", Unix s or ms, "open+30s", "close-1m", "now"'


class Designation(msgspec.Struct, frozen=True):
    """A market as it was named: `names` are slugs in the order they are tried, or a condition."""

    text: str
    condition_id: str = ""
    names: tuple[str, ...] = ()


def moment_ns(moment: Moment, window: Window | None = None) -> int:
    """Unix nanoseconds of a moment.

    Args:
        moment: text as above, whole Unix seconds, ms, µs or ns (told apart by their digits), or a
            datetime with a zone.
        window: what `open` and `close` are of.

    Raises:
        NeedsAPerson: it cannot be read, or it needs a window and there is none.
    """
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise NeedsAPerson(f"read the time {moment}: it has no zone", hint=MOMENT_HINT)
        return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    text = str(moment).strip()
    unix = _UNIX.fullmatch(text)
    if unix is not None:
        unit_ns = _NS_BY_DIGITS.get(len(unix[1]), 10**9)
        return int(unix[1]) * unit_ns + int((unix[2] or "").ljust(9, "0")) * unit_ns // 10**9
    relative = _RELATIVE.fullmatch(text)
    if relative is not None:
        return _relative_ns(text, relative, window)
    return _utc_ns(text)


def settled(moment: Moment, now_ns: int) -> Moment:
    """A moment that no clock is needed for: `now` and `now-5s` in Unix ns, any other as it is."""
    found = _NOW.fullmatch(moment.strip()) if isinstance(moment, str) else None
    return now_ns + _span_ns(found[1]) if found else moment


def is_relative(moment: Moment) -> bool:
    """True for `open…` and `close…`."""
    return isinstance(moment, str) and _RELATIVE.fullmatch(moment.strip()) is not None


def _relative_ns(text: str, found: re.Match[str], window: Window | None) -> int:
    if window is None:
        raise NeedsAPerson(
            f"read the time {text!r}: the archive does not say when this market opens",
            hint="an absolute time needs no window",
        )
    base_ms = window.start_ms if found[1] == "open" else window.end_ms
    return base_ms * NS_PER_MS + _span_ns(found[2])


def _span_ns(text: str) -> int:
    """Of `+30s` or `-1m30s`; of nothing 0."""
    span_ns = sum(int(number) * _NS_OF_UNIT[unit] for number, unit in _SPAN.findall(text))
    return -span_ns if text.startswith("-") else span_ns


def _utc_ns(text: str) -> int:
    """RFC 3339; the fraction to the nanosecond, which `parse_utc` cuts to the millisecond."""
    fraction = _FRACTION.fullmatch(text)
    whole = f"{fraction[1]}{fraction[3]}" if fraction else text
    if _MINUTE.fullmatch(whole):
        whole = f"{whole.removesuffix('Z')}:00Z"
    try:
        second_ns = parse_utc(whole) * NS_PER_MS
    except ValueError as error:
        raise NeedsAPerson(f"read the time {text!r}: {error}", hint=MOMENT_HINT) from error
    return second_ns + (int(fraction[2].ljust(9, "0")) if fraction else 0)


def designation_of(text: str) -> Designation:
    """Take a market's name apart; raises NeedsAPerson for what can be none.

    The page of an event may name one of its markets behind it: the last name is tried first.
    """
    told = text.strip()
    if _CONDITION.fullmatch(told):
        return Designation(text, condition_id=told.lower())
    if "/" not in told:
        return Designation(text, names=(_name(text, told),))
    parts = urlsplit(told if "//" in told else f"//{told}")
    host = (parts.hostname or "").removeprefix("www.")
    words = [each for each in parts.path.split("/") if each]
    starts = [at for at, each in enumerate(words) if each in ("event", "market", "markets")]
    if host != "polymarket.com" or not starts or not words[starts[0] + 1 :]:
        raise NeedsAPerson(
            f"find a market in {text!r}", hint="https://polymarket.com/event/SLUG, or a slug"
        )
    names = [_name(text, each) for each in reversed(words[starts[0] + 1 :])]
    return Designation(text, names=tuple(names))


def _name(text: str, word: str) -> str:
    if _SLUG.fullmatch(word) is None or len(word) > 300:
        raise NeedsAPerson(
            f"read {text!r} as a market", hint="a slug, a condition id (0x…), or the page's address"
        )
    return word


def outcome_at(wanted: str | int, tokens: tuple[tuple[str, str], ...]) -> tuple[str, str]:
    """The (token id, outcome) that was meant, of a market's tokens in the venue's order.

    Raises:
        NeedsAPerson: it is none of them.
    """
    text = str(wanted).strip()
    for token_id, outcome in tokens:
        if text == token_id or text.casefold() == outcome.casefold():
            return token_id, outcome
    if text.isascii() and text.isdigit() and int(text) < len(tokens):
        return tokens[int(text)]
    raise NeedsAPerson(
        f"find the outcome {text[:90]!r}",
        hint=f"one of: {', '.join(each[1] for each in tokens)}, 0, 1, or a token id",
    )
