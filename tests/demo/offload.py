"""The demo's second half: what was recorded is on the remote, leaves this disk, and comes back.

Reads     the archive of a stopped fleet, its remote
Writes    the archive (the uploader runs again, twice), <folder>/restored; one byte on the remote,
          which is put back
Promises  what it says of the remote was read from the remote's own files
"""

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.demo.stage import Stage
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import DATA_SUFFIX, MANIFEST_SUFFIX
from workers.core.health.heartbeats import Heartbeat
from workers.core.offload.offload import DrillManifest, RetentionManifest
from workers.core.offload.retention import hour_end_ms
from workers.edge.offload import ledger
from workers.edge.spool import reader, state, tickets

MS_PER_S = 1000
#: Kinds that the uploader writes: what it says of a batch goes with a later one.
OWN_KINDS = frozenset({"upload", "retention", "drill"})
#: More than any disk has free: whatever may go goes.
ALL_OF_IT = 1 << 50


@dataclass(frozen=True)
class Offloaded:
    """What was seen of the remote, of retention, of the way back and of a flipped byte."""

    remote_files: int
    own_files: int
    not_there: list[str]
    drills: int
    drills_failed: list[str]
    hour: str
    released: int
    released_bytes: int
    stayed: list[str]
    restore_said: str
    not_back: list[str]
    flipped: str
    accused: list[str]
    is_fine_again: bool

    def checks(self) -> list[tuple[bool, str]]:
        """Each promise with its verdict."""
        own = f"(the uploader's own last account, {self.own_files} files, follows with its next batch)"
        drills = "1 drill" if self.drills == 1 else f"{self.drills} drills"
        size = f"{self.released} data files, {self.released_bytes / 1000:,.0f} kB"
        return [
            (
                self.remote_files > 0 and not self.not_there,
                f"{self.remote_files} published files are on the remote, proven {own}",
            ),
            (
                self.drills > 0 and not self.drills_failed,
                f"{drills} fetched a file back and read it to its last row",
            ),
            (
                self.released > 0 and not self.stayed,
                f"retention let go of {self.hour} ({size}) on fresh proof; the manifests stay",
            ),
            (
                not self.restore_said and not self.not_back,
                "`orderbooks restore` brought that hour back byte for byte, and it verifies",
            ),
            (
                [self.flipped] == self.accused and self.is_fine_again,
                "a byte flipped on the remote was found by `orderbooks offload verify`, by name",
            ),
        ]

    def problems(self) -> list[str]:
        """What a person reads when one of them failed."""
        found = [f"not on the remote as it is here: {each}" for each in self.not_there]
        found += [f"drill: {each}" for each in self.drills_failed]
        found += [f"still here: {each}" for each in self.stayed]
        found += [f"did not come back: {each}" for each in self.not_back]
        found += [self.restore_said] if self.restore_said else []
        if [self.flipped] != self.accused or not self.is_fine_again:
            found.append(f"flipped {self.flipped}, accused {self.accused}")
        return found


def offloaded(stage: Stage) -> Offloaded:
    """Drain the queues, look at the remote, let an hour go and bring it back, flip a byte."""
    _drain(stage)
    there, own, not_there = _compared(stage)
    hour = _first_hour(stage)
    before = _data_files(stage, hour)
    _release(stage, hour)
    kept = _data_files(stage, hour)
    gone = {path: data for path, data in before.items() if path not in kept}
    restored, said = _restored(stage, hour)
    flipped, accused, is_fine_again = _flipped(stage, gone)
    damage: list[str] = []
    drills = list(ledger.drills(stage.data, damage))
    return Offloaded(
        remote_files=there,
        own_files=own,
        not_there=not_there + damage,
        drills=len(drills),
        drills_failed=[f"{each.path}: {_said(each)}" for each in drills if not each.passed],
        hour=f"{hour.replace('/hour=', ' ').removeprefix('date=')}:00 UTC",
        released=len(gone),
        released_bytes=sum(map(len, gone.values())),
        stayed=[path for path in kept if not _is_own(path)] + _without_manifest(stage, gone),
        restore_said=said,
        not_back=[path for path, data in gone.items() if _bytes(restored / path) != data],
        flipped=flipped,
        accused=accused,
        is_fine_again=is_fine_again,
    )


def _said(drill: DrillManifest) -> str:
    return "; ".join(drill.problems) or str(drill.cause)


def _drain(stage: Stage) -> None:
    """Run who takes the tickets until nothing waits but what the uploader wrote just now."""
    settings = stage.folder / "drain.yaml"
    quick = {"interval_s": 0.1, "batch_age_s": 0}
    stage.write_config(settings, normalizer=quick, offload={"drill_interval_s": 1})
    queues = {"uploader": "upload"}
    if (stage.data.queue("normalize") / ".lock").exists():
        queues["normalizer"] = "normalize"
    for worker, queue in queues.items():
        _empty(stage, settings, worker, queue)


def _empty(stage: Stage, settings: Path, worker: str, queue: str) -> None:
    process = stage.start_worker(worker, settings)
    stage.wait_until(
        lambda: _beats(stage, worker, process.pid) and not tickets.waiting(stage.data, queue),
        f"an empty spool/{queue}",
    )
    if worker == "uploader":
        stage.wait_until(stage.data.latest("drill").exists, "a drill")
    stage.stop(process)


def _beats(stage: Stage, worker: str, pid: int) -> bool:
    beat = state.read(stage.data.heartbeat(worker), Heartbeat)
    return beat is not None and beat.pid == pid


def _compared(stage: Stage) -> tuple[int, int, list[str]]:
    """How many files are on the remote as here and proven, how many are not yet due, the rest."""
    wrong: list[str] = []
    proven = ledger.proven_files(stage.data, wrong)
    there = own = 0
    for path, manifest in reader.manifests(stage.data):
        if not isinstance(manifest, SegmentManifest):
            wrong.append(f"{path}: not a manifest")
            continue
        for name in (manifest.path, stage.data.relative(path)):
            ours = (stage.data.root / name).read_bytes()
            row, copy = proven.get(name), _bytes(stage.remote_folder / name)
            if row and copy == ours and row.sha256 == hashlib.sha256(ours).hexdigest():
                there += 1
            elif manifest.kind in OWN_KINDS and row is None and copy is None:
                own += 1
            else:
                wrong.append(name)
    return there, own, wrong


def _first_hour(stage: Stage) -> str:
    """The folder of the oldest hour, such as `date=2026-11-21/hour=06`."""
    return min(
        "/".join(path.parts[-3:-1]) for path in stage.data.root.glob(f"raw/*/*/*/*{DATA_SUFFIX}")
    )


def _data_files(stage: Stage, hour: str) -> dict[str, bytes]:
    """The bytes of every published data file of an hour, by path."""
    folders = [stage.data.root / "raw", stage.data.manifests]
    found = [path for each in folders for path in each.glob(f"*/{hour}/*{DATA_SUFFIX}")]
    return {stage.data.relative(path): path.read_bytes() for path in sorted(found)}


def _release(stage: Stage, hour: str) -> None:
    """Let real retention work at a moment when the hour is just over."""
    settings = stage.folder / "later.yaml"
    stage.write_config(
        settings,
        offload={"drill_interval_s": 0},
        retention={"min_keep_hours": 0, "min_free_bytes": ALL_OF_IT},
    )
    over_s = hour_end_ms(f"{hour}/x") // MS_PER_S + 1
    process = stage.start_worker("uploader", settings, ahead_s=max(0, over_s - int(time.time())))
    stage.wait_until(lambda: _has_released(stage), "retention")
    stage.stop(process)


def _has_released(stage: Stage) -> bool:
    last = state.read(stage.data.latest("retention"), RetentionManifest)
    return last is not None and last.step == "deleted"


def _restored(stage: Stage, hour: str) -> tuple[Path, str]:
    """Where the hour was brought back to, and what was wrong with it."""
    target = stage.restored
    day, number = hour.removeprefix("date=").split("/hour=")
    code, said = stage.tool("restore", "--to", str(target), "--day", day, "--hour", number)
    if code:
        return target, f"restore ended with {code}: {said[-1000:]}"
    code, said = stage.tool("verify", "--data", str(target))
    return target, f"verify of what came back: {code}: {said[-1000:]}" if code else ""


def _flipped(stage: Stage, gone: dict[str, bytes]) -> tuple[str, list[str], bool]:
    """The file with a flipped byte, what verify accuses, and that it is content afterwards."""
    if not gone:
        return "", [], False
    path = max(gone, key=lambda each: len(gone[each]))
    copy = stage.remote_folder / path
    data = copy.read_bytes()
    middle = len(data) // 2
    copy.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    code, said = stage.tool("offload", "verify", "--json")
    copy.write_bytes(data)
    accused = [str(each["path"]) for each in _json(said).get("problems", [])] if code == 1 else []
    return path, accused, stage.tool("offload", "verify")[0] == 0


def _json(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"problems": [{"path": text[-1000:]}]}
    return found


def _without_manifest(stage: Stage, gone: dict[str, bytes]) -> list[str]:
    names = [path.removesuffix(DATA_SUFFIX) + MANIFEST_SUFFIX for path in gone]
    return [f"{each} is gone" for each in names if not (stage.data.root / each).exists()]


def _is_own(path: str) -> bool:
    return any(f"--{kind}--" in path for kind in OWN_KINDS)


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None
