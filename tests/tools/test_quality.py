"""Holds `orderbooks quality`: whole on a troubled day, and every number comes back by its command."""

import json
import re
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from tests.tools import days
from tests.tools.archives import HOUR_MS, Fleet
from tests.tools.days import DAY
from workers.core.report.mined_page import RANKINGS
from workers.edge.spool import locks

ROOT = Path(__file__).resolve().parent.parent.parent
PICTURES = {"coverage", "missed", "latency", "latency_over_time", "spread", "clock"}


def normalised(root: Path) -> Fleet:
    fleet = days.troubled(root)
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Fleet:
    """The troubled day; for tests that change nothing."""
    return normalised(tmp_path_factory.mktemp("day") / "var")


@pytest.fixture
def own(made, tmp_path) -> Fleet:
    """A copy of it, to be changed."""
    shutil.copytree(made.data.root, tmp_path / "var", ignore=shutil.ignore_patterns("token_stats"))
    return Fleet(tmp_path / "var")


def quality(fleet: Fleet, capsys) -> tuple[int, dict]:
    """The exit code and the report for programs."""
    capsys.readouterr()
    code = fleet.orderbooks("quality", DAY, "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def test_a_troubled_day_is_reported_whole(made, capsys):
    code, report = quality(made, capsys)

    assert 0 == code
    assert {
        "CAPTURED": 1426,
        "DOWN(stopped)": 60,
        "FAILED(http_503)": 10,
        "DOWN(starting)": 2,
        "FAILED(timeout)": 2,
    } == report["coverage"]["totals"]
    assert (1500, True) == (report["coverage"]["due"], report["coverage"]["adds_up"])
    (books,) = report["requests"]["endpoints"]
    assert {"ok": 863, "http_503": 5, "timeout": 1} == books["causes"]
    assert {"verified": 2852} == report["books"]["verdicts"]
    assert report["books"]["flags"].keys() == {"empty_ask", "empty_bid"}
    assert [12, -40, 480, 90] == [each["offset_ms"] for each in report["clock"]["offsets"]]
    assert [(-300_000_000, "collector-00")] == [
        (each["step_ns"], each["worker"]) for each in report["clock"]["steps"]
    ]


def test_the_percentiles_are_those_that_were_measured(made, capsys):
    (books,) = quality(made, capsys)[1]["requests"]["endpoints"]
    captured = [*range(100), *range(105, 260), *range(261, 300), *range(331, 600)]
    asked = [HOUR_MS // 1000 + at for at in [*captured, *range(3540, 3840)]]
    took_ms = sorted(900 if at % 97 == 0 else 40 + at * 7 % 51 for at in asked)

    assert [took_ms[len(took_ms) * 50 // 100], took_ms[-1]] == [
        books["latency"]["p50_ns"] // days.MS,
        books["latency"]["max_ns"] // days.MS,
    ]


@pytest.fixture(scope="module")
def ran(made, tmp_path_factory) -> dict[str, str]:
    """What each command that the report names prints, run by a shell in the data directory."""
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    folder = tmp_path_factory.mktemp("bin")
    shim = folder / "orderbooks"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers.tools "$@"\n')
    shim.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    report = subprocess.run(
        [shim, "quality", DAY, "--data", made.data.root, "--json"],
        env=environment,
        capture_output=True,
        check=True,
    )
    named = json.loads(report.stdout)["commands"]
    return {"report": report.stdout.decode()} | {
        name: subprocess.run(
            ["sh", "-c", command],
            cwd=made.data.root,
            env=environment,
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for name, command in named.items()
    }


def told(ran: dict[str, str], name: str) -> dict:
    return json.loads(ran[name])


def test_every_command_of_the_page_stands_in_the_report(made, ran, tmp_path):
    made.orderbooks("quality", DAY, "--out", str(tmp_path))
    fences = (tmp_path / "quality.md").read_text().split("```sh\n")[1:]

    assert {each.partition("\n```")[0] for each in fences} == set(
        told(ran, "report")["commands"].values()
    )


def test_coverage_and_gaps_come_back_by_their_commands(ran):
    report = told(ran, "report")
    coverage = report["coverage"]

    assert {"due": coverage["due"], "totals": coverage["totals"]} == told(ran, "coverage")
    for hour in coverage["hours"]:
        line = next(it for it in ran["coverage_hours"].splitlines() if f"T{hour_of(hour)}" in it)
        assert [str(hour["due"]), str(hour["states"]["CAPTURED"])] == line.split()[1:3]
    markets = [json.loads(line) for line in ran["coverage_markets"].splitlines()]
    for market, own_ in zip(coverage["markets"], markets, strict=True):
        listed = [{k: n for k, n in hour.items() if k != "hour_utc"} for hour in own_["hours"]]
        assert [hour["states"] for hour in market["hours"]] == listed
    assert {
        each["state"]: {"gaps": each["gaps"], "ticks": each["ticks"]}
        for each in report["gaps"]["causes"]
    } == told(ran, "gaps")
    assert "DOWN(stopped)×30" in ran["gaps_longest"]


def hour_of(hour: dict) -> str:
    return f"{hour['from_ms'] // 3_600_000 % 24:02d}:00"


def test_requests_and_latency_come_back_from_the_raw_ledgers(ran):
    requests = told(ran, "report")["requests"]

    assert {it["endpoint"]: it["causes"] for it in requests["endpoints"]} == told(ran, "requests")
    assert {it["endpoint"]: short(it["latency"]) for it in requests["endpoints"]} == told(
        ran, "latency"
    )
    assert {
        f"{requests['busiest']} {it['from_ms']}": short(it["latency"]) for it in requests["hours"]
    } == told(ran, "latency_hours")


def short(latency: dict) -> dict:
    return {name.removesuffix("_ns"): value for name, value in latency.items()}


def test_checks_and_bad_rows_come_back_from_the_manifests(ran):
    books = told(ran, "report")["books"]
    verdicts = {f"hash_{name}": n for name, n in books["verdicts"].items()}

    assert {"rows": books["rows"], "checks": verdicts | books["flags"]} == told(ran, "books")
    assert books["bad"] == (told(ran, "bad") or {})


def test_spread_and_rankings_come_back_from_mine(ran):
    spread = told(ran, "report")["spread"]
    mined = told(ran, "spread")

    assert spread["held_ns"] == pytest.approx(mined["held_s"] * 10**9, abs=1000)
    assert spread["two_sided_ns"] == pytest.approx(mined["two_sided_s"] * 10**9, abs=1000)
    for width in spread["widths"]:
        ticks = str(Fraction(width["numerator"], width["denominator"]))
        assert width["ns"] == pytest.approx(mined["at_ticks"][ticks] * 10**9, abs=1000)
    assert spread["top"] == told(ran, "top")
    assert spread["top"].keys() == RANKINGS.keys()


def test_the_clock_comes_back_from_raw(ran):
    clock = told(ran, "report")["clock"]
    offsets = [each["offset_ms"] for each in clock["offsets"]]

    assert {
        "measured": len(offsets),
        "least_ms": min(offsets),
        "most_ms": max(offsets),
    } == told(ran, "clock")
    steps = [json.loads(line) for line in ran["steps"].splitlines()]
    assert [each["step_ns"] for each in steps] == [each["step_ns"] for each in clock["steps"]]


def test_without_matplotlib_the_report_has_no_pictures_and_says_how_to_get_them(
    made, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)

    assert 0 == made.orderbooks("quality", DAY, "--out", str(tmp_path / "out"))
    assert "ops/setup.sh report" in capsys.readouterr().out
    assert {"quality.md", "quality.json"} == {each.name for each in (tmp_path / "out").iterdir()}
    text = (tmp_path / "out/quality.md").read_text()
    assert "![" not in text
    assert "`ops/setup.sh report`" in text


def test_pictures_are_svg_with_units_and_the_same_bytes_each_time(made, tmp_path):
    pytest.importorskip("matplotlib")
    for name in ("one", "two"):
        assert 0 == made.orderbooks("quality", DAY, "--out", str(tmp_path / name))
    svg = {each.stem: each.read_bytes() for each in (tmp_path / "one").glob("*.svg")}

    assert PICTURES == svg.keys()
    for name, content in svg.items():
        assert content == (tmp_path / "two" / f"{name}.svg").read_bytes()
        assert f"]({name}.svg)" in (tmp_path / "one/quality.md").read_text()
    assert b"hour of the day, UTC" in svg["coverage"]
    assert b"from send to the last byte, ms" in svg["latency"]
    assert b"spread, ticks" in svg["spread"]


def test_the_same_archive_gives_the_same_report(made, tmp_path):
    for name in ("one", "two"):
        made.orderbooks("quality", DAY, "--out", str(tmp_path / name))

    for each in (tmp_path / "one").iterdir():
        assert each.read_bytes() == (tmp_path / "two" / each.name).read_bytes()


def test_without_derived_tables_coverage_and_clock_are_told_all_the_same(tmp_path, capsys):
    fleet = days.troubled(tmp_path / "var")

    code, report = quality(fleet, capsys)

    assert 1 == code
    assert [None, None, None] == [report[part] for part in ("requests", "books", "spread")]
    assert 1426 == report["coverage"]["totals"]["CAPTURED"]
    assert 4 == len(report["clock"]["offsets"])
    assert "orderbooks normalize" in report["notes"][0]


def test_a_damaged_ledger_is_named_in_the_notes(own, capsys):
    path = own.segments("ledger")[-1]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)

    code, report = quality(own, capsys)

    assert 1 == code
    assert any(path.name in each for each in report["notes"])


def test_a_day_that_is_not_one_is_refused(made, capsys):
    assert 2 == made.orderbooks("quality", "yesterday")
    assert "such as" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_said(made, tmp_path, capsys):
    (tmp_path / "file").write_text("")

    assert 2 == made.orderbooks("quality", DAY, "--out", str(tmp_path / "file"))
    assert "--out" in capsys.readouterr().err


def test_the_sample_is_the_report_of_the_made_day(made, tmp_path, monkeypatch):
    """Made anew by `python -m tests.tools.days DIR`, then `normalize` and `quality` on DIR."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    made.orderbooks("quality", DAY, "--out", str(tmp_path))

    assert (ROOT / "docs/samples/quality.md").read_text() == (tmp_path / "quality.md").read_text()


def test_the_sample_pictures_say_what_the_pictures_of_the_made_day_say(made, tmp_path):
    pytest.importorskip("matplotlib")
    made.orderbooks("quality", DAY, "--out", str(tmp_path))

    for name in ("coverage.svg", "latency.svg"):
        assert texts(ROOT / "docs/samples" / name) == texts(tmp_path / name)


def texts(path: Path) -> list[str]:
    """The words of a picture; its curves may differ by a hair with another matplotlib."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())
