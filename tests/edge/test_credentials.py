"""Holds edge.credentials: a private copy, a refreshed token that stays, a refusal that says why."""

import os
import stat
from pathlib import Path

import pytest

from workers.core.errors import NeedsAPerson
from workers.edge import credentials
from workers.edge.credentials import runtime_config


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "secret.conf"
    path.write_text("[GD]\ntype = drive\n")
    path.chmod(0o600)
    return path


def named(source: Path) -> dict[str, str]:
    return {"ORDERBOOKS_RCLONE_CONFIG": str(source)}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_without_a_file_there_is_none(tmp_path: Path):
    assert Path("/dev/null") == runtime_config({}, tmp_path)
    assert Path("/dev/null") == runtime_config({"CREDENTIALS_DIRECTORY": str(tmp_path)}, tmp_path)


def test_the_copy_is_private_whatever_the_umask(tmp_path: Path, source: Path):
    before = os.umask(0)
    try:
        copy = runtime_config(named(source), tmp_path / "run")
    finally:
        os.umask(before)

    assert source.read_text() == copy.read_text()
    assert {0o600} == {mode(path) for path in (tmp_path / "run").iterdir()}


def test_a_refreshed_token_outlives_a_restart_that_makes_the_source_anew(
    tmp_path: Path, source: Path
):
    """As systemd does: LoadCredential= writes the same content again, with a newer time."""
    copy = runtime_config(named(source), tmp_path / "run")
    copy.write_text("[GD]\ntoken = refreshed\n")
    os.utime(source, ns=(2**62, 2**62))

    assert "refreshed" in runtime_config(named(source), tmp_path / "run").read_text()


def test_another_source_replaces_the_copy(tmp_path: Path, source: Path):
    copy = runtime_config(named(source), tmp_path / "run")
    copy.write_text("[GD]\ntoken = refreshed\n")
    source.write_text("[GD]\ntoken = by hand\n")

    assert "by hand" in runtime_config(named(source), tmp_path / "run").read_text()


def test_a_crash_between_copy_and_mark_copies_again(tmp_path: Path, source: Path):
    copy = runtime_config(named(source), tmp_path / "run")
    copy.write_text("[G")
    (tmp_path / "run/rclone.conf.source").unlink()

    assert source.read_text() == runtime_config(named(source), tmp_path / "run").read_text()


@pytest.mark.parametrize("bits", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, source: Path, bits: int):
    source.chmod(bits)

    with pytest.raises(NeedsAPerson, match=f"mode {bits:04o}") as refused:
        runtime_config(named(source), tmp_path / "run")

    assert "chmod 600" in refused.value.hint
    assert not (tmp_path / "run").exists()


def test_a_credential_of_systemd_may_show_its_acl_as_group(tmp_path: Path):
    path = tmp_path / "rclone.conf"
    path.write_text("[GD]\n")
    path.chmod(0o440)
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert "[GD]\n" == runtime_config(environment, tmp_path / "run").read_text()
    path.chmod(0o444)
    with pytest.raises(NeedsAPerson, match="others"):
        runtime_config(environment, tmp_path / "run")


def test_a_missing_file_and_one_that_is_no_file_are_refused(tmp_path: Path):
    with pytest.raises(NeedsAPerson, match="No such file"):
        runtime_config(named(tmp_path / "gone"), tmp_path / "run")
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(NeedsAPerson, match="not a regular"):
        runtime_config(named(tmp_path / "pipe"), tmp_path / "run")


def test_a_file_of_the_checkout_is_refused_also_behind_a_link(tmp_path: Path):
    inside = credentials.CHECKOUT / "pyproject.toml"
    (tmp_path / "link").symlink_to(inside)

    for path in (inside, tmp_path / "link"):
        with pytest.raises(NeedsAPerson, match="checkout"):
            runtime_config(named(path), tmp_path / "run")
