"""Holds edge.reading against a streamer that writes while a question is being answered.

Real files and the real writer: it goes on at the very moment at which the reader has read a file.
"""

import os
from pathlib import Path

import pytest

from tests.core.told import TOKEN
from tests.edge.reading.test_stream import SLUG, begun
from tests.tools.archives import HOUR_MS, Fleet, S, market
from workers.core.reading.evidence import State
from workers.core.stream.covers import NOT_WRITTEN
from workers.edge.reading.archive import Reader, open_archive
from workers.edge.reading.folders import Folders
from workers.edge.spool import archive as spool_archive
from workers.edge.spool import locks, state
from workers.edge.spool.directory import DataDir

MS = 1_000_000
BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def streaming(tmp_path):
    """A streamer that is alive, what is true, its connection."""
    fleet = Fleet(tmp_path / "var")
    streamer, truth, (link,) = begun(fleet)
    fleet.beat(streamer, pid=os.getpid(), boot_id=BOOT_ID, state="running")
    truth.tell(streamer, [link], HOUR_MS + S)
    streamer.heard(HOUR_MS + 2 * S)
    yield fleet, streamer, truth, link
    locks.release_all()


def when_read(archive: Reader, kind: str, then, monkeypatch, *, before: bool = False) -> None:
    """Have something happen once, when a file of a kind that is being written is read."""
    read, waiting = archive.vault.open, [then]

    def reading(path: Path) -> object:
        due = f"--{kind}--" in path.name and bool(waiting)
        if due and before:
            waiting.pop()()
        held = read(path)
        if due and not before:
            waiting.pop()()
        return held

    monkeypatch.setattr(archive.vault, "open", reading)


@pytest.mark.parametrize("kind", ["frames", "ledger"])
def test_a_book_is_not_told_from_less_than_its_cover_speaks_of(streaming, kind, monkeypatch):
    fleet, streamer, truth, link = streaming
    archive = open_archive(fleet.data.root)

    def write_on() -> None:
        truth.tell(streamer, [link], HOUR_MS + 3 * S)
        streamer.heard(HOUR_MS + 4 * S)

    when_read(archive, kind, write_on, monkeypatch)
    answer = archive.book(SLUG, "Up", HOUR_MS + 3_500)
    later = archive.book(SLUG, "Up", HOUR_MS + 3_500)

    assert State.SYNCED != answer.state
    assert (State.SYNCED, truth.at(HOUR_MS + 3_500)) == (later.state, later.book.spelling)


@pytest.mark.parametrize("kind", ["frames", "ledger"])
def test_a_segment_that_is_published_before_it_is_read_is_found(streaming, kind, monkeypatch):
    fleet, streamer, truth, _ = streaming
    archive = open_archive(fleet.data.root)

    when_read(archive, kind, lambda: streamer.seal(HOUR_MS + 2 * S), monkeypatch, before=True)
    answer = archive.book(SLUG, "Up", HOUR_MS + 1_500)

    assert (State.SYNCED, truth.at(HOUR_MS + 1_500)) == (answer.state, answer.book.spelling)


@pytest.mark.parametrize("kind", ["frames", "ledger"])
def test_a_segment_whose_manifest_comes_between_two_looks_is_whole(streaming, kind, monkeypatch):
    fleet, streamer, truth, _ = streaming
    streamer.seal(HOUR_MS + 2 * S)
    manifest, opened = fleet.manifests(kind)[-1], fleet.data.open_folder(streamer.name)
    draft = opened / f"{manifest.name}.tmp"
    manifest.rename(draft)
    listed, places = Folders.names, [""]

    def names(folders: Folders, place: str) -> tuple[str, ...]:
        # The manifest was missed where data lie, and now the draft is looked for.
        if "raw/" in places[-1] and place.startswith("spool/open/") and draft.exists():
            draft.rename(manifest)
        places.append(place)
        return listed(folders, place)

    monkeypatch.setattr(Folders, "names", names)
    answer = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 1_500)

    assert not draft.exists()
    assert (State.SYNCED, truth.at(HOUR_MS + 1_500)) == (answer.state, answer.book.spelling)


def test_a_poll_whose_segment_is_published_before_it_is_read_is_found(tmp_path, monkeypatch):
    fleet = Fleet(tmp_path / "var")
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 5 * S)
    collector.flush(HOUR_MS + 5 * S)
    archive = open_archive(fleet.data.root)

    def publish() -> None:
        collector.publish(HOUR_MS + 5 * S, "size")

    when_read(archive, "books", publish, monkeypatch, before=True)
    answer = archive.book(SLUG, "Up", HOUR_MS + 4_500)
    locks.release_all()

    assert (State.SYNCED, HOUR_MS + 4 * S) == (answer.state, answer.due_ms)


def test_ticks_that_are_written_while_a_reader_is_stopped_are_not_missed(tmp_path, monkeypatch):
    fleet, now_ns = Fleet(tmp_path / "var"), [(HOUR_MS + 12 * S) * MS]
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 10 * S)
    collector.flush(HOUR_MS + 10 * S)
    fleet.beat(collector, pid=os.getpid(), boot_id=BOOT_ID, state="running")
    gather = spool_archive.gather

    def stopped_behind_it(*asked: object, **named: object) -> object:
        found = gather(*asked, **named)
        now_ns[0] += 3600 * S * MS
        return found

    monkeypatch.setattr(spool_archive, "gather", stopped_behind_it)
    archive = open_archive(fleet.data.root, now_ns=lambda: now_ns[0])
    (found,) = archive.coverage(HOUR_MS, HOUR_MS + 60 * S)
    locks.release_all()

    assert {"CAPTURED": found.due} == found.counts()


def test_a_reader_that_stays_open_sees_how_long_nobody_writes(tmp_path):
    fleet, now_ns = Fleet(tmp_path / "var"), [(HOUR_MS + 12 * S) * MS]
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    collector = fleet.collector(HOUR_MS - 5 * S)
    collector.ticks(HOUR_MS, HOUR_MS + 10 * S)
    collector.stop(HOUR_MS + 10 * S)
    locks.release_all()
    archive = open_archive(fleet.data.root, now_ns=lambda: now_ns[0])
    archive.book(SLUG, "Up", HOUR_MS + 12 * S)
    now_ns[0] = (HOUR_MS + 40 * S) * MS

    assert NOT_WRITTEN not in archive.book(SLUG, "Up", HOUR_MS + 39_500).gap.counts


def causes(archive: Reader, way: str) -> set[str]:
    """Why the stream is said to be missing somewhere in the minute, or half way through it."""
    if way == "coverage":
        (found,) = archive.stream_coverage(HOUR_MS, HOUR_MS + 60 * S)
        return {each.gap.cause for each in found.gaps if each.token_id == TOKEN}
    gap = archive.book(SLUG, "Up", HOUR_MS + 30 * S).stream_gap
    return {gap.cause} if gap is not None else set()


@pytest.mark.parametrize("way", ["coverage", "book"])
def test_a_streamer_that_stops_behind_its_ledger_was_not_down(streaming, way, monkeypatch):
    fleet, streamer, _, _ = streaming
    archive, running, read = open_archive(fleet.data.root), state.running, []

    def asked_who_lives(data: DataDir) -> dict[str, str]:
        if read and streamer.links:
            streamer.end(HOUR_MS + 3 * S)
            fleet.beat(streamer, pid=os.getpid(), boot_id=BOOT_ID, state="stopped")
        return running(data)

    when_read(archive, "ledger", lambda: read.append(1), monkeypatch)
    monkeypatch.setattr(state, "running", asked_who_lives)

    assert "down" not in causes(archive, way)
    assert not streamer.links


@pytest.mark.parametrize("way", ["coverage", "book"])
def test_a_streamer_that_starts_in_front_of_its_ledger_is_not_down(streaming, way, monkeypatch):
    fleet, streamer, _, _ = streaming
    fleet.beat(streamer, pid=os.getpid(), boot_id=BOOT_ID, state="stopped")
    archive = open_archive(fleet.data.root)

    def beat() -> None:
        fleet.beat(streamer, pid=os.getpid(), boot_id=BOOT_ID, state="running")

    when_read(archive, "ledger", beat, monkeypatch)

    assert "down" not in causes(archive, way)
