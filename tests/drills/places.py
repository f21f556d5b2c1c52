"""Drills of what lies on disks: a full one, a foreign file, a flipped byte, a remote that refuses."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.demo import offload
from tests.drills.ground import Ground
from workers.core.archive.segments import DATA_SUFFIX
from workers.edge.spool import tickets

MB = 1_000_000
DISK_MB = 64
#: Longer than three looks of the watchdog.
FULL_S = 3
#: Thresholds on a disk of 64 MB.
SMALL = {
    "disk_warn_free_bytes": 30 * MB,
    "disk_stop_opening_free_bytes": 20 * MB,
    "disk_pause_free_bytes": 10 * MB,
}
#: Thresholds that no disk reaches.
HUGE = {
    "disk_warn_free_bytes": (1 << 50) - 1,
    "disk_stop_opening_free_bytes": (1 << 50) - 2,
    "disk_pause_free_bytes": (1 << 50) - 3,
}


def fill_disk(ground: Ground) -> None:
    """Fill a small disk of the fleet's own; where none may be mounted, raise the thresholds."""
    is_mounted = _mount(ground.data.root)
    try:
        ground.open()
        ground.wait_new_rows()
        _fill(ground) if is_mounted else _raise_thresholds(ground)
        ground.wait_over("disk_low_pause")
        ground.wait_new_rows()
        said = ground.finish()
        ground.must("disk_guard" in said, "coverage does not name the pause")
        ground.say("the pause is in coverage as PAUSED(disk_guard)")
    finally:
        if is_mounted:
            ground.close()
            subprocess.run(["umount", "--lazy", ground.data.root], check=True)


def _mount(place: Path) -> bool:
    """True when a small file system of its own is mounted there."""
    place.mkdir(parents=True)
    options = f"size={DISK_MB}m"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() == 0:
        subprocess.run(command, check=False, capture_output=True)
    return subprocess.run(["mountpoint", "-q", place], check=False).returncode == 0


def _fill(ground: Ground) -> None:
    filler, pids = ground.data.root / "filler", _pids(ground)
    free = shutil.disk_usage(ground.data.root).free
    filler.write_bytes(b"\0" * (free - 5 * MB))
    ground.say("a small disk of its own (mountpoint -q agrees) is filled but for 5 MB")
    ground.wait_told("disk_low_pause")
    ground.wait_until(lambda: not _open(ground, "books"), "no open book segment")
    ground.say("everything is sealed")
    dd = ["dd", "if=/dev/zero", f"of={filler}", "bs=64k", "oflag=append", "conv=notrunc"]
    done = subprocess.run(dd, check=False, capture_output=True)
    ground.must(done.returncode != 0, "the disk was not full after all")
    full_s = time.monotonic()
    ground.wait_until(lambda: time.monotonic() - full_s > FULL_S, "the time to pass")
    ground.say(f"and for {FULL_S} s to its last byte")
    filler.unlink()
    ground.wait_told("disk_full")
    ground.must(pids == _pids(ground), "a process did not survive the full disk")
    ground.say("room is made; every process lives")


def _raise_thresholds(ground: Ground) -> None:
    ground.write_config(ground.config, watchdog=HUGE)
    ground.ctl("restart", "watchdog")
    ground.say("no small disk may be mounted here: the thresholds are above what is free")
    ground.wait_told("disk_low_pause")
    ground.wait_until(lambda: not _open(ground, "books"), "no open book segment")
    ground.write_config(ground.config)
    ground.ctl("restart", "watchdog")


def _open(ground: Ground, kind: str) -> list[Path]:
    return list(ground.data.open_root.glob(f"collector-*/*--{kind}--*.open"))


def _pids(ground: Ground) -> set[int]:
    return {each.pid for each in ground.beats().values()}


def quarantine(ground: Ground) -> None:
    """A file that nobody can read lies in quarantine until a person takes it away."""
    ground.open()
    stranger = ground.data.quarantine / "drill"
    stranger.touch()
    ground.say("a file in spool/quarantine")
    ground.wait_told("quarantine_grew")
    stranger.replace(ground.folder / "understood")
    ground.wait_over("quarantine_grew")
    ground.finish()


def break_remote(ground: Ground) -> None:
    """A remote that rclone does not know; files wait here until it is mended."""
    ground.open()
    ground.write_config(ground.config, offload={"remote": "nowhere:orderbooks"})
    ground.ctl("restart", "uploader")
    ground.say("offload.remote names a remote that rclone does not know")
    ground.ctl("restart", "collector")
    ground.wait_until(lambda: tickets.waiting(ground.data, "upload"), "a file to copy")
    ground.wait_told("remote_refused", limit_s=180)
    waiting = {path.stem for path in tickets.waiting(ground.data, "upload")}
    ground.must(waiting, "nothing waits although nothing can be copied")
    ground.say(f"{len(waiting)} files wait here")
    ground.write_config(ground.config)
    ground.ctl("restart", "uploader")
    ground.wait_over("remote_refused")
    done = ground.data.queue("upload")
    ground.wait_until(
        lambda: all((done / f"{each}{tickets.DONE}").exists() for each in waiting),
        "the proof of what waited",
    )
    ground.say("what waited is copied and proven")
    ground.finish()


def flip_byte(ground: Ground) -> None:
    """A bit of a published file rots; verify names it; the remote's copy takes its place."""
    ground.open()
    ground.wait_new_rows()
    ground.finish()
    uploader = ground.start_worker("uploader")
    ground.wait_until(lambda: not tickets.waiting(ground.data, "upload"), "the copies")
    ground.stop(uploader)
    path = max(
        (ground.data.root / "raw").rglob(f"*{DATA_SUFFIX}"), key=lambda each: each.stat().st_size
    )
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    ground.say("one bit of the largest published file is another")
    code, said = ground.tool("verify")
    name = path.name.removesuffix(DATA_SUFFIX)
    ground.must(code == 1 and name in said, f"verify ended with {code}: {said[-800:]}")
    ground.say("orderbooks verify exits 1 and names the file")
    day = next(part for part in path.parts if part.startswith("date=")).removeprefix("date=")
    code, said = ground.tool("restore", "--to", str(ground.restored), "--day", day)
    ground.must(code == 0, f"orderbooks restore ended with {code}: {said[-800:]}")
    back = ground.restored / ground.data.relative(path)
    ground.must(back.read_bytes() == whole, "what came back is not what was recorded")
    shutil.copyfile(back, path)
    code, said = ground.tool("verify")
    ground.must(code == 0, f"verify ended with {code}: {said[-800:]}")
    ground.say("the copy of the remote took its place; verify exits 0")


def restore_day(ground: Ground) -> None:
    """Retention lets an hour go; it comes back byte for byte; the remote's damage is named."""
    ground.open()
    ground.wait_new_rows()
    ground.finish()
    found = offload.offloaded(ground)
    for is_so, promise in found.checks():
        ground.must(is_so, f"not so: {promise}; {found.problems()[:3]}")
        ground.say(promise)
