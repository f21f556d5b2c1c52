"""What must hold of an archive and its remote while the uploader is dead, and at the end.

Promises  written apart from what it judges: it reads tickets, ledger and remote by itself, and
          what was published is known from its publisher
"""

import hashlib
import json
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.crash.offload_port import File, Port, Published
from tests.remotes.drive import Drive
from tests.rig import ROOT

STATES = ("ready", "done", "failed")
OWN_KINDS = ("upload", "retention", "drill")


class Oracle:
    """The judge of one port; it remembers what it has read, for nothing published changes."""

    def __init__(self, port: Port) -> None:
        self._port, self._root = port, port.data.root
        self._read: dict[Path, list[Any]] = {}
        self._there: set[str] = set()

    def at_death(self) -> list[str]:
        """Everything that is wrong now, while no uploader runs."""
        known = list(self._port.published)
        rows = {kind: self.rows(kind) for kind in ("upload", "retention")}
        proven = {
            (file["path"], file["sha256"])
            for row in rows["upload"]
            for file in row["files"]
            if file["verdict"] == "proven"
        }
        listed = {file["path"] for row in rows["retention"] for file in row["files"]}
        return [each for one in known for each in self._wrong_of(one, proven, listed)]

    def _wrong_of(
        self, one: Published, proven: set[tuple[str, str]], listed: set[str]
    ) -> Iterator[str]:
        queue = self._port.data.queue("upload")
        has = [state for state in STATES if (queue / f"{one.name}.{state}").exists()]
        is_here = (self._root / one.data.path).exists()
        is_proven = all((each.path, each.sha256) in proven for each in one.files)
        if not (self._root / one.manifest.path).exists():
            yield f"{one.name}: its manifest is gone from here"
        if not is_here and not one.is_old:
            yield f"{one.name}: a young data file is gone"
        if not is_here and not is_proven:
            yield f"{one.name}: removed, and no row of the ledger proves both files"
        if not is_here and one.data.path not in listed:
            yield f"{one.name}: removed before retention had listed it"
        if is_here and len(has) != 1:
            yield f"{one.name}: tickets {has}"
        if "failed" in has:
            yield f"{one.name}: set aside: {self._port.reason(one.name)}"
        if "done" in has and not is_proven:
            yield f"{one.name}: done, and no row of the ledger proves both files"
        if ("done" in has or not is_here) and one.name not in self._there:
            wrong = [text for each in one.files for text in self._wrong_there(each)]
            self._there |= set() if wrong else {one.name}
            yield from wrong

    def _wrong_there(self, file: File) -> Iterator[str]:
        try:
            found = self._port.remote.read(file.path)
        except (FileNotFoundError, IndexError, StopIteration, KeyError):
            yield f"{file.path}: called proven, and not on the remote"
            return
        if hashlib.sha256(found).hexdigest() != file.sha256:
            yield f"{file.path}: called proven, and other bytes on the remote"

    def at_the_end(self) -> list[str]:
        """Everything that is wrong when the queue was drained and the uploader has stopped."""
        self._there.clear()
        wrong = self.at_death()
        wrong += [
            f"{one.name}: an old data file stayed"
            for one in self._port.published
            if one.is_old and (self._root / one.data.path).exists()
        ]
        wrong += self._wrong_copies() + self._wrong_order() + self._left_behind()
        wrong += self._tool("verify") + self._tool("offload", "verify")
        return wrong + [f"a crash was told: {each}" for each in self.events("worker_crashed")]

    def _wrong_copies(self) -> list[str]:
        """Every published file once on the remote with its bytes, and no file besides."""
        ours = {
            self._port.data.relative(path): path
            for folder in ("raw", "manifests")
            for path in (self._root / folder).glob("**/hour=*/*")
        }
        there = self.copies()
        wrong = [f"{path}: {there[path]} times on the remote" for path in there if there[path] > 1]
        for path, place in ours.items():
            if path not in there:
                wrong += [] if self._is_last_account(path) else [f"{path}: not on the remote"]
            elif self._port.remote.read(path) != place.read_bytes():
                wrong.append(f"{path}: other bytes on the remote")
        released = {one.data.path for one in self._port.published}
        strange = there.keys() - ours.keys() - released
        return wrong + [f"{path}: a stranger" for path in strange if not is_partial(path)]

    def copies(self) -> Counter[str]:
        """How many files the remote has under each path."""
        remote = self._port.remote
        if isinstance(remote, Drive):
            return Counter({path: len(entries) for path, entries in remote.files().items()})
        return Counter(remote.paths())

    def _is_last_account(self, path: str) -> bool:
        """True for what the uploader sealed when it stopped: its ticket waits for the next."""
        name = path.rpartition("/")[2].partition(".")[0]
        is_own = any(f"--{kind}--" in name for kind in OWN_KINDS)
        return is_own and (self._port.data.queue("upload") / f"{name}.ready").exists()

    def _wrong_order(self) -> list[str]:
        """The row that proves a file was written before the row that lists it as going."""
        proved: dict[str, int] = {}
        for row in self.rows("upload"):
            for file in row["files"]:
                if file["verdict"] == "proven":
                    first = proved.get(file["path"], row["at_wall_ns"])
                    proved[file["path"]] = min(first, row["at_wall_ns"])
        return [
            f"{file['path']}: listed as going before it was proven"
            for row in self.rows("retention")
            for file in row["files"]
            if not proved.get(file["path"], row["at_wall_ns"]) < row["at_wall_ns"]
        ]

    def _left_behind(self) -> list[str]:
        spool = self._root / "spool"
        found = [*spool.glob("drill/*"), *spool.glob("open/uploader/*.open*")]
        # The next state file of its name takes the place of a draft.
        drafts = (
            e for e in self._root.rglob("*.tmp") if not e.match("manifests/*/.latest.json.tmp")
        )
        found += [*spool.glob("quarantine/*"), *drafts]
        return [f"left behind: {self._port.data.relative(path)}" for path in found]

    def _tool(self, *words: str) -> list[str]:
        """An `orderbooks` verb that must end with 0."""
        run = subprocess.run(
            [sys.executable, "-m", "workers.tools", *words, "--config", str(self._port.rig.config)],
            cwd=ROOT,
            env={**self._port.process_environment(), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        said = (run.stdout + run.stderr)[-1500:]
        return [f"orderbooks {' '.join(words)}: {run.returncode}: {said}"] if run.returncode else []

    def rows(self, kind: str) -> list[Any]:
        """Every row of a kind that is on the disk, published or being written."""
        published = sorted(self._root.glob(f"manifests/{kind}/**/*.jsonl.gz"))
        for path in published:
            if path not in self._read:
                self._read[path] = list(_rows_of(path))
        opened = self._root.glob(f"spool/open/uploader/*--{kind}--*.open")
        found = [row for path in published for row in self._read[path]]
        return found + [row for path in opened for row in _rows_of(path)]

    def events(self, name: str) -> list[str]:
        """The lines of the uploader's log that tell one event."""
        return [line for line in self._port.log().splitlines() if f'"{name}"' in line]


def is_partial(path: str) -> bool:
    """True for what a killed rclone leaves on a directory or SFTP: `NAME.<hash>.partial`."""
    return path.endswith(".partial")


def _rows_of(path: Path) -> Iterable[Any]:
    lines = _inflated(path.read_bytes()).split(b"\n")[:-1]
    return (json.loads(line) for line in lines)


def _inflated(data: bytes) -> bytes:
    """Everything that comes out of a gzip file in front of where it was cut off."""
    out = bytearray()
    while data:
        stream = zlib.decompressobj(31)
        out += stream.decompress(data)
        data = stream.unused_data
    return bytes(out)
