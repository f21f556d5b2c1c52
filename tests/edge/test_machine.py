"""Holds edge.machine: sizes as `du` says, cheap on what cannot change, never fatal."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from workers.edge.machine import DIRECTORIES, Machine

LATER_NS = time.time_ns() + 3600 * 10**9
HOUR = "raw/venue=polymarket/date=2026-11-21/hour=02"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in DIRECTORIES:
        (tmp_path / name).mkdir()
    (tmp_path / HOUR).mkdir(parents=True)
    (tmp_path / HOUR / "a.jsonl.gz").write_bytes(os.urandom(100_000))
    (tmp_path / "log" / "x.log").write_bytes(b"x" * 5000)
    return tmp_path


def du(path: Path) -> int:
    """What lies below a directory, without its own inode, in bytes."""
    text = subprocess.run(["du", "-s", "-B1", path], check=True, capture_output=True, text=True)
    return int(text.stdout.split()[0]) - path.stat().st_blocks * 512


def test_sizes_are_those_of_du(root: Path):
    sizes = Machine(root).sizes(LATER_NS)

    assert {name: du(root / name) for name in DIRECTORIES} == sizes
    assert sizes["raw"] > 100_000


def test_a_second_walk_sees_what_was_published_and_what_grew(root: Path):
    machine = Machine(root)
    machine.sizes(LATER_NS)
    (root / HOUR / "b.jsonl.gz").write_bytes(os.urandom(50_000))
    next_hour = root / HOUR.replace("=02", "=03")
    next_hour.mkdir()
    (next_hour / "c.jsonl.gz").write_bytes(os.urandom(50_000))
    with (root / "log" / "x.log").open("ab") as log:
        log.write(b"x" * 50_000)

    sizes = machine.sizes(LATER_NS)

    assert {name: du(root / name) for name in DIRECTORIES} == sizes


def test_what_grows_without_a_new_name_is_seen_to_grow(root: Path):
    segment = root / "spool" / "open" / "collector-00" / "a.jsonl.gz.open"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(b"")
    machine = Machine(root)
    machine.sizes(LATER_NS)
    segment.write_bytes(os.urandom(100_000))

    assert du(root / "spool") == machine.sizes(LATER_NS)["spool"]


def test_an_hour_that_did_not_change_is_not_listed_again(root: Path):
    """A published file is immutable: growth in place, which only a stranger does, is not seen."""
    machine = Machine(root)
    before = machine.sizes(LATER_NS)
    with (root / HOUR / "a.jsonl.gz").open("ab") as file:
        file.write(os.urandom(500_000))

    assert before == machine.sizes(LATER_NS)


def test_a_link_out_of_the_directory_is_not_followed(root: Path):
    (root / "raw" / "all").symlink_to("/")
    (root / "spool" / "loop").symlink_to(root / "spool", target_is_directory=True)

    assert Machine(root).sizes(LATER_NS)["raw"] < 1_000_000


def test_what_is_missing_counts_as_nothing(tmp_path: Path):
    machine = Machine(tmp_path)

    assert dict.fromkeys(DIRECTORIES, 0) == machine.sizes(LATER_NS)
    assert [] == machine.problems


def test_a_directory_replaced_by_a_file_is_named(root: Path):
    (root / "labels").rmdir()
    (root / "labels").write_bytes(b"")
    machine = Machine(root)

    assert 0 == machine.sizes(LATER_NS)["labels"]
    assert "labels" in machine.problems[0]


def test_a_tree_without_end_is_cut(root: Path):
    deep = root / "spool" / "/".join("d" * 40)
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x" * 100_000)

    assert Machine(root).sizes(LATER_NS)["spool"] < 100_000


def test_room_is_what_this_user_may_use(root: Path):
    room = Machine(root).room()

    assert 0 < room.free_bytes < room.total_bytes
    assert 0 <= room.free_inodes <= room.total_inodes


def test_a_filesystem_that_does_not_answer_is_an_oserror(tmp_path: Path):
    with pytest.raises(OSError, match="gone"):
        Machine(tmp_path / "gone").room()


def test_a_process_has_memory_and_descriptors(root: Path):
    with subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        child.stdout.readline()
        usage = Machine(root).usage([child.pid])[child.pid]
        child.communicate(b"\n")

    assert usage.pss_bytes > 1_000_000
    assert usage.fds >= 3


def test_a_process_that_is_gone_has_none(root: Path):
    with subprocess.Popen(["true"]) as child:
        child.wait()
        pid = child.pid
    usage = Machine(root).usage([pid, 0, -1])

    assert [pid] == list(usage)
    assert (None, None) == (usage[pid].pss_bytes, usage[pid].fds)
