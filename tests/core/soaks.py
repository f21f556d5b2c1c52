"""The rows of an imagined soak: a day against the live venue in which nothing went wrong.

Used by tests only. Times are Unix seconds after DAY_S; sizes are plausible.
"""

import msgspec

from workers.core.health.looks import Queue
from workers.core.health.reports import ProcessHealth
from workers.core.soak.report import (
    Account,
    Archived,
    Asked,
    Coverage,
    Facts,
    FirstCapture,
    Upload,
    Verified,
)
from workers.core.soak.samples import Begun, Done, Row, Sample
from workers.core.soak.seen import seen_of

DAY_S = 1_776_326_400
NS = 1_000_000_000
SAMPLE_S = 60
WORKERS = ("collector-00", "watchdog")


def begun(at_s: int = 0, **fields: object) -> Begun:
    given = {
        "soak": "one",
        "at_wall_ns": (DAY_S + at_s) * NS,
        "until_wall_ns": (DAY_S + 86_400) * NS,
        "sample_s": SAMPLE_S,
        "boot_id": "b1",
        "version": "0",
        "machine": "Linux",
        "config_sha256": "c",
        "gamma_url": "https://gamma-api.polymarket.com",
        "clob_url": "https://clob.polymarket.com",
        "remote": "drive:orderbooks",
    }
    return Begun(**{**given, **fields})  # type: ignore[arg-type]


def process(worker: str, pid: int = 7, **fields: object) -> ProcessHealth:
    given = {
        "worker": worker,
        "state": "RUNNING",
        "pid": pid,
        "up_s": 0,
        "reason": "",
        "pss_bytes": 30_000_000,
        "fds": 20,
    }
    return ProcessHealth(**{**given, **fields})  # type: ignore[arg-type]


def sample(at_s: int, **fields: object) -> Sample:
    given = {
        "soak": "one",
        "at_wall_ns": (DAY_S + at_s) * NS,
        "at_mono_ns": at_s * NS,
        "boot_id": "b1",
        "supervisord": 5,
        "problem": "",
        "processes": [process(each) for each in WORKERS],
        "workers": [],
        "queues": [Queue(name="upload", ready=1, oldest_s=30)],
        "quarantined": 0,
        "guard": "ok",
        "free_bytes": 50_000_000_000,
        "directories": {"raw": 1000 * at_s},
        "verdict": "ok",
        "alerts": [],
    }
    return Sample(**{**given, **fields})  # type: ignore[arg-type]


def rows(until_s: int = 86_400) -> list[Row]:
    """Begun, a sample each minute, done."""
    samples = [sample(at) for at in range(0, until_s + 1, SAMPLE_S)]
    return [begun(), *samples, Done(soak="one", at_wall_ns=(DAY_S + until_s) * NS)]


def changed(told: list[Row], which: range, **fields: object) -> list[Row]:
    """Some samples, by number, with other members."""
    return [
        msgspec.structs.replace(row, **fields) if at - 1 in which else row
        for at, row in enumerate(told)
    ]


ACCOUNT = Account(
    coverage=Coverage(
        markets=400,
        due=100_000,
        adds_up=True,
        totals={"CAPTURED": 99_000, "VENUE_ABSENT": 900, "FAILED(timeout)": 100},
        unreadable=[],
    ),
    first_capture=FirstCapture(
        markets=400, p50_ms=0, p99_ms=1000, max_ms=2000, slowest="btc", absent_first=3, never=[]
    ),
    asked=Asked(
        requests={"POST /books": {"ok": 86_400, "timeout": 100}},
        skipped={},
        retry_after=0,
        settings={"collector-00.1": "c"},
    ),
)
UPLOAD = Upload(
    published=900,
    proven=890,
    bytes=1,
    batches=40,
    causes={},
    verdicts={"proven": 890},
    unproven_gone=[],
    drills_passed=1,
    drills_failed=0,
    damage=[],
)
VERIFIED = Verified(
    segments=900,
    rows=200_000,
    derived=200,
    cut_short=0,
    excused_rows=0,
    problems=[],
    hashes={"verified": 200_000, "failed": 0},
)


def facts(told: list[Row] | None = None) -> Facts:
    """Everything a verdict is made from."""
    told = told or rows()
    seen, first = seen_of(told), told[0]
    assert seen is not None
    assert isinstance(first, Begun)
    archived = Archived(
        from_utc="2026-04-16T08:00:00.000Z",
        until_utc="2026-04-17T08:00:00.000Z",
        account=ACCOUNT,
        files=[],
        upload=UPLOAD,
        damage=[],
    )
    return Facts(begun=first, seen=seen, archived=archived, verified=VERIFIED)
