"""settings_tree: what was written, piece by piece with its place, judged against the settings.

The tree is what `edge.settings_file` makes of a file; here every piece is compared with what
`core.settings.settings` allows, and all mistakes are listed, not only the first.

    Promises  a value without a fault is one that msgspec takes for the type of its key
    Never     repeats the value of a key that looks like a secret
"""

import difflib
import re
from typing import Final

from msgspec import UNSET, Struct, UnsetType, convert
from msgspec import inspect as shapes

from workers.core.settings.rules import conflicts
from workers.core.settings.settings import Settings
from workers.core.settings.table import (
    Kind,
    bare,
    entries_of,
    expected,
    fault,
    groups,
    must_be_given,
    shown,
)

_SECRET: Final = re.compile(
    r"(^|_)(dsn|secrets?|passw(or)?d|api_?key|((access|auth|bot)_?)?token|private_?key|"
    r"credentials?)($|_)",
    re.IGNORECASE,
)


class Spot(Struct, frozen=True, order=True):
    """A place in a file; line and column count from 1."""

    line: int
    column: int


class Scalar(Struct, frozen=True):
    """One plain value: what YAML made of it, and the characters that stand there."""

    spot: Spot
    value: object
    written: str


class Listing(Struct, frozen=True):
    """A list."""

    spot: Spot
    items: tuple["Tree", ...]


class Mapping(Struct, frozen=True):
    """Keys and values in the order they stand; a key may stand twice."""

    spot: Spot
    pairs: tuple[tuple[Scalar, "Tree"], ...]


Tree = Scalar | Listing | Mapping
_TOP: Final = Spot(1, 1)


class Fault(Struct, frozen=True, order=True):
    """One mistake and where it stands."""

    spot: Spot
    message: str


class Judged(Struct, frozen=True):
    """The outcome: every mistake, and the settings as far as they could be read.

    With faults the settings are of no use but to look for contradictions in: what could not be
    read has its default there, or a stand-in.
    """

    settings: Settings
    faults: tuple[Fault, ...]


def judge(tree: Tree) -> Judged:
    """Compare a whole file with what the settings allow, piece by piece and with each other."""
    walk = _Walk()
    data = walk.value(tree, shapes.type_info(Settings), "")
    settings = convert({} if data is UNSET else data, Settings)
    for conflict in conflicts(settings):
        if not any(_related(path, bad) for path in conflict.paths for bad in walk.unread):
            spot = next((walk.spots[path] for path in conflict.paths if path in walk.spots), _TOP)
            walk.add(spot, conflict.paths[0], conflict.message)
    return Judged(settings, tuple(sorted(walk.faults)))


def _related(path: str, other: str) -> bool:
    """True when one path is the other or lies in it: `collector` and `collector.batch_tokens`."""
    short, long = sorted((path, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in {"", ".", "["}


class _Walk:
    """Down the tree and the types at once; collects mistakes instead of stopping.

    `spots` maps `section.key` and `selection.series[0].slug` to where they were written;
    `unread` holds the paths whose value is not what stands in the file.
    """

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.spots: dict[str, Spot] = {}
        self.unread: set[str] = set()

    def add(self, spot: Spot, path: str, message: str) -> None:
        """Note a mistake."""
        self.faults.append(Fault(spot, f"{shown(path)}: {message}" if path else message))

    def value(self, tree: Tree, kind: Kind, path: str) -> object:
        """One value as plain data; UNSET when there is a fault in it."""
        self.spots[path] = tree.spot
        match kind, tree:
            case shapes.StructType(), Mapping():
                return self._mapping(tree, kind, path)
            case shapes.VarTupleType(), Listing():
                return self._listing(tree, kind, path)
            case ((shapes.IntType() | shapes.FloatType() | shapes.StrType()), Scalar()):
                message = fault(tree.value, tree.written, kind)
                return self._refused(tree, path, message) if message else tree.value
        return self._refused(tree, path, f"found {_what(tree)}, expected {expected(kind)}")

    def _refused(self, tree: Tree, path: str, message: str) -> UnsetType:
        self.add(tree.spot, path, message)
        self.unread.add(path)
        return UNSET

    def _mapping(self, tree: Mapping, kind: shapes.StructType, path: str) -> dict[str, object]:
        entries = {entry.key: entry for entry in entries_of(kind, path)}
        first: dict[str, Spot] = {}
        data: dict[str, object] = {}
        for key, value in tree.pairs:
            name = key.written
            inner = f"{path}.{name}" if path else name
            if name in first:
                self._refused(key, inner, f"stands twice, first on line {first[name].line}")
            elif name in entries:
                data[name] = self.value(value, entries[name].kind, inner)
            else:
                self._unknown(key, path, tuple(entries))
            first.setdefault(name, key.spot)
        for entry in entries.values():
            if must_be_given(entry) and entry.key not in first:
                self._refused(tree, entry.path, f"is missing, expected {expected(entry.kind)}")
            if must_be_given(entry) and data.get(entry.key, UNSET) is UNSET:
                data[entry.key] = self._stand_in(entry.kind)
        return {key: value for key, value in data.items() if value is not UNSET}

    def _unknown(self, key: Scalar, path: str, known: tuple[str, ...]) -> None:
        home = f"{path}." if path else ""
        close = tuple(difflib.get_close_matches(key.written, known, n=1))
        self.add(key.spot, f"{home}{key.written}", _why_unknown(key.written, known, close))
        self.unread.update(f"{home}{name}" for name in close)

    def _listing(self, tree: Listing, kind: shapes.VarTupleType, path: str) -> object:
        if len(tree.items) > (kind.max_length or 0):
            message = f"found {len(tree.items)} items, expected {expected(kind)}"
            return self._refused(tree, path, message)
        item_kind = bare(kind.item_type)
        values = [
            self.value(item, item_kind, f"{path}[{at}]") for at, item in enumerate(tree.items)
        ]
        return [self._stand_in(item_kind) if each is UNSET else each for each in values]

    def _stand_in(self, kind: Kind) -> object:
        """Something in the place of what could not be read, allowed and never the same twice."""
        match kind:
            case shapes.StructType():
                required = (each for each in entries_of(kind, "") if must_be_given(each))
                return {each.key: self._stand_in(each.kind) for each in required}
            case shapes.IntType():
                return kind.ge
        return str(10**15 + len(self.faults))


def _why_unknown(name: str, known: tuple[str, ...], close: tuple[str, ...]) -> str:
    """Why a key is refused, and what was probably meant."""
    if close:
        return f"unknown setting, did you mean `{close[0]}`?"
    if _SECRET.search(name):
        return "looks like a secret; secrets come from the environment only (SENTRY_DSN)"
    homes = [group.name for group in groups() if name in {e.key for e in group.entries}]
    if homes:
        return (
            f"unknown setting here, it belongs under {' or '.join(h or 'the top' for h in homes)}"
        )
    return f"unknown setting; known here are {', '.join(known)}"


def _what(tree: Tree) -> str:
    match tree:
        case Listing():
            return "a list"
        case Mapping():
            return "`key: value` pairs"
        case Scalar(value=None):
            return "nothing"
        case Scalar():
            return shown(tree.written)
