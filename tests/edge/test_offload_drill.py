"""Holds that the examination of a drill dies with the process that drills."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import ROOT, wait_for
from tests.tools.archives import whole_minute

#: A drill whose remote brings a manifest, and a data file of which nothing comes: a FIFO.
DRILL = """
import os, shutil, sys, time
from pathlib import Path
from workers.edge.offload.courier import Said
from workers.edge.offload.drill import drilled
from workers.edge.spool.directory import DataDir

root, path = Path(sys.argv[1]), sys.argv[2]

class Courier:
    def fetched(self, paths, scratch, said):
        data, manifest = paths
        (scratch / data).parent.mkdir(parents=True)
        shutil.copy(root / manifest, scratch / manifest)
        os.mkfifo(scratch / data)
        yield

for _ in drilled(Courier(), DataDir(root), path, Said()):
    time.sleep(0.01)
"""


@pytest.fixture
def drilling(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A process that drills, and the FIFO at which its examination is held."""
    fleet = whole_minute(tmp_path / "var")
    path = fleet.data.relative(fleet.segments("books")[0])
    words = [sys.executable, "-c", DRILL, str(fleet.data.root), path]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield process, fleet.data.root / "spool/drill" / path
    finally:
        process.kill()
        process.wait()


def opened(fifo: Path) -> int | None:
    """Its writing end, once somebody reads it."""
    try:
        return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None


def test_an_examination_dies_with_its_uploader(drilling):
    """An orphan would write into the next one's drill (seen once in 150 kills)."""
    process, fifo = drilling
    end = wait_for(lambda: opened(fifo), what="the examination to read")
    assert isinstance(end, int)
    try:
        reader = select.poll()
        reader.register(end, select.POLLERR)
        assert [] == reader.poll(0), "held: nothing comes, and it waits"

        process.kill()
        process.wait()

        # A FIFO that nobody reads any more is an error to its writer.
        wait_for(lambda: reader.poll(0), what="the end of the examination")
        assert not (fifo.parents[4] / "verdict.json").exists()
    finally:
        os.close(end)
