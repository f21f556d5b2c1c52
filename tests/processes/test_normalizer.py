"""The normalizer as a process: every row once, whatever is killed when."""

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.derived_rows import rows_of
from tests.edge.derived.raw import poll, recorded, segments
from tests.edge.derived.streams import two_legs
from tests.rig import ROOT, wait_for
from tests.tools.archives import HOUR_MS, Fleet, S, market
from workers.core.health.heartbeats import Heartbeat
from workers.core.instants import MS_PER_HOUR
from workers.core.tables.manifests import TableManifest
from workers.core.tables.tables import TABLES
from workers.edge.derived import accounts, shelf
from workers.edge.spool import locks, outbox, proving, reader, state, tickets
from workers.edge.spool.directory import DataDir
from workers.tools.__main__ import main as command

KILLS = 20
WORKER_MAX_BYTES = 60_000_000


class Rig:
    """A data directory and the normalizer processes started on it."""

    def __init__(self, folder: Path, data: DataDir, **rules: float) -> None:
        self.folder, self.data = folder, data
        self.config = folder / "orderbooks.yaml"
        rules = {"interval_s": 0.05, "batch_age_s": 0, **rules}
        self.config.write_text(json.dumps({"data_dir": str(data.root), "normalizer": rules}))
        self.process: psutil.Popen | None = None
        #: Hours whose gaps must be accounted for before it is idle.
        self.closed = {HOUR_MS - MS_PER_HOUR, HOUR_MS}

    def start(self) -> psutil.Popen:
        """Start one."""
        with (self.folder / "normalizer.log").open("ab") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "workers.normalizer", "--config", str(self.config)],
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        return self.process

    def stop(self) -> int:
        """Stop it; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return int(self.process.wait(60))

    def log(self) -> str:
        return (self.folder / "normalizer.log").read_text()

    def is_idle(self) -> bool:
        """True when no ticket waits and one file of each table and hour is in force, ticketed."""
        if tickets.waiting(self.data, "normalize"):
            return False
        if not all(accounts.is_current(self.data, hour_ms) for hour_ms in self.closed):
            return False
        queue = self.data.queue("upload")
        standing = [
            shelf.standing(self.data, table, hour_ms)
            for table in TABLES
            for hour_ms, _ in shelf.hours(self.data, table)
        ]
        return all(
            len(each) == 1 and (queue / f"{each[0].name}.ready").exists()
            for each in standing
            if each
        )

    def beat(self) -> Heartbeat | None:
        return state.read(self.data.heartbeat("normalizer"), Heartbeat)


@pytest.fixture
def rig(tmp_path: Path):
    (tmp_path / "var").mkdir()
    made = Rig(tmp_path, recorded(tmp_path / "var").data)
    yield made
    if made.process is not None and made.process.is_running():
        made.process.kill()
        made.process.wait(10)


def rows_by_segment(data: DataDir, table: str = "books") -> Counter[str]:
    """Rows in force, by segment, over every hour; fails on a row that is there twice."""
    found: Counter[str] = Counter()
    places: set[tuple[str, int]] = set()
    for hour_ms, _ in shelf.hours(data, table):
        for manifest in shelf.standing(data, table, hour_ms):
            assert "" == reader.damage(data, manifest)
            for row in rows_of(data.root / manifest.path, table):
                place = (row["segment"], row["row"])
                assert place not in places
                places.add(place)
                found[row["segment"]] += 1
    return found


def told(data: DataDir) -> dict[str, int]:
    return {each.name: each.manifest.told.rows for each in segments(data)}


def files(data: DataDir) -> dict[str, bytes]:
    """Every derived file by its path."""
    return {data.relative(path): path.read_bytes() for path in data.root.glob("derived/**/*.*")}


def test_every_segment_becomes_rows_and_each_hour_one_file_with_a_ticket(rig: Rig):
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")

    assert 0 == rig.stop()
    assert told(rig.data) == rows_by_segment(rig.data)
    for table in ("books", "stats", "requests", "markets", "gaps"):
        for hour_ms, folder in shelf.hours(rig.data, table):
            (manifest,) = shelf.standing(rig.data, table, hour_ms)
            assert [f"{manifest.name}.parquet"] == [each.name for each in folder.glob("*.parquet")]
            ticket = tickets.read(rig.data.queue("upload") / f"{manifest.name}.ready")
            assert ticket is not None
            assert (manifest.path, manifest.sha256) == (ticket.path, ticket.sha256)
    assert [] == tickets.waiting(rig.data, "normalize", tickets.FAILED)
    assert "tables_made" in rig.log()


def test_the_uploader_finds_a_derived_file_fit_to_copy(rig: Rig):
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    rig.stop()
    parcels = outbox.waiting(rig.data, files=100, size_bytes=1 << 30, tried={})
    derived = [each for each in parcels if each.data.path.startswith("derived/")]

    assert 7 == len(derived)
    assert [""] * 2 * len(derived) == [
        reader.damage(rig.data, facts) for each in derived for facts in each.files
    ]


def test_what_a_streamer_recorded_becomes_tables_with_tickets_and_verifies(tmp_path: Path, capsys):
    (tmp_path / "var").mkdir()
    rig = Rig(tmp_path, two_legs(tmp_path / "var"))
    rig.closed = set()
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")

    assert 0 == rig.stop()
    assert 60 == sum(rows_by_segment(rig.data, "changes").values())
    names = {path.name.partition("--")[0] for path in rig.data.queue("upload").glob("*.ready")}
    assert {"legs", "trades", "snapshots", "changes"} <= names
    assert [] == tickets.waiting(rig.data, "normalize", tickets.FAILED)
    command(["verify", "--data", str(rig.data.root)])
    said = capsys.readouterr().out
    assert "derived   1 changes, 1 legs" in said
    assert " derived/" not in said
    span = ("--from", "2026-04-16T07:00:00Z", "--to", "2026-04-16T09:00:00Z")
    before = files(rig.data)
    assert 0 == command(["rebuild", "--data", str(rig.data.root), *span])
    assert before == files(rig.data)


def test_price_changes_of_an_old_hour_go_once_its_tables_are_made(tmp_path: Path):
    (tmp_path / "var").mkdir()
    rig = Rig(tmp_path, two_legs(tmp_path / "var"), prune_changes_days=1)
    raw = {path: path.read_bytes() for path in (rig.data.root / "raw").rglob("*.gz")}
    rig.start()

    wait_for(lambda: "changes_pruned" in rig.log(), what="the hour to be pruned")
    assert 0 == rig.stop()
    (pruned,) = shelf.standing(rig.data, "changes", HOUR_MS)
    assert (0, 60) == (pruned.rows, pruned.pruned)
    assert (rig.data.queue("upload") / f"{pruned.name}.ready").exists()
    assert raw == {path: path.read_bytes() for path in raw}
    span = ("--from", "2026-04-16T07:00:00Z", "--to", "2026-04-16T09:00:00Z")
    assert 0 == command(["rebuild", "--data", str(rig.data.root), *span])
    assert 60 == sum(rows_by_segment(rig.data, "changes").values())


def test_a_damaged_segment_is_set_aside_and_the_others_go_on(rig: Rig):
    first, second = segments(rig.data)[:2]
    path = rig.data.root / first.manifest.path
    path.write_bytes(path.read_bytes()[:-9])
    (rig.data.root / second.manifest.path).unlink()
    rig.closed = {HOUR_MS - MS_PER_HOUR}
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    rig.stop()

    assert {first.name, second.name} == {
        each.stem for each in tickets.waiting(rig.data, "normalize", tickets.FAILED)
    }
    for each, why in ((first, "its manifest says"), (second, "No such file")):
        ticket = tickets.read(rig.data.queue("normalize") / f"{each.name}.failed")
        assert ticket is not None
        assert ticket.reason is not None
        assert why in ticket.reason
    expected = told(rig.data)
    del expected[first.name], expected[second.name]
    assert expected == rows_by_segment(rig.data)
    assert "segment_unfit" in rig.log()


def test_the_worker_itself_stays_small_and_its_job_ends_with_it(rig: Rig):
    process = rig.start()
    wait_for(lambda: rig.data.queue("normalize").joinpath(".lock").exists(), what="its lock")
    jobs = wait_for(process.children, what="a job")
    process.kill()
    process.wait(10)
    wait_for(lambda: not any(each.is_running() for each in jobs), what="the job's end")
    process = rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")

    assert process.memory_info().rss < WORKER_MAX_BYTES
    assert rig.beat() is not None
    rig.stop()
    assert told(rig.data) == rows_by_segment(rig.data)


def test_a_second_normalizer_waits_for_the_first(rig: Rig):
    first = rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    second = rig.start()
    wait_for(lambda: "step_postponed" in rig.log(), what="its wait")
    first.kill()
    first.wait(10)
    wait_for(lambda: 2 == rig.log().count("worker_started"), what="the second's start")

    assert second.is_running()


@pytest.mark.slow
def test_killed_at_random_while_segments_arrive_every_row_is_there_exactly_once(tmp_path: Path):
    (tmp_path / "var").mkdir()
    fleet = Fleet(tmp_path / "var")
    listed = [market(number, seconds=3600) for number in range(1, 5)]
    fleet.publish_universe(HOUR_MS - 10 * S, *listed)
    collector = fleet.collector(HOUR_MS - 5 * S)
    rig = Rig(tmp_path, fleet.data)
    # The markets' last warm ticks are due in the hour behind theirs.
    rig.closed.add(HOUR_MS + MS_PER_HOUR)
    dice = random.Random(4)
    for turn in range(KILLS):
        process = rig.start()
        for second in range(turn * 4, turn * 4 + 4):
            poll(collector, HOUR_MS + second * S)
        collector.publish(HOUR_MS + (turn * 4 + 4) * S, "size")
        # Not a rest for anything: the moment of the kill is the case.
        wait_for(lambda: rig.data.queue("normalize").joinpath(".lock").exists(), what="its lock")
        with pytest.raises(psutil.TimeoutExpired):
            process.wait(dice.uniform(0.1, 0.7))
        children = process.children() if dice.random() < 0.4 else []
        # A job may end between the look and the kill.
        with contextlib.suppress(psutil.NoSuchProcess):
            (children or [process])[0].kill()
        process.kill()
        process.wait(10)
    collector.stop(HOUR_MS + 3600 * S)
    locks.release_all()
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    rig.stop()

    expected = told(rig.data)
    assert 4 * 4 * 2 * KILLS == sum(expected.values())
    assert expected == rows_by_segment(rig.data)
    assert [] == tickets.waiting(rig.data, "normalize", tickets.FAILED)
    leftovers = [
        each for each in (rig.data.root / "derived").rglob("*") if each.name.endswith(".tmp")
    ]
    assert [] == leftovers


def test_what_is_asked_by_hand_while_it_runs_is_refused_with_a_hint(rig: Rig):
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    asked = subprocess.run(
        [sys.executable, "-m", "workers.tools", "normalize", "--data", str(rig.data.root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert 2 == asked.returncode
    assert "holds it" in asked.stderr


def gaps(data: DataDir) -> TableManifest:
    (found,) = shelf.standing(data, "gaps", HOUR_MS)
    return found


def test_an_hour_is_accounted_for_and_a_label_is_honoured_while_it_runs(rig: Rig):
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")
    before = gaps(rig.data)
    assert {"due": 90, "CAPTURED": 90} == before.checks
    tickets.finish(rig.data.queue("upload") / f"{before.name}.ready")
    invalid = segments(rig.data)[0].name
    said = ("--kind", "invalid", "--reason", "test", "--by", "test")
    assert 0 == command(["label", "--data", str(rig.data.root), invalid, *said])
    wait_for(lambda: gaps(rig.data) != before and rig.is_idle(), what="the new account")

    assert {"due": 90, "CAPTURED": 80, "FAILED(labelled_invalid)": 10} == gaps(rig.data).checks
    assert [before.name] == gaps(rig.data).replaces
    assert 0 == rig.stop()


def test_damaged_evidence_raises_an_alert_and_leaves_no_gaps_until_a_label_decides(rig: Rig):
    path = rig.data.root / segments(rig.data, "ledger")[-1].manifest.path
    path.write_bytes(path.read_bytes()[:-9])
    rig.closed = {HOUR_MS - MS_PER_HOUR}
    rig.start()
    wait_for(
        lambda: (beat := rig.beat()) is not None and beat.conditions and rig.is_idle(),
        what="its condition",
    )
    beat = rig.beat()

    assert beat is not None
    assert ["derive_failing"] == [each.alert for each in beat.conditions]
    assert path.name in beat.conditions[0].detail
    assert [] == shelf.standing(rig.data, "gaps", HOUR_MS)
    assert told(rig.data) == rows_by_segment(rig.data)

    said = ("--kind", "invalid", "--reason", "disk fault", "--by", "test")
    assert 0 == command(["label", "--data", str(rig.data.root), path.name, *said])
    wait_for(
        lambda: (beat := rig.beat()) is not None and not beat.conditions and rig.is_idle(),
        what="the end of its condition",
    )
    assert [] == tickets.waiting(rig.data, "normalize", tickets.FAILED)
    name = path.name.partition(".")[0]
    ticket = tickets.read(rig.data.queue("normalize") / f"{name}.done")
    assert ticket is not None
    assert "labelled invalid: disk fault" == ticket.reason
    assert "segment_given_up" in rig.log()
    assert {name} <= {each.name for each in gaps(rig.data).sources}


def test_two_tickets_of_one_name_are_one_job_and_what_was_wrong_is_kept(rig: Rig):
    same, other, failed, labelled = segments(rig.data)[:4]
    queue = rig.data.queue("normalize")
    for each, end in ((same, "done"), (other, "done"), (failed, "failed"), (labelled, "done")):
        shutil.copy(queue / f"{each.name}.ready", queue / f"{each.name}.{end}")
    wrong = (queue / f"{other.name}.done").read_text().replace(other.manifest.sha256, "0" * 64)
    (queue / f"{other.name}.done").write_text(wrong)
    (queue / f"{labelled.name}.ready").rename(queue / f"{labelled.name}.failed")
    said = ("--kind", "invalid", "--reason", "test", "--by", "test")
    assert 0 == command(["label", "--data", str(rig.data.root), labelled.name, *said])
    rig.start()
    wait_for(rig.is_idle, what="an idle normalizer")

    assert 0 == rig.stop()
    expected = told(rig.data)
    del expected[labelled.name]
    assert expected == rows_by_segment(rig.data)
    assert [] == tickets.waiting(rig.data, "normalize", tickets.FAILED)
    assert {f"{other.name}.done.twin"} == set(dict(proving.quarantined(rig.data)))
    assert "derive_failed" not in rig.log()
