"""Holds edge.eventlog: whole JSON lines, never a blocked worker, nothing uncatalogued."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from workers.edge.eventlog import PIPE_BUF_BYTES, EventLog


@pytest.fixture
def pipe():
    """(read end, write end)."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def _lines(fd: int) -> list[dict]:
    data = os.read(fd, 1 << 20)
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def test_an_event_is_one_json_line_with_the_common_fields(pipe):
    EventLog("collector-00", 0, fd=pipe[1]).write("worker_stopped", 0, reason="asked", uptime_s=7)

    assert [
        {
            "at": "1970-01-01T00:00:00.000000Z",
            "level": "info",
            "event": "worker_stopped",
            "worker": "collector-00",
            "shard": 0,
            "pid": os.getpid(),
            "reason": "asked",
            "uptime_s": 7,
        }
    ] == _lines(pipe[0])


def test_an_event_without_an_entry_in_the_catalogue_is_a_bug(pipe):
    with pytest.raises(KeyError):
        EventLog("x", fd=pipe[1]).write("something_happened", 0)


@pytest.mark.parametrize("text", ["x" * 100_000, "é" * 5_000, "\n\0\x1b" * 3_000, "\udc80" * 3_000])
def test_a_long_or_odd_text_is_cut_and_the_line_stays_whole(pipe, text):
    EventLog("x", fd=pipe[1]).write("disk_refused", 0, reason=text)

    data = os.read(pipe[0], 1 << 20)

    assert len(data) <= PIPE_BUF_BYTES
    assert 1 == data.count(b"\n")
    assert json.loads(data)["reason"][:20] == text[:20]


def test_a_full_pipe_costs_lines_which_are_counted_and_told(pipe):
    log = EventLog("x", fd=pipe[1])
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, 4096)
    for number in range(200):
        log.write("disk_recovered", 0, refused_s=number)
    kept = _lines(pipe[0])
    log.write("disk_recovered", 0, refused_s=999)
    told, last = _lines(pipe[0])

    assert list(range(len(kept))) == [line["refused_s"] for line in kept]
    assert ("log_lines_dropped", 200 - len(kept)) == (told["event"], told["count"])
    assert 999 == last["refused_s"]


def test_a_reader_that_is_gone_is_no_exception(pipe):
    read, write = os.pipe()
    log = EventLog("x", fd=write)
    os.close(read)

    log.write("disk_recovered", 0, refused_s=1)

    os.close(write)


def test_a_stopped_reader_does_not_stop_the_worker():
    reader = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.buffer.read()"], stdin=subprocess.PIPE
    )
    reader.send_signal(signal.SIGSTOP)
    log, done = EventLog("x", fd=reader.stdin.fileno()), threading.Event()

    def work() -> None:
        for number in range(20_000):
            log.write("disk_recovered", 0, refused_s=number)
        done.set()

    threading.Thread(target=work, daemon=True).start()

    assert done.wait(30)
    assert log._dropped > 0
    reader.send_signal(signal.SIGCONT)
    reader.stdin.close()
    assert 0 == reader.wait(10)


def test_a_plain_file_gets_every_line(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        log = EventLog("x", fd=file.fileno())
        for number in range(1000):
            log.write("disk_recovered", 0, refused_s=number)

    assert 1000 == len((tmp_path / "log").read_bytes().splitlines())
