"""`orderbooks health`: the watchdog's word, for a probe and over HTTP."""

import fcntl
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.rig import ROOT, wait_for
from workers.core.archive.manifests import encode
from workers.core.health.looks import Look
from workers.core.health.reports import health_manifest
from workers.edge.spool.directory import DataDir


def look(data: DataDir, verdict: str, *, age_s: int = 0) -> None:
    at_ns = time.time_ns() - age_s * 10**9
    told = health_manifest(Look(wall_ns=at_ns, mono_ns=0, boot_id="b"), [], {}, 1)
    path = data.latest("health")
    path.parent.mkdir(parents=True, exist_ok=True)
    changed = json.loads(encode(told)) | {"verdict": verdict, "reasons": ["disk_full collector-00"]}
    path.write_text(json.dumps(changed))


@pytest.fixture
def data(tmp_path: Path) -> DataDir:
    found = DataDir(tmp_path / "data")
    found.prepare()
    return found


def command(data: DataDir, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "workers.tools", "health", "--data", str(data.root), *arguments]


def health(data: DataDir, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(data, *arguments), cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("degraded", 0), ("failing", 1)])
def test_a_probe_gets_the_verdict_as_its_exit_code(data: DataDir, verdict: str, code: int):
    look(data, verdict)

    said = health(data)

    assert (said.returncode, said.stdout.splitlines()[0]) == (code, verdict)
    assert "disk_full collector-00" in said.stdout


def test_an_old_look_or_none_or_a_damaged_one_is_unknown_and_wrong(data: DataDir):
    none = health(data, "--json")
    look(data, "ok", age_s=200)
    old = health(data, "--json")
    data.latest("health").write_text("[]")
    damaged = health(data, "--json")

    for said in (none, old, damaged):
        assert (said.returncode, json.loads(said.stdout)["verdict"]) == (1, "unknown")
    (reason,) = json.loads(old.stdout)["reasons"]
    assert int(re.fullmatch(r"the watchdog has not looked for (\d+) s", reason)[1]) >= 200


def test_a_probe_that_restarts_asks_only_whether_somebody_looks(data: DataDir):
    look(data, "failing")
    failing = health(data, "--look")
    look(data, "ok", age_s=200)
    old = health(data, "--look")

    assert (0, 1) == (failing.returncode, old.returncode)
    assert "failing" in failing.stdout


Ask = Callable[[str, str], tuple[int, bytes, str]]


@pytest.fixture(params=["127.0.0.1:0", "unix"])
def ask(request: pytest.FixtureRequest, data: DataDir) -> Iterator[Ask]:
    path = data.root / "health.sock"
    listen = f"unix:{path}" if request.param == "unix" else request.param
    process = subprocess.Popen(
        command(data, "--listen", listen), cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    where = process.stdout.readline().split()[-1]

    def asked(page: str, method: str = "GET") -> tuple[int, bytes, str]:
        connection = HTTPConnection(where.removeprefix("http://").partition("/")[0])
        if request.param == "unix":
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(path))
        connection.request(method, page)
        answer = connection.getresponse()
        found = (answer.status, answer.read(), answer.getheader("X-Orderbooks-Verdict", ""))
        connection.close()
        return found

    try:
        yield asked
    finally:
        process.terminate()
        assert process.wait(60) == 0
        process.stdout.close()
        assert not path.exists()


def test_it_serves_the_watchdogs_files_byte_for_byte(data: DataDir, ask: Ask):
    look(data, "ok")
    data.metrics.write_text("orderbooks_look_seconds 1\n")

    assert ask("/health", "GET") == (200, data.latest("health").read_bytes(), "ok")
    assert ask("/metrics", "GET") == (200, data.metrics.read_bytes(), "ok")
    assert ask("/disk", "GET")[0] == 503
    assert ask("/health", "HEAD")[:2] == (200, b"")
    assert ask("/../../etc/passwd", "GET")[0] == 404
    assert ask("/health", "POST")[0] == 501

    look(data, "failing")
    assert ask("/health", "GET")[0] == 503


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8010", "192.0.2.1:80", "localhost", "[::]:1", "nowhere:x"]
)
def test_it_refuses_an_address_that_others_could_reach(data: DataDir, listen: str):
    said = health(data, "--listen", listen)

    assert said.returncode == 2
    assert "expected 127.0.0.1:PORT" in said.stderr


def test_a_socket_left_by_a_killed_one_is_replaced_and_one_in_use_is_not(data: DataDir):
    path = data.root / "health.sock"
    first = subprocess.Popen(
        command(data, "--listen", f"unix:{path}"), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    first.stdout.readline()
    assert path.stat().st_mode & 0o777 == 0o600
    assert health(data, "--listen", f"unix:{path}").returncode == 2
    first.kill()
    first.wait(10)
    first.stdout.close()
    assert path.exists()

    second = subprocess.Popen(
        command(data, "--listen", f"unix:{path}"), cwd=ROOT, stdout=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: _answers(path))
    finally:
        second.terminate()
        assert second.wait(60) == 0


def test_a_stop_before_it_could_say_where_it_listens_ends_it_in_order(data: DataDir):
    path = data.root / "health.sock"
    ear, mouth = os.pipe()
    os.write(mouth, bytes(fcntl.fcntl(mouth, fcntl.F_SETPIPE_SZ, 4096)))
    listening = subprocess.Popen(command(data, "--listen", f"unix:{path}"), cwd=ROOT, stdout=mouth)
    os.close(mouth)
    try:
        wait_for(lambda: _answers(path))
        listening.terminate()
    finally:
        with os.fdopen(ear, "rb") as said:
            said.read()
    assert (0, False) == (listening.wait(60), path.exists())


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0
