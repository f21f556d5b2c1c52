"""The clerk: writes down what offload did, on the disk before anything follows from it.

Writes    segments of kind upload (the offload ledger), retention and drill, one row each time;
          manifests/<kind>/latest.json
Promises  when `write` returns, the row survives a power cut
Fails     Temporary when the disk refuses: nothing may follow from what is not written
"""

import msgspec

from workers.core.archive.manifests import encode
from workers.core.errors import Temporary
from workers.core.offload.offload import DrillManifest, RetentionManifest, UploadManifest
from workers.edge import durable
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Recorder, Stream
from workers.edge.world import World

NS_PER_MS = 1_000_000


class Clerk:
    """The writing of one uploader."""

    def __init__(self, data: DataDir, recorder: Recorder, worker: str, world: World) -> None:
        self._data, self._recorder, self._worker, self._world = data, recorder, worker, world

    def write(self, kind: str, row: UploadManifest | RetentionManifest | DrillManifest) -> None:
        """Append a row, with its time, to the history of its kind and make it the latest."""
        wall_ns = self._world.wall_ns()
        row = msgspec.structs.replace(row, at_wall_ns=wall_ns)
        line = msgspec.json.encode(row) + b"\n"
        stream = Stream(subject=self._worker, kind=kind)
        self._recorder.append(stream, line, due_ms=wall_ns // NS_PER_MS, wall_ns=wall_ns)
        self._recorder.flush_now(wall_ns=wall_ns, mono_ns=self._world.mono_ns())
        if self._recorder.trouble is not None:
            raise Temporary(f"write down a row of {kind}: {self._recorder.trouble.reason}")
        durable.replace_unsynced(self._data.latest(kind), encode(row))
