"""Holds edge.fleet: an answer or a named problem in time; one fleet for one directory."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from workers.core.errors import NeedsAPerson
from workers.edge import fleet

FAULT = (
    "<?xml version='1.0'?><methodResponse><fault><value><struct><member><name>faultCode</name>"
    "<value><int>6</int></value></member><member><name>faultString</name>"
    "<value><string>SHUTDOWN_STATE</string></value></member></struct></value></fault>"
    "</methodResponse>"
)
NUMBER = (
    "<?xml version='1.0'?><methodResponse><params><param><value><int>7</int></value></param>"
    "</params></methodResponse>"
)


def http(body: str, status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


@pytest.fixture
def listens(tmp_path: Path) -> Iterator[Callable[[bytes], Path]]:
    """Bytes → the path of a socket where every connection gets them, whatever it asked."""
    servers: list[socket.socket] = []
    held: list[socket.socket] = []

    def start(answer: bytes) -> Path:
        path = tmp_path / "s.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(str(path))
        server.listen()
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                held.append(peer)
                peer.recv(65536)
                if answer:
                    peer.sendall(answer)
                    held.pop().close()

        threading.Thread(target=serve, daemon=True).start()
        return path

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
    for each in servers + held:
        each.close()


def test_no_socket_is_said(tmp_path: Path):
    assert "no socket" in fleet.look(tmp_path / "s.sock", 1).problem


def test_a_stale_socket_is_said(tmp_path: Path):
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))

    assert "nobody listens" in fleet.look(path, 1).problem


def test_a_path_no_socket_can_have_is_said(tmp_path: Path):
    assert "too long" in fleet.look(tmp_path / ("x" * 200), 1).problem


def test_a_supervisord_that_does_not_answer_costs_its_time_limit(listens):
    before = time.monotonic()

    seen = fleet.look(listens(b""), 0.2)

    assert "in time" in seen.problem
    assert not seen.is_reached
    assert time.monotonic() - before < 60


@pytest.mark.parametrize(
    "answer",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        http("", "503 Busy"),
        http("<html>"),
        http("not xml"),
        http(FAULT),
        http(NUMBER),
        http(NUMBER.replace("7", "9" * 30)),
        http(NUMBER.replace("<int>7</int>", "<string>&#0;</string>")),
        http("<?xml version='1.0'?>" + "<a>" * 5000),
    ],
)
@pytest.mark.timeout(20)
def test_nonsense_is_a_named_problem(listens, answer: bytes):
    seen = fleet.look(listens(answer), 1)

    assert seen.problem
    assert [] == seen.processes


def test_the_environment_names_data_config_and_this_python(tmp_path: Path):
    env = fleet.environment({"HOME": "/h"}, data=tmp_path / "var", config=Path("a.yaml"))

    assert {
        "HOME": "/h",
        "ORDERBOOKS_DATA": str(tmp_path / "var"),
        "ORDERBOOKS_CONFIG": str(Path.cwd() / "a.yaml"),
        "ORDERBOOKS_PYTHON": sys.executable,
    } == env


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb"])
def test_a_path_that_the_conf_cannot_quote_is_refused(name: str):
    with pytest.raises(NeedsAPerson, match="quote"):
        fleet.environment({}, data=Path("/x") / name, config=Path("c"))


CLAIM = """
import os, sys
from pathlib import Path
from workers.edge import fleet
taken = [os.open("/dev/null", os.O_RDONLY) for _ in range(5)]
fleet.claim(Path(sys.argv[1]))
os.execv(sys.executable, [sys.executable, "-c", "print(flush=True); input()"])
"""


def test_a_claim_survives_exec_and_ends_with_the_process(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as first:
        first.stdout.readline()
        with pytest.raises(NeedsAPerson, match=str(first.pid)) as refused:
            fleet.claim(tmp_path)
        first.communicate(b"\n")

    assert "ctl status" in refused.value.hint
    again = subprocess.run(
        [sys.executable, "-c", CLAIM, tmp_path],
        input=b"\n",
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        check=True,
        capture_output=True,
    )
    assert b"\n" == again.stdout
