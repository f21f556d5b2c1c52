"""Holds the law that what no program uses is not there: code that only tests call is no product."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Methods that a library calls by their names, and what the pages are made from.
CALLED_FROM_OUTSIDE = {
    *("on_ws_connected", "on_ws_disconnected", "on_ws_frame", "pause_writing", "resume_writing"),
    *("do_HEAD", "address_string", "log_message", "get_redirect_target", "set_cookie"),
    *("CLOSE_CAUSES", "REFUSAL_REASONS", "ENDINGS"),
    # The promise of a frames segment as code: the bytes of a frame from its rows.
    "frame_of",
}


def defined(tree: ast.Module) -> Iterator[str]:
    """Functions, methods, classes and constants that have a name of their own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
    for node in tree.body:
        if isinstance(node, ast.Assign):
            yield from (each.id for each in node.targets if isinstance(each, ast.Name))


def unused(sources: Mapping[str, str], callers: str = "") -> list[str]:
    """What is named only where it is defined; `callers` are texts that name some of it."""
    words = Counter(re.findall(r"\w+", callers))
    for text in sources.values():
        words.update(re.findall(r"\w+", text))
    found = [(name, path) for path, text in sources.items() for name in defined(ast.parse(text))]
    times = Counter(name for name, _ in found)
    return sorted(
        f"{path}: {name}"
        for name, path in found
        if words[name] == times[name]
        and name not in CALLED_FROM_OUTSIDE
        and not name.startswith("__")
    )


def test_what_no_program_uses_is_not_there():
    files = [path for path in (ROOT / "workers").rglob("*.py") if "__pycache__" not in path.parts]
    sources = {path.relative_to(ROOT).as_posix(): path.read_text("utf-8") for path in files}
    ops = "".join(path.read_text("utf-8") for path in (ROOT / "ops").rglob("*.sh"))

    assert [] == unused(sources, ops)


def test_what_is_named_once_is_found():
    source = "A = B = 1\n\ndef used():\n    return A\n\nclass Odd:\n    def lost(self):\n        used()\n"

    assert ["x.py: B", "x.py: Odd", "x.py: lost"] == unused({"x.py": source})
    assert ["x.py: B"] == unused({"x.py": source, "y.py": "Odd().lost()"})
