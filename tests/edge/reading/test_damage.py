"""Holds edge.reading against damage: every spoiled file is said, none is read as good.

The archive is a minute of two markets in two segments each; the questions lie in the second half,
so that a damage of the first half must not hide there either.
"""

import itertools
import shutil

import pytest

from tests.edge.reading.retired import release
from tests.tools.archives import HOUR_MS, Fleet, S, market, whole_minute
from workers.core.errors import NeedsAPerson
from workers.core.reading.evidence import Damaged, Offloaded, State
from workers.edge.reading.archive import open_archive

SLUG = "btc-updown-5m-1"
AT = HOUR_MS + 45_500


@pytest.fixture
def whole(tmp_path) -> Fleet:
    """Two markets, one minute, nothing wrong."""
    return whole_minute(tmp_path / "var")


def segment(fleet: Fleet):
    """The data file that holds the answer."""
    return next(
        each for each in fleet.segments("books") if SLUG in each.name and "-0005" in each.name
    )


def labelled(fleet: Fleet, at=AT):
    """The answer that reads on."""
    return open_archive(fleet.data.root, "label").book(SLUG, "Up", at)


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path):
    path.write_bytes(b"")


def flipped_early(path):
    flip(path, 200)


def flipped_late(path):
    flip(path, -30)


def flipped_in_the_head(path):
    flip(path, 3)


def flip(path, at: int) -> None:
    """Turn one bit over."""
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(bytes(data))


def flipped_where_no_crc_looks(path):
    flip(path, 5)


def swapped(path):
    other = next(each for each in path.parent.glob("btc-updown-5m-2--books--*.gz"))
    shutil.copyfile(other, path)


def gone(path):
    path.unlink()


def without_a_manifest(path):
    path.with_name(path.name.replace(".jsonl.gz", ".manifest.json")).unlink()


def with_a_torn_manifest(path):
    cut(path.with_name(path.name.replace(".jsonl.gz", ".manifest.json")))


def with_anothers_manifest(path):
    manifest = path.with_name(path.name.replace(".jsonl.gz", ".manifest.json"))
    other = next(each for each in path.parent.glob("btc-updown-5m-2--books--*.manifest.json"))
    shutil.copyfile(other, manifest)


SPOILS = (
    *(cut, emptied, flipped_early, flipped_late, flipped_in_the_head, swapped, gone),
    flipped_where_no_crc_looks,
    *(without_a_manifest, with_a_torn_manifest, with_anothers_manifest),
)


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda each: each.__name__)
def test_a_spoiled_segment_raises_or_labels(whole, spoil):
    path = segment(whole)
    spoil(path)

    with pytest.raises(Damaged) as raised:
        open_archive(whole.data.root).book(SLUG, "Up", AT)
    answer = labelled(whole)

    stem = path.name.partition(".")[0]
    assert stem in raised.value.path
    assert State.LABELLED == answer.state
    assert stem in answer.cause
    assert answer.book is None or answer.due_ms <= AT


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda each: each.__name__)
def test_books_between_two_moments_lose_nothing_in_silence(whole, spoil):
    good = {
        (each.token_id, each.due_ms): each
        for each in open_archive(whole.data.root).books(SLUG, "open", "close+1s")
    }
    spoil(segment(whole))

    with pytest.raises(Damaged):
        list(open_archive(whole.data.root).books(SLUG, "open", "close+1s"))
    found = list(open_archive(whole.data.root, "label").books(SLUG, "open", "close+1s"))

    seen = {(each.token_id, each.due_ms): each for each in found if each.book is not None}
    missed = {
        (each.token_id, due_ms)
        for each in found
        if each.gap is not None
        for due_ms in range(each.gap.from_due_ms, each.gap.until_due_ms + 1, S)
    }
    assert good.keys() == seen.keys() | missed
    assert not seen.keys() & missed
    assert State.LABELLED == found[0].state or all(
        each.state == State.LABELLED for each in found if each.gap is not None
    )
    for key, each in seen.items():
        assert each.book == good[key].book or each.state == State.LABELLED


@pytest.mark.parametrize("spoil", [cut, flipped_early, gone], ids=lambda each: each.__name__)
def test_the_same_reader_sees_a_damage_that_happens_later(whole, spoil):
    archive = open_archive(whole.data.root)
    archive.book(SLUG, "Up", AT)
    spoil(segment(whole))

    with pytest.raises(Damaged):
        archive.book(SLUG, "Up", AT)


@pytest.mark.parametrize("spoil", [cut, flipped_where_no_crc_looks], ids=lambda each: each.__name__)
def test_what_stands_in_front_of_a_damage_is_there_and_labelled(whole, spoil):
    spoil(segment(whole))

    answer = labelled(whole, HOUR_MS + 31_500)

    assert (State.LABELLED, HOUR_MS + 31 * S) == (answer.state, answer.due_ms)
    assert "verified" == answer.hash_verdict


def test_a_file_is_hashed_once_while_it_is_the_same(whole):
    archive = open_archive(whole.data.root, cache_bytes=1)
    for number in range(5):
        archive.book(SLUG, "Up", AT + number)
    hashed = archive.vault.hashed
    segment(whole).touch()
    archive.book(SLUG, "Up", AT)

    assert hashed + 1 == archive.vault.hashed


def test_a_damage_elsewhere_does_not_stop_a_question(whole):
    other = next(each for each in whole.segments("books") if "5m-2" in each.name)
    cut(other)

    assert State.SYNCED == open_archive(whole.data.root).book(SLUG, "Up", AT).state


@pytest.mark.parametrize(
    ("kind", "spoil"), list(itertools.product(("ledger", "universe"), (cut, flipped_early, gone)))
)
def test_a_damaged_ledger_or_publication_is_said_where_it_is_needed(whole, kind, spoil):
    lacking = segment(whole)
    for path in (lacking, lacking.with_name(lacking.name.replace(".jsonl.gz", ".manifest.json"))):
        path.unlink()
    assert (State.GAP, "UNEXPLAINED") == (labelled(whole).state, labelled(whole).cause)
    path = whole.segments(kind)[-1 if kind == "ledger" else 0]
    spoil(path)

    with pytest.raises(Damaged):
        open_archive(whole.data.root).book(SLUG, "Up", AT)
    answer = labelled(whole)

    assert State.LABELLED == answer.state
    assert path.name.partition(".")[0] in answer.cause


def test_a_segment_and_its_manifest_that_vanished_together_leave_an_unexplained_gap(whole):
    lacking = segment(whole)
    for path in (lacking, lacking.with_name(lacking.name.replace(".jsonl.gz", ".manifest.json"))):
        path.unlink()

    answer = open_archive(whole.data.root).book(SLUG, "Up", AT)

    assert (State.GAP, "UNEXPLAINED") == (answer.state, answer.cause)
    assert HOUR_MS + 29 * S == answer.due_ms
    assert HOUR_MS + 30 * S == answer.gap.from_due_ms


def test_a_segment_called_invalid_labels_what_comes_from_it(whole):
    name = segment(whole).name.partition(".")[0]
    whole.orderbooks("label", name, "--kind", "invalid", "--reason", "clock was wrong")

    answer = open_archive(whole.data.root).book(SLUG, "Up", AT)
    first = open_archive(whole.data.root).book(SLUG, "Up", HOUR_MS + 10_500)

    assert State.LABELLED == answer.state
    assert "clock was wrong" in answer.cause
    assert HOUR_MS + 45 * S == answer.due_ms
    assert State.SYNCED == first.state


def test_a_flipped_bit_in_a_segment_being_written_is_found(tmp_path):
    for at in range(60, 900, 60):
        fleet = Fleet(tmp_path / str(at))
        fleet.publish_universe(HOUR_MS - 10 * S, market(1))
        worker = fleet.collector(HOUR_MS - 5 * S)
        worker.ticks(HOUR_MS, HOUR_MS + 10 * S)
        worker.flush(HOUR_MS + 10 * S)
        good = open_archive(fleet.data.root).book(SLUG, "Up", HOUR_MS + 9_500)
        path = next(fleet.data.open_folder("collector-00").glob("*--books--*.open"))
        if at >= path.stat().st_size:
            break
        flip(path, at)

        answer = labelled(fleet, HOUR_MS + 9_500)

        assert answer.state != State.SYNCED or answer.book == good.book, at


def test_a_file_that_was_offloaded_names_the_command_that_brings_it_back(whole):
    path = segment(whole)
    release(whole, path)

    with pytest.raises(Offloaded) as raised:
        open_archive(whole.data.root).book(SLUG, "Up", AT)
    answer = labelled(whole)

    assert isinstance(raised.value, NeedsAPerson)
    assert "offloaded: restore it" in str(raised.value)
    assert "orderbooks restore" in raised.value.hint
    assert State.LABELLED == answer.state
    assert "orderbooks restore" in answer.cause
    assert HOUR_MS + 29 * S == answer.due_ms
    assert {"CAPTURED": 16} == answer.gap.counts
