"""Holds edge.remote against the real rclone: how it ends, what it may hold, what it never shows."""

import contextlib
import fcntl
import json
import os
import signal
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.remotes.drive import Drive
from tests.remotes.remote import Remote
from tests.remotes.servers import S3, Local, Sftp, WebDav
from tests.rig import ROOT, wait_for
from workers.core.errors import NeedsAPerson, Temporary
from workers.core.offload import rclone
from workers.core.offload.offload import Found
from workers.core.offload.rclone import Ended, Tuning
from workers.core.offload.rclone_failures import failure_of
from workers.edge.remote import Rclone, Run, check_version, find_rclone

TUNING = Tuning(transfers=2, bandwidth_bytes_per_s=0, limit_s=60)
SLOW = Tuning(transfers=1, bandwidth_bytes_per_s=50_000, limit_s=60)
NONE = Path("/dev/null")
DATA = {"raw/a.gz": b"a" * 3000, "raw/b [1].gz": b"b" * 1000}
#: Instead of minutes of retries: the texts are the same.
HASTY = ["--low-level-retries", "1"]


class Bench:
    """A folder with files to copy, and commands over it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.source, self.out = folder, folder / "data", folder / "out"
        self.listed, self.patterns = folder / "list", folder / "patterns"
        self.put(DATA)

    def put(self, files: dict[str, bytes]) -> None:
        for name, content in files.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_bytes(content)
        self.listed.write_text("".join(f"{each}\n" for each in files))
        self.patterns.write_text("".join(f"{rclone.include_pattern(each)}\n" for each in files))

    def program(self, environment: dict[str, str], *, lock_fd: int | None = None) -> Rclone:
        path = {"PATH": os.environ["PATH"]}
        return Rclone(find_rclone(""), {**path, **environment}, NONE, self.out, lock_fd=lock_fd)

    def copy_command(self, remote: str, tuning: Tuning = TUNING) -> list[str]:
        return rclone.copy_command(str(self.source), remote, str(self.listed), tuning)

    def copied(self, remote: Remote, environment: dict[str, str] | None = None) -> Ended:
        program = self.program(environment or remote.environment)
        return done(program.start([*self.copy_command(remote.remote), *HASTY], limit_s=60))[0]

    def found(self, remote: Remote, hash_type: str | None) -> list[Found | None]:
        command = rclone.list_command(remote.remote, hash_type, str(self.patterns))
        ended, lines = done(self.program(remote.environment).start(command, limit_s=60))
        assert 0 == ended.code, ended
        return sorted(filter(None, map(rclone.found_of, lines)), key=lambda each: each.path)


def done(run: Run) -> tuple[Ended, list[bytes]]:
    with run:
        ended = wait_for(run.poll, limit_s=100, what="rclone")
        assert isinstance(ended, Ended)
        return ended, list(run.out_lines())


def cause(ended: Ended) -> str | None:
    failure = failure_of(ended)
    return failure.cause if failure else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def slow_run(bench: Bench, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """A copy that takes minutes, and has begun."""
    bench.put({"raw/big.gz": b"x" * 20_000_000})
    with contextlib.ExitStack() as runs:

        def start(**limits: float) -> Run:
            target = tmp_path / "there"
            command = bench.copy_command(str(target), SLOW)
            program = bench.program({})
            run = runs.enter_context(program.start(command, **{"limit_s": 60, **limits}))
            wait_for(lambda: run.poll() or list(target.rglob("*.partial")), what="a half file")
            return run

        yield start


@pytest.mark.parametrize(
    ("kind", "best"),
    [(Local, "sha256"), (S3, "md5"), (Sftp, "md5"), (WebDav, None), (Drive, "sha256")],
)
def test_a_copy_is_listed_with_the_best_hash_of_each_remote(
    bench: Bench, tmp_path: Path, kind: type[Remote], best: str | None
):
    with kind(tmp_path / "remote") as remote:
        features = bench.program(remote.environment).start(
            rclone.features_command(remote.remote), limit_s=60
        )
        assert best == rclone.hash_type_of(b"\n".join(done(features)[1]))

        assert bench.copied(remote).code == 0
        found = bench.found(remote, best)
        command = rclone.download_hash_command(remote.remote, str(bench.patterns))
        read_back = done(bench.program(remote.environment).start(command, limit_s=60))[1]

    assert sorted((name, len(data)) for name, data in DATA.items()) == [
        (each.path, each.bytes) for each in found
    ]
    assert all(list(each.hashes) == ([best] if best else []) for each in found)
    assert DATA.keys() == rclone.downloaded_of(b"\n".join(read_back).decode()).keys()


def test_what_was_copied_comes_back(bench: Bench, tmp_path: Path):
    remote, target = Local(tmp_path / "remote"), tmp_path / "back"
    bench.copied(remote)
    command = rclone.fetch_command(remote.remote, str(target), str(bench.listed), TUNING)

    assert 0 == done(bench.program({}).start(command, limit_s=60))[0].code
    assert DATA == {name: (target / name).read_bytes() for name in DATA}


def test_a_file_that_is_not_there_is_skipped_with_code_0(bench: Bench, tmp_path: Path):
    """Why an exit code proves nothing (rclone#7842)."""
    remote = Local(tmp_path / "remote")
    (bench.source / "raw/a.gz").unlink()

    assert 0 == bench.copied(remote).code
    assert {"raw/b [1].gz"} == remote.paths()


def test_a_taken_name_is_a_conflict_and_keeps_its_bytes(bench: Bench, tmp_path: Path):
    remote = Local(tmp_path / "remote")
    remote.write("raw/a.gz", b"z" * 3000)

    ended = bench.copied(remote)

    assert "conflict" == cause(ended)
    assert b"z" * 3000 == remote.read("raw/a.gz")
    assert "raw/b [1].gz" in remote.paths()


@pytest.mark.parametrize("kind", [S3, Sftp, WebDav, Drive])
def test_where_nothing_listens_it_is_the_network(bench: Bench, tmp_path: Path, kind: type[Remote]):
    with kind(tmp_path / "remote") as remote:
        environment = remote.environment
    command = rclone.list_command(remote.remote, None, str(bench.patterns))
    ended, lines = done(bench.program(environment).start([*command, *HASTY], limit_s=60))

    assert "network" == cause(ended)
    assert not any(map(rclone.found_of, lines))
    bench.put({"raw/a.gz": b"a"})
    assert "network" == cause(bench.copied(remote, environment))


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        (S3, "RCLONE_CONFIG_S3_SECRET_ACCESS_KEY"),
        (Sftp, "RCLONE_CONFIG_SFTP_PASS"),
        (WebDav, "RCLONE_CONFIG_DAV_PASS"),
    ],
)
def test_wrong_credentials_are_auth_and_are_never_shown(
    bench: Bench, tmp_path: Path, kind: type[Remote], variable: str
):
    wrong = "QmQtDzsKMAvMPUhfJgVgUuiEyApKAgPKzfoX"
    with kind(tmp_path / "remote") as remote:
        ended = bench.copied(remote, {**remote.environment, variable: wrong})

    assert "auth" == cause(ended)
    assert wrong not in str(ended)


def test_a_remote_that_is_not_configured_is_no_remote(bench: Bench):
    run = bench.program({}).start(bench.copy_command("nope:archive"), limit_s=60)

    assert "no_remote" == cause(done(run)[0])


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (lambda drive: drive.upload_limit(99), "daily_limit"),
        (lambda drive: drive.storage_full(99), "remote_full"),
        (
            lambda drive: drive.fault("POST", "^/upload/", 403, "rateLimitExceeded", count=99),
            "rate_limit",
        ),
        (lambda drive: drive.revoke(), "auth"),
        (
            lambda drive: drive.fault("POST", "^/upload/", 503, "backendError", count=99),
            "network",
        ),
        (
            lambda drive: drive.fault(
                "POST", "^/upload/", 403, "insufficientFilePermissions", count=99
            ),
            "not_allowed",
        ),
    ],
    ids=["daily_limit", "remote_full", "rate_limit", "auth", "network", "not_allowed"],
)
def test_what_google_drive_refuses_has_its_cause(
    bench: Bench, tmp_path: Path, fault: Callable[[Drive], None], expected: str
):
    with Drive(tmp_path / "remote") as drive:
        fault(drive)
        ended = bench.copied(drive)

    assert expected == cause(ended), ended.log


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 64 KiB, where this machine lets us mount one."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if mounted.returncode or not folder.is_mount():
        pytest.skip("cannot mount a tmpfs here; core/test_rclone.py holds the recorded text")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_as_remote_is_remote_full(bench: Bench, tiny_disk: Path):
    bench.put({"raw/big.gz": b"x" * 100_000})
    run = bench.program({}).start(bench.copy_command(str(tiny_disk)), limit_s=60)

    assert "remote_full" == cause(done(run)[0])


def test_a_command_over_its_time_is_ended_and_leaves_no_half_file(slow_run, tmp_path: Path):
    ended, _ = done(slow_run(limit_s=1, grace_s=60))

    assert "timeout" == cause(ended)
    assert not [path for path in (tmp_path / "there").rglob("*") if path.is_file()]


def test_a_command_that_ignores_sigterm_is_killed(bench: Bench, tmp_path: Path):
    body = """
import signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
while True:
    signal.pause()
"""
    program = Rclone(script(tmp_path, body), {}, NONE, bench.out)
    with program.start([], limit_s=1, grace_s=0.2) as run:
        wait_for(lambda: list(run.out_lines()), what="its first word")
        ended = wait_for(run.poll)

    assert -signal.SIGKILL == ended.code
    assert "timeout" == cause(ended)


def test_who_looks_late_at_a_command_over_its_time_gives_it_its_grace_all_the_same(
    bench: Bench, tmp_path: Path
):
    """A worker on a busy machine, or one that was stopped, looks when both are long over."""
    body = """
import signal
print("waits", flush=True)
signal.sigwait({signal.SIGTERM})
print("tidied", flush=True)
"""
    blocked = "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})"
    program = Rclone(script(tmp_path, blocked + body), {}, NONE, bench.out)
    with program.start([], limit_s=-1000, grace_s=100) as run:
        wait_for(lambda: list(run.out_lines()), what="its first word")
        ended = wait_for(run.poll)

        assert (0, "limit") == (ended.code, ended.stopped)
        assert [b"waits", b"tidied"] == list(run.out_lines())


def test_its_own_limit_is_a_timeout_too(bench: Bench, tmp_path: Path):
    bench.put({"raw/big.gz": b"x" * 20_000_000})
    tuning = Tuning(transfers=1, bandwidth_bytes_per_s=50_000, limit_s=1)
    run = bench.program({}).start(bench.copy_command(str(tmp_path / "there"), tuning), limit_s=60)

    ended, _ = done(run)

    assert (10, "timeout", "") == (ended.code, cause(ended), ended.stopped)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_signal_from_elsewhere_is_killed(slow_run, number: signal.Signals):
    run = slow_run()
    os.kill(run._process.pid, number)

    assert "killed" == cause(done(run)[0])


def test_asked_to_stop_it_is_gone_when_stop_returns(slow_run):
    run = slow_run()
    ended = run.stop()

    assert "stopped" == cause(ended)
    assert ended is run.poll() is run.stop()
    assert not Path(f"/proc/{run._process.pid}").exists()


PARENT = """
import os
import sys
from pathlib import Path
from workers.edge import durable
from workers.edge.remote import Rclone, find_rclone
folder = Path(sys.argv[1])
fd = durable.try_lock(folder / "lock")
run = Rclone(find_rclone(""), {}, Path("/dev/null"), folder / "out", lock_fd=fd).start(
    sys.argv[2:], limit_s=600
)
os.close(fd)
print(run._process.pid, flush=True)
input()
"""


def test_rclone_dies_with_its_parent_and_holds_the_lock_till_then(bench: Bench, tmp_path: Path):
    bench.put({"raw/big.gz": b"x" * 20_000_000})
    command = bench.copy_command(str(tmp_path / "there"), SLOW)
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path, *command],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        wait_for(lambda: list((tmp_path / "there").rglob("*.partial")), what="a half file")
        held_by_rclone_alone = not is_free(tmp_path / "lock")
        parent.kill()

    assert held_by_rclone_alone
    wait_for(lambda: is_free(tmp_path / "lock"), what="the lock")
    wait_for(lambda: is_dead(child), what="the end of rclone")


def is_free(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


def is_dead(process: Path) -> bool:
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def script(folder: Path, body: str) -> Path:
    """A program that stands for rclone where the real one cannot be made to do it."""
    path = folder / "rclone-script"
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(0o755)
    return path


def test_the_child_sees_only_the_variables_it_needs(bench: Bench, tmp_path: Path):
    binary = script(tmp_path, "import os, json; print(json.dumps(dict(os.environ)))")
    environment = {
        "RCLONE_CONFIG_GD_TYPE": "drive",
        "RCLONE_CONFIG": "/elsewhere",
        "RCLONE_DUMP": "headers",
        "RCLONE_DRY_RUN": "true",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "SENTRY_DSN": "https://k@s.example/1",
        "PYTHONPATH": "/x",
    }
    _, lines = done(Rclone(binary, environment, NONE, bench.out).start([], limit_s=60))
    seen = json.loads(lines[0])

    assert "drive" == seen["RCLONE_CONFIG_GD_TYPE"]
    assert "/dev/null" == seen["RCLONE_CONFIG"]
    assert "GOMEMLIMIT" in seen
    assert not {"RCLONE_DUMP", "RCLONE_DRY_RUN", "SENTRY_DSN", "PYTHONPATH"} & seen.keys()


def test_secrets_of_environment_and_config_are_in_nothing_that_is_shown(
    bench: Bench, tmp_path: Path
):
    config = tmp_path / "rclone.conf"
    config.write_text("[GD]\nclient_secret = GOCSPX-hidden\n")
    said = {"level": "error", "msg": "GOCSPX-hidden env-hidden", "object": "raw/refreshed-0"}
    body = f"""
import json, os, sys
open(os.environ["RCLONE_CONFIG"], "a").write('token = {{"access_token":"refreshed-0"}}')
print(json.dumps({said!r}), "", sep=chr(10), file=sys.stderr)
print("GOCSPX-hidden in plain text", file=sys.stderr)
sys.exit(1)
"""
    environment = {"RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "env-hidden"}
    program = Rclone(script(tmp_path, body), environment, config, bench.out)
    ended, _ = done(program.start(["copy"], limit_s=60))

    shown = str(ended) + str(failure_of(ended))
    assert 2 == len(ended.log)
    assert "[scrubbed] [scrubbed]" in shown
    assert not [each for each in ("GOCSPX", "env-hidden", "refreshed-0") if each in shown]


def test_a_secret_in_a_command_line_is_refused(bench: Bench):
    program = bench.program({"RCLONE_CONFIG_S3_SECRET_ACCESS_KEY": "env-hidden"})

    with pytest.raises(NeedsAPerson, match="secret") as refused:
        program.start(["lsjson", ":s3,secret_access_key=env-hidden:b"], limit_s=60)

    assert "env-hidden" not in str(refused.value)


def test_any_amount_of_output_is_read_line_by_line_and_leaves_nothing(bench: Bench, tmp_path: Path):
    lines = 400_000
    body = f"import sys\nfor at in range({lines}): print('x' * 90, at)\nprint('e' * 3_000_000)"
    with Rclone(script(tmp_path, body), {}, NONE, bench.out).start([], limit_s=60) as run:
        wait_for(run.poll)
        tracemalloc.start()
        count, longest = 0, 0
        for line in run.out_lines():
            count, longest = count + 1, max(longest, len(line))
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        again = next(run.out_lines())

    assert lines + 1 == count
    assert 1 << 20 == longest
    assert peak_bytes < 8 << 20
    assert b"x" * 90 + b" 0" == again
    assert [] == list(bench.out.iterdir())


def test_rclone_is_found_beside_python_and_is_new_enough():
    binary = find_rclone("")

    assert binary.parent == Path(sys.executable).parent
    assert rclone.MIN_VERSION <= tuple(map(int, check_version(binary).split(".")))


def test_a_named_rclone_that_is_not_there_is_not_replaced(tmp_path: Path):
    with pytest.raises(NeedsAPerson, match="no such program") as refused:
        find_rclone(str(tmp_path / "rclone"))

    assert "make env" in refused.value.hint


@pytest.mark.parametrize(
    ("body", "reason"),
    [("print('rclone v1.60.1-DEV')", "1.60.1"), ("print('x')", "version"), ("exit(3)", "status 3")],
)
def test_an_rclone_that_is_old_or_none_needs_a_person(tmp_path: Path, body: str, reason: str):
    with pytest.raises(NeedsAPerson, match=reason):
        check_version(script(tmp_path, body))


def test_an_rclone_that_does_not_answer_in_time_may_do_so_later(tmp_path: Path):
    with pytest.raises(Temporary, match="timed out"):
        check_version(script(tmp_path, "import signal; signal.pause()"), limit_s=0.1)


def test_a_program_that_cannot_start_needs_a_person(bench: Bench, tmp_path: Path):
    broken = tmp_path / "broken"
    broken.write_bytes(b"\x7fELF nothing")
    broken.chmod(stat.S_IRWXU)

    with pytest.raises(NeedsAPerson, match="broken"):
        Rclone(broken, {}, NONE, bench.out).start(["version"], limit_s=1)
