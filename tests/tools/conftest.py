"""What the tests of the commands share."""

import pytest

from tests.tools.archives import Fleet, whole_minute


@pytest.fixture
def fleet(tmp_path) -> Fleet:
    """An empty data directory."""
    return Fleet(tmp_path / "var")


@pytest.fixture
def whole(tmp_path) -> Fleet:
    """Two markets, one minute, nothing wrong."""
    return whole_minute(tmp_path / "var")
