"""The commands of a document: every line of its ```sh blocks, in order, below its headings.

A block that follows "After a minute:" or "After 6 minutes:" is for then.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_PART = re.compile(
    r"^## (?P<heading>[^\n]+)$|^```(?P<kind>\w*)\n(?P<body>.*?)^```$|"
    r"^After (?P<wait>a|\d+)(?: more)? minutes?\b",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """Commands that are given one after the other."""

    heading: str
    wait_s: int
    commands: tuple[str, ...]


def blocks(page: str) -> Iterator[Block]:
    """The blocks of a page."""
    heading, wait_s = "", 0
    for part in _PART.finditer(page):
        if part["heading"]:
            heading, wait_s = part["heading"], 0
        elif part["wait"]:
            wait_s = 60 * (1 if part["wait"] == "a" else int(part["wait"]))
        else:
            if part["kind"] == "sh":
                yield Block(heading, wait_s, tuple(part["body"].splitlines()))
            wait_s = 0
