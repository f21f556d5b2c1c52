"""credentials: rclone's configuration file, as a copy that rclone may write refreshed tokens into.

Reads     the file that ORDERBOOKS_RCLONE_CONFIG names, else $CREDENTIALS_DIRECTORY/rclone.conf
Writes    run/rclone.conf and run/rclone.conf.source (the digest of what was copied), both 0600
Promises  a token that rclone refreshed outlives a restart; another source replaces it
Fails     NeedsAPerson: the file is missing, others can read it, or it lies in the checkout
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from workers.core.errors import NeedsAPerson

CHECKOUT = Path(__file__).resolve().parents[2]
#: What rclone takes for "no file": remotes come from the environment alone, or are directories.
NO_CONFIG = Path(os.devnull)
_CONFIG_MAX_BYTES = 1 << 20


def runtime_config(environment: Mapping[str, str], run_folder: Path) -> Path:
    """The credentials file, copied to where rclone may write a refreshed token.

    Copied again only when the source has other content than the one copied last: not by its
    time, because systemd makes the file anew at each start, and the copy may hold a newer token.

    Raises:
        NeedsAPerson: a named file that is missing, or one that is no safe place for secrets.
    """
    named = environment.get("ORDERBOOKS_RCLONE_CONFIG")
    folder = environment.get("CREDENTIALS_DIRECTORY")
    if named:
        # Group and others.
        return _copied(_secret_bytes(Path(named), forbidden=0o077), run_folder)
    if folder and (path := Path(folder) / "rclone.conf").exists():
        # For a User= systemd grants reading by an ACL, which shows as the group's; the directory
        # around it is closed.
        return _copied(_secret_bytes(path, forbidden=0o007), run_folder)
    return NO_CONFIG


def _secret_bytes(path: Path, *, forbidden: int) -> bytes:
    """The content of a file that only its owner may read."""
    if path.resolve().is_relative_to(CHECKOUT):
        hint = "move it out of the checkout: what lies here gets committed, copied, published"
        raise NeedsAPerson(f"use {path} as credentials: it lies in the checkout", hint=hint)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as file:  # noqa: PTH123 - a descriptor
            found = os.fstat(file.fileno())
            content = file.read(_CONFIG_MAX_BYTES) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        hint = "make it with `rclone config` (docs/GOOGLE_DRIVE_OFFLOAD.md), or unset the variable"
        raise NeedsAPerson(f"use {path} as credentials: {error.strerror}", hint=hint) from error
    if not stat.S_ISREG(found.st_mode):
        raise NeedsAPerson(f"use {path} as credentials: not a regular file")
    if found.st_mode & forbidden:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise NeedsAPerson(
            f"use {path} as credentials: others may read it (mode {mode})",
            hint=f"`chmod 600 {path}`",
        )
    return content


def _copied(content: bytes, run_folder: Path) -> Path:
    copy, mark = run_folder / "rclone.conf", run_folder / "rclone.conf.source"
    digest = hashlib.sha256(content).hexdigest()
    if not copy.exists() or not mark.exists() or mark.read_text() != digest:
        run_folder.mkdir(parents=True, exist_ok=True)
        # The mark comes last: a crash in between means that it is copied again.
        mark.unlink(missing_ok=True)
        _write_secret(copy, content)
        _write_secret(mark, digest.encode())
    copy.chmod(0o600)
    return copy


def _write_secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(path, flags, 0o600), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(content)
