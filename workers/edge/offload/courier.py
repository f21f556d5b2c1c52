"""The courier: one rclone command after another, each as a job that never blocks.

    copied · listed · read_back · fetched          each ends with what the remote said

A job is a generator: it yields while its command runs and returns what came of it, so that a
worker beats and obeys SIGTERM while gigabytes move. A closed job ends its command.

Reads     the remote; run/offload (lists for rclone)
Writes    the remote, by `copied` alone, and never over a name that is taken
Fails     a failed command is a Failure in the result, with its cause; never an exception
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from workers.core.errors import Refused
from workers.core.offload import rclone, rclone_places
from workers.core.offload.offload import CommandRow, Found
from workers.core.offload.rclone import Ended, Tuning
from workers.core.offload.rclone_failures import Failure, failure_of
from workers.core.offload.rclone_places import Place
from workers.edge.remote import Rclone

Result = TypeVar("Result")
#: A job of one or more commands: yields while it must wait, returns its result.
Job = Generator[None, None, Result]
COMMAND_LINES_MAX = 20


class Said(msgspec.Struct):
    """What the commands of a job were and how they ended; `failure` is the first that failed."""

    commands: list[CommandRow] = []
    failure: Failure | None = None

    def add(self, ended: Ended, forgiven: frozenset[int]) -> None:
        """Take one command in; exit codes that are `forgiven` are told, but fail nothing."""
        failure = failure_of(ended)
        loud = [each.text for each in ended.log if each.level in {"error", "critical"}]
        self.commands.append(
            CommandRow(
                command=ended.command,
                code=ended.code,
                seconds=round(ended.seconds, 3),
                cause=failure.cause if failure else None,
                said=loud[:COMMAND_LINES_MAX],
            )
        )
        if failure and ended.code not in forgiven:
            self.fail(failure)

    def fail(self, failure: Failure) -> None:
        """Keep the first failure."""
        self.failure = self.failure or failure


class Courier:
    """Commands to one remote.

    Args:
        root: the data directory; paths are relative to it and to the remote's root alike.
        folder: where the lists for rclone may be written.
    """

    def __init__(
        self, program: Rclone, remote: str, *, root: Path, folder: Path, tuning: Tuning
    ) -> None:
        self.remote = remote
        self._is_directory = remote.startswith("/")
        self._program, self._root, self._folder, self._tuning = program, root, folder, tuning
        self._hash_type: str | None = None
        self._is_asked = False

    def hash_type(self, said: Said) -> Job[str | None]:
        """The hash type that remote and manifests share, asked once; None = none, or a failure."""
        if not self._is_asked:
            command = rclone.features_command(self.remote)
            found = yield from self._ran(command, said, _hash_type)
            if said.failure is None:
                self._hash_type, self._is_asked = found, True
        return self._hash_type

    def copied(self, paths: Sequence[str], said: Said) -> Job[None]:
        """Copy local files to their names on the remote; a taken name is left as it is."""
        listed = self._list(paths, lambda path: path)
        command = rclone.copy_command(str(self._root), self.remote, listed, self._tuning)
        yield from self._ran(command, said, _nothing)

    def rehearsed(self, paths: Sequence[str], said: Said) -> Job[None]:
        """What `copied` would do, without doing it."""
        listed = self._list(paths, lambda path: path)
        command = rclone.copy_command(str(self._root), self.remote, listed, self._tuning)
        yield from self._ran([*command, "--dry-run"], said, _nothing)

    def listed(self, paths: Sequence[str], hash_type: str | None, said: Said) -> Job[list[Found]]:
        """What lies on the remote under these paths; [] together with a failure means nothing."""
        patterns = self._list(paths, rclone.include_pattern)
        command = rclone.list_command(self.remote, hash_type, patterns)
        return (yield from self._ran(command, said, _entries, rclone.ABSENT_CODES))

    def surveyed(
        self,
        patterns: Sequence[str],
        hash_type: str | None,
        take: Callable[[Found], None],
        said: Said,
    ) -> Job[None]:
        """Give `take` every entry under patterns of rclone, or of the whole remote for none."""
        chosen = self._list(patterns, str) if patterns else None
        command = rclone.list_command(self.remote, hash_type, chosen)

        def give(lines: Iterator[bytes]) -> None:
            for entry in map(rclone.found_of, lines):
                if entry is not None:
                    take(entry)

        yield from self._ran(command, said, give, rclone.ABSENT_CODES)

    def read_back(self, paths: Sequence[str], said: Said) -> Job[dict[str, str]]:
        """SHA-256 by path of what the remote gives back; costs a download of it all."""
        patterns = self._list(paths, rclone.include_pattern)
        command = rclone.download_hash_command(self.remote, patterns)
        text = yield from self._ran(command, said, b"\n".join)
        return rclone.downloaded_of(text.decode(errors="replace"))

    def fetched(self, paths: Sequence[str], target: Path, said: Said) -> Job[None]:
        """Bring files from the remote into a directory, under their own paths."""
        listed = self._list(paths, lambda path: path)
        command = rclone.fetch_command(self.remote, str(target), listed, self._tuning)
        yield from self._ran(command, said, _nothing)

    def places(self, said: Said) -> Job[list[Place]]:
        """The remote and what it stands on, each asked once; incomplete with a failure."""
        waits, asked, found = [self.remote], {self.remote}, []
        while waits and said.failure is None:
            place = yield from self._ran(rclone_places.string_command(waits.pop()), said, _place)
            if place is not None:
                found.append(place)
                waits += [each for each in place.wraps if each not in asked]
                asked.update(place.wraps)
        return found

    def _ran(
        self,
        command: list[str],
        said: Said,
        read: Callable[[Iterator[bytes]], Result],
        forgiven: frozenset[int] = frozenset(),
    ) -> Job[Result]:
        if self._is_directory and not Path(self.remote).is_dir():
            # rclone would make it anew: on the disk below a share that is not mounted.
            said.fail(Failure("absent", f"the directory {self.remote} is gone: is it mounted?"))
            return read(iter(()))
        run = self._program.start(command, limit_s=self._tuning.limit_s)
        try:
            while (ended := run.poll()) is None:
                yield
            said.add(ended, forgiven)
            try:
                # What a failed command printed may be half of the truth.
                return read(run.out_lines() if ended.code == 0 else iter(()))
            except Refused as error:
                said.fail(Failure("unknown", str(error)))
                return read(iter(()))
        finally:
            run.close()

    def _list(self, paths: Sequence[str], written: Callable[[str], str]) -> str:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / "paths"
        path.write_text("".join(f"{written(each)}\n" for each in paths))
        return str(path)


def _hash_type(lines: Iterator[bytes]) -> str | None:
    text = b"\n".join(lines)
    return rclone.hash_type_of(text) if text else None


def _place(lines: Iterator[bytes]) -> Place | None:
    text = b"\n".join(lines).decode(errors="replace")
    return rclone_places.place_of(text) if text else None


def _nothing(_lines: Iterator[bytes]) -> None:
    return None


def _entries(lines: Iterator[bytes]) -> list[Found]:
    found = (rclone.found_of(line) for line in lines)
    return [each for each in found if each is not None]
