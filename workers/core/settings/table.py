"""settings_table: the settings as a table, and the judgement of one value.

Reads the types of `core.settings.settings` once, so that bounds, defaults and reasons are written
in one place only: the reader of the file, the page and the comments of the file all come from here.
"""

import math
import re
from functools import cache
from typing import Final, cast

from msgspec import NODEFAULT, Struct
from msgspec import inspect as shapes

from workers.core.settings.scope import SHAPES
from workers.core.settings.settings import Settings

Kind = shapes.Type
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")
_CONVERTED_BY_YAML: Final = re.compile(r"[-+]?([0-9][0-9_]*:.*|0[0-9_]+)")
_SHOWN_CHARACTERS: Final = 40


class Entry(Struct, frozen=True):
    """One key as the file spells it.

    `section` is "" at the top level; `default` is NODEFAULT for a key that must be given.
    """

    section: str
    key: str
    kind: Kind
    default: object
    reason: str

    @property
    def path(self) -> str:
        """`section.key`, or the key alone at the top level."""
        return f"{self.section}.{self.key}" if self.section else self.key


class Group(Struct, frozen=True):
    """A section: its name ("" = the top level), what it is about, and its keys."""

    name: str
    about: str
    entries: tuple[Entry, ...]


@cache
def groups() -> tuple[Group, ...]:
    """Every key of the file, section by section, in the order of `core.settings.settings`."""
    top = cast("shapes.StructType", shapes.type_info(Settings))
    loose = tuple(e for e in entries_of(top, "") if not isinstance(e.kind, shapes.StructType))
    sections = (
        Group(name=field.name, about=about(field.type), entries=entries_of(field.type, field.name))
        for field in top.fields
        if isinstance(field.type, shapes.StructType)
    )
    return (Group(name="", about=about(top), entries=loose), *sections)


def entries_of(kind: shapes.StructType, section: str) -> tuple[Entry, ...]:
    """The keys of one mapping."""
    return tuple(
        Entry(
            section=section,
            key=field.encode_name,
            kind=bare(field.type),
            default=field.default,
            reason=reason_of(field.type),
        )
        for field in kind.fields
    )


def about(kind: shapes.StructType) -> str:
    """The docstring of a section: one sentence or two."""
    return " ".join((kind.cls.__doc__ or "").split())


def bare(kind: Kind) -> Kind:
    """A type without its description."""
    return bare(kind.type) if isinstance(kind, shapes.Metadata) else kind


def reason_of(kind: Kind) -> str:
    """The description of a type; "" when it has none."""
    if not isinstance(kind, shapes.Metadata):
        return ""
    return str((kind.extra_json_schema or {}).get("description", ""))


def must_be_given(entry: Entry) -> bool:
    """True for a key without a default."""
    return entry.default is NODEFAULT


def expected(kind: Kind) -> str:
    """What a value of a type looks like, for a message or a page: "a whole number, 1 to 100"."""
    match kind:
        case shapes.IntType():
            return f"a whole number, {kind.ge} to {kind.le}"
        case shapes.FloatType():
            return f"a number, {number_text(kind.ge)} to {number_text(kind.le)}"
        case shapes.StrType(pattern=str(pattern)):
            return SHAPES[pattern]
        case shapes.StrType():
            return f"text of {kind.min_length} to {kind.max_length} characters"
        case shapes.VarTupleType():
            return f"a list of at most {kind.max_length}"
        case shapes.StructType():
            return "settings, one `key: value` a line"
    raise TypeError(f"no setting may have the type {kind}")


def number_text(number: float | None) -> str:
    """A number without a needless fraction: 30.0 → "30"."""
    return str(int(number)) if number is not None and number == int(number) else str(number)


def fault(value: object, written: str, kind: Kind) -> str | None:
    """What is wrong with one plain value; None when nothing is.

    Args:
        value: what YAML made of it: str, int, float, bool, date, None.
        written: the characters in the file.
        kind: the type of the setting, an int, float or str.
    """
    if value is None:
        return f"found nothing, expected {expected(kind)}"
    if isinstance(kind, shapes.StrType):
        return _fault_of_text(value, written, kind)
    return _fault_of_number(value, written, cast("shapes.IntType | shapes.FloatType", kind))


def shown(text: str) -> str:
    """A piece of the file, short and on one line; an address may hold a password: not shown."""
    if "://" in text:
        return "an address (not shown)"
    text = _UNPRINTABLE.sub("?", text)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _fault_of_text(value: object, written: str, kind: shapes.StrType) -> str | None:
    if not isinstance(value, str):
        what = {bool: "true or false", int: "a number", float: "a number"}.get(
            type(value), "a date"
        )
        return f'YAML reads {shown(written)} as {what}, expected text; quote it: "{shown(written)}"'
    if _UNPRINTABLE.search(value):
        return f"has a line break or another unprintable character, expected {expected(kind)}"
    fits = (kind.min_length or 0) <= len(value) <= (kind.max_length or len(value))
    if fits and (kind.pattern is None or re.search(kind.pattern, value)):
        return None
    return f"found {shown(value) or 'empty text'}, expected {expected(kind)}"


def _fault_of_number(
    value: object, written: str, kind: shapes.IntType | shapes.FloatType
) -> str | None:
    if isinstance(value, str):
        return f"found the text {shown(value)}, expected {expected(kind)}{_how(value, kind)}"
    wanted = int if isinstance(kind, shapes.IntType) else (int, float)
    if isinstance(value, bool) or not isinstance(value, wanted):
        return f"found {shown(written)}, expected {expected(kind)}"
    if _CONVERTED_BY_YAML.fullmatch(written):
        return f"YAML reads {shown(written)} as {value}; write the number plainly"
    # Written so that nan, which compares as False with everything, is refused.
    if not (kind.ge or 0) <= cast("float", value) <= (kind.le or 0):
        return f"{shown(written)} is out of bounds, expected {expected(kind)}"
    return None


def _how(text: str, kind: shapes.IntType | shapes.FloatType) -> str:
    """What to write instead of a text that was meant as a number; "" when that is not clear."""
    try:
        number = float(text)
    except ValueError:
        starts = re.match("[0-9]", text)
        return "; the unit is in the name, write the bare number" if starts else ""
    if math.isfinite(number) and (isinstance(kind, shapes.FloatType) or number.is_integer()):
        return f"; write {number_text(number)}"
    return ""
