"""What proof costs: a batch of ours beside a bare `rclone copy` of the very same files.

Ours is the real uploader in its stride: copy, list, verdict, ledger row, tickets. The bare copy
goes to another folder of the same remote with the same --transfers, --checkers, --buffer-size and
--bwlimit; both in turn, the other one first each round. Remotes are on this machine: they take
their share of its cores, and a copy without a wire lasts tenths of a second, so that what proof
costs in all (seconds a batch) says more than its share. "10 % at": the speed of the copy up to
which it is less than a tenth.
"""

import random
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from tests.bench.memory import memory_mb
from tests.processes.shipyard import Shipyard
from tests.remotes import S3, Drive, Local, Remote, Sftp, WebDav, run_rclone
from workers.core.archive.manifests import SegmentManifest
from workers.core.instants import parse_utc
from workers.core.offload.offload import UploadManifest
from workers.edge.spool import tickets

ROUNDS = 5
SEGMENTS = 64
SIZES_BYTES = (200_000, 4_000_000)
#: The recorder's rows are hexadecimal noise: gzip makes half of them.
ROWS_PER_BYTE = 2
TRANSFERS = 2
TARGET_OVERHEAD, TARGET_MB = 0.10, 40.0
#: A wire of 200 Mbit/s, which no loopback is.
WIRE_BYTES_PER_S = 25_000_000
#: The remote, how it is proven, and the wire to it (0 = loopback as it is).
REMOTES: dict[str, tuple[type[Remote], str, int]] = {
    "directory": (Local, "never", 0),
    "s3": (S3, "never", 0),
    "sftp": (Sftp, "never", 0),
    "drive": (Drive, "never", 0),
    "webdav, read back": (WebDav, "without_hash", 0),
    "directory, 25 MB/s": (Local, "never", WIRE_BYTES_PER_S),
    "s3, 25 MB/s": (S3, "never", WIRE_BYTES_PER_S),
}
SAMPLE_S = 0.05


class Round(msgspec.Struct):
    """Seconds of one round: both sides, and what ours spent them on."""

    bare_s: float
    ours_s: float
    copy_s: float
    list_s: float
    read_back_s: float
    bytes: int

    @property
    def rest_s(self) -> float:
        """Hashing what goes out, the verdict, the ledger, the tickets, and waiting for rclone."""
        return self.ours_s - self.copy_s - self.list_s - self.read_back_s


class Bench:
    """One uploader at one remote."""

    def __init__(self, folder: Path, remote: Remote, proof: str, wire_bytes_per_s: int) -> None:
        self.yard = Shipyard(
            folder,
            remote,
            prove_by_download=proof,
            transfers=TRANSFERS,
            bandwidth_bytes_per_s=wire_bytes_per_s,
        )
        self._wire = ["--bwlimit", f"{wire_bytes_per_s}B"] if wire_bytes_per_s else []
        self._dice = random.Random(7)
        self._number = 0
        self.peak_mb: tuple[float, float] = (0.0, 0.0)

    def round(self) -> Round:
        """Publish a batch while the uploader is held, then let both sides copy it."""
        self._number += 1
        self._process.send_signal(signal.SIGSTOP)
        low, high = SIZES_BYTES
        sizes = [int(low * (high / low) ** self._dice.random()) for _ in range(SEGMENTS)]
        segments = self.yard.publish(*(size * ROWS_PER_BYTE for size in sizes))
        bare_s = self._bare(segments) if self._number % 2 else 0.0
        self._process.send_signal(signal.SIGCONT)
        self.yard.wait_done(*segments, limit_s=300)
        ours = self._batch_of(segments)
        return Round(
            bare_s=bare_s or self._bare(segments),
            ours_s=self._ended_ms(segments) / 1000 - parse_utc(ours.started_at_utc) / 1000,
            copy_s=_seconds(ours, "copy"),
            list_s=_seconds(ours, "lsjson") + _seconds(ours, "backend"),
            read_back_s=_seconds(ours, "hashsum"),
            bytes=ours.bytes,
        )

    def _bare(self, segments: list[SegmentManifest]) -> float:
        """Seconds of a bare copy to a folder that nobody else uses."""
        chosen = self.yard.rig.folder / "bare.txt"
        paths = [path for each in segments for path in (each.path, self.yard.manifest_path(each))]
        chosen.write_text("\n".join(paths) + "\n")
        target = f"{self.yard.remote.remote}-bare-{self._number}"
        began_s = time.monotonic()
        run_rclone(
            *("copy", str(self.yard.data.root), target, "--files-from-raw", str(chosen)),
            *("--no-traverse", "--transfers", str(TRANSFERS), "--checkers", "4"),
            *("--buffer-size", "0", *self._wire),
            environment=self.yard.remote.environment,
            limit_s=300,
        ).check_returncode()
        return time.monotonic() - began_s

    def _batch_of(self, segments: list[SegmentManifest]) -> UploadManifest:
        last = self.yard.last("upload")
        assert isinstance(last, UploadManifest)
        assert {each.path for each in segments} <= {each.path for each in last.files}, "two batches"
        assert last.verdicts == {"proven": 2 * SEGMENTS}, last.verdicts
        return last

    def _ended_ms(self, segments: list[SegmentManifest]) -> float:
        """When the last ticket got its new name."""
        queue = self.yard.data.queue("upload")
        done = [queue / f"{each.name}{tickets.DONE}" for each in segments]
        return max(path.stat().st_ctime_ns for path in done) / 1e6

    @contextmanager
    def running(self) -> Iterator[None]:
        """An uploader in its stride: it knows the remote's hash, its last batch was proven."""
        self._process = self.yard.start()
        over = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(self._process, over))
        watcher.start()
        try:
            self.yard.wait_done(*self.yard.publish(1000))
            yield
        finally:
            over.set()
            watcher.join()
            self.yard.stop(self._process)

    def _watch(self, process: subprocess.Popen[bytes], over: threading.Event) -> None:
        while not over.wait(SAMPLE_S):
            try:
                pss, _ = memory_mb(process.pid)
            except (OSError, KeyError):
                return
            self.peak_mb = (max(self.peak_mb[0], pss), _peak_rss_mb(process.pid))


def _peak_rss_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(each.split()[1]) / 1024 for each in lines if each.startswith("VmHWM"))


def _seconds(manifest: UploadManifest, verb: str) -> float:
    return sum(each.seconds for each in manifest.commands if each.command[1] == verb)


def one(kind: str, *, rounds: int) -> tuple[list[Round], tuple[float, float]]:
    """All rounds on one remote, and the uploader's peak of PSS and RSS in MB."""
    maker, proof, wire_bytes_per_s = REMOTES[kind]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench")))
        (folder / "yard").mkdir()
        remote = stack.enter_context(maker(folder / "remote"))
        bench = Bench(folder / "yard", remote, proof, wire_bytes_per_s)
        stack.callback(bench.yard.end)
        stack.enter_context(bench.running())
        return [bench.round() for _ in range(rounds)], bench.peak_mb


def measure(*, rounds: int = ROUNDS) -> dict[str, object]:
    """Every remote in turn: its rounds, and the uploader's memory."""
    return {kind: one(kind, rounds=rounds) for kind in REMOTES}


def report(found: dict[str, object]) -> str:
    """The table a person reads."""
    rounds = next(len(each[0]) for each in found.values() if isinstance(each, tuple))
    sides = f"{'MB':>6}{'bare s':>8}{'ours s':>8}{'overhead':>10}"
    sides += f"{'10 % at':>11}"
    parts = f"{'copy':>6}{'list':>6}{'back':>6}{'rest':>6}   {'PSS MB':>7}{'RSS MB':>7}"
    lines = [
        f"offload: {SEGMENTS} segments and their manifests, median of {rounds} rounds in turn",
        f"  {'':18}{sides}   {parts}",
    ]
    for kind, each in found.items():
        if isinstance(each, tuple):
            lines.append(f"  {kind:18}{_row(*each)}")
    targets = f"overhead {TARGET_OVERHEAD:.0%}, the uploader's peak {TARGET_MB:.0f} MB"
    lines += [
        "  copy, list, back: rclone's commands of our batch; rest: hashing, verdict, ledger, tickets",
        f"  targets: {targets} beside rclone",
    ]
    return "\n".join(lines)


def _row(rounds: list[Round], peak_mb: tuple[float, float]) -> str:
    def middle(name: str) -> float:
        return statistics.median(getattr(each, name) for each in rounds)

    overhead = statistics.median(each.ours_s / each.bare_s - 1 for each in rounds)
    more_s = statistics.median(each.ours_s - each.bare_s for each in rounds)
    reach = f"{middle('bytes') / 1e6 * TARGET_OVERHEAD / more_s:.0f} MB/s" if more_s > 0 else "any"
    sides = f"{middle('bytes') / 1e6:>6.0f}{middle('bare_s'):>8.2f}{middle('ours_s'):>8.2f}"
    parts = "".join(f"{middle(n):>6.2f}" for n in ("copy_s", "list_s", "read_back_s", "rest_s"))
    return f"{sides}{overhead:>10.1%}{reach:>11}   {parts}   {peak_mb[0]:>7.1f}{peak_mb[1]:>7.1f}"


if __name__ == "__main__":
    print(report(measure()))
