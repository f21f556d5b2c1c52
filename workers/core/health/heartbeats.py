"""What a worker says of itself: one small file, replaced whole, read by the watchdog and `status`.

Never  asked for: readers look at the file, never at the process.
"""

import msgspec


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person may have to know (core/health/alerts.py); the watchdog alerts it."""

    alert: str
    detail: str
    subject: str = ""


class MarketBeat(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its collector sees it, since the collector started."""

    slug: str
    condition_id: str
    tier: str
    last_row_wall_ns: int | None = None
    last_update_ms: int | None = None
    due: int = 0
    captured: int = 0
    failed: dict[str, int] = {}
    verified: int = 0
    hash_failed: int = 0
    hash_absent: int = 0


class StreamBeat(msgspec.Struct, frozen=True, kw_only=True):
    """One market as its streamer sees it, since the streamer started.

    `connection`, `state` and `last_seq` are of the connection that knows most of it: "EMPTY" <
    "SUSPECT" < "SYNCED", the worse of both tokens. `checks` are verdicts on hashes.
    """

    slug: str
    condition_id: str
    connection: str = ""
    state: str = "EMPTY"
    reason: str = ""
    is_isolated: bool = False
    last_seq: int = 0
    last_update_ms: int | None = None
    last_row_wall_ns: int | None = None
    snapshots: int = 0
    changes: int = 0
    applied: int = 0
    invalid: int = 0
    duplicates: int = 0
    resyncs: dict[str, int] = {}
    checks: dict[str, int] = {}


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's account of itself (`orderbooks.heartbeat/1`).

    `*_mono_ns` cannot be compared across reboots; `boot_id` tells.
    """

    schema: str = "orderbooks.heartbeat/1"
    worker: str
    shard: int | None = None
    shards: int | None = None
    pid: int
    run: str
    version: str
    boot_id: str
    started_wall_ns: int
    at_wall_ns: int
    at_mono_ns: int
    state: str = "running"
    last_success_wall_ns: int | None = None
    last_error: str | None = None
    last_error_wall_ns: int | None = None
    counters: dict[str, int] = {}
    conditions: list[Condition] = []
    markets: list[MarketBeat] = []
    streams: list[StreamBeat] = []


class Crash(msgspec.Struct, frozen=True, kw_only=True):
    """An unexpected death (`spool/heartbeat/<worker>.crash.json`)."""

    worker: str
    pid: int
    at_wall_ns: int
    kind: str
    message: str
    traceback: str


class Guard(msgspec.Struct, frozen=True, kw_only=True):
    """The disk guard (`spool/guard/disk.json`), written by the watchdog, obeyed by collectors."""

    level: str = "ok"
    at_wall_ns: int = 0
    free_bytes: int = 0


#: From mild to hard; each includes what stands before it.
GUARD_LEVELS: dict[str, str] = {
    "ok": "record",
    "warn": "record, alert",
    "stop_opening": "go on with the markets being recorded, start no others",
    "pause": "seal everything and pause",
}
