"""Holds the promise of offload against SIGKILL, and the campaign that shows it.

A small campaign, and bugs that a campaign must see; `python -m tests.crash.offload` is the whole.
"""

from pathlib import Path

import pytest

from tests.crash import offload
from tests.crash.offload import Order
from tests.crash.offload_oracle import Oracle
from tests.crash.offload_port import OLD_HOURS
from tests.rig import wait_for


@pytest.fixture(scope="session", autouse=True)
def _strace() -> None:
    """Nothing here needs strace; this stands before the fixture of the folder."""


#: Moments that come soon after a start.
SOON = ("start", "copy", "list", "judged", "written", "settled")


@pytest.mark.parametrize(
    ("kind", "deaths", "aims"),
    [("local", 6, [*SOON, "listed", "gone"]), ("s3", 2, SOON), ("drive", 2, SOON)],
)
def test_no_death_loses_a_file_or_removes_one_before_its_proof(tmp_path: Path, kind, deaths, aims):
    found = offload.campaign(kind, tmp_path, Order(deaths, seed=7, aims=aims))

    assert [] == found.wrong, offload.report(found)
    assert found.deaths.total() == deaths
    assert found.released > 0


@pytest.mark.parametrize(
    ("plant", "aim", "target", "said"),
    [
        ("settled_without_verdict", "copy", "rclone", "no row of the ledger proves"),
        ("settled_before_the_row", "settled", "uploader", "no row of the ledger proves"),
        ("removed_before_the_row", "gone", "uploader", "before retention had listed it"),
        ("believed_unasked", "list", "rclone", "called proven, and not on the remote"),
        ("forgotten_after_a_failure", "copy", "rclone", "tickets []"),
        ("orphaned", "copy", "uploader", "left running"),
    ],
)
def test_a_planted_bug_is_seen(tmp_path: Path, plant, aim, target, said):
    # A slow copy: it dies half done, and an orphan of it is not gone by itself.
    slow = {"bandwidth_bytes_per_s": 30_000} if aim == "copy" else {}
    # A listing that is killed after its copy shows nothing: some of them must come before.
    deaths = 12 if target == "uploader" else 8 if aim == "list" else 3
    # A bug is seen only by a death in its moment, and a busy machine needs long to get there.
    order = Order(
        deaths,
        seed=1,
        plant=plant,
        aims=[aim],
        targets=[target],
        offload=slow,
        drain_limit_s=10,
        aim_limit_s=60,
    )

    found = offload.campaign("local", tmp_path, order)

    assert [] != [each for each in found.wrong if said in each], offload.report(found)


def test_whatever_happens_to_the_remote_is_seen(tmp_path: Path):
    with offload.port_at("drive", tmp_path) as (port, _):
        old = port.ship(2000, 3000, hours_ago=OLD_HOURS)
        young = port.ship(2000, 3000, 4000, hours_ago=0)
        port.hurry()
        process = port.start()
        wait_for(
            lambda: (
                port.backlog() == 0
                and not any((port.data.root / each.data.path).exists() for each in old)
            ),
            what="a drained queue",
        )
        port.stop(process)
        oracle = Oracle(port)
        assert [] == oracle.at_the_end()

        port.remote.spoil(old[0].data.path)
        port.remote.vanish(young[0].manifest.path)
        port.remote.duplicate(young[1].data.path)
        port.remote.write("raw/stranger", b"x")
        (port.data.root / young[2].data.path).unlink()
        wrong = "\n".join(oracle.at_the_end())

    assert f"{old[0].data.path}: called proven, and other bytes on the remote" in wrong
    assert f"{young[0].manifest.path}: not on the remote" in wrong
    assert f"{young[1].data.path}: 2 times on the remote" in wrong
    assert "raw/stranger: a stranger" in wrong
    assert f"{young[2].name}: a young data file is gone" in wrong
