"""Holds the Stream section of `orderbooks quality` on a streamed day, whole and damaged."""

import json
import shutil
import subprocess
import sys

import pytest

from tests.core.told import TOKEN
from tests.edge.reading.test_stream import begun
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.test_quality import DAY, ROOT, quality
from workers.edge.reading.archive import open_archive
from workers.edge.spool import locks

NS = 1_000_000_000


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Fleet:
    """Two legs for 20 s: one loses three events and ends; the other loses a change, and ends."""
    fleet = Fleet(tmp_path_factory.mktemp("day") / "var")
    streamer, truth, links = begun(fleet, legs=2)
    collector = fleet.collector(HOUR_MS - 5 * S)
    for nth, at_ms in enumerate(range(HOUR_MS + 200, HOUR_MS + 10 * S, 200)):
        # Of the same level as the next one: no hash tells that the second leg lost it.
        truth.book.ms = at_ms - 20
        told = truth.book.change("BUY", 20, f"{nth + 1}", after_ms=0)
        for leg, link in enumerate(links):
            if not (leg == 1 and nth in {10, 20, 30}):
                streamer.hear(link, at_ms + leg, told)
        if at_ms % S == 0:
            streamer.heard(at_ms + 10)
        if at_ms == HOUR_MS + 5 * S:
            streamer.seal(at_ms + 100)
    streamer.lose(links[1], HOUR_MS + 12 * S, "silent", HOUR_MS + 11 * S)
    truth.book.ms = HOUR_MS + 12 * S
    streamer.hear(links[0], HOUR_MS + 12_500, truth.book.change("SELL", 76, "2"))
    streamer.heard(HOUR_MS + 12_600)
    truth.book.ms = HOUR_MS + 13 * S - 20
    truth.book.change("SELL", 77, "3.5")
    streamer.hear(links[0], HOUR_MS + 13 * S, truth.book.change("SELL", 78, "4"))
    streamer.heard(HOUR_MS + 14 * S)
    truth.book.ms = HOUR_MS + 15 * S - 20
    streamer.hear(links[0], HOUR_MS + 15 * S, truth.book.dump())
    streamer.heard(HOUR_MS + 16 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 60 * S)
    streamer.lose(links[0], HOUR_MS + 20 * S, "reset", HOUR_MS + 20 * S)
    streamer.end(HOUR_MS + 30 * S)
    collector.stop(HOUR_MS + 61 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet


@pytest.fixture
def own(made, tmp_path) -> Fleet:
    """A copy of it, to be changed."""
    shutil.copytree(made.data.root, tmp_path / "var", ignore=shutil.ignore_patterns("token_stats"))
    return Fleet(tmp_path / "var")


def spoil(path) -> None:
    """Flip one bit."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(bytes(raw))


def test_the_stream_is_told_by_cause_and_leg_and_what_each_leg_lost(made, capsys):
    code, report = quality(made, capsys)
    (market,) = open_archive(made.data.root).stream_coverage(DAY, HOUR_MS + 80_000 * S)
    stream = report["stream"]

    assert 0 == code
    assert 1 == stream["markets"]
    assert stream["wanted_ns"] == stream["covered_ns"] + sum(stream["missed_ns"].values())
    assert (market.stretch.covered_ns, market.stretch.missed_ns) == (
        stream["covered_ns"],
        stream["missed_ns"],
    )
    own = {each.gap.cause for each in market.gaps if each.token_id == TOKEN}
    assert {"checksum", "reset"} <= own & stream["missed_ns"].keys()
    assert {"checksum": 1} == {n: e for n, e in stream["resyncs"].items() if n == "checksum"}
    assert {"silent": 1, "reset": 1} == stream["closed"]
    legs = {each["leg"]: each for each in stream["legs"]}
    assert [0, 3] == [legs[leg]["missing"] for leg in (0, 1)]
    assert legs[0]["due"] > legs[1]["due"] > 40
    assert legs[0]["covered_ns"] > legs[1]["covered_ns"] > 9 * NS


def test_the_page_shows_it_and_each_number_comes_back_by_its_command(made, tmp_path, capsys):
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    _, report = quality(made, capsys)
    made.orderbooks("quality", DAY, "--out", str(tmp_path / "report"))
    page = (tmp_path / "report/quality.md").read_text()
    shim = tmp_path / "orderbooks"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m workers.tools "$@"\n')
    shim.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(ROOT)}

    told = {}
    for name in ("stream", "resyncs"):
        command = ["sh", "-c", report["commands"][name]]
        done = subprocess.run(
            command, cwd=made.data.root, env=environment, capture_output=True, check=True
        )
        told[name] = json.loads(done.stdout)

    stream = report["stream"]
    assert stream["resyncs"] == told["resyncs"]
    missed_s = {name: ns / NS for name, ns in stream["missed_ns"].items()}
    assert missed_s == pytest.approx(told["stream"]["missed_s"])
    section = page.partition("## Stream")[2].partition("\n## ")[0]
    assert "1 markets were subscribed" in section
    for cell in ("checksum", "reset", "silent", *(str(e["due"]) for e in stream["legs"])):
        assert cell in section


def test_without_the_table_of_legs_coverage_is_told_and_losses_are_not(own, capsys):
    shutil.rmtree(own.data.root / "derived/legs")

    _, report = quality(own, capsys)

    assert [(None, None)] * 2 == [(e["due"], e["missing"]) for e in report["stream"]["legs"]]
    assert report["stream"]["covered_ns"] > 0


def test_a_damaged_ledger_of_the_streamer_is_named(own, capsys):
    (ledger, *_) = [
        each
        for each in own.segments("ledger")
        if "streamer" in each.name and "hour=08" in str(each)
    ]
    spoil(ledger)

    code, report = quality(own, capsys)

    assert 1 == code
    assert any(ledger.name in each for each in report["notes"])


def test_a_damaged_table_of_legs_ends_the_command(own, capsys):
    (table,) = (own.data.root / "derived/legs").glob("*/*/*/*.parquet")
    spoil(table)

    assert 2 == own.orderbooks("quality", DAY, "--json")
    assert "sha256" in capsys.readouterr().err


def test_a_day_of_the_stream_alone_has_a_whole_report(tmp_path, capsys):
    fleet = Fleet(tmp_path / "var")
    streamer, truth, (link,) = begun(fleet)
    for at_ms in range(HOUR_MS + 250, HOUR_MS + 61 * S, 250):
        truth.tell(streamer, [link], at_ms)
    streamer.end(HOUR_MS + 61 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()

    code = fleet.orderbooks("quality", DAY, "--out", str(tmp_path / "out"))
    page = (tmp_path / "out" / "quality.md").read_text()

    assert 0 == code, capsys.readouterr()
    assert "No book was polled." in page
    assert "known to have held for 61.000 s" in page
    assert "Not derived yet" not in page
