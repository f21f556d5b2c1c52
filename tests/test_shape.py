"""Holds the shape of the source: sizes, depth, docstrings, exact values, no flags, no machine.

Each rule is a function of one source, so that it is tried on planted breaches too.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 300
TEST_FILE_LINES = 500
FUNCTION_LINES = 40
DEPTH = 3
CONTRACT = ("Reads", "Writes", "Promises", "Fails", "Never")
PROCESSES = {
    "discovery.py",
    "collector.py",
    "streamer.py",
    "normalizer.py",
    "uploader.py",
    "watchdog.py",
}
TEXTS = {
    ".py",
    ".md",
    ".yaml",
    ".yml",
    ".toml",
    ".txt",
    ".in",
    ".lock",
    ".sh",
    ".conf",
    ".json",
    "",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Block = ast.For | ast.AsyncFor | ast.While | ast.If | ast.With | ast.AsyncWith | ast.Try | ast.Match
PLACE_OF_ONE_MACHINE = re.compile(r"(?<![\w.])/(root|home|work|Users)/[A-Za-z]")
INDEX_HOST = re.compile(r"pypi\.org|pythonhosted\.org|--(extra-)?index-url|--find-links")


def functions(tree: ast.AST) -> Iterator[Function]:
    yield from (node for node in ast.walk(tree) if isinstance(node, Function))


def a_file_is_short(name: str, source: str) -> Iterator[str]:
    limit = TEST_FILE_LINES if name.startswith("tests/") else FILE_LINES
    lines = len(source.splitlines())
    if lines > limit:
        yield f"{name}: {lines} lines, at most {limit}"


def a_line_is_short(name: str, source: str) -> Iterator[str]:
    for at, line in enumerate(source.splitlines(), 1):
        if len(line) > 100 and not name.startswith("tests/"):
            yield f"{name}:{at}: {len(line)} characters, at most 100"


def a_function_is_short(name: str, source: str) -> Iterator[str]:
    """Lines from `def` to the end, without the docstring and without decorators."""
    for node in functions(ast.parse(source)):
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        first = node.body[0]
        if ast.get_docstring(node) is not None:
            lines -= (first.end_lineno or first.lineno) - first.lineno + 1
        if lines > FUNCTION_LINES:
            yield f"{name}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES}"


def nesting_is_shallow(name: str, source: str) -> Iterator[str]:
    for node in functions(ast.parse(source)):
        deepest = max((_depth(child) for child in node.body), default=0)
        if deepest > DEPTH:
            yield f"{name}:{node.lineno}: {node.name} is nested {deepest} deep, at most {DEPTH}"


def _depth(node: ast.AST) -> int:
    """Blocks inside each other; an `elif` is no deeper than its `if`, a function begins anew."""
    if isinstance(node, Function | ast.Lambda | ast.ClassDef):
        return 0
    if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        inside = max(_depth(child) for child in node.body)
        return max(1 + inside, _depth(node.orelse[0]))
    deepest = max((_depth(child) for child in ast.iter_child_nodes(node)), default=0)
    return deepest + (1 if isinstance(node, Block) else 0)


def what_is_public_is_explained(name: str, source: str) -> Iterator[str]:
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield f"{name}:1: has no docstring"
    yield from _unexplained(name, tree)


def _unexplained(name: str, holder: ast.Module | ast.ClassDef) -> Iterator[str]:
    for node in holder.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if not ast.get_docstring(node):
            yield f"{name}:{node.lineno}: {node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _unexplained(name, node)


def a_module_opens_with_its_contract(name: str, source: str) -> Iterator[str]:
    """A process says all five words, whatever touches the world at least one."""
    said = ast.get_docstring(ast.parse(source)) or ""
    missing = [word for word in CONTRACT if not re.search(rf"^ *{word}\b", said, re.MULTILINE)]
    if Path(name).name in PROCESSES and missing:
        yield f"{name}: the docstring lacks {', '.join(missing)}"
    if "/edge/" in name and not name.endswith("__init__.py") and len(missing) == len(CONTRACT):
        yield f"{name}: the docstring says none of {', '.join(CONTRACT)}"


def money_is_exact(name: str, source: str) -> Iterator[str]:
    """No float is called price or size, and none is made of one."""
    money = re.compile(r"(^|_)(price|size|bid|ask)s?($|_)")
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.AnnAssign(target=ast.Name(id=called), annotation=kind)
                | ast.arg(arg=called, annotation=ast.expr() as kind)
            ) if money.search(called) and "float" in ast.unparse(kind):
                yield f"{name}:{node.lineno}: {called} is a float"
            case ast.Call(func=ast.Name(id="float"), args=[value]) if money.search(
                re.sub(r"\W", "_", ast.unparse(value))
            ):
                yield f"{name}:{node.lineno}: makes a float of {ast.unparse(value)}"


def no_argument_is_a_flag(name: str, source: str) -> Iterator[str]:
    """Two functions, not a boolean parameter."""
    for node in functions(ast.parse(source)):
        given = node.args
        positional = [*given.posonlyargs, *given.args]
        unset: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
        pairs = [
            *zip(positional, [*unset, *given.defaults], strict=True),
            *zip(given.kwonlyargs, given.kw_defaults, strict=True),
        ]
        for arg, default in pairs:
            kind = ast.unparse(arg.annotation) if arg.annotation else ""
            on_or_off = isinstance(default, ast.Constant) and isinstance(default.value, bool)
            if on_or_off or re.search(r"\bbool\b", kind.partition("[")[0]):
                yield f"{name}:{node.lineno}: {node.name} takes the flag {arg.arg}"


def a_test_neither_mocks_nor_sleeps(name: str, source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=[ast.alias(name="unittest.mock" | "mock"), *_]):
                yield f"{name}:{node.lineno}: mocks"
            case ast.ImportFrom(module="unittest" | "unittest.mock" | "mock"):
                yield f"{name}:{node.lineno}: mocks"
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time"), attr="sleep")):
                yield f"{name}:{node.lineno}: sleeps; wait for a condition, with a limit"


def names_no_machine(name: str, source: str) -> Iterator[str]:
    """A file of the project names no place of one machine and no package index."""
    for at, line in enumerate(source.splitlines(), 1):
        if PLACE_OF_ONE_MACHINE.search(line) or f"{ROOT}/" in line:
            yield f"{name}:{at}: names a place of one machine"
        if INDEX_HOST.search(line):
            yield f"{name}:{at}: names a package index; the machine it is installed on knows its own"


Rule = Callable[[str, str], Iterator[str]]
WORKERS = "workers/core/x.py"
TESTS = "tests/core/test_x.py"
EVERYWHERE: tuple[Rule, ...] = (
    a_file_is_short,
    a_line_is_short,
    a_function_is_short,
    nesting_is_shallow,
)
IN_WORKERS: tuple[Rule, ...] = (
    what_is_public_is_explained,
    a_module_opens_with_its_contract,
    money_is_exact,
    no_argument_is_a_flag,
)
DEEP = "def f():\n for a in b:\n  if a:\n   with a:\n    while a:\n     pass\n"
PLANTED: tuple[tuple[Rule, str, str, str], ...] = (
    (a_file_is_short, WORKERS, "\n" * 301, "301 lines"),
    (a_file_is_short, TESTS, "\n" * 501, "501 lines"),
    (a_line_is_short, WORKERS, "#" * 101, ":1: 101 characters"),
    (a_function_is_short, WORKERS, "def f():\n" + " x\n" * 40, "f has 41 lines"),
    (a_function_is_short, WORKERS, "class A:\n async def f():\n" + "  x\n" * 40, "f has 41"),
    (nesting_is_shallow, WORKERS, DEEP, "f is nested 4 deep"),
    (
        nesting_is_shallow,
        WORKERS,
        f"try:\n pass\nfinally:\n {DEEP.replace(chr(10), chr(10) + ' ')}",
        "4",
    ),
    (what_is_public_is_explained, WORKERS, "x = 1", "x.py:1: has no docstring"),
    (what_is_public_is_explained, WORKERS, "'a'\ndef f(): pass", "f has no docstring"),
    (what_is_public_is_explained, WORKERS, "'a'\nclass A:\n 'a'\n def f(self): pass", "f has no"),
    (
        a_module_opens_with_its_contract,
        "workers/collector.py",
        "'Reads\\nWrites'",
        "lacks Promises",
    ),
    (a_module_opens_with_its_contract, "workers/edge/x.py", "'x'", "says none of"),
    (money_is_exact, WORKERS, "best_price: float = 1", "best_price is a float"),
    (money_is_exact, WORKERS, "def f(sizes: list[float]): pass", "sizes is a float"),
    (money_is_exact, WORKERS, "float(level.price)", "makes a float of level.price"),
    (no_argument_is_a_flag, WORKERS, "def f(a: bool): pass", "f takes the flag a"),
    (no_argument_is_a_flag, WORKERS, "def f(b, a=False): pass", "f takes the flag a"),
    (no_argument_is_a_flag, WORKERS, "def f(*, a: bool | None = None): pass", "takes the flag a"),
    (a_test_neither_mocks_nor_sleeps, TESTS, "import time\ntime.sleep(1)", ":2: sleeps"),
    (a_test_neither_mocks_nor_sleeps, TESTS, "from unittest import mock", "mocks"),
    (a_test_neither_mocks_nor_sleeps, TESTS, "import unittest.mock", "mocks"),
    (names_no_machine, "docs/x.md", "see /" + "home/me/x", ":1: names a place of one machine"),
    (names_no_machine, "docs/x.md", f"see {ROOT}/x", ":1: names a place of one machine"),
    (names_no_machine, "x.lock", "--index" + "-url x", ":1: names a package index"),
)
GOOD = '''"""A thing.

Never  does harm.
"""

class Level:
    """A level."""

    price_micros: int
    whole: bool = False

    def _hidden(self, sizes: tuple[int, ...] = ()) -> int:
        for size in sizes:
            if size:
                return 1
            elif not size:
                return 2
            elif size is None:
                return 3
        return float(self.whole)


def decided(judge: Callable[[int], bool], *, wait_s: float = 1.0) -> bool:
    """Whether."""
'''


def files_of(*places: str) -> list[Path]:
    found = (path for place in places for path in (ROOT / place).rglob("*.py"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def breaches(rules: tuple[Rule, ...], files: list[Path]) -> list[str]:
    found = []
    for path in files:
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(ROOT).as_posix()
        found += [breach for rule in rules for breach in rule(name, source)]
    return found


@pytest.mark.parametrize("rule", EVERYWHERE, ids=lambda rule: rule.__name__)
def test_every_source_keeps_to(rule: Rule):
    found = breaches((rule,), files_of("workers", "tests"))

    assert not found, "\n".join(found)


@pytest.mark.parametrize("rule", IN_WORKERS, ids=lambda rule: rule.__name__)
def test_the_workers_keep_to(rule: Rule):
    found = breaches((rule,), files_of("workers"))

    assert not found, "\n".join(found)


def test_no_test_mocks_or_sleeps():
    files = [path for path in files_of("tests") if path.name.startswith("test_")]
    found = breaches((a_test_neither_mocks_nor_sleeps,), files)

    assert not found, "\n".join(found)


def test_the_project_names_no_machine_and_no_package_index():
    places = ("workers", "tests", "config", "ops", "docs", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for place in places for path in (ROOT / place).rglob("*") if path.is_file()]
    texts = [path for path in files if path.suffix in TEXTS and path != Path(__file__)]
    found = breaches((names_no_machine,), texts)

    assert not found, "\n".join(found)


def pinned(lock: str) -> dict[str, str]:
    found = re.findall(r"^([a-z0-9-]+)==([^ ]+)", (ROOT / lock).read_text("utf-8"), re.MULTILINE)
    return dict(found)


def wanted(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=]", each)[0].strip().lower() for each in requirements}


def test_the_locks_hold_what_the_project_asks_for_and_agree():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    run, dev = pinned("requirements.lock"), pinned("requirements-dev.lock")

    assert wanted(project["project"]["dependencies"]) <= run.keys()
    assert wanted(project["dependency-groups"]["dev"]) <= dev.keys()
    assert run.items() <= dev.items()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes(lock: str):
    """A lock with one package without is refused whole; better here than on a new machine."""
    packages = (ROOT / lock).read_text("utf-8").split("\n")
    heads = [at for at, line in enumerate(packages) if line and not line.startswith(" ")]

    assert heads
    assert all("--hash=sha256:" in packages[at + 1] for at in heads)


@pytest.mark.parametrize(
    ("rule", "name", "source", "breach"),
    PLANTED,
    ids=[f"{each[0].__name__}-{at}" for at, each in enumerate(PLANTED)],
)
def test_a_planted_breach_is_found(rule: Rule, name: str, source: str, breach: str):
    assert any(breach in each for each in rule(name, source)), list(rule(name, source))


@pytest.mark.parametrize("rule", sorted({each[0] for each in PLANTED}, key=lambda r: r.__name__))
def test_what_is_right_is_not_accused(rule: Rule):
    assert [] == list(rule("workers/edge/x.py", GOOD))


@pytest.mark.parametrize("rule", [*EVERYWHERE, *IN_WORKERS], ids=lambda rule: rule.__name__)
def test_every_rule_has_a_planted_breach(rule: Rule):
    assert any(rule is each[0] for each in PLANTED)
