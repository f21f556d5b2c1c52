"""Holds core.health.clocks: an offset is only told as exactly as whole seconds allow."""

import pytest

from workers.core.health.clocks import compared
from workers.core.polling.answers import Answer

MS = 1_000_000
NOW_MS = 1_795_228_320_400
DATE = "Sat, 21 Nov 2026 02:32:00 GMT"


def answer(body: bytes = b"1795228320", *, status: int = 200, **headers: str) -> Answer:
    return Answer(
        cause="ok" if status == 200 else f"http_{status}",
        status=status,
        body=body,
        headers={"date": DATE} | headers,
        send_wall_ns=(NOW_MS - 100) * MS,
        recv_wall_ns=(NOW_MS + 100) * MS,
        send_mono_ns=0,
        recv_mono_ns=200 * MS,
    )


def test_the_offset_is_theirs_less_ours_with_half_a_second_and_half_the_trip_of_doubt():
    seen = compared(answer())

    assert 100 == seen.offset_ms
    assert 600 == seen.tolerance_ms


def test_a_clock_that_is_an_hour_slow_is_seen():
    ahead = answer(b"1795231920", date="Sat, 21 Nov 2026 03:32:00 GMT")

    assert 3_600_100 == compared(ahead).offset_ms


@pytest.mark.parametrize(
    "body", [b"", b"null", b"-5", b'"1795228320"', b"[1]", b"9" * 400, b"\xff"]
)
def test_a_time_that_is_none_leaves_the_date(body: bytes):
    seen = compared(answer(body))

    assert ("Date", 100) == (seen.source, seen.offset_ms)


def test_the_source_that_agrees_with_us_is_believed():
    seen = compared(answer(b"1234567890"))

    assert ("Date", 100) == (seen.source, seen.offset_ms)


def test_any_answer_has_a_date():
    assert 100 == compared(answer(b"oops", status=503)).offset_ms


@pytest.mark.parametrize("headers", [{"age": "12"}, {"date": "yesterday"}, {"date": ""}])
def test_a_cached_or_odd_date_is_not_a_clock(headers: dict[str, str]):
    seen = compared(answer(b"", **headers))

    assert None is seen.offset_ms
    assert "GET /time" in seen.problem
