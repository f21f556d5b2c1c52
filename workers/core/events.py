"""The catalogue of log events: past-tense names, what each tells the operator.

One line of JSON per unit of work: `{"at": …, "event": …, "worker": …, "shard": …, "pid": …}` and
the fields named here. Level is by who must act: error = a person, warning = a person if it
repeats, info = nobody.
"""

import msgspec


class Event(msgspec.Struct, frozen=True):
    """Level, the fields beside the common ones, and the sentence for the operator."""

    level: str
    fields: tuple[str, ...]
    meaning: str


EVENTS: dict[str, Event] = {
    "worker_started": Event("info", ("version", "run", "config"), "the worker owns its directory"),
    "worker_stopped": Event("info", ("reason", "uptime_s"), "everything it held is published"),
    "worker_crashed": Event(
        "error", ("kind", "message"), "a bug: supervisord restarts it; the traceback is in .crash"
    ),
    "stopped_for_a_person": Event(
        "error", ("reason", "hint"), "exit code 100: do what the hint says, then start it"
    ),
    "step_postponed": Event(
        "warning", ("failures", "pause_s", "reason"), "a passing fault; the step is tried again"
    ),
    "segment_recovered": Event(
        "warning", ("action", "name", "detail"), "an earlier death left this; it is settled now"
    ),
    "segment_published": Event(
        "info", ("name", "rows", "bytes", "ended"), "a segment is committed with its manifest"
    ),
    "disk_refused": Event(
        "error", ("reason",), "writes fail; rows wait in memory and polling pauses until it heals"
    ),
    "disk_recovered": Event("info", ("refused_s",), "writes work again"),
    "clock_stepped": Event(
        "warning", ("step_ms",), "the wall clock jumped; the tick grid was laid anew"
    ),
    "universe_loaded": Event(
        "info", ("seq", "markets", "mine"), "the collector records these markets from now on"
    ),
    "universe_published": Event(
        "info", ("seq", "markets", "added", "removed", "refused"), "a new universe.json is out"
    ),
    "universe_kept": Event(
        "warning", ("seq", "reason"), "the venue's answer was empty or absurd; the old one stands"
    ),
    "mapping_refused": Event(
        "error", ("slug", "reason", "detail"), "a market is not recorded (or kept as it was)"
    ),
    "requests_failed": Event(
        "warning", ("cause", "count", "pause_s"), "requests to the venue fail; paused and counted"
    ),
    "requests_recovered": Event("info", ("failures", "cause"), "the venue answers again"),
    "ticks_missed": Event(
        "warning", ("cause", "from_due_ms", "until_due_ms"), "these ticks are lost and recorded"
    ),
    "connection_lost": Event(
        "warning",
        ("connection", "cause", "detail", "frames"),
        "a connection of the market channel ended; another one is opened, the gap is recorded",
    ),
    "market_frozen": Event(
        "warning",
        ("connection", "market"),
        "events of this market no longer come; another connection takes over",
    ),
    "stream_stalled": Event(
        "warning", ("for_ms",), "nobody listened for so long (a slow disk?); times are late by it"
    ),
    "guard_obeyed": Event("warning", ("level",), "the disk guard changed what may be recorded"),
    "alert_raised": Event("warning", ("alert", "subject", "detail"), "see OPERATIONS.md#alerts"),
    "alert_recovered": Event("info", ("alert", "subject", "lasted_s"), "the condition is over"),
    "guard_changed": Event("warning", ("level", "free_bytes"), "the disk guard has a new level"),
    "batch_judged": Event(
        "info",
        ("batch", "files", "verdicts", "bytes", "bytes_per_s", "cause"),
        "a batch was copied and compared with our manifests; its row is in the offload ledger",
    ),
    "offload_failed": Event(
        "warning", ("cause", "detail", "failures", "pause_s"), "the remote failed; files wait here"
    ),
    "files_released": Event(
        "info", ("files", "bytes"), "retention removed local data files on fresh proof"
    ),
    "drill_ended": Event(
        "info", ("path", "problems", "cause"), "a proven file was fetched back and examined"
    ),
    "tables_made": Event(
        "info",
        ("segments", "files", "rows", "bad", "bytes"),
        "segments became derived tables, or files of an hour were merged",
    ),
    "changes_pruned": Event(
        "info", ("files",), "price changes of old hours went from derived tables; raw keeps them"
    ),
    "segment_unfit": Event(
        "error", ("name", "reason"), "a raw segment is not what its manifest says; see its ticket"
    ),
    "segment_given_up": Event(
        "info",
        ("name", "reason"),
        "a segment that cannot be read has a label `invalid`: its ticket is done, it has no rows",
    ),
    "derive_failed": Event(
        "warning", ("failures", "pause_s", "reason"), "a job of the normalizer failed; tried again"
    ),
    "log_lines_dropped": Event(
        "warning", ("count",), "the log pipe was full; the worker went on without these lines"
    ),
}
