"""The demo, as a newcomer runs it, only shorter: its exit code is its proof."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_the_demo_proves_what_it_recorded(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("d")
    command = [sys.executable, "-m", "tests.demo", "--seconds", "20", "--folder", str(folder)]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "the archive tells the truth" in run.stdout, run.stdout + run.stderr
    assert 0 == run.returncode
    assert "NO " not in run.stdout
