"""The rows of a soak: what was seen of a fleet, again and again, for hours.

Promises  a row says everything by itself; rows of one soak share its id; a machine that was
          started anew shows by `boot_id`, a sampler that was by a second `begun`
"""

import msgspec

from workers.core.health.looks import Queue
from workers.core.health.reports import ProcessHealth


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="begun"):
    """A sampler that started, for the first time or again; `until_wall_ns` is when it is to end.

    `notes` are a person's words on what this soak is: how a clock was scaled, what ran beside it.
    """

    soak: str
    at_wall_ns: int
    until_wall_ns: int
    sample_s: float
    boot_id: str
    version: str
    machine: str
    config_sha256: str
    gamma_url: str
    clob_url: str
    remote: str
    label: str = ""
    notes: list[str] = []


class WorkerSample(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's own word: the age of its heartbeat, and what it counts since its start."""

    worker: str
    run: str
    state: str
    silent_s: int
    markets: int
    counters: dict[str, int]


class Sample(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="sample"):
    """One look: processes as supervisord and the kernel see them, workers as they say.

    `directories` is of the last walk over the archive, bytes on disk by directory.
    """

    soak: str
    at_wall_ns: int
    at_mono_ns: int
    boot_id: str
    supervisord: int | None
    problem: str
    processes: list[ProcessHealth]
    workers: list[WorkerSample]
    queues: list[Queue]
    quarantined: int
    guard: str
    free_bytes: int | None
    directories: dict[str, int]
    verdict: str
    alerts: list[str]


class Done(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="done"):
    """The time was over; a soak without this row may be resumed."""

    soak: str
    at_wall_ns: int


Row = Begun | Sample | Done
_row: msgspec.json.Decoder[Row] = msgspec.json.Decoder(Row)


def read_row(line: bytes) -> Row:
    """A row of a soak segment; raises msgspec.MsgspecError when it is not one."""
    try:
        return _row.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
