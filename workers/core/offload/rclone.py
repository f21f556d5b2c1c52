"""rclone as values: command lines in, text out. Nothing here runs anything.

Every command works on one list of paths relative to the data directory, never on a whole tree,
and no command overwrites or deletes on the remote.

Promises  no command line holds a secret; a remote is always named as a folder, so that an S3 that
          cannot be reached says so (without the slash: "is a file not a directory")
Never     takes an exit code for a proof: `copy --files-from` skips a name that is not there, and
          `check` without a common hash compares sizes, both with 0 (tests/test_docs_rclone.py)
"""

import re
from collections import deque
from collections.abc import Iterable

import msgspec

from workers.core.errors import Refused
from workers.core.offload.offload import HASH_TYPES, Found
from workers.core.scrubbing import scrubbed

#: The first that knows --no-update-dir-modtime; from 1.65 on Google Drive lists sha256.
MIN_VERSION = (1, 66)
#: Directory or file not found: nothing was ever copied there. Any other failure is no answer.
ABSENT_CODES = frozenset({3, 4})

_VERSION = re.compile(r"^rclone v(\d+)\.(\d+)\.?(\d*)", re.MULTILINE)
_GLOB = re.compile(r"([\\*?\[\]{}])")
_SHA256_LINE = re.compile(r"^([0-9a-f]{64})  (.+)$")
_PLAIN_LOG = re.compile(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (\w+) *: ")
_LOG_HALF_LINES = 25
_TEXT_MAX = 500
_HEAD_MAX = 150
_QUIET = frozenset({"debug", "info"})
_PATIENCE = (
    *("--retries", "1", "--low-level-retries", "3", "--contimeout", "15s", "--timeout", "60s"),
    *("--ask-password=false", "--use-json-log", "--stats", "0"),
)


class Tuning(msgspec.Struct, frozen=True):
    """What a command may cost; `bandwidth_bytes_per_s` 0 is no limit."""

    transfers: int
    bandwidth_bytes_per_s: int
    limit_s: float


class LogLine(msgspec.Struct, frozen=True):
    """One line of rclone's log; `object` is the path it speaks of, or empty.

    `level` is rclone's (debug, info, notice, warning, error, critical …), or "text" for a line
    that is no log line: a usage message, a panic.
    """

    level: str
    text: str
    object: str = ""


class Ended(msgspec.Struct, frozen=True):
    """One finished rclone process.

    `command` begins with "rclone". `code` is negative for a signal. `log` holds what it said from
    notice up. `stopped` is "limit" when its time was over, "asked" when we were asked to end it.
    """

    command: list[str]
    code: int
    seconds: float
    log: list[LogLine]
    stopped: str = ""


def version_of(text: str) -> tuple[int, int, int]:
    """The version that `rclone version` prints; raises Refused when there is none."""
    found = _VERSION.search(text)
    if found is None:
        raise Refused(f"read rclone's version from {text[:100]!r}")
    return int(found[1]), int(found[2]), int(found[3] or 0)


def copy_command(source: str, remote: str, list_file: str, tuning: Tuning) -> list[str]:
    """Copy the files of a list to the remote; a name that is taken by other bytes stays."""
    return [
        *("copy", source, _folder(remote), "--files-from-raw", list_file, "--no-traverse"),
        *("--checksum", "--immutable", "--no-update-dir-modtime", "--drive-stop-on-upload-limit"),
        *_paced(tuning),
    ]


def fetch_command(remote: str, target: str, list_file: str, tuning: Tuning) -> list[str]:
    """Copy the files of a list from the remote into a directory; what is there already stays."""
    return [
        *("copy", _folder(remote), target, "--files-from-raw", list_file, "--no-traverse"),
        *("--checksum", "--immutable", "--no-update-dir-modtime"),
        *_paced(tuning),
    ]


def _paced(tuning: Tuning) -> list[str]:
    limits = ["--max-duration", f"{max(1, round(tuning.limit_s))}s"]
    if tuning.bandwidth_bytes_per_s:
        limits += ["--bwlimit", f"{tuning.bandwidth_bytes_per_s}B"]
    return [
        *("--transfers", str(tuning.transfers), "--checkers", "4", "--buffer-size", "0"),
        *limits,
        *("--log-level", "INFO", *_PATIENCE),
    ]


def list_command(remote: str, hash_type: str | None, include_file: str | None) -> list[str]:
    """List files with size and, of the remote that has it, one type of hash.

    By patterns, not by --files-from: that asks for each name alone and shows no duplicates.
    """
    hashes = ["--hash", "--hash-type", hash_type] if hash_type else []
    chosen = ["--include-from", include_file] if include_file else []
    plain = ["-R", "--files-only", "--no-mimetype", "--no-modtime"]
    return [
        "lsjson",
        _folder(remote),
        *plain,
        *hashes,
        *chosen,
        "--log-level",
        "NOTICE",
        *_PATIENCE,
    ]


def download_hash_command(remote: str, include_file: str) -> list[str]:
    """SHA-256 of files by reading them back."""
    chosen = ["--download", "--include-from", include_file, "--buffer-size", "0"]
    return ["hashsum", "sha256", _folder(remote), *chosen, "--log-level", "NOTICE", *_PATIENCE]


def features_command(remote: str) -> list[str]:
    """What a remote can do; S3 answers it without asking the network."""
    return ["backend", "features", _folder(remote), "--log-level", "NOTICE", *_PATIENCE]


def _folder(remote: str) -> str:
    return remote if remote.endswith(("/", ":")) else f"{remote}/"


def include_pattern(path: str) -> str:
    """The pattern that matches one path from the root and nothing else.

    Raises:
        Refused: a line of patterns cannot say it.
    """
    if path != path.strip() or any(each in path for each in "\r\n\0"):
        raise Refused(f"write {path!r} as a pattern: a line break, or blank at an end")
    return "/" + _GLOB.sub(r"\\\1", path)


class _Features(msgspec.Struct):
    hashes: list[str] | None = msgspec.field(default=None, name="Hashes")


class _Entry(msgspec.Struct):
    path: str = msgspec.field(name="Path")
    size: int = msgspec.field(name="Size")
    hashes: dict[str, str] = msgspec.field(default_factory=dict, name="Hashes")


class _Logged(msgspec.Struct):
    msg: str
    level: str = "text"
    object: str = ""


_features = msgspec.json.Decoder(_Features)
_entry = msgspec.json.Decoder(_Entry)
_logged = msgspec.json.Decoder(_Logged)


def hash_type_of(features: bytes) -> str | None:
    """The best hash type that remote and manifests share; raises Refused for another text."""
    try:
        there = _features.decode(features).hashes or []
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"read what the remote can do: {error}") from error
    return next((each for each in HASH_TYPES if each in there), None)


def found_of(line: bytes) -> Found | None:
    """An entry of a listing from its line; None for the brackets around them.

    Raises:
        Refused: a line that is no entry, such as a half one.
    """
    text = line.strip().removesuffix(b",")
    if text in {b"", b"[", b"]", b"[]"}:
        return None
    try:
        entry = _entry.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"read an entry of a listing: {error}") from error
    hashes = {kind: value.lower() for kind, value in entry.hashes.items() if value}
    return Found(entry.path, entry.size, hashes)


def downloaded_of(text: str) -> dict[str, str]:
    """SHA-256 by path from the output of `hashsum`; a line that gives none is passed over."""
    found = (_SHA256_LINE.match(line) for line in text.split("\n"))
    return {each[2]: each[1] for each in found if each}


def log_line(line: bytes) -> LogLine:
    """A line of rclone's standard error, whatever it is."""
    try:
        logged = _logged.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = line.decode(errors="replace")
        plain = _PLAIN_LOG.match(text)
        return LogLine(plain[1].lower(), text[plain.end() :]) if plain else LogLine("text", text)
    return LogLine(logged.level, logged.msg, logged.object)


def kept_log(lines: Iterable[bytes], secrets: Iterable[str]) -> list[LogLine]:
    """The first and the last 25 lines from notice up, each scrubbed and at most 500 characters.

    A longer text keeps its end: that is where Go puts the cause, behind the address it asked.
    """
    first: list[LogLine] = []
    last: deque[LogLine] = deque(maxlen=_LOG_HALF_LINES)
    hidden = tuple(secrets)
    for line in lines:
        logged = log_line(line)
        if logged.level in _QUIET or not logged.text.strip():
            continue
        shown = LogLine(
            logged.level,
            _shortened(scrubbed(logged.text, hidden)),
            _shortened(scrubbed(logged.object, hidden)),
        )
        (first if len(first) < _LOG_HALF_LINES else last).append(shown)
    return [*first, *last]


def _shortened(text: str) -> str:
    if len(text) <= _TEXT_MAX:
        return text
    return f"{text[:_HEAD_MAX]} … {text[_HEAD_MAX + 3 - _TEXT_MAX :]}"
