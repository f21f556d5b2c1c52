"""Holds edge.reading.folders: a listing is never older than the folder."""

import os
import time

from workers.edge.reading.folders import Folders, hour_folder

HOUR_MS = 1_776_326_400_000


def test_two_changes_with_one_stamp_are_both_seen(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    folders = Folders(tmp_path)
    stamp = time.time_ns()
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
