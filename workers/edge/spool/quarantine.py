"""Quarantine: what could not be read or believed, each with a .why beside it.

Writes    spool/quarantine
Promises  the reason is there before the file is; nothing there is overwritten or removed
Fails     OSError from the disk
"""

import os
from pathlib import Path

from workers.edge import durable
from workers.edge.spool.directory import DataDir

_SHOWN_MAX = 180


def put(data: DataDir, path: Path, why: str, detail: str) -> str:
    """Move a file there as `NAME.why`, with the whole reason beside it; returns its name as shown.

    The watchdog's alert `quarantine_grew` tells a person.
    """
    name = shown(path.name)
    target = data.quarantine / f"{name}.{why}"
    number = 1
    while os.path.lexists(target):
        target = data.quarantine / f"{name}.{why}.{number}"
        number += 1
    text = f"{detail}\n" if name == path.name else f"{detail}\nit was {path.name!a}\n"
    durable.replace(target.with_name(f"{target.name}.why"), text.encode())
    durable.move(path, target)
    return name


def shown(name: str) -> str:
    """A file name as quarantine and the log can hold it: ASCII, with room for a suffix."""
    return ascii(name)[1:-1].replace("/", "-")[:_SHOWN_MAX]
