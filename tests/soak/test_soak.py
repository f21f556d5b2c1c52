"""Holds a soak of some seconds beside a real fleet, what `make soak` does for longer, and its reports."""

import json
import subprocess

import pytest

from tests.processes.fleet_rig import FleetRig, quick
from tests.rig import ROOT, wait_for
from tests.soak import mix
from tests.venue import Venue
from tests.venue.faults import Rule
from workers.tools.__main__ import main

#: What a few seconds of a loopback fleet cannot show.
UNSHOWN = {"live_venue", "hashes", "real_time", "long_lives", "shipped", "running"}
#: What a machine spoils that is busy with something else, and the report then says.
SPOILED = {"captured", "watched", "alerts", "first_capture"}


def test_seconds_of_a_real_fleet_are_accounted_for(tmp_path):
    with (
        Venue(tmp_path / "venue", lines=("btc-5m",)) as venue,
        FleetRig(venue.url, **quick()) as rig,
    ):
        rig.up()
        rig.wait_for_beats("collector-00", "collector-01", "watchdog")
        wait_for(lambda: any(rig.open_rows("books")), what="books")
        words = ["--hours", str(4 / 3600), "--sample-s", "0.5", "--out", str(tmp_path / "reports")]
        ran = subprocess.run(
            rig.command("soak", *words), cwd=ROOT, capture_output=True, text=True, check=False
        )

    assert 0 == ran.returncode, ran.stdout + ran.stderr
    (path,) = (tmp_path / "reports").glob("*.json")
    report = json.loads(path.read_bytes())
    assert {each["rule"] for each in report["broken"]} <= UNSHOWN | SPOILED
    drawn = {each.stem.rpartition("_")[2] for each in (tmp_path / "reports").glob("*.svg")}
    assert {"memory", "descriptors", "disk"} <= drawn
    coverage = report["facts"]["archived"]["account"]["coverage"]
    assert coverage["due"] > 0
    assert sum(coverage["totals"].values()) == coverage["due"]
    seen = {each["worker"]: each for each in report["facts"]["seen"]["workers"]}
    assert {"supervisord", "collector-00", "collector-01", "watchdog"} <= seen.keys()
    assert {1} == {each["lives"] for each in seen.values() if not each["is_off"]}


def test_every_fault_of_the_mix_is_on_the_venues_menu_and_every_worker_is_killed():
    for kind, route, probability, params in mix.RULES:
        assert Rule(kind, route, probability=probability, params=params).probability < 0.02
    said = {act.what for act in mix.acts()}

    assert {f"SIGKILL {worker}" for worker in (*mix.WORKERS, "supervisord")} < said
    assert [act.at for act in mix.acts()] == sorted(act.at for act in mix.acts())


@pytest.mark.parametrize("label", ["accelerated", "real_time"])
def test_the_newest_reports_of_this_checkout_stand_on_the_evidence_beside_them(label: str, capsys):
    newest = max((ROOT / "reports").glob(f"soak_test_*_{label}.json"))

    assert 0 == main(["soak", "--check", str(newest)]), capsys.readouterr().out
