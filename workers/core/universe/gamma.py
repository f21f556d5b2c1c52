"""Gamma bytes to events, and the fields of its objects in the one form that is believed.

Promises  any bytes give a Page with a named cause, never an exception; a number is never read
          as a float; unknown keys are ignored.
Fails     a field of another type or form → refusals.WrongField
Source    VENUE §2.1 (answer shapes), §2.5 (JSON inside strings, or real arrays), §9 no. 6, 8, 11.
"""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

import msgspec

from workers.core.causes import OK
from workers.core.instants import ms_text, parse_utc
from workers.core.universe.refusals import WrongField

# Field values outside this are not the life of a market but a broken field: 2020 to 2100.
EARLIEST_MS = 1_577_836_800_000
LATEST_MS = 4_102_444_800_000
_PLAIN = re.compile(r"[!-~]{1,200}")
_decoder = msgspec.json.Decoder(float_hook=Decimal)
_UNREADABLE = (ValueError, ArithmeticError, RecursionError)


class Page(msgspec.Struct, frozen=True):
    """One answer of an event listing or lookup: its events, undigested, and where it goes on."""

    cause: str
    events: tuple[object, ...] = ()
    next_cursor: str | None = None


def read_page(body: bytes) -> Page:
    """Take an `/events…` body apart.

    Args:
        body: `{"events": […], "next_cursor"}`, `{"data": […]}`, a bare array, or one event.

    Returns:
        cause "ok", or "bad_utf8", "bad_json", "schema" without events.
    """
    try:
        return _page(_decoder.decode(body))
    except UnicodeDecodeError:
        return Page("bad_utf8")
    except _UNREADABLE:
        return Page("bad_json")


def _page(value: object) -> Page:
    if isinstance(value, list):
        return Page(OK, tuple(value))
    if not isinstance(value, dict):
        return Page("schema")
    if isinstance(value.get("markets"), list) and "events" not in value:
        return Page(OK, (value,))
    events = value.get("events", value.get("data"))
    cursor = value.get("next_cursor")
    if not isinstance(events, list) or not isinstance(cursor, str | None):
        return Page("schema")
    return Page(OK, tuple(events), cursor or None)


def fields_of(value: object) -> Mapping[str, object]:
    """The fields of a JSON object.

    Raises:
        WrongField: the value is none.
    """
    if not isinstance(value, dict):
        raise WrongField("not_an_object", f"a market is {shown(value)}")
    return value


def plain(fields: Mapping[str, object], name: str, reason: str) -> str:
    """An identifier or slug: 1 to 200 visible ASCII characters, opaque.

    Raises:
        WrongField: absent, another type, or characters no identifier has.
    """
    value = fields.get(name)
    if not isinstance(value, str) or _PLAIN.fullmatch(value) is None:
        raise WrongField(reason, f"{name} is {shown(value)}")
    return value


def flag(fields: Mapping[str, object], name: str) -> bool:
    """A boolean; absent and null are False (zombies lack `acceptingOrders`, VENUE §2.5).

    Raises:
        WrongField: another type.
    """
    value = fields.get(name)
    if not isinstance(value, bool | None):
        raise WrongField("bad_type", f"{name} is {shown(value)}, need true or false")
    return value is True


def moment(fields: Mapping[str, object], name: str) -> int | None:
    """A timestamp, Unix ms; None when absent, null or empty.

    Raises:
        WrongField: another type, no timestamp, or not between 2020 and 2100.
    """
    value = fields.get(name)
    if value is None or value == "":
        return None
    try:
        ms = parse_utc(value) if isinstance(value, str) else -1
    except (ValueError, OverflowError):
        ms = -1
    if not EARLIEST_MS <= ms < LATEST_MS:
        raise WrongField("bad_time", f"{name} is {shown(value)}")
    return ms


def moment_text(fields: Mapping[str, object], name: str) -> str | None:
    """A timestamp that decides nothing, as text; None when it cannot be read either."""
    try:
        ms = moment(fields, name)
    except WrongField:
        return None
    return None if ms is None else ms_text(ms)


def tick_text(value: object) -> str | None:
    """A tick size as exact decimal text: `0.01`, `"0.001"` or `1e-3`; None for anything else."""
    try:
        size = Decimal(value) if isinstance(value, Decimal | str) else Decimal(0)
    except InvalidOperation:
        return None
    inside = size.is_finite() and Decimal("1e-9") <= size < 1
    return f"{size.normalize():f}" if inside else None


def texts(fields: Mapping[str, object], name: str, reason: str) -> tuple[str, ...]:
    """A list of strings, given as an array or as JSON inside a string; () when there is none.

    Raises:
        WrongField: neither, or an element that is not a string: a number is not believed, its
            digits are lost on the way (VENUE §9 no. 11).
    """
    value = fields.get(name)
    if isinstance(value, str) and value:
        try:
            value = _decoder.decode(value)
        except _UNREADABLE:
            raise WrongField("bad_list", f"{name} is {shown(value)}") from None
    if value is None or value == "":
        return ()
    if not isinstance(value, list):
        raise WrongField("bad_list", f"{name} is {shown(value)}")
    for each in value:
        if not isinstance(each, str):
            raise WrongField(reason, f"{name} holds {shown(each)}, need strings")
    return tuple(value)


def objects(value: object) -> tuple[Mapping[str, object], ...]:
    """The objects of an array; () for anything else."""
    if not isinstance(value, list):
        return ()
    return tuple(each for each in value if isinstance(each, dict))


def printable(value: object, limit: int = 300) -> str:
    """Remote text made safe to show: one line, bounded; "" for what is not text."""
    if not isinstance(value, str):
        return ""
    return "".join(char if char.isprintable() else " " for char in value[:limit])


def shown(value: object) -> str:
    """A remote value for a refusal's detail: its type, and the begin of it."""
    if value is None:
        return "absent"
    if isinstance(value, list | dict):
        return f"{'an array' if isinstance(value, list) else 'an object'} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 300:
        return "a very long number"
    kind = "number" if isinstance(value, int | Decimal) else type(value).__name__
    kind = {"str": "text", "bool": "flag"}.get(type(value).__name__, kind)
    return f"{kind} {printable(str(value), 80)!r}"
