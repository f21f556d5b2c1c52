"""The fleet on real input: captured books, replayed, recorded, verified and rebuilt.

Promises  every captured book's venue hash verifies; every response comes back byte for byte.
"""

import gzip
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.demo.judgement import judge
from tests.demo.stage import ROOT, SETTINGS, Stage
from tests.rig import wait_for
from tests.venue import Truth
from workers.core.archive.ledger import Request
from workers.core.archive.ledger import read_row as read_ledger_row
from workers.core.archive.manifests import SegmentManifest
from workers.edge.spool import reader


@pytest.fixture(scope="module")
def recorded(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """An archive of the three captured 5-minute markets, replayed ten times faster."""
    capture = captures / "stream/btc-5m-three-markets-2026-04-16.jsonl.gz"
    overrides = {
        "selection": {"series": [], "slugs": slugs_of(capture)},
        "schedule": SETTINGS["schedule"] | {"warm_lead_s": 50, "hot_interval_ms": 200},
        "collector": {"late_tolerance_ms": 150},
    }
    stage = Stage(tmp_path_factory.mktemp("r") / "s", overrides=overrides)
    try:
        stage.open_venue("--replay", str(capture), "--replay-speed", "10")
        stage.open_fleet()
        wait_for(
            lambda: sum(beat.counters["books"] for beat in stage.recording()) > 60,
            what="sixty books",
        )
        stage.close_fleet()
        yield stage
    finally:
        stage.close()


def slugs_of(capture: Path) -> list[str]:
    """The slugs in a stream capture."""
    with gzip.open(capture) as file:
        return sorted({json.loads(line)["slug"] for line in file})


def requests_of(stage: Stage) -> list[Request]:
    """Every request that asked for books."""
    found = []
    for _, manifest in reader.manifests(stage.data, kinds=frozenset({"ledger"})):
        assert isinstance(manifest, SegmentManifest)
        stream = reader.read_stream(stage.data.root / manifest.path)
        rows = [read_ledger_row(line) for line in stream.data.split(b"\n")[:-1]]
        found += [row for row in rows if isinstance(row, Request) and row.asked]
    return found


@pytest.mark.timeout(180)
def test_every_captured_book_verifies(recorded: Stage) -> None:
    manifests = [each for _, each in reader.manifests(recorded.data, kinds=frozenset({"books"}))]

    hashes = [each.told.hashes for each in manifests if isinstance(each, SegmentManifest)]

    assert sum(each.verified for each in hashes) > 50
    assert (0, 0) == (sum(each.failed for each in hashes), sum(each.absent for each in hashes))


def test_the_archive_equals_what_was_replayed(recorded: Stage) -> None:
    found = judge(recorded.data, Truth(recorded.truth_folder), None)

    assert [] == found.problems
    assert found.kept_books == found.sent_books - found.came_too_late > 50


def test_verify_and_coverage_agree(recorded: Stage) -> None:
    assert (0, 0) == (recorded.tool("verify")[0], recorded.tool("coverage")[0])


def test_responses_come_back_byte_for_byte(recorded: Stage) -> None:
    good = [row for row in requests_of(recorded) if row.cause == "ok" and row.body_bytes > 2]

    assert good
    for row in good[:3] + good[-3:]:
        body = subprocess.run(
            [
                sys.executable,
                "-m",
                "workers.tools",
                "response",
                row.id,
                "--config",
                recorded.config,
            ],
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        assert row.sha256 == hashlib.sha256(body).hexdigest()
