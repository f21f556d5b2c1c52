"""Holds the gate's results: what is wrong outweighs what is missing, and nothing passes unshown."""

import pytest

from workers.core.archive.ledger import Request
from workers.core.soak.gate import STEPS, Gate, cuts, page, result, step
from workers.core.soak.gates import BLOCKED, FAIL, PASS

NS = 1_000_000_000


def request(at_s: int, cause: str = "ok", worker: str = "collector-00") -> Request:
    return Request(
        id=f"{worker}.1.{at_s}",
        due_ms=at_s * 1000,
        endpoint="POST /books",
        send_wall_ns=at_s * NS,
        recv_wall_ns=at_s * NS,
        send_mono_ns=0,
        recv_mono_ns=0,
        status=200 if cause == "ok" else None,
        cause=cause,
        body_bytes=0,
        wire_bytes=0,
        sha256=None,
        layout="none",
    )


@pytest.mark.parametrize(
    ("found", "wrong", "missing", "expected"),
    [
        (["rows"], [], [], PASS),
        (["rows"], [], ["a network"], BLOCKED),
        (["rows"], ["a lie"], ["a network"], FAIL),
        ([], [], [], BLOCKED),
    ],
)
def test_a_step_is_as_good_as_its_worst_finding(found, wrong, missing, expected):
    assert expected == step("soak", found=found, wrong=wrong, missing=missing).result


def test_a_gate_passes_only_with_every_step_of_the_definition():
    steps = [step(name, found=["shown"]) for name in STEPS]

    assert PASS == result(steps)
    assert FAIL == result(steps[1:])
    assert BLOCKED == result([*steps[1:], step(steps[0].name, missing=["a VPS"])])


def test_a_cut_is_ten_seconds_without_an_answer_and_an_answer_after_it():
    rows = [request(0), *(request(at, "connect") for at in range(1, 20)), request(20)]
    (cut,) = cuts(rows)

    assert ("collector-00", NS, 20 * NS, {"connect": 19}) == (
        cut.worker,
        cut.from_wall_ns,
        cut.until_wall_ns,
        cut.causes,
    )
    assert [] == list(cuts(rows[:-1]))
    assert [] == list(cuts([request(0), request(1, "timeout"), request(2), request(30, "dns")]))
    assert [] == list(cuts([request(at, "http_503") for at in range(30)]))


def test_the_page_says_what_is_missing_and_holds_no_markup_of_what_it_quotes():
    told = step("venue", missing=["<b>the live venue</b> | here"])
    gate = Gate(
        at_utc="t",
        version="0",
        machine="m",
        data_dir="/d",
        result=BLOCKED,
        steps=[told],
        commands=[],
        files={"f": "a"},
    )

    assert "?b?the live venue?/b? ? here" in page(gate)
