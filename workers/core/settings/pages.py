"""settings_pages: the settings as YAML text and as the page docs/SETTINGS.md.

Promises  what `render` writes, `edge.settings_file` reads back as the same Settings
"""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import Struct
from msgspec import inspect as shapes

from workers.core.settings.rules import ORDERS
from workers.core.settings.settings import Settings
from workers.core.settings.table import (
    Entry,
    Group,
    entries_of,
    expected,
    groups,
    must_be_given,
    number_text,
)

SCHEMA_LINE: Final = "# yaml-language-server: $schema=../docs/orderbooks.schema.json"
_WIDTH: Final = 96
_FILE_HEAD: Final = """\
# The settings of orderbooks: each value, then its reason, its bounds and its default.
# A line may be left out: the default then holds. Unknown keys are refused, and every mistake is
# reported at once with its line. Secrets never stand here; SENTRY_DSN is an environment variable.
# Check an edited file with `make config`. All keys in one table: docs/SETTINGS.md.
"""
_PAGE_HEAD: Final = """\
# Settings

Made from `workers/core/settings/settings.py` by `make docs`; do not edit.

The settings are one YAML file, `config/orderbooks.yaml` unless a command is told otherwise. A key
left out has its default. Units are in the names: `_s` seconds, `_ms` milliseconds, `_bytes` bytes.
`make config` reads the file as the workers do and reports every mistake at once, each as
`file:line:column: key: what is wrong`. A worker that starts on a file with a mistake stops and
waits for a person.

Text that YAML would turn into something else is refused rather than guessed at: quote `"NO"`,
`"12:30:00"`, `"2026-11-20"`, and ids, which are text: `"10684"`.

Secrets come from the environment only:

| variable | what |
|---|---|
| `SENTRY_DSN` | where alerts go; unset or empty = nowhere |
"""
_AGREE_HEAD: Final = """\
## What must agree

Each of these is checked when the file is read.

| setting | must be | setting | reason |
|---|---|---|---|
"""
_AGREE_TAIL: Final = """
Also: `schedule.warm_interval_ms` is a multiple of `schedule.hot_interval_ms`;
`collector.requests_per_10s` allows one request per hot tick; something is selected, and nothing
twice; a slug pattern gives each window its own slug; plain `http` only to this machine; `~` and
`$` in `data_dir` are refused, for nothing would expand them.
"""


def render(settings: Settings) -> str:
    """The settings as YAML, every key with its comment beneath."""
    return "\n".join(line for group in groups() for line in _group_lines(settings, group)) + "\n"


def shipped_file() -> str:
    """The text of config/orderbooks.yaml: the defaults, explained."""
    return f"{SCHEMA_LINE}\n{_FILE_HEAD}{render(Settings())}"


def comment_of(entry: Entry) -> tuple[str, ...]:
    """The comment lines beneath a key, without indent: reason, then bounds and default."""
    text = f"{entry.reason} {_sentence(entry)}"
    return tuple(textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# "))


def page() -> str:
    """The text of docs/SETTINGS.md."""
    sections = "\n".join(_page_section(group) for group in groups())
    orders = "".join(
        f"| `{order.low}` | {order.relation} | `{order.high}` | {order.reason} |\n"
        for order in ORDERS
    )
    return f"{_PAGE_HEAD}\n{sections}\n{_AGREE_HEAD}{orders}{_AGREE_TAIL}"


def _group_lines(settings: Settings, group: Group) -> Iterator[str]:
    indent = "  " if group.name else ""
    holder = getattr(settings, group.name) if group.name else settings
    if group.name:
        yield ""
        yield f"{group.name}:"
        yield f"  # {group.about}"
    for entry in group.entries:
        yield ""
        yield from _value_lines(entry.key, getattr(holder, entry.key), indent)
        yield from (f"{indent}  {line}" for line in comment_of(entry))


def _value_lines(key: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        yield f"{indent}{key}:"
        for item in value:
            pairs = [f"{name}: {_scalar(getattr(item, name))}" for name in item.__struct_fields__]
            yield f"{indent}  - {pairs[0]}"
            yield from (f"{indent}    {pair}" for pair in pairs[1:])
    else:
        yield f"{indent}{key}: {_scalar(value)}"


def _scalar(value: object) -> str:
    """A value as YAML, always in one form: text quoted, a list in brackets."""
    if isinstance(value, tuple):
        return f"[{', '.join(_scalar(each) for each in value)}]"
    if isinstance(value, str):
        plain = (c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value)
        return f'"{"".join(plain)}"'
    if isinstance(value, int | float):
        return number_text(value)
    raise TypeError(f"no setting may have the value {value!r}")


def _sentence(entry: Entry) -> str:
    bounds = expected(entry.kind)
    return f"{bounds[0].upper()}{bounds[1:]}; {_default(entry)}."


def _default(entry: Entry) -> str:
    if must_be_given(entry):
        return "must be given"
    return f"default {_short(entry.default)}{_size(entry)}"


def _short(value: object) -> str:
    """A default in few words; a list of series by their names."""
    if isinstance(value, tuple) and value and isinstance(value[0], Struct):
        return ", ".join(str(getattr(item, "name", item)) for item in value)
    return _scalar(value)


def _size(entry: Entry) -> str:
    """A default in bytes once more in MiB or GiB; "" for everything else."""
    value = entry.default
    if not entry.key.endswith("_bytes") or not isinstance(value, int) or value % (1 << 20):
        return ""
    return f" ({value >> 30} GiB)" if value >= 1 << 30 else f" ({value >> 20} MiB)"


def _page_section(group: Group) -> str:
    heading = f"## {group.name}" if group.name else "## At the top"
    lines = [heading, "", group.about, "", *_table(group.entries)]
    for entry in group.entries:
        if isinstance(entry.kind, shapes.VarTupleType):
            item = entry.kind.item_type
            if isinstance(item, shapes.StructType):
                lines += ["", f"Each of `{entry.path}`:", "", *_table(entries_of(item, ""))]
    return "\n".join(lines) + "\n"


def _table(entries: Iterable[Entry]) -> Iterator[str]:
    yield "| key | default | allowed | why |"
    yield "|---|---|---|---|"
    for entry in entries:
        given = must_be_given(entry)
        default = "must be given" if given else f"`{_short(entry.default)}`{_size(entry)}"
        yield f"| `{entry.key}` | {default} | {expected(entry.kind)} | {entry.reason} |"
