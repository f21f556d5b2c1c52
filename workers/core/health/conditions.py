"""The catalogue of conditions that a person may have to know.

A leaf: one Alert for each, with what it means and what to do. docs/OPERATIONS.md has its page.
"""

import msgspec


class Alert(msgspec.Struct, frozen=True):
    """One kind of condition: who must act, what it means, what to do, how patient it is.

    `level` is "error" when a person must act and "warning" when one must look. `grace_s` is how
    long it must last before it is told, `hold_s` how long it must be gone before it is over.
    """

    level: str
    meaning: str
    action: str
    grace_s: float = 0.0
    hold_s: float = 0.0


ALERTS: dict[str, Alert] = {
    "supervisord_unreachable": Alert(
        "warning",
        "supervisord does not answer on its socket; nobody restarts what dies",
        "`orderbooks ctl status`; start the fleet with `orderbooks up`",
        grace_s=15,
    ),
    "worker_fatal": Alert(
        "error",
        "a process is down and supervisord will not start it again (EXITED, FATAL)",
        "read its log for stopped_for_a_person, do what the hint says, `orderbooks ctl start`",
    ),
    "worker_backoff": Alert(
        "error",
        "a process dies within its first seconds, again and again (BACKOFF)",
        "`orderbooks ctl tail` it; the last line names the reason",
        hold_s=30,
    ),
    "worker_silent": Alert(
        "error",
        "a process runs but its heartbeat is older than heartbeat_late_s: it hangs",
        "`orderbooks ctl restart` it; what it wrote is salvaged",
    ),
    "worker_crashed": Alert(
        "error",
        "a bug ended a process; supervisord restarted it; the traceback is attached",
        "report the traceback (spool/heartbeat/<worker>.crash.json)",
    ),
    "rows_late": Alert(
        "error",
        "a collector had books to fetch and got none for row_late_s",
        "`orderbooks status`: is it the venue (venue_failing), the network, or this shard?",
        hold_s=20,
    ),
    "venue_failing": Alert(
        "warning",
        "the venue fails so often that a collector tries it only now and then",
        "wait; if the cause is http_403, http_451 or html, this address is blocked",
        hold_s=30,
    ),
    "stream_failing": Alert(
        "error",
        "a streamer has had no connection to the market channel for a minute",
        "wait; `orderbooks status` names the cause; the collectors record on by themselves",
        hold_s=30,
    ),
    "stream_stale": Alert(
        "error",
        "books of a streamer are not known to be right for longer than a minute",
        "`orderbooks status` shows state and reason; if all are, `orderbooks ctl restart` it",
        grace_s=60,
        hold_s=30,
    ),
    "market_isolated": Alert(
        "warning",
        "a market ends every connection it is subscribed on; it stands alone on one of its own",
        "nothing; its polls are recorded; report it to the venue if it stays",
        hold_s=60,
    ),
    "gamma_unreachable": Alert(
        "warning",
        "no question to Gamma is answered; known markets are recorded on, new ones are not seen",
        "wait; check the network if collectors fail as well",
        hold_s=60,
    ),
    "universe_stale": Alert(
        "warning",
        "the listing of markets came empty or absurd; the last good one stands",
        "compare `orderbooks discover --once --dry-run` with the site; in an hour some are missed",
        hold_s=60,
    ),
    "mapping_refused": Alert(
        "error",
        "a market's ids, outcomes or window cannot be right; it is not recorded, or as before",
        "read the refusals in manifests/discovery/universe.md; the raw page is kept",
        hold_s=60,
    ),
    "discovery_disagrees": Alert(
        "warning",
        "Gamma's listing and the slugs computed from the clock name different markets",
        "read manifests/discovery/universe.md: a listing has a hole or a series changed its slug",
        hold_s=60,
    ),
    "hash_failed": Alert(
        "error",
        "books do not have the SHA-1 that the venue states for them",
        "keep recording; `orderbooks status` names the market; compare its rows that say failed",
        hold_s=60,
    ),
    "disk_full": Alert(
        "error",
        "the disk refuses a process's writes; its rows wait in memory, then ticks are skipped",
        "make room on the filesystem of data_dir; it goes on by itself",
        hold_s=10,
    ),
    "disk_low_warn": Alert(
        "warning", "free space is below disk_warn_free_bytes", "make room or enlarge the disk"
    ),
    "disk_low_stop": Alert(
        "error",
        "free space is below disk_stop_opening_free_bytes: no new market is begun",
        "make room now; published segments may be moved away, never edited",
    ),
    "disk_low_pause": Alert(
        "error",
        "free space is below disk_pause_free_bytes: everything is sealed, recording is paused",
        "make room now; recording goes on by itself",
    ),
    "disk_fills": Alert(
        "warning",
        "at the growth of the last hours the disk reaches the pause level within two days",
        "plan an offload or a larger disk; manifests/disk/latest.json has the numbers",
        hold_s=3600,
    ),
    "backlog_old": Alert(
        "warning",
        "a ticket waits longer than backlog_warn_s although its queue has a consumer",
        "`orderbooks spool`; is the consumer running, does it fail?",
    ),
    "tickets_failed": Alert(
        "error",
        "a consumer set tickets aside: what they name is not uploaded or not normalised",
        "`orderbooks spool` shows each reason; mend it, then `orderbooks spool --retry NAME`",
    ),
    "remote_unreachable": Alert(
        "warning",
        "the remote does not answer; files wait here and are copied when it does",
        "wait; check the network and the remote; `orderbooks offload` shows the last words",
        grace_s=60,
        hold_s=60,
    ),
    "remote_refused": Alert(
        "error",
        "the remote refuses us: credentials expired or wrong, not allowed, or not configured",
        "mend the credentials (docs/OFFLOAD.md), then `orderbooks ctl restart uploader`",
        grace_s=30,
    ),
    "remote_limited": Alert(
        "warning",
        "the remote's daily limit is used up or it slows us down; tried again by itself",
        "wait; if it comes back each day, copy less or take another account",
        hold_s=60,
    ),
    "remote_full": Alert(
        "error",
        "the remote has no room left; files wait here",
        "make room there (Drive: the trash counts) or move to another account",
    ),
    "remote_failing": Alert(
        "error",
        "copies fail for a reason that is not known here; tried again with growing pauses",
        "`orderbooks offload` shows rclone's words; report them",
        grace_s=60,
    ),
    "remote_unproven": Alert(
        "error",
        "the remote lists our files without a hash that we have: they are never proven",
        "set offload.prove_by_download to without_hash, or take a remote with md5 or sha256",
    ),
    "remote_changed": Alert(
        "error",
        "a file that was proven is gone from the remote, or is another now; it stays here",
        "`orderbooks offload verify` names every such file; find out who changed it",
    ),
    "drill_failed": Alert(
        "error",
        "a proven file could not be brought back whole",
        "manifests/drill/latest.json names it; `orderbooks offload verify --download`",
    ),
    "derive_failing": Alert(
        "error",
        "derived tables cannot be made or merged; raw is recorded and offloaded all the same",
        "the detail names the file; `orderbooks rebuild --from T --to T` makes an hour anew",
        grace_s=60,
    ),
    "quarantine_grew": Alert(
        "warning",
        "files that could not be read lie in quarantine",
        "read the .why beside each; move them away when understood",
    ),
    "clock_offset": Alert(
        "error",
        "this machine's clock differs from the venue's by more than clock_warn_ms",
        "check NTP (`timedatectl`); recorded times are off by that much",
        grace_s=30,
    ),
    "clock_stepped": Alert(
        "warning",
        "the wall clock jumped; ticks across the jump are marked clock_step",
        "check NTP (`timedatectl`): it should slew, not step",
        hold_s=600,
    ),
    "state_unreadable": Alert(
        "warning",
        "files that the watchdog reads are not what they should be; it goes on without them",
        "manifests/health/latest.json lists them under `unread`; move strangers away",
        grace_s=15,
    ),
    "condition_unknown": Alert(
        "warning",
        "a heartbeat names a condition that this version does not know",
        "restart the whole fleet after an update, so that all run one version",
    ),
    "sentry_refused": Alert(
        "warning",
        "SENTRY_DSN cannot be used; alerts stand only in manifests/alerts",
        "set SENTRY_DSN to the project's DSN, or unset it",
    ),
}
