"""Hiring: the rclone of this machine, checked, with its configuration, as a courier.

Reads     the settings' rclone_path, the environment, the credentials file it names
Writes    run/rclone.conf (0600), run/offload/
Fails     NeedsAPerson when rclone, its credentials or a directory cannot be used
"""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.offload.offload import UploadManifest
from workers.core.offload.rclone import Tuning
from workers.core.settings.settings import Offload
from workers.edge import remote as programs
from workers.edge.credentials import runtime_config
from workers.edge.offload.courier import Courier
from workers.edge.remote import Rclone
from workers.edge.spool import state
from workers.edge.spool.directory import DataDir


class Crew(msgspec.Struct, frozen=True):
    """A courier, and the versions that its manifests name."""

    courier: Courier
    versions: dict[str, str]


def hired(
    data: DataDir,
    rules: Offload,
    remote: str,
    *,
    environment: Mapping[str, str],
    lock_fd: int | None,
    folder: Path | None = None,
) -> Crew:
    """A courier to `remote`.

    Args:
        lock_fd: a lock that rclone shall hold as well, so that no second uploader begins while
            an orphan of the first still copies.
        folder: for lists and output; run/offload unless given (two of them must not share one).
    """
    binary = programs.find_rclone(rules.rclone_path)
    version = programs.check_version(binary)
    config = runtime_config(environment, data.run)
    place = folder or data.run / "offload"
    _make_directory(data, remote)
    program = Rclone(binary, environment, config, place, lock_fd=lock_fd)
    tuning = Tuning(
        transfers=rules.transfers,
        bandwidth_bytes_per_s=rules.bandwidth_bytes_per_s,
        limit_s=rules.batch_timeout_s,
    )
    courier = Courier(program, remote, root=data.root, folder=place, tuning=tuning)
    return Crew(courier, {"rclone": version})


def _make_directory(data: DataDir, remote: str) -> None:
    """Make a directory remote that was never used; one that was and is gone may be unmounted."""
    last = state.read(data.latest("upload"), UploadManifest)
    if not remote.startswith("/") or (last is not None and last.remote == remote):
        return
    try:
        Path(remote).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise NeedsAPerson(
            f"use {remote} as the remote: {error.strerror}",
            hint="offload.remote names a directory that this user can write, or name:path",
        ) from error
