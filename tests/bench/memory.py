"""What the fleet holds in memory: PSS of every process after half a minute of recording.

PSS shares the pages that processes have in common; the sum is what the machine really gives.
"""

import os
import tempfile
import time
from pathlib import Path

from tests.demo.stage import SCALE, Stage

SECONDS = 30
TARGET_COLLECTOR_MB, TARGET_FLEET_MB = 45.0, 200.0


def memory_mb(pid: int) -> tuple[float, float]:
    """PSS and RSS of a process in MB."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        fields[name] = int(value.split()[0]) / 1024
    return fields["Pss"], fields["Rss"]


def measure(*, seconds: int = SECONDS) -> dict[str, object]:
    """Run the demo's fleet against the loopback venue and look at its processes."""
    with tempfile.TemporaryDirectory(prefix="mem") as folder:
        stage = Stage(Path(folder) / "s")
        try:
            stage.open_venue(
                "--scale", str(SCALE), "--markets", "btc-5m,btc-15m,btc-1h,btc-4h,btc-1d"
            )
            stage.open_fleet()
            stage.wait_for(stage.recording, "a recording collector")
            time.sleep(seconds)
            pids = {beat.worker: beat.pid for beat in stage.beats().values()}
            pids["supervisord"] = stage.fleet.pid
            return {name: memory_mb(pid) for name, pid in sorted(pids.items())}
        finally:
            stage.close()


def report(found: dict[str, object]) -> str:
    """The table a person reads."""
    sentry = "on" if os.environ.get("SENTRY_DSN") else "off"
    lines = [f"memory after {SECONDS} s of recording (Sentry {sentry})"]
    total = 0.0
    for name, each in found.items():
        if isinstance(each, tuple):
            total += each[0]
            lines.append(f"  {name:14} PSS {each[0]:6.1f} MB   RSS {each[1]:6.1f} MB")
    lines.append(f"  {'fleet':14} PSS {total:6.1f} MB")
    lines.append(
        f"  targets: a collector {TARGET_COLLECTOR_MB} MB, the fleet {TARGET_FLEET_MB} MB PSS"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    print(report(measure()))
