"""Holds edge.reading.folders: a listing is never older than the folder."""

import os
import time

import pytest

from workers.edge.reading.folders import Folders, hour_folder

HOUR_MS = 1_776_326_400_000


@pytest.mark.parametrize("stopped_s", [0, 3600])
def test_two_changes_with_one_stamp_are_both_seen(tmp_path, monkeypatch, stopped_s):
    """Also by a process that is stopped as soon as it has listed the folder."""
    folder, listed = tmp_path / "a", os.listdir
    folder.mkdir()
    folders = Folders(tmp_path)
    now_ns = [time.time_ns()]
    stamp = now_ns[0]

    def listing(path: str) -> list[str]:
        names = listed(path)
        now_ns[0] += stopped_s * 10**9
        return names

    monkeypatch.setattr(os, "listdir", listing)
    monkeypatch.setattr(time, "time_ns", lambda: now_ns[0])
    os.utime(folder, ns=(stamp, stamp))
    assert () == folders.names("a")
    (folder / "x").touch()
    os.utime(folder, ns=(stamp, stamp))

    assert ("x",) == folders.names("a")


def test_a_change_is_seen_and_what_did_not_change_is_kept(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    folders = Folders(tmp_path)
    os.utime(folder, ns=(10**18, 10**18))
    kept = folders.names("a")

    assert kept is folders.names("a")
    (folder / "x").touch()
    assert ("x",) == folders.names("a")


def test_what_is_no_folder_has_no_names(tmp_path):
    (tmp_path / "file").touch()

    assert () == Folders(tmp_path).names("absent") == Folders(tmp_path).names("file")


def test_hours_come_in_order_and_other_names_are_passed_over(tmp_path):
    for name in (hour_folder("r", HOUR_MS + 3_600_000), hour_folder("r", HOUR_MS), "r/date=x/y"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "r/date=2026-04-16/hour=xx").mkdir()

    assert [HOUR_MS, HOUR_MS + 3_600_000] == list(Folders(tmp_path).hours("r"))
