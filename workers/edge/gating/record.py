"""The record of a gate: every command with its output, every file with its SHA-256.

Reads     the files that a step names
Writes    manifests/gate/<time>/<n>.out, and at the end <time>.json and <time>.md
Promises  the output of each command is kept as it came, and its SHA-256 stands in the record
"""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

from workers import VERSION
from workers.core.archive.manifests import encode
from workers.core.instants import compact_text, utc_text
from workers.core.soak import gate
from workers.core.soak.gate import Command, Gate, Step
from workers.edge import commands, durable
from workers.edge.commands import Ran
from workers.edge.spool.directory import DataDir


class Record:
    """One gate under way."""

    def __init__(self, data: DataDir, config: Path) -> None:
        self._data, self._config, self._began_ns = data, config, time.time_ns()
        self._folder = data.manifests / "gate" / compact_text(self._began_ns // 1_000_000)
        self.commands: list[Command] = []
        self.files: dict[str, str] = {}
        durable.make_directories(self._folder)

    def orderbooks(self, *words: str) -> tuple[int, Ran]:
        """Run a verb on this data directory; its number here, and what came of it."""
        place = ["--config", str(self._config), "--data", str(self._data.root)]
        return self._kept(commands.orderbooks([*words, *place]))

    def probe(self) -> tuple[int, Ran]:
        """Run `orderbooks probe`, which has no data directory."""
        words = ["probe", "--json", "--out", str(self._folder), "--config", str(self._config)]
        return self._kept(commands.orderbooks(words))

    def ran(self, *command: str) -> tuple[int, Ran]:
        """Run a command of the system."""
        return self._kept(commands.ran(command))

    def _kept(self, ran: Ran) -> tuple[int, Ran]:
        number = len(self.commands)
        path = self._folder / f"{number}.out"
        durable.replace(path, ran.out)
        told = Command(
            command=ran.command,
            began_utc=utc_text(ran.began_wall_ns),
            ended_utc=utc_text(ran.ended_wall_ns),
            code=ran.code,
            out=self._data.relative(path),
            out_bytes=len(ran.out),
            out_sha256=ran.sha256,
            said=ran.said,
        )
        self.commands.append(told)
        return number, ran

    def saw(self, *paths: Path) -> None:
        """Note files that a step rests on; one that is not there is noted as that."""
        for path in paths:
            try:
                self.files[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            except OSError as error:
                self.files[str(path)] = error.strerror or "cannot be read"

    def written(self, steps: Sequence[Step]) -> tuple[Gate, Path]:
        """Write the record; returns it, and the page's path."""
        system = os.uname()
        told = Gate(
            at_utc=utc_text(self._began_ns),
            version=VERSION,
            machine=f"{system.sysname} {system.release} {system.machine}",
            data_dir=str(self._data.root),
            result=gate.result(steps),
            steps=list(steps),
            commands=self.commands,
            files=self.files,
        )
        page = self._folder.with_suffix(".md")
        durable.replace(self._folder.with_suffix(".json"), encode(told))
        durable.replace(page, gate.page(told).encode())
        return told, page
