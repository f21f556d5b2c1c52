"""settings: every setting, its type, unit, bounds, default and reason, in one place.

A Settings value is one level of sections deep.  Nothing here reads a file: `edge.settings_file`
does.  docs/SETTINGS.md and docs/orderbooks.schema.json are made from this module, and a test
holds them and the comments of config/orderbooks.yaml to it.  What two settings must agree on
stands in `core.settings.rules`.

    Promises  a value that came through `edge.settings_file.load` is inside every bound below
    Never     holds a secret: those come from the environment only
"""

from typing import Annotated

from msgspec import Meta

from workers.core.settings.keep import Normalizer, Offload, Retention
from workers.core.settings.scope import (
    NAME_PATTERN,
    Discovery,
    Schedule,
    Section,
    Selection,
    Series,
    Venue,
    between,
)
from workers.core.settings.stream import Streamer

__all__ = [
    "Alerts",
    "Collector",
    "Discovery",
    "Normalizer",
    "Offload",
    "Retention",
    "Schedule",
    "Section",
    "Segments",
    "Selection",
    "Series",
    "Settings",
    "Streamer",
    "Venue",
    "Watchdog",
]


class Collector(Section, frozen=True, kw_only=True):
    """How books are fetched, and how hard a failing venue is pressed."""

    batch_tokens: Annotated[
        int,
        between(
            2,
            250,
            "Tokens in one POST /books; both of a market go together. The venue takes 500: half.",
        ),
    ] = 250
    request_timeout_s: Annotated[
        float,
        between(
            0.1,
            60,
            "Seconds one request may take, to the last byte. The venue delays callers that are "
            "over a limit, and a later book is a worse one than the next tick's.",
        ),
    ] = 2.5
    max_body_bytes: Annotated[
        int,
        between(
            65_536,
            268_435_456,
            "Bytes of one decoded answer; a longer one is refused. 250 books of a 0.001 tick are "
            "at most 8 MB.",
        ),
    ] = 16_777_216
    kept_body_bytes: Annotated[
        int,
        between(
            0,
            4_194_304,
            "Bytes kept of the body of an answer that was not a good one: the evidence, bounded.",
        ),
    ] = 65_536
    requests_per_10s: Annotated[
        int,
        between(
            1,
            400,
            "Requests in any 10 s by all shards together; each takes its share. The venue allows "
            "500 on POST /books per address.",
        ),
    ] = 100
    backoff_base_s: Annotated[
        float,
        between(0.01, 60, "Seconds of the first pause after a failure; doubled, with full jitter."),
    ] = 1.0
    backoff_cap_s: Annotated[
        float,
        between(0.01, 3600, "Seconds a pause never exceeds, however long the venue fails."),
    ] = 30.0
    blocked_backoff_s: Annotated[
        float,
        between(
            0.01,
            86_400,
            "Seconds of the first pause when the answer is a refusal of us (403, 451, an HTML "
            "page): at least half of it; doubled up to eight times. Asking on makes it worse.",
        ),
    ] = 60.0
    retry_after_cap_s: Annotated[
        float,
        between(1, 86_400, "Seconds a Retry-After is obeyed at most; some ask for years."),
    ] = 300.0
    breaker_failures: Annotated[
        int,
        between(1, 1000, "Failures in a row after which one request at a time tries the venue."),
    ] = 5
    big_book_bytes: Annotated[
        int,
        between(
            0,
            32_768,
            "Bytes of a book above which its market gets one file per token. Below, both tokens "
            "share a stream and each finds its last book within 16 KiB.",
        ),
    ] = 7_000
    late_tolerance_ms: Annotated[
        int,
        between(
            1,
            60_000,
            "Milliseconds after its due time within which a tick may still start; later, it "
            "counts as missed and is never made up in a burst.",
        ),
    ] = 500


class Segments(Section, frozen=True, kw_only=True):
    """How rows reach the disk."""

    flush_interval_s: Annotated[
        float,
        between(
            0.05,
            60,
            "Seconds between two deflate flushes: what a killed process can cost. Every row "
            "costs 20 % more bytes, every tenth 2 %.",
        ),
    ] = 2.0
    sync_interval_s: Annotated[
        float,
        between(
            0.05,
            600,
            "Seconds between two fdatasync: what a power cut can cost, with the step in progress.",
        ),
    ] = 5.0
    max_segment_bytes: Annotated[
        int,
        between(
            65_536,
            1_073_741_824,
            "Uncompressed bytes at which the next segment is begun: what salvage and every reader "
            "hold in memory. An hour of a 4 KB book at 1 s is 30 MB.",
        ),
    ] = 67_108_864
    deflate_level: Annotated[
        int,
        between(
            1,
            9,
            "Level of zlib-ng: 9 finds the previous book in the window; 6 gives twice the bytes.",
        ),
    ] = 9
    retry_pause_s: Annotated[
        float,
        between(0.01, 600, "Seconds before a write that found the disk full is tried again."),
    ] = 5.0


class Watchdog(Section, frozen=True, kw_only=True):
    """When a person is told, and when recording gives way to a full disk."""

    interval_s: Annotated[
        float,
        between(0.2, 600, "Seconds between two looks at everything."),
    ] = 10.0
    history_interval_s: Annotated[
        float,
        between(0.2, 86_400, "Seconds between two rows of the health and disk history."),
    ] = 60.0
    heartbeat_late_s: Annotated[
        float,
        between(1, 86_400, "Seconds without a heartbeat after which a worker counts as stuck."),
    ] = 30.0
    row_late_s: Annotated[
        float,
        between(
            1,
            86_400,
            "Seconds without a new book, while one was due, after which a collector counts as "
            "blind.",
        ),
    ] = 30.0
    backlog_warn_s: Annotated[
        float,
        between(1, 2_592_000, "Seconds the oldest ticket of a queue may wait."),
    ] = 3600.0
    quarantine_warn_files: Annotated[
        int,
        between(1, 1_000_000, "Files in quarantine from which a person is told."),
    ] = 1
    clock_warn_ms: Annotated[
        int,
        between(
            1,
            3_600_000,
            "Milliseconds of a clock step, or of difference to the venue's clock, worth a warning.",
        ),
    ] = 1000
    backoff_warn_s: Annotated[
        float,
        between(1, 86_400, "Seconds a process may stand in supervisord's BACKOFF."),
    ] = 60.0
    disk_warn_free_bytes: Annotated[
        int,
        between(0, 1 << 50, "Free bytes below which a person is told; nothing else changes."),
    ] = 4 << 30
    disk_stop_opening_free_bytes: Annotated[
        int,
        between(
            0, 1 << 50, "Free bytes below which no new market is begun; open ones are finished."
        ),
    ] = 2 << 30
    disk_pause_free_bytes: Annotated[
        int,
        between(
            0,
            1 << 50,
            "Free bytes below which recording pauses, and says so, with room left to close "
            "files properly.",
        ),
    ] = 1 << 30
    disk_history_hours: Annotated[
        int,
        between(
            1, 720, "Hours of disk history from which the growth and the full date are computed."
        ),
    ] = 6
    checkin_interval_s: Annotated[
        float,
        between(
            1,
            86_400,
            "Seconds between two Sentry check-ins. A missing one is the only alert that the "
            "machine itself is gone.",
        ),
    ] = 300.0


class Alerts(Section, frozen=True, kw_only=True):
    """What alerts carry.  The address is SENTRY_DSN in the environment, never in this file."""

    environment: Annotated[
        str,
        Meta(
            pattern=NAME_PATTERN,
            description="The environment every alert names, to tell two apart.",
        ),
    ] = "development"


class Settings(Section, frozen=True, kw_only=True):
    """Everything an operator decides, except secrets."""

    data_dir: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=1024,
            description="Where everything recorded lies. A relative path starts at the directory "
            "above config/ when this file lies in one, else at this file's own.",
        ),
    ] = "./var"
    venue: Venue = Venue()
    selection: Selection = Selection()
    discovery: Discovery = Discovery()
    schedule: Schedule = Schedule()
    collector: Collector = Collector()
    streamer: Streamer = Streamer()
    segments: Segments = Segments()
    normalizer: Normalizer = Normalizer()
    offload: Offload = Offload()
    retention: Retention = Retention()
    watchdog: Watchdog = Watchdog()
    alerts: Alerts = Alerts()
