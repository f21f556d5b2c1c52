"""Recovery as a process of its own, for the crash harness to end early.

python -m tests.crash.recover ROOT
"""

import os
import sys
from pathlib import Path

from tests.crash import plants
from tests.crash.workload import patiently, take_over
from workers.edge.spool.directory import DataDir

if __name__ == "__main__":
    plants.plant(os.environ.get("ORDERBOOKS_TEST_PLANT", ""))
    place = DataDir(Path(sys.argv[1]))
    patiently(lambda: take_over(place) and None)
