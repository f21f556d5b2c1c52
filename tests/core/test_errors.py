"""Holds core.errors: which failed calls mean wait, and which mean a bug."""

import errno

import pytest

from workers.core.errors import (
    NeedsAPerson,
    OrderbooksError,
    Refused,
    Temporary,
    is_disk_full,
    is_disk_trouble,
)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_full_and_trouble(number):
    assert is_disk_full(OSError(number, "x"))
    assert is_disk_trouble(OSError(number, "x"))


@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.EMFILE])
def test_a_failing_disk_is_trouble_but_not_full(number):
    assert not is_disk_full(OSError(number, "x"))
    assert is_disk_trouble(OSError(number, "x"))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EEXIST, errno.EACCES, errno.EBADF, None])
def test_anything_else_is_a_bug_and_loud(number):
    assert not is_disk_trouble(OSError(number, "x"))


@pytest.mark.parametrize("kind", [Temporary, Refused, NeedsAPerson])
def test_a_deliberate_error_carries_what_a_person_does_next(kind):
    error = kind("open x: found y, needed z", hint="do this")

    assert isinstance(error, OrderbooksError)
    assert ("open x: found y, needed z", "do this") == (str(error), error.hint)
