"""Offload in the foreground: a courier for a command that a person runs, beside a live uploader.

Writes    run/offload-<pid>/, which is gone when the command ends; see also hiring
Promises  a command that is interrupted ends its rclone
Fails     NeedsAPerson as hiring does
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from workers.core.settings.settings import Offload
from workers.edge import durable
from workers.edge.offload.courier import Job, Result
from workers.edge.offload.hiring import Crew, hired
from workers.edge.spool.directory import DataDir

_POLL_S = 0.02


@contextlib.contextmanager
def crew(data: DataDir, rules: Offload, remote: str) -> Iterator[Crew]:
    """A courier of one's own, with the environment of this process."""
    folder = data.run / f"offload-{os.getpid()}"
    durable.make_directories(data.run)
    try:
        yield hired(data, rules, remote, environment=os.environ, lock_fd=None, folder=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def finished(job: Job[Result]) -> Result:
    """Run a job to its end."""
    try:
        while True:
            try:
                next(job)
            except StopIteration as ended:
                result: Result = ended.value
                return result
            time.sleep(_POLL_S)
    finally:
        job.close()


def batches(sizes: list[tuple[str, int]], *, files: int, size_bytes: int) -> Iterator[list[str]]:
    """Paths in their order, cut where a batch is full; `sizes` is path and bytes."""
    batch: list[str] = []
    left = size_bytes
    for path, count in sizes:
        if batch and (len(batch) >= files or left <= 0):
            yield batch
            batch, left = [], size_bytes
        batch.append(path)
        left -= count
    if batch:
        yield batch


def is_same_filesystem(data: DataDir, remote: str) -> bool:
    """True when the remote is a directory on the disk of the data: no second copy."""
    place = Path(remote)
    if not place.is_absolute():
        return False
    while not place.exists():
        place = place.parent
    return place.stat().st_dev == data.root.stat().st_dev
