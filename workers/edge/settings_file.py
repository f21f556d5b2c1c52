"""settings_file: one YAML file → Settings, or every mistake in it at once.

    Reads     the file it is given, nothing else: no environment, no second file
    Promises  a Settings is inside every bound and free of contradictions, or nothing is returned
    Fails     NeedsAPerson, one line a mistake: `file:line:column: key: what, expected what`
    Never     guesses: an unknown key, a doubled key, a value YAML turned into something else are
              mistakes; a value that may hold a secret is not repeated in a message

`python -m workers.edge.settings_file check FILE` reads a file as a worker does; `default`,
`page` and `schema` print config/orderbooks.yaml, docs/SETTINGS.md and docs/orderbooks.schema.json.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
import yaml
from msgspec import Struct

from workers.core.errors import NeedsAPerson
from workers.core.settings.pages import page, render, shipped_file
from workers.core.settings.settings import Settings
from workers.core.settings.tree import Fault, Listing, Mapping, Scalar, Spot, Tree, judge

__all__ = ["Loaded", "load", "render", "schema_text"]

MAX_FILE_BYTES: Final = 262_144
"""Thirty times the shipped file: bounds what parsing can cost."""
MAX_MERGED_PAIRS: Final = 10_000
"""Pairs that `<<` may bring in: merges of merges grow as a power, ten lines make millions."""
MAX_SHOWN_FAULTS: Final = 50
_STANDARD: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = {_STANDARD + name for name in ("str", "value", "merge")}
_PLAIN_TAGS: Final = {_STANDARD + name for name in ("null", "bool", "int", "float", "timestamp")}


class Loaded(Struct, frozen=True):
    """What a settings file says, and which file said it.

    `data_dir` is absolute: a relative one starts above `config/` when the file lies in one, else
    beside the file, and so does the directory that `remote` may be.  `config_sha256` is of the
    bytes of the file.
    """

    settings: Settings
    path: Path
    data_dir: Path
    remote: str
    config_sha256: str


def load(path: Path) -> Loaded:
    """Read a settings file.

    Raises:
        NeedsAPerson: the file cannot be read or has mistakes; the message lists all of them.
    """
    raw = _bytes_of(path)
    try:
        judged = judge(_Planter().tree(_root_of(_text_of(raw))))
    except _Mistakes as mistakes:
        raise _told(path, mistakes.faults) from None
    except RecursionError:
        raise _told(path, [_fault(1, 1, "nested too deeply to be settings")]) from None
    if judged.faults:
        raise _told(path, judged.faults)
    home = path.absolute().parent
    base = home.parent if home.name == "config" else home
    digest = hashlib.sha256(raw).hexdigest()
    settings, remote = judged.settings, judged.settings.offload.remote
    remote = str(base / remote) if remote.startswith((".", "/")) else remote
    return Loaded(settings, path, base / settings.data_dir, remote, digest)


def schema_text() -> str:
    """The JSON schema an editor checks the file with: the text of docs/orderbooks.schema.json."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "orderbooks settings",
        **msgspec.json.schema(Settings),
    }
    return json.dumps(schema, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """The command: `check FILE`, `default`, `page` or `schema`; returns the exit code."""
    texts = {"default": shipped_file, "page": page, "schema": schema_text}
    match arguments:
        case ["check", name]:
            return _check(Path(name))
        case [what] if what in texts:
            sys.stdout.write(texts[what]())
            return 0
    print("usage: settings_file check FILE | default | page | schema", file=sys.stderr)
    return 2


def _check(path: Path) -> int:
    try:
        loaded = load(path)
    except NeedsAPerson as error:
        print(f"{error}\n{error.hint}", file=sys.stderr)
        return 1
    print(f"{path}: no mistakes; data goes to {loaded.data_dir}, then to {loaded.remote}")
    return 0


class _Mistakes(Exception):
    """Carries mistakes to `load`, which knows the name of the file."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__(f"{len(faults)} mistakes")
        self.faults = faults


def _told(path: Path, faults: Iterable[Fault]) -> NeedsAPerson:
    lines = [f"{path}:{each.spot.line}:{each.spot.column}: {each.message}" for each in faults]
    left_out = len(lines) - MAX_SHOWN_FAULTS
    if left_out > 0:
        lines[MAX_SHOWN_FAULTS:] = [f"{path}: and {left_out} more"]
    return NeedsAPerson("\n".join(lines), hint="every setting is explained in docs/SETTINGS.md")


def _bytes_of(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise NeedsAPerson(
            f"{path}: cannot be read as settings: {error.strerror}",
            hint="config/orderbooks.yaml is the file as it is shipped",
        ) from error
    if len(raw) > MAX_FILE_BYTES:
        raise _told(path, [_fault(1, 1, f"longer than {MAX_FILE_BYTES} bytes; not settings")])
    return raw


def _fault(line: int, column: int, message: str) -> Fault:
    return Fault(Spot(line, column), message)


def _text_of(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - raw.rfind(b"\n", 0, error.start)
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        raise _Mistakes(_fault(line, column, message)) from error


def _root_of(text: str) -> yaml.Node:
    """The top of the document, by the pure-Python loader: the C one dies of deep nesting."""
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        what = ", ".join(part for part in (error.context, error.problem) if part)
        if "'\\t'" in what:
            what = "a tab; YAML indents with spaces"
        raise _Mistakes(Fault(_spot(error.problem_mark), f"not YAML: {what}")) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        message = f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed"
        raise _Mistakes(_fault(line, column, message)) from error
    if root is None:
        raise _Mistakes(_fault(1, 1, "the file is empty, expected at least one setting"))
    return root


def _spot(mark: yaml.Mark | None) -> Spot:
    return Spot(mark.line + 1, mark.column + 1) if mark else Spot(1, 1)


class _Planter:
    """YAML nodes → tree.  An alias shares the tree of what it names, so it costs nothing."""

    def __init__(self) -> None:
        self._done: dict[int, Tree] = {}
        self._begun: set[int] = set()
        self._scalars = yaml.constructor.SafeConstructor()
        self._merged_pairs = 0

    def tree(self, node: yaml.Node) -> Tree:
        """One node and what is in it; raises _Mistakes for what no setting can be."""
        if id(node) in self._begun:
            raise _Mistakes(Fault(_spot(node.start_mark), "an alias to what it stands in"))
        if id(node) not in self._done:
            self._begun.add(id(node))
            self._done[id(node)] = self._planted(node)
            self._begun.discard(id(node))
        return self._done[id(node)]

    def _planted(self, node: yaml.Node) -> Tree:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return Listing(_spot(node.start_mark), tuple(self.tree(each) for each in node.value))
        return Mapping(_spot(node.start_mark), tuple(self._pairs(node)))

    def _pairs(self, node: yaml.Node) -> Iterator[tuple[Scalar, Tree]]:
        """The pairs of a mapping, its own first, then what `<<` brings that it does not name."""
        own = [(key, value) for key, value in node.value if key.tag != f"{_STANDARD}merge"]
        merged = [value for key, value in node.value if key.tag == f"{_STANDARD}merge"]
        names = {key.value for key, _ in own if isinstance(key, yaml.ScalarNode)}
        for key, value in own:
            yield self._key(key), self.tree(value)
        for key, value in (pair for source in merged for pair in self._merge(source)):
            if key.written not in names:
                names.add(key.written)
                yield key, value

    def _merge(self, source: yaml.Node) -> Iterator[tuple[Scalar, Tree]]:
        for node in source.value if isinstance(source, yaml.SequenceNode) else [source]:
            tree = self.tree(node)
            if not isinstance(tree, Mapping):
                spot = _spot(node.start_mark)
                raise _Mistakes(Fault(spot, "`<<` takes `key: value` pairs, or a list of them"))
            self._merged_pairs += len(tree.pairs)
            if self._merged_pairs > MAX_MERGED_PAIRS:
                raise _Mistakes(Fault(tree.spot, f"`<<` brings in over {MAX_MERGED_PAIRS} pairs"))
            yield from tree.pairs

    def _key(self, node: yaml.Node) -> Scalar:
        if isinstance(node, yaml.ScalarNode):
            return Scalar(_spot(node.start_mark), node.value, node.value)
        raise _Mistakes(Fault(_spot(node.start_mark), "a key is one word, not a list or pairs"))

    def _scalar(self, node: yaml.ScalarNode) -> Scalar:
        spot = _spot(node.start_mark)
        if node.tag in _TEXT_TAGS:
            return Scalar(spot, node.value, node.value)
        if node.tag not in _PLAIN_TAGS:
            raise _Mistakes(Fault(spot, f"the tag {node.tag} means nothing in settings"))
        try:
            return Scalar(spot, self._scalars.construct_object(node), node.value)
        except (ValueError, yaml.YAMLError) as error:
            raise _Mistakes(Fault(spot, f"not a value YAML can read: {error}")) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
