"""Holds core.causes: every word of failure is catalogued."""

import pytest

from workers.core import causes


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, "ok"), (301, "redirect"), (308, "redirect"), (204, "http_204"), (429, "http_429")],
)
def test_a_status_has_one_cause(status, expected):
    assert expected == causes.of_status(status)


@pytest.mark.parametrize("status", range(100, 600))
def test_every_status_has_a_known_cause(status):
    assert causes.is_known(causes.of_status(status))


@pytest.mark.parametrize("cause", ["", "http_", "http_x", "http_٤٢٩", "oops", "429"])
def test_an_unknown_word_is_unknown(cause):
    assert not causes.is_known(cause)


def test_causes_are_told_apart_from_skips():
    assert set() == causes.REQUEST_CAUSES.keys() & causes.SKIP_CAUSES.keys()
    assert causes.PAUSE_CAUSES <= causes.SKIP_CAUSES.keys()
    assert all(causes.is_known(cause) for cause in causes.BLOCKED)
