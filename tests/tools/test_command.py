"""Holds the `orderbooks` command: help, exit codes, settings, labels, the spool, status."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tools.archives import HOUR_MS, S, market
from workers.core.health.heartbeats import Condition, MarketBeat
from workers.edge.spool import tickets
from workers.tools import __main__ as command

ROOT = Path(__file__).resolve().parent.parent.parent


def orderbooks(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command as a person starts it, its output in pipes."""
    return subprocess.run(
        [sys.executable, "-m", "workers.tools", *words],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_without_a_verb_it_lists_all_of_them():
    found = orderbooks()

    assert 0 == found.returncode
    assert all(f"\n  {verb} " in found.stdout for verb in command.VERBS)


@pytest.mark.parametrize("verb", command.VERBS)
def test_every_verb_has_help_with_examples_and_exit_codes(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main([verb, "--help"])

    out = capsys.readouterr().out

    assert 0 == ended.value.code
    assert "examples:" in out
    assert f"orderbooks {verb}" in out
    assert "exit codes" in out


def test_a_wrong_verb_names_the_right_ones(capsys):
    assert 2 == command.main(["verfiy"])
    assert "verify" in capsys.readouterr().err


def test_a_directory_that_is_not_there_is_a_sentence_and_no_traceback():
    found = orderbooks("verify", "--data", "/nonexistent/var")

    assert 2 == found.returncode
    assert "hint:" in found.stderr
    assert "Traceback" not in found.stderr


def test_the_data_directory_comes_from_the_settings_in_the_environment(tmp_path, whole):
    config = tmp_path / "my.yaml"
    config.write_text(f"data_dir: {json.dumps(str(whole.data.root))}\n")

    assert 0 == orderbooks("verify", ORDERBOOKS_CONFIG=str(config)).returncode


def test_a_closed_pipe_is_no_error(whole):
    pipe = (
        f"{sys.executable} -m workers.tools coverage --json --data '{whole.data.root}' | head -c 1"
    )
    found = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {pipe}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ("{", "") == (found.stdout, found.stderr)


def test_a_verb_imports_only_itself():
    probe = (
        "import sys; from workers.tools.__main__ import main; main(['config', 'check']);"
        "bad = {m for m in sys.modules if m in ('requests', 'sentry_sdk', 'psutil')};"
        "sys.exit(str(bad) if bad else 0)"
    )
    found = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, check=False, timeout=60)

    assert 0 == found.returncode


def test_settings_are_checked_and_shown(tmp_path, capsys):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("data_dir: ./var\ncolector: {}\nalerts: {environment: 3}\n")

    assert 1 == command.main(["config", "check", str(wrong)])
    err = capsys.readouterr().err
    assert "wrong.yaml:2:1" in err
    assert "wrong.yaml:3:" in err
    assert 0 == command.main(["config", "check"])
    assert 0 == command.main(["config", "check", "--show"])
    assert "request_timeout_s" in capsys.readouterr().out


def test_a_second_label_gets_a_number_and_replaces_nothing(whole, capsys):
    name = whole.segments("books")[0].name
    for reason in ("first", "second"):
        assert 0 == whole.orderbooks("label", name, "--kind", "invalid", "--reason", reason)

    files = sorted(path.name for path in whole.data.labels.glob("*.json"))
    stem = name.removesuffix(".jsonl.gz")

    assert [f"{stem}.2.label.json", f"{stem}.label.json"] == files
    capsys.readouterr()
    assert 0 == whole.orderbooks("label", "--list")
    out = capsys.readouterr().out
    assert "first" in out
    assert "second" in out


@pytest.mark.parametrize(
    "words",
    [
        ("nothing-such", "--kind", "invalid", "--reason", "x"),
        ("../../etc/passwd", "--kind", "invalid", "--reason", "x"),
        ("--kind", "invalid", "--reason", "x"),
        ("--market", "m", "--kind", "invalid", "--reason", "x"),
        ("--market", "m", "--kind", "acknowledged", "--reason", "x"),
        ("--market", "*", "--kind", "acknowledged", "--reason", "x", "--from", "2", "--to", "3"),
        ("--kind", "invalid"),
    ],
)
def test_a_label_of_nothing_is_refused(whole, words):
    assert 2 == whole.orderbooks("label", *words)
    assert [] == list(whole.data.labels.glob("*.json"))


def test_a_broken_label_is_named(whole, capsys):
    (whole.data.labels / "x.label.json").write_text("{}")

    assert 1 == whole.orderbooks("label", "--list")
    assert 1 == whole.orderbooks("verify")
    assert "labels/x.label.json" in capsys.readouterr().out


def test_the_spool_shows_what_waits_failed_and_lies_in_quarantine(whole, capsys):
    ready = tickets.waiting(whole.data, "upload")
    tickets.fail(ready[0], "quota")
    tickets.finish(ready[1])
    (whole.data.quarantine / "odd.open.torn").write_bytes(b"x")
    (whole.data.quarantine / "odd.open.torn.why").write_text("a torn row\n")

    code = whole.orderbooks("spool", "--json")
    seen = json.loads(capsys.readouterr().out)
    upload = next(each for each in seen["queues"] if each["queue"] == "upload")

    assert 1 == code
    assert (7, 1, {ready[0].stem: "quota"}) == (upload["ready"], upload["done"], upload["failed"])
    assert {"odd.open.torn": "a torn row"} == seen["quarantine"]
    assert 1 == whole.orderbooks("spool", "upload")
    assert "quota" in capsys.readouterr().out


def test_failed_tickets_are_put_back(whole):
    one, two, three = tickets.waiting(whole.data, "upload")[:3]
    for each in (one, two, three):
        tickets.fail(each, "quota")

    assert 2 == whole.orderbooks("spool", "--retry", "nothing")
    assert 0 == whole.orderbooks("spool", "--retry", one.stem)
    assert 2 == len(tickets.waiting(whole.data, "upload", tickets.FAILED))
    assert 0 == whole.orderbooks("spool", "upload", "--all-failed")
    assert 0 == whole.orderbooks("spool")


def test_reconcile_issues_the_tickets_that_are_missing_and_no_others(whole, capsys):
    one, two = tickets.waiting(whole.data, "upload")[:2]
    one.unlink()
    tickets.finish(two)

    assert 0 == whole.orderbooks("spool", "--reconcile")
    assert "1 tickets issued" in capsys.readouterr().out
    assert one.exists()
    assert not two.exists()


def test_an_open_segment_without_an_owner_is_said_to_be_one(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    dead = fleet.collector(HOUR_MS - 5 * S)
    dead.tick(HOUR_MS)
    dead.flush(HOUR_MS + S)

    fleet.orderbooks("spool")

    assert "its worker salvages it at its next start" in capsys.readouterr().out


def test_status_without_a_fleet_says_so(fleet, capsys):
    assert 1 == fleet.orderbooks("status")
    out = capsys.readouterr().out
    assert "there is no supervisord" in out
    assert "no worker has ever run here" in out


def test_status_tells_the_living_from_the_dead(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    one, two = fleet.collector(HOUR_MS - 5 * S), fleet.collector(HOUR_MS - 5 * S, 1, 2)
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    beat = MarketBeat(
        slug="btc-updown-5m-1",
        condition_id="0x1",
        tier="hot",
        due=10,
        captured=7,
        failed={"timeout": 3},
        verified=7,
        last_row_wall_ns=1,
    )
    trouble = Condition(alert="venue_failing", detail="3 failures")
    fleet.beat(one, pid=os.getpid(), boot_id=boot_id, markets=[beat], conditions=[trouble])
    fleet.beat(two, pid=os.getpid(), boot_id="of another boot")

    assert 1 == fleet.orderbooks("status", "--json")
    found = json.loads(capsys.readouterr().out)

    assert ["alive", "gone"] == [each["process"] for each in found["workers"]]
    assert ["venue_failing: 3 failures"] == found["workers"][0]["conditions"]
    assert (10, 7, {"timeout": 3}) == tuple(
        found["markets"][0][each] for each in ("due", "captured", "failed")
    )
    assert 1 == fleet.orderbooks("status")
    assert "timeout×3" in capsys.readouterr().out


def test_status_calls_a_heartbeat_late_when_the_watchdog_would(fleet, tmp_path, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    ago_ns = time.time_ns() - 40 * 10**9
    worker = fleet.collector(HOUR_MS - 5 * S)
    fleet.beat(worker, pid=os.getpid(), boot_id=boot_id, at_wall_ns=ago_ns)
    told = []
    for late_s in (30, 3000):
        config = tmp_path / f"{late_s}.yaml"
        config.write_text(json.dumps({"watchdog": {"heartbeat_late_s": late_s}}))
        fleet.orderbooks("status", "--config", str(config))
        told.append("collector-00 is alive, no heartbeat for" in capsys.readouterr().out)
    assert [True, False] == told
