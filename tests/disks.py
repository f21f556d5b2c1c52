"""A disk that is really full: a small tmpfs, when root may mount one. Used by tests only."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

DISK_BYTES = 1 << 20


def is_mounted(path: Path) -> bool:
    """True when a file system of its own is mounted there."""
    return subprocess.run(["mountpoint", "-q", path], check=False).returncode == 0


def mounted(place: Path) -> Iterator[Path]:
    """A file system of one megabyte and 300 files, until the generator is closed."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    place.mkdir()
    options = f"size={DISK_BYTES},nr_inodes=300"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], capture_output=True, check=False
    )
    if done.returncode or not is_mounted(place):
        pytest.skip(f"mount is refused here: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
    assert not is_mounted(place)
