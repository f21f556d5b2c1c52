"""The deliberate errors, and which kind a failed system call is.

    OrderbooksError
    ├── Temporary      the world is wrong for now: wait, try again, count it
    ├── Refused        this one thing is wrong: set it aside with its reason, go on
    └── NeedsAPerson   going on cannot help: stop, say what to do

A leaf: imports nothing of ours. Anything that is none of these is a bug and must be loud.
"""

import errno

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})
DISK_ERRNOS = DISK_FULL_ERRNOS | {errno.EIO, errno.EROFS, errno.ESTALE, errno.EMFILE, errno.ENFILE}


class OrderbooksError(Exception):
    """Root of the deliberate errors; `hint` says what a person does next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Temporary(OrderbooksError):
    """The same step may succeed later without anybody's help."""


class Refused(OrderbooksError):
    """One input is not acceptable; it is kept with its reason and the work goes on."""


class NeedsAPerson(OrderbooksError):
    """Nothing here can mend it; the process stops with exit code 100."""


def is_disk_full(error: OSError) -> bool:
    """True when the disk or the quota has no room left, so that waiting may help."""
    return error.errno in DISK_FULL_ERRNOS


def is_disk_trouble(error: OSError) -> bool:
    """True when a disk call failed for a reason that may pass: full, I/O error, read-only."""
    return error.errno in DISK_ERRNOS
