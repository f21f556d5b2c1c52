"""The loopback remotes, tried with the real rclone: what each promises, and each fault."""

import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.remotes import (
    S3,
    Cut,
    Drive,
    Local,
    Remote,
    Sftp,
    WebDav,
    certificate,
    find_rclone,
    run_rclone,
)
from tests.remotes.program import environment_of
from tests.remotes.remote import flipped
from tests.rig import wait_for

KINDS = [Local, S3, Sftp, WebDav, Drive]
HASHES = {Local: "sha256", S3: "md5", Sftp: "md5", WebDav: None, Drive: "sha256"}
SERVED = [S3, Sftp, WebDav, Drive]
HARD = "books/it's [1] {a} 100% *.gz"
"""A path that a query, a pattern and a URL each want to read otherwise."""
BROKEN = re.compile("connection reset|connection lost|closed network connection|broken pipe|EOF")
"""What a reset is called depends on who was reading or writing just then."""
PATIENCE = ("--retries", "1", "--low-level-retries", "3", "--contimeout", "30s", "--timeout", "30s")


@dataclass(frozen=True)
class Source:
    """A folder of files to send, and a list of them as --files-from wants it."""

    folder: Path
    files: dict[str, bytes]

    def put(self, path: str, data: bytes) -> None:
        """One more file."""
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_bytes(data)
        self.files[path] = data


@pytest.fixture
def source(tmp_path: Path) -> Source:
    made = Source(tmp_path / "source", {})
    made.put("manifests/a.json", b'{"a": 1}\n')
    made.put(HARD, b"snapshot\n" * 1000)
    return made


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Drive]:
    with Drive(tmp_path / "gd") as made:
        yield made


@pytest.fixture
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Remote]:
    with request.param(tmp_path / "remote") as made:
        yield made


def copied(
    source: Source, remote: Remote, *more: str, environment: dict[str, str] | None = None
) -> CompletedProcess[str]:
    """One batch, copied as the uploader does it."""
    listed = source.folder.with_name("list")
    listed.write_text("".join(f"{path}\n" for path in source.files))
    return run_rclone(
        *("copy", str(source.folder), remote.remote, "--files-from", str(listed)),
        *("--no-traverse", "--checksum", "--immutable", "--drive-stop-on-upload-limit"),
        *("--log-level", "INFO", *PATIENCE, *more),
        environment=environment or remote.environment,
    )


def listed(
    remote: Remote, *more: str, environment: dict[str, str] | None = None
) -> list[tuple[str, int, dict[str, str]]]:
    """Path, size and hashes of everything, as rclone lists it."""
    ended = run_rclone(
        *("lsjson", "-R", "--files-only", "--no-mimetype", "--no-modtime", "--hash"),
        *("--hash-type", "sha256", "--hash-type", "md5", *PATIENCE, remote.remote, *more),
        environment=environment or remote.environment,
    )
    assert ended.returncode == 0, ended.stderr
    entries = json.loads(ended.stdout)
    return sorted((each["Path"], each["Size"], each.get("Hashes", {})) for each in entries)


def hash_of(remote: Remote, path: str) -> str:
    """The one hash that says most, as listed."""
    (hashes,) = [each for name, _, each in listed(remote) if name == path]
    return hashes[str(HASHES[type(remote)])]


def uploads(drive: Drive) -> list[str]:
    return [f"{each.method} {each.target}" for each in drive.requests if "/upload/" in each.target]


@pytest.mark.parametrize("remote", KINDS, indirect=True)
def test_what_is_copied_is_there_is_listed_and_comes_back(
    remote: Remote, source: Source, tmp_path: Path
) -> None:
    ended = copied(source, remote)
    found = listed(remote)
    back = tmp_path / "back"
    run_rclone("copy", remote.remote, str(back), environment=remote.environment).check_returncode()

    assert ended.returncode == 0, ended.stderr
    assert remote.paths() == source.files.keys()
    assert {path: size for path, size, _ in found} == {k: len(v) for k, v in source.files.items()}
    for path, data in source.files.items():
        assert remote.read(path) == (back / path).read_bytes() == data
    for path, _, hashes in found:
        best = HASHES[type(remote)]
        assert (best in hashes) if best else not hashes, path
        assert best == "sha256" or "sha256" not in hashes


@pytest.mark.parametrize("remote", KINDS, indirect=True)
def test_what_is_done_behind_its_back_is_listed(remote: Remote, source: Source) -> None:
    copied(source, remote)
    best = HASHES[type(remote)]
    before = hash_of(remote, HARD) if best else ""

    remote.spoil(HARD)
    remote.vanish("manifests/a.json")
    remote.write("foreign/b.gz", b"not ours")

    left = {HARD, "foreign/b.gz"}
    assert left == remote.paths()
    wait_for(lambda: left == {path for path, _, _ in listed(remote)}, what="the new listing")
    assert remote.read(HARD) == flipped(source.files[HARD])
    if best:
        wait_for(lambda: hash_of(remote, HARD) != before, what="the hash of the new bytes")
    with pytest.raises(FileNotFoundError):
        remote.read("manifests/a.json")
    with pytest.raises(FileNotFoundError):
        remote.vanish("manifests/a.json")


@pytest.mark.parametrize("remote", SERVED, indirect=True)
def test_what_was_stopped_comes_back_on_its_port_with_what_it_held(
    remote: Remote, source: Source
) -> None:
    copied(source, remote)
    port = remote.port

    remote.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port)).close()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    remote.start()

    assert remote.port == port
    assert {path for path, _, _ in listed(remote)} == source.files.keys()


def test_a_stopped_directory_is_not_there_until_it_is_started(
    tmp_path: Path, source: Source
) -> None:
    remote = Local(tmp_path / "remote")
    copied(source, remote)

    remote.stop()
    assert remote.paths() == set()
    remote.start()

    assert remote.paths() == source.files.keys()


@pytest.mark.parametrize("remote", SERVED, indirect=True)
def test_the_configuration_works_as_a_file_too(
    remote: Remote, source: Source, tmp_path: Path
) -> None:
    config = tmp_path / "rclone.conf"
    config.write_text(remote.config_text())
    kept = {k: v for k, v in remote.environment.items() if not k.startswith("RCLONE_CONFIG")}

    ended = copied(source, remote, environment={**kept, "RCLONE_CONFIG": str(config)})

    assert ended.returncode == 0, ended.stderr
    assert remote.paths() == source.files.keys()


@pytest.mark.parametrize("remote", [S3, Sftp, WebDav], indirect=True)
def test_a_connection_is_cut_in_the_middle_and_nothing_half_is_listed(
    remote: Remote, source: Source
) -> None:
    source.put("big.gz", os.urandom(1 << 20))
    with Cut(remote.port) as cut:
        cut.after(300_000, count=99)
        ended = copied(source, remote, environment=remote.environment_at(cut.port))

        assert ended.returncode in {1, 5}, ended.stderr
        assert cut.breaks >= 1
        assert cut.sent > 250_000
        assert BROKEN.search(ended.stderr), ended.stderr
    assert "big.gz" not in {path for path, _, _ in listed(remote)}


@pytest.mark.parametrize("remote", [WebDav, Drive], indirect=True)
def test_rclone_survives_one_cut(remote: Remote, source: Source) -> None:
    source.put("big.gz", os.urandom(1 << 20))
    with Cut(remote.port) as cut:
        cut.after(300_000)
        ended = copied(source, remote, environment=remote.environment_at(cut.port))

        assert ended.returncode == 0, ended.stderr
        assert cut.breaks == 1
    assert remote.paths() == source.files.keys()


@pytest.mark.parametrize("remote", [WebDav], indirect=True)
def test_a_stalled_network_ends_in_a_timeout_and_flows_again(
    remote: Remote, source: Source
) -> None:
    with Cut(remote.port) as cut:
        environment = remote.environment_at(cut.port)
        cut.stall()
        quick = ("--low-level-retries", "1", "--timeout", "1s")
        stalled = copied(source, remote, *quick, environment=environment)
        cut.flow()
        flowing = copied(source, remote, environment=environment)

    assert stalled.returncode == 1
    assert "timeout awaiting response headers" in stalled.stderr
    assert flowing.returncode == 0, flowing.stderr


@pytest.mark.parametrize("remote", [Sftp, WebDav], indirect=True)
def test_a_refused_connection_is_refused_until_it_is_accepted(
    remote: Remote, source: Source
) -> None:
    with Cut(remote.port) as cut:
        environment = remote.environment_at(cut.port)
        cut.refuse()
        refused = copied(source, remote, environment=environment)
        cut.accept()
        accepted = copied(source, remote, environment=environment)

    assert refused.returncode == 1
    assert "connect: connection refused" in refused.stderr
    assert accepted.returncode == 0, accepted.stderr


def test_small_files_go_to_drive_in_one_request_and_big_ones_in_chunks(
    drive: Drive, source: Source
) -> None:
    source.put("big.gz", os.urandom(12 << 20))

    ended = copied(source, drive, "--drive-chunk-size", "4M")

    assert ended.returncode == 0, ended.stderr
    assert drive.read("big.gz") == source.files["big.gz"]
    assert sum("uploadType=multipart" in each for each in uploads(drive)) == 2
    chunks = [each for each in drive.requests if "upload_id=" in each.target]
    assert [each.body_bytes for each in chunks] == [4 << 20] * 3


def test_a_chunk_that_is_refused_is_sent_again(drive: Drive, source: Source) -> None:
    source.put("big.gz", os.urandom(9 << 20))
    drive.fault("POST", "upload_id=", 503, "backendError")

    ended = copied(source, drive, "--drive-chunk-size", "4M")

    assert ended.returncode == 0, ended.stderr
    assert drive.read("big.gz") == source.files["big.gz"]


@pytest.mark.parametrize(("status", "reason"), [(503, "backendError"), (403, "rateLimitExceeded")])
def test_rclone_tries_again_what_drive_could_not_do_just_now(
    drive: Drive, source: Source, status: int, reason: str
) -> None:
    drive.fault("POST", "uploadType=multipart", status, reason)

    ended = copied(source, drive)

    assert ended.returncode == 0, ended.stderr
    assert len(uploads(drive)) == 3
    assert drive.paths() == source.files.keys()


def test_the_daily_limit_ends_rclone_with_exit_code_7(drive: Drive, source: Source) -> None:
    drive.upload_limit(count=9)

    ended = copied(source, drive)

    assert ended.returncode == 7
    assert "Received upload limit error" in ended.stderr
    assert "User rate limit exceeded., userRateLimitExceeded" in ended.stderr
    assert drive.paths() == set()


def test_a_full_drive_ends_rclone_with_exit_code_7(drive: Drive, source: Source) -> None:
    drive.storage_full(count=9)

    ended = copied(source, drive)

    assert ended.returncode == 7
    assert "storageQuotaExceeded" in ended.stderr


def test_an_expired_token_is_refreshed(drive: Drive, source: Source) -> None:
    drive.expire_token()

    ended = copied(source, drive)

    assert ended.returncode == 0, ended.stderr
    assert [each.path for each in drive.requests].count("/token") == 1
    assert drive.paths() == source.files.keys()


def test_a_token_refused_before_its_time_is_an_error(drive: Drive, source: Source) -> None:
    drive.forget_token()

    ended = copied(source, drive)

    assert ended.returncode == 1
    assert "Error 401: Invalid Credentials, authError" in ended.stderr


def test_a_revoked_permission_is_an_error_until_it_is_granted(drive: Drive, source: Source) -> None:
    drive.revoke()
    revoked = copied(source, drive)
    drive.grant()
    granted = copied(source, drive)

    assert revoked.returncode == 1
    assert "couldn't fetch token: invalid_grant" in revoked.stderr
    assert granted.returncode == 0, granted.stderr


def test_two_files_of_one_path_are_both_listed(
    drive: Drive, source: Source, tmp_path: Path
) -> None:
    copied(source, drive)
    drive.duplicate("manifests/a.json")
    only = tmp_path / "only"
    only.write_text("/manifests/a.json\n")

    found = listed(drive, "--include-from", str(only))

    assert [path for path, _, _ in found] == ["manifests/a.json"] * 2
    assert len(drive.files()["manifests/a.json"]) == 2


def test_an_answer_that_is_lost_leaves_what_was_asked_done(drive: Drive, source: Source) -> None:
    drive.lose_answer("POST", "uploadType=multipart")

    ended = copied(source, drive)

    assert ended.returncode == 0, ended.stderr
    assert sum(each.startswith("PATCH /upload/") for each in uploads(drive)) == 1
    assert {path: len(each) for path, each in drive.files().items()} == dict.fromkeys(
        source.files, 1
    )


def test_a_held_upload_waits_until_it_is_released(drive: Drive, source: Source) -> None:
    drive.hold()
    held = copied_in_background(source, drive)
    try:
        wait_for(lambda: drive.held, what="an upload is held")
        assert drive.paths() == set()
        drive.release()
        wait_for(lambda: drive.paths() == source.files.keys(), what="everything arrives")
    finally:
        held.join()


def test_a_held_upload_whose_client_has_left_is_never_made(drive: Drive, source: Source) -> None:
    drive.hold()
    words = [str(find_rclone()), "copy", str(source.folder), drive.remote]
    with subprocess.Popen(words, env=environment_of(drive.environment)) as killed:
        wait_for(lambda: drive.held == len(source.files), what="every upload is held")
        killed.kill()
    drive.release()
    wait_for(lambda: not drive.held, what="nothing is held")
    ended = copied(source, drive)

    assert ended.stderr.count("Copied (new)") == len(source.files), ended.stderr
    assert {1} == {len(each) for each in drive.files().values()}


def copied_in_background(source: Source, drive: Drive) -> threading.Thread:
    thread = threading.Thread(target=copied, args=(source, drive))
    thread.start()
    return thread


def test_long_listings_come_in_pages(drive: Drive) -> None:
    for each in range(250):
        drive.write(f"many/{each}.gz", b"x")

    found = listed(drive, environment={**drive.environment, "RCLONE_DRIVE_LIST_CHUNK": "100"})

    assert len(found) == 250
    assert sum("pageToken" in each.target for each in drive.requests) >= 2


def test_the_proxy_leads_to_no_other_host(drive: Drive) -> None:
    environment = {**drive.environment, "RCLONE_CONFIG_OTHER_TYPE": "http"}
    for url in ("https://example.com", "http://example.com"):
        environment["RCLONE_CONFIG_OTHER_URL"] = url
        ended = run_rclone("lsf", "OTHER:", *PATIENCE, environment=environment)

        assert ended.returncode != 0

    assert {each.removeprefix("http://").rstrip("/") for each in drive.refused} == {
        "example.com:443",
        "example.com",
    }


def test_no_certificate_is_made_twice() -> None:
    one, other = certificate.make(["a.example"]), certificate.make(["a.example"])

    assert one.key != other.key
    assert one.certificate != other.certificate


def test_a_child_sees_no_configuration_of_who_runs_the_tests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RCLONE_CONFIG", "elsewhere")
    monkeypatch.setenv("HTTPS_PROXY", "http://elsewhere")

    assert environment_of({})["RCLONE_CONFIG"] == "/dev/null"
    assert "HTTPS_PROXY" not in environment_of({})
    assert find_rclone().name == "rclone"


@pytest.mark.parametrize("told", ["Content-Length: 900", "Transfer-Encoding: chunked"])
def test_an_upload_that_was_cut_before_its_end_was_never_made(drive: Drive, told: str) -> None:
    """A killed rclone left half a file under the whole one's name: no HTTP server takes that."""
    part = b'--b\r\n\r\n{"name": "half", "parents": ["root"]}\r\n--b\r\n\r\nthe first hal'
    connection = http.client.HTTPSConnection(
        "127.0.0.1",
        drive.port,
        context=ssl._create_unverified_context(),
    )
    connection.set_tunnel("www.googleapis.com")
    connection.connect()
    sent = f"{len(part):x}\r\n".encode() + part + b"\r\n" if "chunked" in told else part
    connection.sock.sendall(
        b"POST /upload/drive/v3/files?uploadType=multipart HTTP/1.1\r\n"
        b"Host: www.googleapis.com\r\nAuthorization: Bearer access-first\r\n"
        b"Content-Type: multipart/related; boundary=b\r\n" + told.encode() + b"\r\n\r\n" + sent
    )
    connection.sock.shutdown(socket.SHUT_WR)
    while connection.sock.recv(4096):
        pass
    connection.close()

    assert [] == drive.requests
