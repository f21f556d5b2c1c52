"""Labels at rest: read by everything that judges the archive, written by `orderbooks label`.

Reads     labels/*.label.json
Writes    a new label under a name of its own, exclusively
Never     overwrites or removes a label: a second one of the same artifact is numbered
"""

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from workers.core.archive.labels import SUFFIX, Label, read_label, safe_artifact
from workers.core.archive.manifests import encode
from workers.core.errors import Temporary
from workers.edge import durable
from workers.edge.spool.directory import DataDir


def all_labels(data: DataDir, unreadable: list[str]) -> Iterator[Label]:
    """Every label, by file name; a file that is none is added to `unreadable`."""
    for path in sorted(data.labels.glob(f"*{SUFFIX}")):
        try:
            yield read_label(path.read_bytes())
        except (OSError, msgspec.MsgspecError) as error:
            unreadable.append(f"{data.relative(path)}: {error}")


def invalid(data: DataDir) -> dict[str, Label]:
    """The labels that say of an artifact not to believe it, by its name; the newest of each."""
    found = [each for each in all_labels(data, []) if each.kind == "invalid"]
    return {each.artifact: each for each in sorted(found, key=lambda each: each.at_utc)}


def write(data: DataDir, label: Label) -> str:
    """Write a label; returns its path, relative to the data directory.

    Raises:
        Temporary: another label is being written at this moment.
        OSError: the disk refused.
    """
    durable.make_directories(data.labels)
    lock = durable.try_lock(data.labels / ".lock")
    if lock is None:
        raise Temporary("write a label: another one is being written", hint="try again")
    try:
        path = _free_path(data, safe_artifact(label.artifact))
        draft = data.labels / ".label.tmp"
        durable.write_new(draft, encode(label))
        durable.move(draft, path)
    finally:
        durable.close(lock)
    return data.relative(path)


def _free_path(data: DataDir, name: str) -> Path:
    number = 1
    path = data.labels / f"{name}{SUFFIX}"
    while os.path.lexists(path):
        number += 1
        path = data.labels / f"{name}.{number}{SUFFIX}"
    return path
