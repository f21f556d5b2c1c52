"""What the start of every worker does to a directory that a power cut left.

python -m tests.vps.recover ROOT
"""

import sys
import time
from pathlib import Path

from workers.core.archive.manifests import Writer
from workers.edge.spool.directory import DataDir
from workers.edge.spool.takeover import take_over

LEVEL = 6


def recover(root: Path) -> int:
    """Settle every worker's folder; how many things there were to do."""
    data, done = DataDir(root), 0
    data.prepare()
    for folder in sorted(each for each in data.open_root.iterdir() if each.is_dir()):
        run = str(time.time_ns() // 1_000_000)
        writer = Writer(worker=folder.name, run=run, versions={"orderbooks": "0"})
        done += len(take_over(data, writer, level=LEVEL, wall_ns=time.time_ns()))
    return done


if __name__ == "__main__":
    print(recover(Path(sys.argv[1])))
