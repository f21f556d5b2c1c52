"""What every test may ask for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import disks

# A machine that others use as well is slow for a while: no test is about that.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
CAPTURES = ROOT.parent / "shared" / "captures"


@pytest.fixture(scope="session")
def root() -> Path:
    """The top of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def captures() -> Path:
    """Real venue payloads recorded by others; they lie beside a checkout, never in it."""
    if not CAPTURES.is_dir():
        pytest.skip("the captures of real venue answers are not on this machine")
    return CAPTURES


@pytest.fixture(autouse=True)
def _no_alerts_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach a real Sentry, whatever the environment says."""
    monkeypatch.delenv("SENTRY_DSN", raising=False)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte, to be filled."""
    yield from disks.mounted(tmp_path / "disk")
