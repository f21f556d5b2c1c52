"""The past, through the venue's protocol, into the official clients: the same books and hashes.

The clients live in an environment of their own (`make clients`); without it these are skipped.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.tools import played
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.venue.bookhash import book_hash

ROOT = Path(__file__).parents[2]
SLUG = "btc-updown-5m-1"


@pytest.fixture(scope="module")
def interpreter() -> Path:
    named = os.environ.get("ORDERBOOKS_CLIENTS_PYTHON")
    path = Path(named) if named else ROOT / ".venv-clients" / "bin" / "python"
    if not path.exists():
        pytest.skip("no environment with the official clients: see tests/venue_tests/clients.in")
    return path


@pytest.fixture(scope="module")
def real(captures: Path, tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    """A minute of real captured books, recorded."""
    return played.real(captures, tmp_path_factory.mktemp("r") / "var")


@contextmanager
def past(fleet: Fleet, *words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """`orderbooks replay --serve` as a process, and what it says when it listens."""
    command = [sys.executable, "-m", "workers.tools", "replay", "--data", str(fleet.data.root)]
    with subprocess.Popen(
        [*command, "--serve", "0", *words], stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


def client(interpreter: Path, *words: object) -> dict[str, Any]:
    script = ROOT / "tests/venue_tests/past_clients.py"
    done = subprocess.run(
        [interpreter, script, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def changes(fleet: Fleet) -> list[dict[str, Any]]:
    """Each book that differs from its token's one before, in the order they were recorded."""
    seen: dict[str, bytes] = {}
    found = []
    for _, _, raw in played.books_in(fleet):
        book = json.loads(raw)
        if seen.get(book["asset_id"]) != raw:
            seen[book["asset_id"]] = raw
            found.append(book)
    return found


def as_client(book: dict[str, Any]) -> dict[str, Any]:
    sides = {
        name: [[each["price"], each["size"]] for each in book[name]] for name in ("bids", "asks")
    }
    return {"token_id": book["asset_id"], "hash": book["hash"], **sides}


def numbers(book: dict[str, Any]) -> dict[str, Any]:
    """With decimals in place of texts: a client may spell them anew."""
    sides = {
        name: [[Decimal(text) for text in level] for level in book[name]]
        for name in ("bids", "asks")
    }
    return {**book, **sides}


def slug_of(fleet: Fleet) -> str:
    slug: str = json.loads(fleet.data.universe.read_bytes())["markets"][0]["slug"]
    return slug


@pytest.mark.timeout(150)
def test_the_official_stream_sees_every_real_book_that_was_recorded(
    real: Fleet, interpreter: Path
) -> None:
    wanted = changes(real)
    with past(real, slug_of(real), "--speed", "max") as (process, said):
        tokens = said["tokens"]
        seen = client(interpreter, "stream", said["rest"], said["websocket"], len(wanted), *tokens)[
            "events"
        ]
        assert 0 == process.wait(60)

    assert 50 < len(wanted)
    assert {"book"} == {kind for kind, _ in seen}
    assert [numbers(as_client(each)) for each in wanted] == [numbers(each) for _, each in seen]
    assert all(book_hash(each) == each["hash"] for each in wanted)


@pytest.mark.timeout(150)
def test_the_official_stream_comes_back_after_a_gap_and_sees_the_rest(
    tmp_path: Path, interpreter: Path
) -> None:
    fleet = played.moving(tmp_path / "var")
    wanted = changes(fleet)
    with past(fleet, SLUG, "--speed", "max") as (_, said):
        tokens = said["tokens"]
        seen = client(interpreter, "stream", said["rest"], said["websocket"], len(wanted), *tokens)[
            "events"
        ]

    assert [each["hash"] for each in wanted] == [each["hash"] for _, each in seen]


@pytest.mark.parametrize("second", [3, 30, 59])
def test_the_official_rest_client_finds_the_books_of_one_instant(
    real: Fleet, interpreter: Path, second: int
) -> None:
    at_ms = first_due_ms(real) + second * S + 500
    moment = f"{at_ms // 1000}.{at_ms % 1000:03d}"
    with past(real, slug_of(real), "--from", moment, "--speed", "0") as (_, said):
        found = client(interpreter, "rest", said["rest"], *said["tokens"])

    stored = [json.loads(raw) for _, _, raw in played.books_in(real)]
    wanted = {each["asset_id"]: as_client(each) for each in stored[: 2 * second + 2]}
    assert 3 == len(found["books"])
    for each in found["books"]:
        assert each.pop("computed") == each["hash"]
        assert wanted[each["token_id"]] == each
    assert at_ms // 1000 == found["time"]


def first_due_ms(fleet: Fleet) -> int:
    line = next(iter(played.rows_in(fleet)))
    due_ms: int = json.loads(line)["due_ms"]
    return due_ms


def test_in_a_gap_there_is_no_book_and_only_this_machine_can_ask(tmp_path: Path) -> None:
    fleet = played.moving(tmp_path / "var")
    moment = str(HOUR_MS + 22 * S)
    with past(fleet, SLUG, "--from", moment, "--speed", "0") as (process, said):
        host, _, port = said["rest"].removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(b"GET /book?token_id=101 HTTP/1.1\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(4096), b""))
        listening = [
            each.laddr.ip
            for each in psutil.Process(process.pid).net_connections()
            if each.status == psutil.CONN_LISTEN
        ]

    assert answer.startswith(b"HTTP/1.1 404 ")
    assert ["127.0.0.1", "127.0.0.1"] == listening


def test_a_port_that_is_taken_is_a_sentence_and_ctrl_c_is_no_traceback(tmp_path: Path) -> None:
    fleet = played.moving(tmp_path / "var")
    command = [sys.executable, "-m", "workers.tools", "replay", SLUG, "--speed", "0"]
    command += ["--data", str(fleet.data.root), "--serve"]
    with past(fleet, SLUG, "--speed", "0") as (process, said):
        port = said["rest"].rpartition(":")[2]
        second = subprocess.run(
            [*command, port], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
        )
        process.send_signal(signal.SIGINT)
        ended = process.wait(30)

    assert (2, "", 1) == (second.returncode, second.stdout, second.stderr.count("hint:"))
    assert "Traceback" not in second.stderr
    assert 130 == ended
