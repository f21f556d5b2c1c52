"""The tables of the documents that are made from the code: `make docs` writes them anew.

A page has a place for each, between `<!-- made: NAME -->` and `<!-- end -->`.

Reads     the catalogues of workers/core, the command's verbs, the Makefile, module docstrings
Writes    README.md and docs/*.md, only between those marks
Promises  the same code gives the same pages
"""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import workers
from workers.core import causes
from workers.core.alerts import ALERTS
from workers.core.events import EVENTS
from workers.core.heartbeats import GUARD_LEVELS
from workers.core.manifests import ENDINGS
from workers.core.refusals import QUIET, REASONS
from workers.core.segments import ROOTS
from workers.edge.spool.tickets import QUEUE_KINDS
from workers.tools.__main__ import VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *(ROOT / name for name in ("README.md", "ROADMAP.md", "CHANGELOG.md")),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "SETTINGS.md"),
)
_PLACE = re.compile(r"(<!-- made: ([a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TARGET = re.compile(r"^([a-z-]+):.*## (.+)$", re.MULTILINE)
_CODES = re.compile(r"exit codes(?: are supervisorctl's)?:(.*?)\Z", re.DOTALL)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; cells are one line and hold no bar of their own."""
    lines = [list(head)]
    lines += [["---"] * len(lines[0])]
    lines += [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def catalogue(head: tuple[str, str], names: Mapping[str, str]) -> str:
    """A table of names and their meanings."""
    return table(head, ([f"`{name}`", meaning] for name, meaning in names.items()))


def verbs() -> str:
    """What `orderbooks` can do."""
    return table(("verb", "what"), ([f"`orderbooks {n}`", what] for n, what in VERBS.items()))


def targets() -> str:
    """What `make` can do."""
    found = _TARGET.findall((ROOT / "Makefile").read_text())
    return table(("target", "what"), ([f"`make {name}`", what] for name, what in found))


def exit_codes() -> str:
    """The exit codes of each verb, as its own help says them."""
    rows = []
    for name in VERBS:
        said = _CODES.search(importlib.import_module(f"workers.tools.{name}").EXAMPLES)
        rows.append([f"`{name}`", said[1] if said else "MISSING"])
    return table(("verb", "exit codes"), rows)


def alerts() -> str:
    """Every alert: who must act, how patient it is, what it means."""
    rows = (
        [
            f"[{name}](#{name})",
            each.level,
            f"{each.grace_s:g} s",
            f"{each.hold_s:g} s",
            each.meaning,
        ]
        for name, each in ALERTS.items()
    )
    return table(("alert", "level", "after", "over", "means"), rows)


def events() -> str:
    """Every log event."""
    rows = (
        [f"`{name}`", each.level, " ".join(f"`{field}`" for field in each.fields), each.meaning]
        for name, each in EVENTS.items()
    )
    return table(("event", "level", "fields", "means"), rows)


def request_causes() -> str:
    """What can go wrong with a request."""
    return catalogue(("cause", "means"), causes.REQUEST_CAUSES)


def skip_causes() -> str:
    """Why a tick asks nothing, and what coverage calls it."""
    rows = (
        [f"`{name}`", "PAUSED" if name in causes.PAUSE_CAUSES else "FAILED", meaning]
        for name, meaning in causes.SKIP_CAUSES.items()
    )
    return table(("cause", "coverage", "means"), rows)


def refusal_reasons() -> str:
    """Why a book is in no segment."""
    return catalogue(("reason", "means"), causes.REFUSAL_REASONS)


def market_refusals() -> str:
    """Why a listed market is not recorded."""
    rows = (
        [f"`{name}`", "quiet" if name in QUIET else "alert", meaning]
        for name, meaning in REASONS.items()
    )
    return table(("reason", "", "means"), rows)


def endings() -> str:
    """Why a segment ended."""
    return catalogue(("ended", "means"), ENDINGS)


def guard_levels() -> str:
    """What each level of the disk guard asks for."""
    return catalogue(("level", "asks"), GUARD_LEVELS)


def kinds() -> str:
    """The kinds of segments: where they lie, and who gets a ticket."""
    rows = (
        [
            f"`{kind}`",
            f"`{root}`",
            ", ".join(q for q, taken in QUEUE_KINDS.items() if kind in taken),
        ]
        for kind, root in ROOTS.items()
    )
    return table(("kind", "below", "queues"), rows)


def reading_order() -> str:
    """Every module with the head of its docstring."""
    rows = []
    for name in workers.READING_ORDER:
        said = importlib.import_module(f"workers.{name}").__doc__ or ""
        rows.append([f"`{name}`", said.partition("\n\n")[0].partition(" Reads ")[0]])
    return table(("module", "what it is"), rows)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        *(verbs, targets, exit_codes, alerts, events, request_causes, skip_causes),
        *(refusal_reasons, market_refusals, endings, guard_levels, kinds, reading_order),
    )
}


def filled(page: str) -> str:
    """A page with every made table as the code has it now; KeyError for an unknown name."""
    return _PLACE.sub(lambda place: f"{place[1]}\n{TABLES[place[2]]()}\n{place[3]}", page)


def places(page: str) -> list[str]:
    """The names of the tables a page has a place for."""
    return [place[2] for place in _PLACE.finditer(page)]


def main() -> None:
    """Write every page anew whose tables have changed."""
    for path in PAGES:
        before = path.read_text()
        after = filled(before)
        if after != before:
            path.write_text(after)
            print(f"made anew: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
