"""The rclone program of this environment, run as a test wants it.

Reads:    the rclone beside the running Python: it is a runtime dependency, never optional.
Promises: a child sees nothing of the caller's environment but PATH and HOME: no proxy, no
          RCLONE_* and no configuration of the person who runs the tests.
Fails:    FileNotFoundError when rclone is not installed.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def find_rclone() -> Path:
    """The program; raises FileNotFoundError with what to do."""
    found = Path(sys.executable).with_name("rclone")
    if not found.exists():
        raise FileNotFoundError(f"{found} is missing: it comes with requirements.lock (make env)")
    return found


def environment_of(given: Mapping[str, str]) -> dict[str, str]:
    """`given`, and of our own environment only what a program needs to run."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "RCLONE_CONFIG": "/dev/null", **given}


def run_rclone(
    *arguments: str, environment: Mapping[str, str], limit_s: float = 60, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run rclone to its end; never raises for its exit code.

    Args:
        environment: of a remote; see `Remote.environment`.
        limit_s: after so long it is killed, and subprocess.TimeoutExpired raised.
        text: for its standard input.
    """
    return subprocess.run(
        [find_rclone(), *arguments],
        env=environment_of(environment),
        input=text,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def obscured(password: str) -> str:
    """A password in the form rclone's configuration wants it (`rclone obscure`)."""
    ended = run_rclone("obscure", "-", environment={}, text=password)
    ended.check_returncode()
    return ended.stdout.strip()
