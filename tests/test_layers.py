"""Holds the import law: order, layers, owners of outside packages, purity of core.

Each rule is a function of sources, so that it is tried on planted breaches too: a checker that
cannot fail proves nothing.
"""

import ast
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

import workers

ROOT = Path(workers.__file__).parent
OWNER = {
    "requests": "edge.rest",
    "urllib3": "edge.rest",
    "yaml": "edge.settings_file",
    "psutil": "edge.machine",
    "sentry_sdk": "edge.alerts",
    "supervisor": "edge.fleet",
    "zlib_ng": "edge.deflate",
    "pyarrow": "edge.parquet",
    "polars": "edge.frames",
    "matplotlib": "edge.drawing",
    "numpy": "core.books.level_runs",
    "picows": "edge.feed",
    "logging": "edge.eventlog",
    "subprocess": "edge.remote",
}
SHARED = {("picows", "edge.feed_server")}
"""A client of the venue and a stand-in for it: one package, two things."""
ANYONES = {"msgspec"}
"""Outside packages without an owner: values, not places."""
COMPUTES = {"numpy"}
"""Outside packages that core may own: the same numbers in any place at any time."""
DISK_OWNER = "edge.durable"
DISK_CALLS = {"fsync", "fdatasync", "rename", "renames", "replace", "link", "sync"}
PURE = {
    *("__future__", "abc", "array", "base64", "binascii", "bisect", "collections", "contextlib"),
    *("dataclasses", "datetime", "decimal", "difflib", "email", "enum", "errno", "fractions"),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "string"),
    *("struct", "textwrap", "types", "typing", "unicodedata", "zlib"),
}
"""The standard modules that give the same answer in any place at any time."""
IMPURE_BUILTINS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
READS_THE_CLOCK = {"now", "utcnow", "today"}
MAY_IMPORT_EDGES = {
    # The loop of every process ties its edges together: that is its job.
    "edge.lifecycle": {"edge"},
    # A body comes compressed, and compression has one owner.
    "edge.rest": {"edge.durable", "edge.deadlines", "edge.deflate"},
    # A segment is a deflate stream: the spool is built on these two.
    "edge.spool": {"edge.durable", "edge.deflate", "edge.spool"},
    # Offload is rclone over the spool: it ties the two together, for the uploader and the tools.
    # A drill reads a derived file to its last row group.
    "edge.offload": {
        *("edge.durable", "edge.credentials", "edge.remote", "edge.spool", "edge.offload"),
        *("edge.parquet", "edge.world"),
    },
    # Health over HTTP is the watchdog's files.
    "edge.health_server": {"edge.durable", "edge.spool"},
    # Reading answers from segments and tables alike, and knows what the remote alone holds.
    "edge.reading": {
        *("edge.deflate", "edge.derived", "edge.durable", "edge.offload", "edge.parquet"),
        *("edge.reading", "edge.spool"),
    },
    # A replay is a stream of what reading finds, in segments or in tables.
    "edge.replaying": {"edge.reading", "edge.replaying"},
    # A streamer is connections and questions whose rows go to the spool.
    "edge.streaming": {
        *("edge.deadlines", "edge.durable", "edge.feed", "edge.rest", "edge.spool"),
        *("edge.streaming", "edge.world"),
    },
    # The past is served on two ports by one loop.
    "edge.feed_server": {"edge.feed_routes"},
    # A report is made of frames over derived files, of answers, and of what the spool holds.
    "edge.reports": {
        *("edge.derived", "edge.durable", "edge.frames", "edge.reading", "edge.reports"),
        "edge.spool",
    },
    # A soak looks at everything, and reports on what the archive and its commands say.
    "edge.soaking": {
        *("edge.commands", "edge.drawing", "edge.durable", "edge.fleet", "edge.machine"),
        *("edge.offload", "edge.reading", "edge.soaking", "edge.spool"),
    },
    # A gate runs commands, and reads restarts and cuts from the archive.
    "edge.gating": {
        *("edge.commands", "edge.durable", "edge.gating", "edge.reading", "edge.soaking"),
        "edge.spool",
    },
    # Derived files are Parquet made from the spool's segments.
    "edge.derived": {
        *("edge.durable", "edge.deflate", "edge.parquet", "edge.spool", "edge.derived"),
        "edge.world",
    },
}
ALWAYS_IMPORTABLE_EDGES = {"edge.durable"}
DISPATCHERS = {"tools.main", "tools.__main__", "tools.verbs"}
NO_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "base", "shared", "lib"}


@dataclass(frozen=True)
class Code:
    """Sources by module name without `workers.`, and the order they are listed in."""

    sources: Mapping[str, str]
    order: tuple[str, ...]

    def imports(self, name: str) -> set[str]:
        """Every dotted name a module imports, wherever in it the import stands."""
        found = set()
        for node in ast.walk(ast.parse(self.sources[name])):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                here = "." * node.level + (node.module or "")
                found |= {here} | {f"{here}.{alias.name}" for alias in node.names}
        return found

    def ours(self, name: str) -> set[str]:
        """The modules of ours a module imports."""
        inside = {each.removeprefix("workers.") for each in self.imports(name)}
        return (inside & self.sources.keys()) - {name}

    def tops(self, name: str) -> set[str]:
        """The first words of what a module imports."""
        return {each.partition(".")[0] for each in self.imports(name)}


def layer(name: str) -> str:
    """`core`, `edge`, or `process` for whatever may use both."""
    first, dot, _ = name.partition(".")
    return first if dot and first in {"core", "edge"} else "process"


def within(name: str, places: set[str]) -> bool:
    return any(name == place or name.startswith(f"{place}.") for place in places)


def every_module_has_one_place(code: Code) -> Iterator[str]:
    expected = code.sources.keys() - {"tools.__main__"}
    yield from (f"{name}: not in READING_ORDER" for name in sorted(expected - set(code.order)))
    yield from (f"{name}: listed, not there" for name in code.order if name not in code.sources)
    yield from (f"{name}: listed twice" for name in set(code.order) if code.order.count(name) > 1)


def imports_point_upwards(code: Code) -> Iterator[str]:
    place = {name: at for at, name in enumerate(code.order)}
    for name in code.sources.keys() & place.keys():
        for other in sorted(code.ours(name)):
            if place.get(other, len(place)) >= place[name]:
                yield f"{name}: imports {other}, which does not stand above it"


def an_outside_package_has_one_owner(code: Code) -> Iterator[str]:
    for name in code.sources:
        outside = code.tops(name) - sys.stdlib_module_names - {"workers", "tests", ""} - ANYONES
        owned = code.tops(name) & OWNER.keys()
        yield from (f"{name}: {each} has no owner" for each in sorted(outside - OWNER.keys()))
        taken = (top for top in owned if OWNER[top] != name and (top, name) not in SHARED)
        yield from (f"{name}: {top} is {OWNER[top]}'s" for top in taken)


def core_touches_nothing(code: Code) -> Iterator[str]:
    for name in (each for each in code.sources if layer(each) == "core"):
        impure = {
            each
            for each in code.imports(name)
            if each.partition(".")[0] not in PURE | ANYONES | COMPUTES | {"workers", ""}
            and not within(each, {"urllib.parse"})
        }
        yield from (f"{name}: imports {each}, which is not pure" for each in sorted(impure))
        beyond = {other for other in code.ours(name) if layer(other) != "core"}
        yield from (f"{name}: imports {other}" for other in sorted(beyond))
        yield from _impure_calls(name, ast.parse(code.sources[name]))


def _impure_calls(name: str, tree: ast.AST) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if isinstance(call.func, ast.Name) and call.func.id in IMPURE_BUILTINS:
            yield f"{name}:{call.lineno}: calls {call.func.id}()"
        if isinstance(call.func, ast.Attribute) and call.func.attr in READS_THE_CLOCK:
            yield f"{name}:{call.lineno}: calls .{call.func.attr}(), which reads the clock"


def an_edge_knows_no_other_edge(code: Code) -> Iterator[str]:
    for name in (each for each in code.sources if layer(each) == "edge"):
        allowed = set(ALWAYS_IMPORTABLE_EDGES)
        for place, more in MAY_IMPORT_EDGES.items():
            allowed |= more if within(name, {place}) else set()
        for other in sorted(code.ours(name)):
            if layer(other) == "process" or (layer(other) == "edge" and not within(other, allowed)):
                yield f"{name}: imports {other}"


def a_process_or_tool_knows_no_other(code: Code) -> Iterator[str]:
    for name in (each for each in code.sources if layer(each) == "process"):
        others = {other for other in code.ours(name) if layer(other) == "process"}
        if name in DISPATCHERS:
            others = {other for other in others if not other.startswith("tools.")}
        yield from (f"{name}: imports {other}" for other in sorted(others))


def the_disk_is_synced_and_renamed_in_one_place(code: Code) -> Iterator[str]:
    for name in code.sources.keys() - {DISK_OWNER}:
        for node in ast.walk(ast.parse(code.sources[name])):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr=attr) if attr in DISK_CALLS:
                    yield f"{name}:{node.lineno}: os.{attr} is {DISK_OWNER}'s"


def imports_are_absolute_and_visible(code: Code) -> Iterator[str]:
    for name in code.sources:
        for each in sorted(code.imports(name)):
            if each.startswith("."):
                yield f"{name}: the relative import {each}"
            elif each.partition(".")[0] in {"tests", "importlib"}:
                yield f"{name}: imports {each}"


def a_module_is_named_for_a_thing(code: Code) -> Iterator[str]:
    for name in code.sources:
        if set(name.split(".")) & NO_NAMES:
            yield f"{name}: says nothing about what is in it"


Rule = Callable[[Code], Iterator[str]]
RULES: tuple[Rule, ...] = (
    every_module_has_one_place,
    imports_point_upwards,
    an_outside_package_has_one_owner,
    core_touches_nothing,
    an_edge_knows_no_other_edge,
    a_process_or_tool_knows_no_other,
    the_disk_is_synced_and_renamed_in_one_place,
    imports_are_absolute_and_visible,
    a_module_is_named_for_a_thing,
)
PLANTED: tuple[tuple[Rule, dict[str, str], str], ...] = (
    (every_module_has_one_place, {"core.stray": ""}, "core.stray: not in READING_ORDER"),
    (
        imports_point_upwards,
        {"core.a": "from workers.core import b", "core.b": ""},
        "core.a: imports core.b, which does not stand above it",
    ),
    (
        imports_point_upwards,
        {"core.a": "def f():\n    import workers.core.b", "core.b": ""},
        "core.a: imports core.b, which does not stand above it",
    ),
    (an_outside_package_has_one_owner, {"collector": "import yaml"}, "edge.settings_file's"),
    (
        an_outside_package_has_one_owner,
        {"edge.rest": "from logging.handlers import X"},
        "edge.rest: logging is edge.eventlog's",
    ),
    (an_outside_package_has_one_owner, {"edge.rest": "import flask"}, "flask has no owner"),
    (core_touches_nothing, {"core.a": "import os"}, "core.a: imports os, which is not pure"),
    (core_touches_nothing, {"core.a": "from pathlib import Path"}, "imports pathlib"),
    (core_touches_nothing, {"core.a": "import random"}, "imports random"),
    (core_touches_nothing, {"core.a": "import urllib.request"}, "imports urllib.request"),
    (core_touches_nothing, {"core.a": "x = open('y')"}, "core.a:1: calls open()"),
    (
        core_touches_nothing,
        {"core.a": "from datetime import datetime\ndatetime.now()"},
        "core.a:2: calls .now(), which reads the clock",
    ),
    (
        core_touches_nothing,
        {"edge.rest": "", "core.a": "from workers.edge import rest"},
        "core.a: imports edge.rest",
    ),
    (
        an_edge_knows_no_other_edge,
        {"edge.machine": "", "edge.rest": "from workers.edge.machine import x"},
        "edge.rest: imports edge.machine",
    ),
    (
        an_edge_knows_no_other_edge,
        {"edge.spool.tickets": "", "edge.rest": "from workers.edge.spool import tickets"},
        "edge.rest: imports edge.spool.tickets",
    ),
    (
        an_edge_knows_no_other_edge,
        {"edge.rest": "", "edge.spool.tickets": "import workers.edge.rest"},
        "edge.spool.tickets: imports edge.rest",
    ),
    (
        an_edge_knows_no_other_edge,
        {"discovery": "", "edge.lifecycle": "from workers import discovery"},
        "edge.lifecycle: imports discovery",
    ),
    (
        a_process_or_tool_knows_no_other,
        {"discovery": "", "collector": "from workers import discovery"},
        "collector: imports discovery",
    ),
    (
        a_process_or_tool_knows_no_other,
        {"tools.status": "", "tools.verify": "from workers.tools.status import x"},
        "tools.verify: imports tools.status",
    ),
    (
        a_process_or_tool_knows_no_other,
        {"watchdog": "", "tools.main": "import workers.watchdog"},
        "tools.main: imports watchdog",
    ),
    (
        the_disk_is_synced_and_renamed_in_one_place,
        {"edge.rest": "import os\nos.fsync(3)"},
        "edge.rest:2: os.fsync is edge.durable's",
    ),
    (imports_are_absolute_and_visible, {"core.a": "from . import b"}, "core.a: the relative"),
    (imports_are_absolute_and_visible, {"core.a": "from ..edge import b"}, "core.a: the relative"),
    (imports_are_absolute_and_visible, {"core.a": "import tests.venue"}, "imports tests.venue"),
    (imports_are_absolute_and_visible, {"core.a": "import importlib"}, "imports importlib"),
    (a_module_is_named_for_a_thing, {"core.utils": ""}, "core.utils: says nothing"),
    (a_module_is_named_for_a_thing, {"edge.helpers.x": ""}, "edge.helpers.x: says nothing"),
)
LAWFUL = {
    "core.a": "import re\nimport msgspec\nfrom urllib.parse import urlsplit",
    "core.b": "from workers.core.a import x\nfrom workers import VERSION",
    "edge.durable": "import os\nos.fsync(1)",
    "edge.deflate": "from zlib_ng import zlib_ng",
    "edge.spool.tickets": "from workers.edge import deflate, durable\nimport pathlib",
    "edge.spool.reader": "from workers.edge.spool import tickets",
    "edge.rest": "import requests\nfrom workers.edge.durable import x\n'a'.replace('a', 'b')",
    "edge.lifecycle": "from workers.edge import rest\nfrom workers.edge.spool import tickets",
    "collector": "from workers.edge import lifecycle, rest\nfrom workers.core import a",
    "tools.status": "from workers.core import b",
    "tools.main": "from workers.tools import status",
}


def real_code() -> Code:
    sources = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for path in sorted(ROOT.rglob("*.py"))
        if path.name != "__init__.py"
    }
    return Code(sources, tuple(workers.READING_ORDER))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_code_keeps_the_law(rule: Rule):
    breaches = sorted(rule(real_code()))

    assert not breaches, "\n".join(breaches)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_lawful_code_is_not_accused(rule: Rule):
    assert [] == sorted(rule(Code(LAWFUL, tuple(LAWFUL))))


@pytest.mark.parametrize(
    ("rule", "sources", "breach"),
    PLANTED,
    ids=[f"{each[0].__name__}-{each[2]}" for each in PLANTED],
)
def test_a_planted_breach_is_found(rule: Rule, sources: dict[str, str], breach: str):
    listed = tuple(name for name in sources if name != "core.stray")
    found = list(rule(Code(sources, listed)))

    assert [each for each in found if breach in each], found


def test_a_place_without_a_module_and_a_doubled_place_are_found():
    code = Code({"core.a": ""}, ("core.a", "core.a", "core.gone"))

    assert ["core.a: listed twice", "core.gone: listed, not there"] == sorted(
        every_module_has_one_place(code)
    )


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_has_a_planted_breach(rule: Rule):
    assert any(rule is each[0] for each in PLANTED)


def test_a_package_file_holds_only_its_docstring():
    """What stands in `__init__.py` is imported with every module beneath it, past all rules."""
    for path in ROOT.rglob("__init__.py"):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names = {
            target.id for node in body if isinstance(node, ast.Assign) for target in node.targets
        }

        assert path == ROOT / "__init__.py" or len(body) == 1, path
        assert not any(isinstance(node, ast.Import | ast.ImportFrom) for node in body), path
        assert names <= {"VERSION", "READING_ORDER"}, path
