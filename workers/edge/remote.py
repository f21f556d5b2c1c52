"""remote: rclone as a child process. The owner of subprocess and of rclone's environment.

Reads     rclone's configuration file (edge.credentials), for the secrets in it
Writes    the output of rclone, in files without a name that are gone when their Run is closed or
          its owner dies
Promises  the child dies with its parent, also by SIGKILL, and holds the parent's lock till then;
          poll never waits; any amount of output costs no memory
Fails     NeedsAPerson: no rclone, or one too old; Temporary: it does not say its version in time;
          how a command failed is in its Ended
Never     lets a secret into a command line, or shows a word of rclone before it is scrubbed
"""

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from workers.core.errors import NeedsAPerson, Refused, Temporary
from workers.core.offload.rclone import MIN_VERSION, Ended, kept_log, version_of
from workers.core.offload.rclone_secrets import secrets_of_config, secrets_of_environment

GRACE_S = 5.0
_VERSION_LIMIT_S = 20.0
_PR_SET_PDEATHSIG = 1
_NICE = 10
_PIECE_BYTES = 1 << 16
#: What is longer than a line can be is cut off it.
_LINE_MAX_BYTES = 1 << 20
#: Not RCLONE_*: RCLONE_DUMP prints tokens, RCLONE_VERBOSE refuses our log level, RCLONE_DRY_RUN
#: copies nothing. Whatever a backend needs can be said as RCLONE_CONFIG_<REMOTE>_<OPTION>.
_CHILDS = re.compile(
    r"PATH|HOME|LANG|TZ|TMPDIR|SSL_CERT_(FILE|DIR)|(?i:(https?|all|no)_proxy)"
    r"|RCLONE_(CONFIG|DRIVE|S3|SFTP|WEBDAV)_\w+|RCLONE_(CA_CERT|CLIENT_(CERT|KEY|PASS)|BIND)"
    r"|RCLONE_TPSLIMIT(_BURST)?"
)
_HOW_TO_GET_IT = "`make env` installs rclone beside Python; or set offload.rclone_path to another"
_libc = ctypes.CDLL(None, use_errno=True)


def find_rclone(rclone_path: str) -> Path:
    """The program: the one that is named, else the one beside this Python, else of PATH.

    Raises:
        NeedsAPerson: it is not there, or cannot be run.
    """
    beside = str(Path(sys.executable).with_name("rclone"))
    for candidate in [rclone_path] if rclone_path else [beside, "rclone"]:
        found = shutil.which(candidate)
        if found:
            return Path(found).absolute()
    raise NeedsAPerson(
        f"run {rclone_path or 'rclone'}: there is no such program", hint=_HOW_TO_GET_IT
    )


def check_version(binary: Path, limit_s: float = _VERSION_LIMIT_S) -> str:
    """The version, such as "1.75.2".

    Raises:
        NeedsAPerson: it is too old, or does not run.
        Temporary: it did not answer within `limit_s`; a busy machine may need longer.
    """
    wanted = ".".join(map(str, MIN_VERSION))
    environment = {**_environment_of_child(os.environ), "RCLONE_CONFIG": os.devnull}
    try:
        said = subprocess.run(  # noqa: S603 - an argument list, no shell
            [binary, "version"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=limit_s,
            check=True,
        )
        version = version_of(said.stdout.decode(errors="replace"))
    except subprocess.TimeoutExpired as error:
        raise Temporary(f"run {binary}: {error}") from error
    except (OSError, subprocess.SubprocessError, Refused) as error:
        raise NeedsAPerson(f"run {binary}: {error}", hint=_HOW_TO_GET_IT) from error
    text = ".".join(map(str, version))
    if version < MIN_VERSION:
        raise NeedsAPerson(f"use rclone {text}: {wanted} or later is needed", hint=_HOW_TO_GET_IT)
    return text


def _environment_of_child(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if _CHILDS.fullmatch(name)}


class Rclone:
    """The program with its configuration; each command of it is a Run.

    Args:
        binary: the program.
        environment: of this process; the child gets the few variables that it needs.
        config: its configuration file; it may write refreshed tokens into it.
        folder: on a disk; the output of commands goes there, as files without a name.
        lock_fd: a locked descriptor that every child holds as well, so that whoever waits for
            the lock waits for an orphan too.
    """

    def __init__(
        self,
        binary: Path,
        environment: Mapping[str, str],
        config: Path,
        folder: Path,
        *,
        lock_fd: int | None = None,
    ) -> None:
        self._binary, self._folder, self._config = binary, folder, config
        self._fds = () if lock_fd is None else (lock_fd,)
        self._environment = {
            **_environment_of_child(environment),
            "RCLONE_CONFIG": str(config),
            "GOMEMLIMIT": "48MiB",
        }
        self._secrets = secrets_of_environment(self._environment)

    def secrets(self) -> tuple[str, ...]:
        """Every secret that rclone knows now: of the environment and of its configuration."""
        try:
            text = self._config.read_text(errors="replace")
        except OSError:
            text = ""
        found = {*self._secrets, *secrets_of_config(text)}
        return tuple(sorted(found, key=len, reverse=True))

    def start(self, arguments: Sequence[str], *, limit_s: float, grace_s: float = GRACE_S) -> "Run":
        """Begin a command; call it in the main thread, for the child dies with the thread.

        Args:
            arguments: what follows `rclone`.
            limit_s: how long it may take.
            grace_s: from SIGTERM, at which rclone removes half files, to SIGKILL.

        Raises:
            NeedsAPerson: a secret stands among the arguments, or the program does not start.
        """
        if any(secret in each for secret in self.secrets() for each in arguments):
            hint = "put it into rclone's configuration and name that remote in offload.remote"
            raise NeedsAPerson("run rclone: a secret stands in its command line", hint=hint)
        return Run(
            [str(self._binary), *arguments],
            environment=self._environment,
            folder=self._folder,
            fds=self._fds,
            secrets=self.secrets,
            limit_s=limit_s,
            grace_s=grace_s,
        )


class Run:
    """One command that was started; a context manager that ends it."""

    def __init__(
        self,
        command: list[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        fds: tuple[int, ...],
        secrets: Callable[[], tuple[str, ...]],
        limit_s: float,
        grace_s: float,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._secrets, self._grace_s = secrets, grace_s
        self._said = ["rclone", *command[1:]]
        self._ended: Ended | None = None
        self._stopped = ""
        self._out = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see close
        self._err = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - see close
        self._began_s = time.monotonic()
        self._term_s = self._kill_s = self._began_s + limit_s
        try:
            self._process = subprocess.Popen(  # noqa: S603 - an argument list, no shell
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=self._err,
                pass_fds=fds,
                process_group=0,
                preexec_fn=_dies_with(os.getpid()),  # noqa: PLW1509 - two system calls, no thread
            )
        except OSError as error:
            self._out.close()
            self._err.close()
            raise NeedsAPerson(f"run {command[0]}: {error}", hint=_HOW_TO_GET_IT) from error

    def poll(self) -> Ended | None:
        """How it ended, or None while it runs; ends it when its time is over."""
        if self._ended is None:
            code = self._process.poll()
            if code is None:
                self._press(time.monotonic())
            else:
                self._ended = self._summed(code)
        return self._ended

    def _press(self, now_s: float) -> None:
        """SIGTERM, later SIGKILL, to a process that is not yet reaped: its number is its own."""
        if now_s < self._term_s:
            return
        if not self._stopped:
            # Its grace begins now: whoever looks at it late, on a busy machine, gives it no less.
            self._stopped, self._kill_s = "limit", now_s + self._grace_s
            os.killpg(self._process.pid, signal.SIGTERM)
        elif now_s >= self._kill_s:
            os.killpg(self._process.pid, signal.SIGKILL)

    def _summed(self, code: int) -> Ended:
        seconds = time.monotonic() - self._began_s
        log = kept_log(_lines(self._err), self._secrets())
        return Ended(self._said, code, seconds, log, self._stopped)

    def out_lines(self) -> Iterator[bytes]:
        """What it printed so far, line by line without the line break; read from the disk."""
        return _lines(self._out)

    def stop(self) -> Ended:
        """End it: SIGTERM, and after grace_s SIGKILL. Waits for that."""
        if self.poll() is None:
            self._stopped = self._stopped or "asked"
            os.killpg(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace_s)
        if self.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._ended = self._ended or self._summed(self._process.wait())
        return self._ended

    def close(self) -> None:
        """End it if it runs, and let its output go."""
        if not self._out.closed:
            self.stop()
            self._out.close()
            self._err.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _dies_with(parent: int) -> Callable[[], None]:
    """For the child before exec: killed when its parent dies, and nicer than it."""

    def bind() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)
        os.nice(_NICE)

    return bind


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Lines by position: the child writes with the same descriptor, whose offset is its own."""
    at, rest = 0, b""
    while piece := os.pread(file.fileno(), _PIECE_BYTES, at):
        at += len(piece)
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line[:_LINE_MAX_BYTES] for line in whole)
        rest = rest[:_LINE_MAX_BYTES]
    if rest:
        yield rest
