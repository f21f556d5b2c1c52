"""Holds where a remote lies: what the real rclone says of real configuration files, followed down.

A copy on this machine is no second one, whatever the remote is called and whatever wraps it.
"""

import os
from pathlib import Path

import psutil
import pytest

from workers.core.offload.rclone_places import no_second_copy, place_text
from workers.core.settings.settings import Offload
from workers.edge.machine import is_here
from workers.edge.offload import foreground
from workers.edge.offload.courier import Said
from workers.edge.spool.directory import DataDir

CONFIG = """
[disk]
type = local
[desk]
type = alias
remote = /tmp/far
[desk2]
type = alias
remote = desk:deeper down
[ram]
type = memory
[drive]
type = drive
token = {"access_token":"TOKENTOKENTOKEN"}
[aws]
type = s3
provider = AWS
access_key_id = KEYKEYKEYKEY
secret_access_key = SECRETSECRET
[minio]
type = s3
provider = Minio
endpoint = http://localhost:9000
[minio6]
type = s3
provider = Minio
endpoint = [::1]:9000
[far]
type = sftp
host = 203.0.113.7
user = me
pass = PASSPASSPASS
[near]
type = sftp
host = 127.0.0.3
[other]
type = sftp
host = 203.0.113.7
ssh = ssh -J jump box
[dav]
type = webdav
url = https://me:HIDDENHIDDEN@127.0.0.1:8080/dav
[lost]
type = sftp
host = no-such-host.invalid
[secretdisk]
type = crypt
remote = desk:x
password = PASSPASSPASS
[secret]
type = crypt
remote = far:x
password = PASSPASSPASS
[pieces]
type = chunker
remote = secret:y
[packed]
type = compress
remote = secretdisk:
[both]
type = union
upstreams = far:a:ro "desk2:a b:nc" drive:c
[two]
type = union
upstreams = "far:a, b" drive:c:writeback
[many]
type = combine
upstreams = "one=far:a b" two=minio:bucket
[ring]
type = alias
remote = ring2:
[ring2]
type = alias
remote = ring:
[nowhere]
type = alias
remote =
[strange]
type = storj
"""


def asked(folder: Path, remote: str, environment: dict[str, str], monkeypatch):
    """What stands against a remote, and the places it was followed to."""
    config = folder / "rclone.conf"
    config.write_text(CONFIG)
    config.chmod(0o600)
    monkeypatch.setenv("ORDERBOOKS_RCLONE_CONFIG", str(config))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    data, said = DataDir(folder / "var"), Said()
    data.prepare()
    with foreground.crew(data, Offload(), remote) as crew:
        places = foreground.finished(crew.courier.places(said))
    here = {each.host: is_here(each.host) for each in places if each.host}
    against = no_second_copy(places, here)
    if said.failure is not None:
        against.append(said.failure.detail)
    shown = [place_text(each) for each in places]
    assert not any(
        each in f"{against}{shown}" for each in ("PASSPASS", "SECRET", "HIDDEN", "TOKEN")
    )
    return against, shown


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("drive:archive", ["drive"]),
        ("aws:bucket/archive", ["s3"]),
        ("far:archive", ["sftp on 203.0.113.7"]),
        ("pieces:", ["chunker", "crypt", "sftp on 203.0.113.7"]),
        ("two:", ["union", "drive", "sftp on 203.0.113.7"]),
        ("aws,endpoint='https://203.0.113.9:1/':bucket", ["s3 on 203.0.113.9"]),
    ],
)
def test_a_remote_that_lies_elsewhere_is_a_second_copy(tmp_path, monkeypatch, remote, shown):
    assert ([], shown) == asked(tmp_path, remote, {}, monkeypatch)


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ("disk:/tmp/far", "local"),
        ("desk:", "local"),
        ("desk2:", "local"),
        (":alias,remote='desk2:x':", "local"),
        ("ram:bucket", "memory"),
        ("minio:bucket", "s3 on localhost"),
        ("minio6:bucket", "s3 on ::1"),
        ("aws,endpoint='http://127.0.0.1:9000':bucket", "s3 on 127.0.0.1"),
        ("near:", "sftp on 127.0.0.3"),
        ("dav:", "webdav on 127.0.0.1"),
        ("packed:", "local"),
        ("both:", "local"),
        ("many:", "s3 on localhost"),
    ],
)
def test_a_remote_on_this_machine_is_none(tmp_path, monkeypatch, remote, why):
    (against,), _ = asked(tmp_path, remote, {}, monkeypatch)
    assert "a remote elsewhere" in against
    assert f" {why} " in against


def test_a_directory_and_this_machine_by_its_own_address_are_none(tmp_path, monkeypatch):
    (against,), _ = asked(tmp_path, str(tmp_path / "far"), {}, monkeypatch)
    assert "local of this machine" in against
    own = [each.address for some in psutil.net_if_addrs().values() for each in some]
    assert all(map(is_here, (each for each in own if each.count(".") == 3)))
    assert is_here("0")
    assert is_here("::ffff:127.0.0.1")
    assert is_here("203.0.113.7") is False


@pytest.mark.parametrize(
    ("remote", "why"),
    [
        ("strange:bucket", "not storj"),
        ("other:", "not sftp"),
        ("lost:", "not sftp on no-such-host.invalid"),
        ("nowhere:", "not alias"),
        ("absent:x", "absent"),
    ],
)
def test_what_cannot_be_told_is_never_a_second_copy(tmp_path, monkeypatch, remote, why):
    (against,), _ = asked(tmp_path, remote, {}, monkeypatch)
    assert why in against


def test_a_ring_of_remotes_ends_and_is_none(tmp_path, monkeypatch):
    (against,), shown = asked(tmp_path, "ring:", {}, monkeypatch)
    assert ["alias", "alias"] == shown
    assert "wraps itself" in against


def test_what_the_environment_says_of_a_remote_counts(tmp_path, monkeypatch):
    moved = {"RCLONE_CONFIG_AWS_ENDPOINT": "http://127.0.0.1:9000"}
    (against,), _ = asked(tmp_path, "aws:bucket", moved, monkeypatch)
    assert "s3 on 127.0.0.1" in against
    made = {"RCLONE_CONFIG_ENVY_TYPE": "alias", "RCLONE_CONFIG_ENVY_REMOTE": "/tmp"}
    (against,), _ = asked(tmp_path, "envy:x", made, monkeypatch)
    assert "local of this machine" in against


def test_nothing_is_left_of_the_question(tmp_path, monkeypatch):
    asked(tmp_path, "pieces:", {}, monkeypatch)
    left = [path for path in (tmp_path / "var" / "run").rglob("*") if path.is_file()]
    assert {"rclone.conf", "rclone.conf.source"} == {path.name for path in left}
    assert "RCLONE_CONFIG" not in os.environ
