"""Holds `orderbooks response`: the bytes the venue sent, or which piece of them is missing."""

import hashlib

import pytest

from tests.tools.archives import HOUR_MS, Fleet, S, body_of, market
from workers.core.archive.ledger import request_row
from workers.core.polling.answers import Answer
from workers.core.universe.markets import Asked
from workers.core.universe.pages import page_row
from workers.core.universe.survey import Question
from workers.edge.spool.recorder import Stream

RUN = str(HOUR_MS - 5 * S)


def rebuilt(fleet: Fleet, request: str, tmp_path) -> tuple[int, bytes]:
    """The exit code and the body."""
    path = tmp_path / "body"
    code = fleet.orderbooks("response", request, "-o", str(path))
    return code, path.read_bytes() if path.exists() else b""


def asked_of(*markets) -> dict[str, str]:
    return {token.token_id: each.condition_id for each in markets for token in each.tokens}


@pytest.mark.parametrize("number", [1, 30, 31, 60])
def test_a_published_response_comes_back_byte_for_byte(whole, tmp_path, number):
    sent = body_of(asked_of(*_in_order(whole)), HOUR_MS + (number - 1) * S)

    assert (0, sent) == rebuilt(whole, f"collector-00.{RUN}.{number}", tmp_path)


def _in_order(fleet: Fleet):
    return fleet.universe.markets


def test_the_body_goes_to_stdout_and_the_verdict_to_stderr(whole, capfdbinary):
    assert 0 == whole.orderbooks("response", f"collector-00.{RUN}.1")

    out, err = capfdbinary.readouterr()

    assert hashlib.sha256(out).hexdigest().encode() in err
    assert b"as recorded" in err


def test_a_response_that_is_still_being_written_comes_back(fleet, tmp_path):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    live.tick(HOUR_MS)
    live.flush(HOUR_MS + S)

    sent = body_of(asked_of(market(1)), HOUR_MS)

    assert (0, sent) == rebuilt(fleet, f"collector-00.{RUN}.1", tmp_path)


def test_refused_books_come_back_at_their_place(fleet, tmp_path):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    foreign = body_of({"777": "0xother"}, HOUR_MS)[1:-1]
    live.tick(HOUR_MS, change=lambda body: b"[" + foreign + b"," + body[1:])
    live.stop(HOUR_MS + S)

    code, body = rebuilt(fleet, f"collector-00.{RUN}.1", tmp_path)

    assert 0 == code
    assert body.startswith(b"[" + foreign + b",")


@pytest.mark.parametrize(
    ("cause", "status", "body"),
    [
        ("http_503", 503, b'{"error":"down"}'),
        ("html", 200, b"<html>\r\n</html>"),
        ("bad_utf8", 200, b"\xff\xfe"),
        ("ok", 200, b'[ {"odd":"spacing"} ]'),
        ("ok", 200, b"[]"),
        ("http_500", 500, b""),
    ],
)
def test_a_body_that_was_kept_whole_comes_back(fleet, tmp_path, cause, status, body):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    live.tick(HOUR_MS, cause=cause, status=status, change=lambda _: body)
    live.stop(HOUR_MS + S)

    assert (0, body) == rebuilt(fleet, f"collector-00.{RUN}.1", tmp_path)


def test_a_body_that_was_kept_in_part_says_so(fleet, tmp_path, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    live = fleet.collector(HOUR_MS - 5 * S)
    live.tick(HOUR_MS, cause="http_500", status=500, change=lambda _: b"x" * 70_000)
    live.stop(HOUR_MS + S)

    assert 1 == rebuilt(fleet, f"collector-00.{RUN}.1", tmp_path)[0]
    assert "only 65536 of its 70000 bytes were kept" in capsys.readouterr().err


def test_a_page_of_discovery_comes_back(fleet, tmp_path):
    body = b'{"events":[],\n "next_cursor":"x"}'
    answer = Answer(
        cause="ok",
        status=200,
        body=body,
        send_wall_ns=HOUR_MS * 1_000_000,
        recv_wall_ns=HOUR_MS * 1_000_000 + 5,
        send_mono_ns=0,
        recv_mono_ns=5,
    )
    question = Question(
        name="s", asked=Asked(source="keyset"), route="/events/keyset", params="a=1"
    )
    fleet.publish_universe(HOUR_MS - 10 * S, market(1))
    worker = fleet.collector(HOUR_MS)
    request = worker.diary.next_request_id()
    row = page_row(answer, question, request_id=request, due_ms=HOUR_MS, version="0")
    stream = Stream(subject="collector-00", kind="pages")
    worker.recorder.append(stream, row, due_ms=HOUR_MS, wall_ns=answer.recv_wall_ns)
    ledger_row = request_row(
        request, HOUR_MS, question.endpoint, answer, cause="ok", layout="pages", kept_bytes_max=9
    )
    worker.diary.write(ledger_row, answer.recv_wall_ns)
    worker.stop(HOUR_MS + S)

    assert (0, body) == rebuilt(fleet, request, tmp_path)


def test_a_missing_piece_is_named(whole, tmp_path, capsys):
    whole.segments("books")[0].unlink()

    assert 1 == rebuilt(whole, f"collector-00.{RUN}.1", tmp_path)[0]
    assert "2 books are missing, of token 101, 102" in capsys.readouterr().err


def test_a_changed_piece_shows_in_the_digest(whole, tmp_path, capsys):
    import gzip  # noqa: PLC0415

    path = whole.segments("books")[0]
    rows = gzip.decompress(path.read_bytes()).replace(b'"0.55"', b'"0.56"', 1)
    path.write_bytes(gzip.compress(rows))

    assert 1 == rebuilt(whole, f"collector-00.{RUN}.1", tmp_path)[0]
    assert "the ledger says" in capsys.readouterr().err


@pytest.mark.parametrize(
    "request_id", ["collector-00.1.1", f"collector-00.{RUN}.9999", "x", "a.b.c"]
)
def test_a_request_that_never_was_is_not_found(whole, tmp_path, capsys, request_id):
    assert 2 == rebuilt(whole, request_id, tmp_path)[0]
    assert "hint:" in capsys.readouterr().err
