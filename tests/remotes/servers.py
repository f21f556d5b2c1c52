"""Remotes that are files in a folder: `rclone serve` on loopback, and the folder itself.

Writes:   everything below the folder it is given.
Promises: `start` returns when the port answers; a server ends with the process that started it.
Fails:    RuntimeError with the server's log when it does not start.
Never:    listens on anything but 127.0.0.1.
"""

import contextlib
import re
import subprocess
import sys
import time
from abc import abstractmethod
from pathlib import Path

from tests.ports import own_port
from tests.remotes.program import environment_of, find_rclone, obscured
from tests.remotes.remote import ARCHIVE, Remote, flipped

USER, PASSWORD = "keeper", "not a secret: loopback"
KEY_ID, SECRET_KEY = "AKIALOOPBACK", "not-a-secret-loopback"
START_LIMIT_S = 60
LISTENS = re.compile(rb"(?:listening on |http://)127\.0\.0\.1:\d+")
DIES_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
"""PR_SET_PDEATHSIG SIGKILL, then rclone: a killed test run leaves no server behind."""


class _Folder(Remote):
    """A remote whose files lie in `folder`."""

    folder: Path

    def paths(self) -> set[str]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix() for path in found}

    def read(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(data)

    def spoil(self, path: str) -> None:
        (self.folder / path).write_bytes(flipped(self.read(path)))

    def vanish(self, path: str) -> None:
        (self.folder / path).unlink()


class Local(_Folder):
    """A directory as remote: a second disk, a mounted share. It begins to exist when used.

    Stopped, the directory is not there (a share that is not mounted).
    """

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / ARCHIVE
        self.remote = str(self.folder)
        self._away = state_dir / f"{ARCHIVE}.away"
        state_dir.mkdir(parents=True, exist_ok=True)

    def environment_at(self, port: int) -> dict[str, str]:
        return {"RCLONE_CONFIG": "/dev/null"}

    def start(self) -> None:
        if self._away.exists():
            self._away.rename(self.folder)

    def stop(self) -> None:
        if self.folder.exists():
            self.folder.rename(self._away)


class _Served(_Folder):
    """A folder behind `rclone serve`."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.top = state_dir / "served"
        self.top.mkdir(parents=True, exist_ok=True)
        self.folder = self.top / ARCHIVE
        self.port = own_port(self)
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _arguments(self) -> list[str]:
        """What follows `rclone serve`, without folder and address."""

    def _settings(self) -> dict[str, str]:
        """Environment of the server itself: its passwords, which are no arguments."""
        return {}

    def start(self) -> None:
        log = self.state_dir / "server.log"
        command = [sys.executable, "-c", DIES_WITH_PARENT, str(find_rclone()), "serve"]
        command += [*self._arguments(), str(self.top), "--addr", f"127.0.0.1:{self.port}"]
        command += ["--cache-dir", str(self.state_dir / "cache"), "--dir-cache-time", "50ms"]
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                command,
                env=environment_of(self._settings()),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        until = time.monotonic() + START_LIMIT_S
        while not LISTENS.search(log.read_bytes()):
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"rclone serve did not start: {log.read_text()}")
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(10)
            self._process = None


class S3(_Served):
    """An S3 of one bucket; lists md5.

    Left to itself `rclone serve s3` remembers directories and with them hashes for minutes;
    `--dir-cache-time 50ms` makes it read the bytes again for a listing, so that `spoil` is seen
    by the next rclone; with 0 s the server turns in circles at 100 % of a core in deep folders.
    A real S3 is not so: its md5 is of the day of the upload, and only a download sees rot.
    """

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.folder = self.top / "bucket" / ARCHIVE
        self.folder.parent.mkdir(exist_ok=True)
        self.remote = f"S3:bucket/{ARCHIVE}"

    def environment_at(self, port: int) -> dict[str, str]:
        return {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_S3_TYPE": "s3",
            "RCLONE_CONFIG_S3_PROVIDER": "Rclone",
            "RCLONE_CONFIG_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "RCLONE_CONFIG_S3_ACCESS_KEY_ID": KEY_ID,
            "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": SECRET_KEY,
        }

    def _arguments(self) -> list[str]:
        return ["s3"]

    def _settings(self) -> dict[str, str]:
        return {"RCLONE_AUTH_KEY": f'"{KEY_ID},{SECRET_KEY}"'}  # rclone reads it as a line of CSV


class Sftp(_Served):
    """A file server over SSH; lists md5 and sha1, because the server has `md5sum`.

    Each listing reads the bytes anew: `spoil` is always seen.
    """

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.remote = f"SFTP:{ARCHIVE}"
        self._obscured = obscured(PASSWORD)

    def environment_at(self, port: int) -> dict[str, str]:
        return {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_SFTP_TYPE": "sftp",
            "RCLONE_CONFIG_SFTP_HOST": "127.0.0.1",
            "RCLONE_CONFIG_SFTP_PORT": str(port),
            "RCLONE_CONFIG_SFTP_USER": USER,
            "RCLONE_CONFIG_SFTP_PASS": self._obscured,
        }

    def _arguments(self) -> list[str]:
        return ["sftp"]

    def _settings(self) -> dict[str, str]:
        return {"RCLONE_USER": USER, "RCLONE_PASS": PASSWORD}


class WebDav(_Served):
    """A WebDAV server; lists no hash at all: `spoil` is seen by a download and by nothing else."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(state_dir)
        self.remote = f"DAV:{ARCHIVE}"
        self._obscured = obscured(PASSWORD)

    def environment_at(self, port: int) -> dict[str, str]:
        return {
            "RCLONE_CONFIG": "/dev/null",
            "RCLONE_CONFIG_DAV_TYPE": "webdav",
            "RCLONE_CONFIG_DAV_URL": f"http://127.0.0.1:{port}",
            "RCLONE_CONFIG_DAV_VENDOR": "rclone",
            "RCLONE_CONFIG_DAV_USER": USER,
            "RCLONE_CONFIG_DAV_PASS": self._obscured,
        }

    def _arguments(self) -> list[str]:
        return ["webdav"]

    def _settings(self) -> dict[str, str]:
        return {"RCLONE_USER": USER, "RCLONE_PASS": PASSWORD}
