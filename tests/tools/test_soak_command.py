"""Holds `orderbooks soak` and the soak step of `gate`: durable samples, honest reports, no forgery."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.rig import ROOT, wait_for
from tests.tools.archives import HOUR_MS, Fleet, whole_minute
from workers.core.health.reports import ProcessHealth
from workers.core.soak.gates import NEEDS_REVIEW, PASS
from workers.core.soak.report import Report
from workers.core.soak.samples import Begun, Done, Sample
from workers.edge.soaking import recheck, reporting, tape
from workers.edge.spool import locks

MS = 1_000_000


def sample(soak: str, at_ms: int, boot_id: str = "b") -> Sample:
    return Sample(
        soak=soak,
        at_wall_ns=at_ms * MS,
        at_mono_ns=at_ms * MS,
        boot_id=boot_id,
        supervisord=1,
        problem="",
        processes=[
            ProcessHealth(worker="watchdog", state="RUNNING", pid=2, up_s=1, reason="", fds=9)
        ],
        workers=[],
        queues=[],
        quarantined=0,
        guard="ok",
        free_bytes=1,
        directories={"raw": at_ms - HOUR_MS},
        verdict="ok",
        alerts=[],
    )


def soaked(fleet: Fleet, *, boots: tuple[str, ...] = ("b",)) -> Begun:
    """Samples of two minutes over the minute that the fleet recorded, a tape for each boot."""
    begun = Begun(
        soak="20260416T080000000Z",
        at_wall_ns=HOUR_MS * MS,
        until_wall_ns=(HOUR_MS + 120_000) * MS,
        sample_s=5,
        boot_id="b",
        version="0",
        machine="Linux",
        config_sha256="c",
        gamma_url="http://127.0.0.1:1",
        clob_url="http://127.0.0.1:1",
        remote="away:",
    )
    share_ms = 120_000 // len(boots)
    for number, boot_id in enumerate(boots):
        from_ms = HOUR_MS + number * share_ms
        again = msgspec.structs.replace(begun, at_wall_ns=from_ms * MS, boot_id=boot_id)
        log = tape.Tape(fleet.data, from_ms * MS)
        log.add(again if number else begun, from_ms)
        for at_ms in range(from_ms, from_ms + share_ms + 1, 5000):
            log.add(sample(begun.soak, at_ms, boot_id), at_ms)
        if number == len(boots) - 1:
            log.add(Done(soak=begun.soak, at_wall_ns=(HOUR_MS + 120_000) * MS), 0)
        log.close((from_ms + share_ms) * MS, 0)
        locks.release_all()
    return begun


@pytest.fixture
def reported(tmp_path) -> tuple[Fleet, Report]:
    """A fleet's minute, its soak, and the report that was kept."""
    fleet = whole_minute(tmp_path / "var")
    begun = soaked(fleet)
    return fleet, reporting.made(fleet.data, begun)[0]


def accused(fleet: Fleet, report: Report) -> str:
    return "; ".join(recheck.differences(fleet.data, report))


def test_a_report_says_what_the_archive_and_the_samples_say(reported):
    fleet, report = reported
    account = report.facts.archived.account

    assert (2, 120, {"CAPTURED": 120}) == (
        account.coverage.markets,
        account.coverage.due,
        account.coverage.totals,
    )
    assert {"POST /books": {"ok": 60}} == account.asked.requests
    assert (2, 0, 0, []) == (
        account.first_capture.markets,
        account.first_capture.absent_first,
        account.first_capture.max_ms,
        account.first_capture.never,
    )
    assert [] == report.facts.verified.problems
    assert NEEDS_REVIEW == report.verdict
    assert {"live_venue", "real_time", "shipped"} <= {each.rule for each in report.broken}
    assert "" == accused(fleet, report)


def test_its_evidence_is_checked_by_sha256sum_too(reported):
    fleet, report = reported
    command = ["sha256sum", "--quiet", "-c", report.evidence.path]

    assert 0 == subprocess.run(command, cwd=fleet.data.root, check=False).returncode
    assert report.evidence.files > 5


def test_an_edited_report_is_accused(reported):
    fleet, report = reported
    seen = msgspec.structs.replace(report.facts.seen, samples=17_280)
    venue = "https://clob.polymarket.com"
    begun = msgspec.structs.replace(report.facts.begun, gamma_url=venue, clob_url=venue)
    forged = msgspec.structs.replace

    assert "verdict" in accused(fleet, forged(report, verdict=PASS, broken=[]))
    assert "samples" in accused(fleet, forged(report, facts=forged(report.facts, seen=seen)))
    assert "begun" in accused(fleet, forged(report, facts=forged(report.facts, begun=begun)))
    told = report.facts.archived.account
    better = forged(told, coverage=forged(told.coverage, markets=400))
    archived = forged(report.facts.archived, account=better)
    assert "account" in accused(
        fleet, forged(report, facts=forged(report.facts, archived=archived))
    )


def test_figures_that_hide_a_loss_are_not_believed(reported):
    fleet, report = reported
    fleet.segments("books")[0].unlink()

    assert "the evidence gives FAIL" in accused(fleet, report)


def test_edited_evidence_is_accused(reported):
    fleet, report = reported
    samples = fleet.segments("soak")[0]
    for path in (samples, fleet.manifests("books")[0], fleet.manifests("ledger")[0]):
        before = path.read_bytes()
        path.write_bytes(before[:-2] + b" \n")
        assert fleet.data.relative(path) in accused(fleet, report)
        path.write_bytes(before)
    listed = fleet.data.root / report.evidence.path
    listed.write_text("".join(listed.read_text().splitlines(keepends=True)[1:]))

    assert "not the list" in accused(fleet, report)


def test_gate_fails_on_a_forged_report_and_is_blocked_by_the_place(reported, capsys):
    fleet, report = reported
    kept = fleet.data.manifests / "soak" / f"{report.soak}.json"
    (fleet.data.root.parent / "orderbooks.yaml").write_text(
        json.dumps({"data_dir": str(fleet.data.root), "offload": {"remote": "./remote"}})
    )
    config = ["--config", str(fleet.data.root.parent / "orderbooks.yaml")]

    told = json.loads(kept.read_bytes()) | {"verdict": "PASS", "broken": []}
    kept.write_text(json.dumps(told))
    assert 1 == fleet.orderbooks("gate", *config)
    forged = capsys.readouterr().out

    assert "does not follow from its own figures" in forged
    record = json.loads(max((fleet.data.manifests / "gate").glob("*.json")).read_bytes())
    steps = {each["name"]: each["result"] for each in record["steps"]}
    assert ("FAIL", "BLOCKED_NEEDS_VPS_ACCESS") == (steps["soak"], steps["service"])
    (copy,) = (each for each in record["steps"] if each["name"] == "second_copy")
    assert ["a remote elsewhere: it is local of this machine"] == copy["missing"]
    for each in record["commands"]:
        assert each["out_bytes"] == (fleet.data.root / each["out"]).stat().st_size


def test_a_reboot_in_the_middle_shows_as_what_it_was(tmp_path):
    fleet = whole_minute(tmp_path / "var")
    begun = soaked(fleet, boots=("b", "c"))
    report, _ = reporting.made(fleet.data, begun)

    assert ["b", "c"] == [each.boot_id for each in report.facts.seen.boots]
    assert [True] == [each.is_reboot for each in report.facts.seen.holes]
    assert {"one_boot", "watched"} <= {each.rule for each in report.broken}
    assert "" == accused(fleet, report)


COMMAND = ("-m", "workers.tools")
#: The command on a machine that was away for two hours.
AWAY = (
    "import sys, time; now_ns = time.time_ns; time.time_ns = lambda: now_ns() + 7_200 * 10**9;"
    "from workers.tools.__main__ import main; sys.exit(main(sys.argv[1:]))"
)
LATER = ("-c", AWAY)


def soak(
    fleet: Fleet, config: Path, *words: str, program: tuple[str, ...] = COMMAND
) -> "subprocess.Popen[str]":
    command = [sys.executable, *program, "soak", "--config", str(config), *words]
    return subprocess.Popen(
        [*command, "--data", str(fleet.data.root), "--out", str(config.parent / "reports")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def samples_of(fleet: Fleet) -> int:
    found = tape.soaks(fleet.data)
    return (
        sum(isinstance(row, Sample) for row in tape.told(fleet.data, found[0].soak).rows)
        if found
        else 0
    )


def test_a_killed_soak_keeps_its_samples_and_goes_on(tmp_path):
    fleet = whole_minute(tmp_path / "var")
    config = tmp_path / "orderbooks.yaml"
    config.write_text(
        json.dumps({"data_dir": str(fleet.data.root), "offload": {"remote": str(tmp_path)}})
    )
    first = soak(fleet, config, "--hours", "1", "--sample-s", "0.1")
    wait_for(lambda: samples_of(fleet) >= 3, what="three samples")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    before = samples_of(fleet)
    again = soak(fleet, config, "--resume", program=LATER)
    said, _ = again.communicate()

    assert 1 == again.returncode  # nothing was due in that hour: no evidence, no pass
    assert "soak_test_" in said
    (begun,) = tape.soaks(fleet.data)
    told = tape.told(fleet.data, begun.soak)
    seen = reporting.seen_in(told, begun.soak)
    assert seen.samples > before >= 3
    assert (2, True, []) == (seen.sampler_starts, seen.is_over, told.damage)
    assert 0 == fleet.orderbooks("verify")
    found = {each.suffix: each.read_text() for each in (tmp_path / "reports").iterdir()}
    assert {".md", ".json"} <= found.keys()
    assert str(tmp_path) not in found[".md"] + found[".json"]
    third = soak(fleet, config, "--resume")
    third.communicate()
    assert 2 == third.returncode
