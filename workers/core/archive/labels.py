"""Labels: what a person says of something in the archive, beside it. Nothing is ever deleted.

    labels/<artifact>.label.json, then <artifact>.2.label.json …     (orderbooks.label/1)

| kind         | says                                         | who honours it                  |
|--------------|----------------------------------------------|---------------------------------|
| invalid      | do not believe it                            | verify, coverage, gaps, reading |
| deprecated   | something better replaces it                 | verify                          |
| acknowledged | it is damaged or missing, and a person knows | verify, coverage, gaps          |

Retention lets nothing go that has a label. Of the derived tables only `gaps`, which is made again
when a label comes, applies them: the others name the `segment` of each row, and readers honour the
label.
"""

import re

import msgspec

from workers.core.instants import parse_utc

SCHEMA = "orderbooks.label/1"
SUFFIX = ".label.json"
KINDS = ("invalid", "deprecated", "acknowledged")
#: A label of a stretch of time is about every market when it names this one.
EVERY_MARKET = "*"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


class Label(msgspec.Struct, frozen=True, kw_only=True):
    """One label; about a file (`artifact`), or about a stretch of a market's coverage."""

    schema: str = SCHEMA
    artifact: str
    kind: str
    reason: str
    by: str
    at_utc: str
    replacement: str | None = None
    market: str | None = None
    from_utc: str | None = None
    until_utc: str | None = None


class Acknowledged(msgspec.Struct, frozen=True):
    """A stretch of coverage that a person knows of; from_ms ≤ due < until_ms."""

    market: str
    from_ms: int
    until_ms: int

    def is_about(self, slug: str) -> bool:
        """True when it covers this market."""
        return self.market in (slug, EVERY_MARKET)


def safe_artifact(text: str) -> str:
    """The artifact as part of a file name: its last path component, without odd characters."""
    return _UNSAFE.sub("-", text.rstrip("/").rpartition("/")[2])[:200] or "unnamed"


def read_label(data: bytes) -> Label:
    """A label from its bytes.

    Raises:
        msgspec.MsgspecError: not a label of this schema, of a known kind, with a whole stretch.
    """
    label = msgspec.json.decode(data, type=Label)
    if label.schema != SCHEMA or label.kind not in KINDS:
        raise msgspec.ValidationError(f"schema {label.schema!r}, kind {label.kind!r}")
    if label.market is not None:
        stretch_of(label)
    return label


def stretch_of(label: Label) -> Acknowledged:
    """The stretch of coverage a label is about.

    Raises:
        msgspec.MsgspecError: it has no market, or its times are not such.
    """
    if label.market is None or label.from_utc is None or label.until_utc is None:
        raise msgspec.ValidationError("a label of coverage needs market, from_utc and until_utc")
    try:
        return Acknowledged(label.market, parse_utc(label.from_utc), parse_utc(label.until_utc))
    except ValueError as error:
        raise msgspec.ValidationError(str(error)) from error
