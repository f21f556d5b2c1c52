"""settings_keep: the settings that say where finished files go, and how long they stay here.

A part of `core.settings.settings`, which is where others import them from.
"""

from typing import Annotated, Final

from msgspec import Meta

from workers.core.settings.scope import SHAPES, Section, between

#: `./x`, `../x` or `/x` is a directory; else `name:path` of rclone's configuration. A connection
#: string (`:sftp,pass=…:`) is neither: it would put secrets into command lines.
REMOTE_PATTERN: Final = r"^(\.{0,2}/[^\x00]*|[A-Za-z0-9_][A-Za-z0-9_-]*:[^\x00]*)$"
HOURS_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"
DOWNLOAD_PATTERN: Final = "^(never|without_hash)$"
SHAPES[REMOTE_PATTERN] = "a directory (./x or /x), or name:path of rclone's configuration"
SHAPES[HOURS_PATTERN] = 'UTC hours such as "18:00-23:30"'
SHAPES[DOWNLOAD_PATTERN] = "never or without_hash"


class Offload(Section, frozen=True, kw_only=True):
    """Where published files are copied to, and how their copies are proven."""

    remote: Annotated[
        str,
        Meta(
            pattern=REMOTE_PATTERN,
            description="A directory, or name:path of rclone's configuration (docs/OFFLOAD.md). A "
            "relative directory starts where data_dir does. On the same disk it is no second copy.",
        ),
    ] = "./var.remote"
    rclone_path: Annotated[
        str,
        Meta(
            min_length=0,
            max_length=1024,
            description="Another rclone than the one that is installed with the project; empty = "
            "that one.",
        ),
    ] = ""
    interval_s: Annotated[
        float,
        between(0.2, 86_400, "Seconds the oldest file waits before a batch is begun."),
    ] = 60.0
    batch_files: Annotated[
        int,
        between(1, 1000, "Segments in one batch. Drive takes about two files a second."),
    ] = 64
    batch_bytes: Annotated[
        int,
        between(
            65_536,
            1 << 36,
            "Bytes at which a batch is full: what a failed batch costs to repeat.",
        ),
    ] = 268_435_456
    transfers: Annotated[
        int,
        between(1, 16, "Files copied at once; each costs rclone a chunk of memory."),
    ] = 2
    bandwidth_bytes_per_s: Annotated[
        int,
        between(0, 1 << 40, "Bytes a second that copies may take; 0 = all there is."),
    ] = 0
    quiet_hours: Annotated[
        tuple[Annotated[str, Meta(pattern=HOURS_PATTERN)], ...],
        Meta(
            max_length=24,
            description='Hours of the day, UTC, in which no batch is begun: ["18:00-23:30"]. They '
            "may pass midnight.",
        ),
    ] = ()
    batch_timeout_s: Annotated[
        float,
        between(1, 86_400, "Seconds after which a command of rclone is ended and tried again."),
    ] = 3600.0
    prove_by_download: Annotated[
        str,
        Meta(
            pattern=DOWNLOAD_PATTERN,
            description="Whether files are read back where the remote has no hash that we have "
            "(plain WebDAV, crypt): without it they are never proven and never leave the disk.",
        ),
    ] = "never"
    limit_pause_s: Annotated[
        float,
        between(
            1,
            86_400,
            "Seconds between two tries while the remote's daily limit or quota is used up.",
        ),
    ] = 3600.0
    drill_interval_s: Annotated[
        float,
        between(
            0,
            2_592_000,
            "Seconds between two drills: one proven file is fetched back and read to its last "
            "row. 0 = none.",
        ),
    ] = 86_400.0


class Retention(Section, frozen=True, kw_only=True):
    """How long the data files of proven segments stay on this disk; manifests always stay."""

    keep_days: Annotated[
        int,
        between(0, 36_500, "Days a proven data file stays here; 0 = for ever."),
    ] = 0
    min_free_bytes: Annotated[
        int,
        between(
            0,
            1 << 50,
            "Free bytes that are kept by letting the oldest proven files go before their days are "
            "over; 0 = never.",
        ),
    ] = 0
    min_keep_hours: Annotated[
        int,
        between(0, 8760, "Hours a file stays whatever the disk says: what is read most."),
    ] = 24
    interval_s: Annotated[
        float,
        between(0.2, 86_400, "Seconds between two passes."),
    ] = 3600.0


class Normalizer(Section, frozen=True, kw_only=True):
    """When raw segments become tables, and when an hour's files become one."""

    interval_s: Annotated[
        float,
        between(0.05, 3600, "Seconds between two looks for segments that wait."),
    ] = 5.0
    batch_rows: Annotated[
        int,
        between(1, 10_000_000, "Rows that wait at which a batch is begun."),
    ] = 50_000
    batch_bytes: Annotated[
        int,
        between(
            65_536,
            1 << 36,
            "Uncompressed bytes of segments that wait at which a batch is begun, and about what "
            "one holds. A book is 3 to 4 KB.",
        ),
    ] = 16_777_216
    batch_age_s: Annotated[
        float,
        between(0, 86_400, "Seconds a segment waits at most, however few there are."),
    ] = 300.0
    hour_grace_s: Annotated[
        float,
        between(
            0,
            86_400,
            "Seconds after the end of an hour, and of its last segment, from which its files are "
            "merged into one and given to the uploader.",
        ),
    ] = 120.0
    prune_changes_days: Annotated[
        int,
        between(
            0,
            36_500,
            "Days after which the price changes of an hour go from the derived table `changes`; "
            "0 = never. Snapshots, trades and ticks stay, and raw keeps everything.",
        ),
    ] = 0
