"""Two tickets of one name: by a copy, by rsync while it ran, by two issuers at once."""

import shutil

import msgspec
import pytest

from workers.core.archive.manifests import encode
from workers.core.offload.offload import Judged
from workers.edge.spool import outbox, proving, tickets
from workers.edge.spool.tickets import DONE, FAILED, READY


@pytest.fixture
def ready(bench):
    """The upload queue's first ticket."""
    bench.put(2)
    bench.close()
    return tickets.waiting(bench.data, "upload")[0]


def _twin(path, state, **changed):
    """Another ticket of the same name, of the same work unless something is changed."""
    made = path.with_suffix(state)
    made.write_bytes(encode(msgspec.structs.replace(tickets.read(path), **changed)))
    return made


def _states(path):
    return {each.suffix for each in path.parent.glob(f"{path.stem}.*")}


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_a_proven_ticket_ends_every_other_of_the_same_work(bench, ready, state):
    _twin(ready, state, reason="an earlier one")

    tickets.finish(ready)

    assert {DONE} == _states(ready)
    assert tickets.read(ready.with_suffix(DONE)).reason is None
    assert {} == dict(proving.quarantined(bench.data))


def test_a_ticket_that_is_gone_is_finished(bench, ready):
    before = ready.read_bytes()
    tickets.finish(ready)

    tickets.finish(ready)
    tickets.fail(ready, "too late")

    assert before == ready.with_suffix(DONE).read_bytes()
    assert {DONE} == _states(ready)


@pytest.mark.parametrize("garbage", [b"", None])
@pytest.mark.parametrize("state", [DONE, FAILED])
def test_beside_a_proven_ticket_one_that_says_another_thing_is_kept_with_the_reason(
    bench, ready, state, garbage
):
    other = _twin(ready, state, sha256="0" * 64)
    if garbage is not None:
        other.write_bytes(garbage)
    said = other.read_bytes()

    tickets.finish(ready)

    assert {DONE} == _states(ready)
    kept = f"{other.name}.twin"
    assert said == (bench.data.quarantine / kept).read_bytes()
    why = dict(proving.quarantined(bench.data))[kept]
    assert why == f"in upload: {ready.name} says another thing, as its manifest does"


def test_a_ticket_that_is_none_gives_way_to_the_one_that_is_done(bench, ready):
    done = _twin(ready, DONE)
    said = done.read_bytes()
    ready.write_bytes(b"half a tick")

    found = outbox.waiting(bench.data, files=100, size_bytes=1 << 30, tried={})

    assert ready not in [each.ticket for each in found]
    assert said == done.read_bytes()
    assert {DONE} == _states(ready)
    assert b"half a tick" == (bench.data.quarantine / f"{ready.name}.twin").read_bytes()
    why = dict(proving.quarantined(bench.data))[f"{ready.name}.twin"]
    assert why == f"in upload: not a ticket; {done.name} says another thing"


def test_what_failed_now_is_not_done_from_before(ready):
    _twin(ready, DONE)

    tickets.fail(ready, "conflict: the remote has another")

    assert {FAILED} == _states(ready)
    assert "conflict: the remote has another" == tickets.read(ready.with_suffix(FAILED)).reason


@pytest.mark.parametrize("state", [DONE, FAILED])
def test_a_true_ticket_that_fails_gives_way_to_no_false_one(bench, ready, state):
    """Else the queue would have lost the segment."""
    other = _twin(ready, state, sha256="0" * 64)

    tickets.fail(ready, "conflict: the remote has another")

    assert {FAILED} == _states(ready)
    assert "conflict: the remote has another" == tickets.read(ready.with_suffix(FAILED)).reason
    assert [f"{other.name}.twin"] == list(dict(proving.quarantined(bench.data)))


def test_a_label_settles_a_failed_ticket_beside_its_done_one(ready):
    _twin(ready, DONE)
    tickets.finish(ready)
    failed = _twin(ready.with_suffix(DONE), FAILED, reason="unfit")

    tickets.settle(failed, "labelled invalid: known")

    assert {DONE} == _states(ready)
    assert "labelled invalid: known" == tickets.read(ready.with_suffix(DONE)).reason


def test_a_failed_ticket_that_is_ready_already_is_not_put_back_twice(bench, ready):
    same = _twin(ready, FAILED, reason="the remote said no")
    tickets.retry(same)
    assert {READY} == _states(ready)

    tickets.retry(_twin(ready, FAILED, bytes=1))

    assert {READY} == _states(ready)
    assert [f"{ready.stem}.failed.twin"] == list(dict(proving.quarantined(bench.data)))


@pytest.mark.parametrize("state", [READY, FAILED])
def test_retention_never_takes_what_another_ticket_says_is_not_done(bench, ready, state):
    tickets.finish(ready)
    done = ready.with_suffix(DONE)
    shutil.copy(done, ready.with_suffix(state))

    found = {each.name: each.bar for each in outbox.candidates(bench.data)}

    assert "unproven" == found[ready.stem]
    assert len(found) == len(list(outbox.candidates(bench.data)))


def test_a_parcel_is_settled_beside_its_twin(bench, ready):
    parcel = next(
        each
        for each in outbox.waiting(bench.data, files=100, size_bytes=1 << 30, tried={})
        if each.ticket == ready
    )
    _twin(ready, DONE)

    assert DONE == outbox.settle(parcel, [Judged(each, "proven", "") for each in parcel.files])
    assert {DONE} == _states(ready)
