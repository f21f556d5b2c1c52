"""A soak report as a value: what the samples say, what the archive says, what it rests on.

Promises  made of the evidence alone, so that the same evidence gives the same report: `orderbooks
          gate` makes it again and compares
"""

import msgspec

from workers.core.soak.samples import Begun
from workers.core.soak.seen import Seen

SCHEMA = "orderbooks.soak_report/1"


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every tick that was due between the first sample and the last."""

    markets: int
    due: int
    adds_up: bool
    totals: dict[str, int]
    unreadable: list[str]

    def count(self, state: str) -> int:
        """Ticks of a state, whatever its cause."""
        return sum(n for name, n in self.totals.items() if name.partition("(")[0] == state)


class FirstCapture(msgspec.Struct, frozen=True, kw_only=True):
    """From a market's first due tick to its first captured one.

    Ticks that the venue answered without the book are the venue's: a market whose first ticks were
    all of that kind counts in `absent_first`, and the percentiles are of the others. `never` were
    due and not captured once, for another cause than the venue's.
    """

    markets: int
    p50_ms: int | None
    p99_ms: int | None
    max_ms: int | None
    slowest: str
    absent_first: int
    never: list[str]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Requests by endpoint and cause, and pauses by cause.

    `settings` is the SHA-256 of the settings of each run that asked; "" where it is not told.
    """

    requests: dict[str, dict[str, int]]
    skipped: dict[str, int]
    retry_after: int
    settings: dict[str, str]


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """Published files of one kind; `raw_bytes` is uncompressed, 0 for tables."""

    kind: str
    files: int
    rows: int
    bytes: int
    raw_bytes: int
    p50_bytes: int
    max_bytes: int


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """The offload ledger against what was published; `unproven_gone` must be empty."""

    published: int
    proven: int
    bytes: int
    batches: int
    causes: dict[str, int]
    verdicts: dict[str, int]
    unproven_gone: list[str]
    drills_passed: int
    drills_failed: int
    damage: list[str]


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What `orderbooks verify` said of the whole directory."""

    segments: int
    rows: int
    derived: int
    cut_short: int
    excused_rows: int
    problems: list[str]
    hashes: dict[str, int]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """What ledgers, books and publications say of a time that is over: the same for ever."""

    coverage: Coverage
    first_capture: FirstCapture
    asked: Asked


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """What the archive says of the time of the soak; `files` and `upload` when it was looked at."""

    from_utc: str
    until_utc: str
    account: Account
    files: list[Files]
    upload: Upload
    damage: list[str]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The list of what a report rests on: `sha256sum -c` in the data directory checks it.

    Of the samples the files, of everything else the manifests, which name their files' SHA-256.
    """

    path: str
    sha256: str
    files: int


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a verdict is made from."""

    begun: Begun
    seen: Seen
    archived: Archived
    verified: Verified


class Broken(msgspec.Struct, frozen=True):
    """A rule that does not hold, and what was found instead."""

    rule: str
    found: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """manifests/soak/<id>.json and reports/soak_test_DATE.json (`orderbooks.soak_report/1`)."""

    schema: str = SCHEMA
    soak: str
    made_at_utc: str
    version: str
    verdict: str
    broken: list[Broken]
    evidence: Evidence
    facts: Facts


def shown(report: Report) -> Report:
    """The report for other eyes."""
    begun = shown_begun(report.facts.begun)
    return msgspec.structs.replace(report, facts=msgspec.structs.replace(report.facts, begun=begun))


def shown_begun(begun: Begun) -> Begun:
    """Without the place of a remote that is a directory here."""
    is_elsewhere = ":" in begun.remote
    here = "a directory of this machine"
    return begun if is_elsewhere else msgspec.structs.replace(begun, remote=here)
