"""The tables of the documents that are made from the code: `make docs` writes them anew.

A page has a place for each, between `<!-- made: NAME -->` and `<!-- end -->`.

Reads     the catalogues of workers/core, the command's verbs, the Makefile, module docstrings
Writes    the pages of PAGES, only between those marks
Promises  the same code gives the same pages
"""

import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import workers
from workers.core import causes
from workers.core.archive.manifests import ENDINGS
from workers.core.archive.segments import ROOTS
from workers.core.events import EVENTS
from workers.core.health.conditions import ALERTS
from workers.core.health.heartbeats import GUARD_LEVELS
from workers.core.health.metrics import FAMILIES
from workers.core.offload.offload import VERDICTS
from workers.core.offload.pauses import LIMIT, PAUSES
from workers.core.offload.rclone_failures import REMOTE_CAUSES
from workers.core.offload.retention import BARS
from workers.core.report.token_stats import TOKEN_STATS
from workers.core.soak.gate import STEPS
from workers.core.soak.gates import RULES
from workers.core.stream.turns import table_page
from workers.core.tables.columns import BAD_REASONS, FLAGS
from workers.core.tables.framed import OWN
from workers.core.tables.tables import TABLES as DERIVED
from workers.core.universe.refusals import QUIET, REASONS
from workers.edge.spool.tickets import QUEUE_KINDS
from workers.tools.verbs import VERBS

ROOT = Path(__file__).resolve().parent.parent
PAGES = (
    *(ROOT / name for name in ("README.md", "ROADMAP.md", "CHANGELOG.md")),
    ROOT / "config/rclone.example.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name != "SETTINGS.md"),
)
_PLACE = re.compile(r"(<!-- made: ([a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)
_TARGET = re.compile(r"^([a-z0-9-]+):.*## (.+)$", re.MULTILINE)
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
    return table(("verb", "what"), ([f"`orderbooks {n}`", verb.what] for n, verb in VERBS.items()))


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


def metrics() -> str:
    """Every metric of the page."""
    rows = (
        [f"`{name}`", each.type, " ".join(f"`{label}`" for label in each.labels), each.help]
        for name, each in FAMILIES.items()
    )
    return table(("metric", "type", "labels", "means"), rows)


def soak_rules() -> str:
    """Every rule of a soak."""
    rows = ([f"`{name}`", rule.otherwise, rule.meaning] for name, rule in RULES.items())
    return table(("rule", "otherwise", "must hold"), rows)


def gate_steps() -> str:
    """Every step of the gate."""
    return catalogue(("step", "must be shown"), STEPS)


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


def close_causes() -> str:
    """Why a connection of the market channel ended."""
    return catalogue(("cause", "means"), causes.CLOSE_CAUSES)


def turns() -> str:
    """What a token's state on a connection may become, and why."""
    return table_page()


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


def verdicts() -> str:
    """What the remote can turn out to have of a file."""
    return catalogue(("verdict", "means"), VERDICTS)


def bars() -> str:
    """Why a data file stays on this disk."""
    return catalogue(("stays", "because"), BARS)


def remote_causes() -> str:
    """What a command of rclone can fail of, the alert it is told as, and its pause."""
    rows = (
        [f"`{name}`", each.meaning, f"[{each.alert}](OPERATIONS.md#{each.alert})", each.pause]
        for name, each in REMOTE_CAUSES.items()
    )
    return table(("cause", "means", "alert", "pause"), rows)


def pauses() -> str:
    """How long offload rests after a failure."""
    rows = [
        [name, f"{base_s:g} s", "doubled with each failure in a row", f"{cap_s:g} s"]
        for name, (base_s, cap_s) in PAUSES.items()
    ]
    last = [LIMIT, "`offload.limit_pause_s`", "always the same", "`offload.limit_pause_s`"]
    return table(("pause", "first, at most", "then", "at most"), [*rows, last])


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


def table_columns() -> str:
    """Every derived table with its columns."""
    parts = []
    for each in DERIVED.values():
        order = ", ".join(f"`{name}`" for name in each.order)
        rows = (
            [
                f"`{column.name}`",
                f"{column.kind}{' or null' if column.nullable else ''}",
                column.unit,
                column.meaning,
            ]
            for column in each.columns
        )
        head = f"### `{each.name}` (`{each.schema}`)\n\n{each.about} Order: {order}.\n\n"
        parts.append(head + table(("column", "type", "unit", "meaning"), rows))
    return "\n".join(parts)


def frame_columns() -> str:
    """The columns of a frame that the table `books` does not have."""
    rows = ([f"`{it.name}`", it.kind, it.unit, it.meaning] for it in OWN.columns)
    return table(("column", "type", "unit", "meaning"), rows)


def token_stats() -> str:
    """The columns of what was mined."""
    rows = ([f"`{it.name}`", it.kind, it.unit, it.meaning] for it in TOKEN_STATS.columns)
    return table(("column", "type", "unit", "meaning"), rows)


def book_flags() -> str:
    """What a row of `books` may be flagged with."""
    return catalogue(("flag", "means"), FLAGS)


def bad_reasons() -> str:
    """Why a raw row is no row of its table."""
    return catalogue(("reason", "means"), BAD_REASONS)


def reading_order() -> str:
    """Every module with the head of its docstring."""
    rows = []
    for name in workers.READING_ORDER:
        said = importlib.import_module(f"workers.{name}").__doc__ or ""
        rows.append([f"`{name}`", said.partition("\n\n")[0].partition(" Reads ")[0]])
    return table(("module", "what it is"), rows)


def rooms() -> str:
    """Every package that holds modules of the reading order, as it first comes up there."""
    found = dict.fromkeys(name.rpartition(".")[0] for name in workers.READING_ORDER)
    rows = []
    for name in (each for each in found if "." in each):
        said = importlib.import_module(f"workers.{name}").__doc__ or ""
        modules = sum(each.rpartition(".")[0] == name for each in workers.READING_ORDER)
        rows.append([f"`{name}`", str(modules), said.partition("\n")[0]])
    return table(("room", "modules", "what is in it"), rows)


TABLES: dict[str, Callable[[], str]] = {
    made.__name__: made
    for made in (
        *(verbs, targets, exit_codes, alerts, metrics, events, request_causes, skip_causes),
        *(refusal_reasons, market_refusals, endings, guard_levels, kinds, reading_order, rooms),
        *(table_columns, frame_columns, book_flags, bad_reasons, token_stats),
        *(verdicts, bars, remote_causes, pauses, close_causes, turns, soak_rules, gate_steps),
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
