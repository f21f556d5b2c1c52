"""The crash tests need strace; without it they say so instead of passing."""

from pathlib import Path

import pytest

from tests.crash import harness


@pytest.fixture(scope="session", autouse=True)
def _strace() -> None:
    reason = harness.unavailable()
    if reason:
        pytest.skip(f"faults cannot be injected: {reason}")


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """The system calls of a life without a fault, and its data directory."""
    return harness.workload_calls(tmp_path_factory.mktemp("life"))
