"""What an rclone that failed died of, and what follows from it.

rclone has ten exit codes and hundreds of texts; most failures end with 1. The texts below are
what the real rclone said (tests/edge/test_remote.py, tests/core/test_rclone.py).

Promises  one cause for each failure, never none; what stops the whole remote goes before what
          concerns one file
"""

import re

import msgspec

from workers.core.offload.rclone import ABSENT_CODES, Ended, LogLine

_UNREACHABLE, _REFUSED, _LIMITED = "remote_unreachable", "remote_refused", "remote_limited"
_FULL, _FAILING = "remote_full", "remote_failing"


class RemoteCause(msgspec.Struct, frozen=True):
    """A cause: its meaning, its alert (core/health/conditions.py), the kind of its pause."""

    meaning: str
    alert: str
    pause: str


REMOTE_CAUSES: dict[str, RemoteCause] = {
    "no_remote": RemoteCause("the remote is not in rclone's configuration", _REFUSED, "long"),
    "auth": RemoteCause("the remote does not accept the credentials", _REFUSED, "long"),
    "remote_full": RemoteCause("the remote has no room left", _FULL, "limit"),
    "daily_limit": RemoteCause("the remote takes no more today", _LIMITED, "limit"),
    "rate_limit": RemoteCause("the remote is asked too often", _LIMITED, "long"),
    "not_allowed": RemoteCause("the remote knows us and forbids it", _REFUSED, "long"),
    "network": RemoteCause("the remote cannot be reached, or broke off", _UNREACHABLE, "short"),
    "corrupted": RemoteCause("what arrived is not what was sent", _FAILING, "short"),
    "source_changed": RemoteCause("a local file changed while it was copied", _FAILING, "short"),
    "conflict": RemoteCause("a name is taken there by other content", _FAILING, "short"),
    "timeout": RemoteCause("it did not end within its time", _UNREACHABLE, "short"),
    "killed": RemoteCause("a signal ended rclone, not ours", _FAILING, "short"),
    "stopped": RemoteCause("it was ended because we were asked to stop", _FAILING, "short"),
    "absent": RemoteCause("the folder is not there: unmounted, or removed", _UNREACHABLE, "short"),
    "unknown": RemoteCause("rclone failed with words that are not known here", _FAILING, "long"),
}


class Failure(msgspec.Struct, frozen=True):
    """Why a command failed; `cause` is of REMOTE_CAUSES, `detail` are rclone's own words."""

    cause: str
    detail: str


#: In the order of REMOTE_CAUSES: what stops the whole remote before what concerns one file.
_WORDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (cause, re.compile(words))
    for cause, words in {
        "no_remote": r"didn't find section in config file|didn't find backend called",
        "auth": (
            r"invalid_grant|invalid_client|unauthorized_client|fetch token|empty token found"
            r"|oauth2: |authError|Invalid Credentials"
            r"|SignatureDoesNotMatch|InvalidAccessKeyId|ExpiredToken|InvalidToken"
            r"|unable to authenticate|knownhosts: |host key mismatch"
            r"|401 Unauthorized|Error 401|StatusCode: 401|unauthorized: "
            r"|couldn't decrypt configuration|unable to decrypt configuration"
        ),
        "remote_full": (
            r"storageQuotaExceeded|teamDriveFileLimitExceeded|no space left on device"
            r"|disk quota exceeded|too big for remaining disk space|insufficient_space"
            r"|507 Insufficient Storage|Insufficient Storage|XMinioStorageFull|QuotaExceeded\b"
            r"|no remaining (?:space|storage)|quotaLimitReached"
        ),
        "daily_limit": r"Received upload limit error|dailyLimitExceeded|uploadLimitExceeded",
        "rate_limit": (
            r"[rR]ateLimitExceeded|429 Too Many Requests|Error 429|StatusCode: 429|SlowDown"
            r"|too_many_requests|activityLimitReached"
        ),
        "not_allowed": (
            r"AccessDenied|insufficientFilePermissions|insufficientPermissions|appNotAuthorized"
            r"|[pP]ermission denied|read-only file system|operation not permitted"
            r"|403 Forbidden|StatusCode: 403|Error 403|SSH_FX_PERMISSION_DENIED"
        ),
        "network": (
            r"connection refused|no such host|i/o timeout|connection reset|broken pipe"
            r"|network is unreachable|no route to host|server misbehaving|TLS handshake"
            r"|x509: |tls: |request send failed|proxyconnect|\bEOF\b|context deadline exceeded"
            r"|connection lost|use of closed network connection|couldn't connect|couldn't dial"
            r"|StatusCode: 5\d\d|Error 5\d\d|50[0234] [A-Z]|backendError|ServiceUnavailable"
            r"|Client\.Timeout|http2: "
        ),
        "corrupted": r"corrupted on transfer",
        "source_changed": r"source file is being updated",
        "conflict": r"immutable file modified",
    }.items()
)
#: 128 + HUP, INT, KILL, TERM: a signal that rclone caught, or that its parent translated.
_SIGNAL_CODES = frozenset({129, 130, 137, 143})
_MAX_DURATION_CODE = 10
_OVER_TIME = re.compile(r"max transfer duration reached")
_LOUD = frozenset({"error", "critical", "alert", "emergency", "notice", "warning", "text"})


def failure_of(ended: Ended) -> Failure | None:
    """Why it failed; None when it did not, which proves nothing about any file."""
    if ended.code == 0:
        return None
    said = [line for line in ended.log if line.level in _LOUD]
    cut = _cut_short(ended, said)
    if cut is not None:
        return cut
    for cause, words in _WORDS:
        for line in said:
            if words.search(line.text):
                return Failure(cause, _told(line))
    cause = "absent" if ended.code in ABSENT_CODES else "unknown"
    return Failure(cause, f"exit code {ended.code}: {_told(said[-1]) if said else 'no words'}")


def _cut_short(ended: Ended, said: list[LogLine]) -> Failure | None:
    """The failure of a process that was not left to its own end."""
    lasted = f"after {ended.seconds:.1f} s"
    if ended.stopped == "limit":
        return Failure("timeout", f"ended by us {lasted}")
    if ended.stopped:
        return Failure("stopped", f"ended by us {lasted}: asked to stop")
    if ended.code == _MAX_DURATION_CODE or any(_OVER_TIME.search(each.text) for each in said):
        return Failure("timeout", f"gave up {lasted}: --max-duration")
    if ended.code < 0 or ended.code in _SIGNAL_CODES:
        number = -ended.code if ended.code < 0 else ended.code - 128
        return Failure("killed", f"signal {number} {lasted}")
    return None


def _told(line: LogLine) -> str:
    return f"{line.object}: {line.text}" if line.object else line.text
