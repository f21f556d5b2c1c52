"""Holds the pages about remotes to the rclone that is installed: options, hashes, and its traps.

`docs/OFFLOAD.md` and decision 0007 say why no word of rclone is a proof; here it says those words.
"""

import configparser
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.made_tables import ROOT
from tests.remotes.drive import Drive
from tests.remotes.remote import Remote
from tests.remotes.servers import S3, Sftp, WebDav
from workers.core.offload import rclone as commands
from workers.core.offload.offload import HASH_TYPES
from workers.edge.remote import find_rclone

PAGES = ("config/rclone.example.md", "docs/GOOGLE_DRIVE_OFFLOAD.md")
#: What stands where a person puts in a value: capitals, an ellipsis, the place of an example.
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]*|.*….*|/etc/orderbooks/[\w.-]+")
SECRETS = re.compile(r"pass|secret|token|key|credential", re.IGNORECASE)
#: The row of the page's table of hashes, by the loopback remote that shows it.
HASH_ROWS = {"Google Drive": Drive, "S3": S3, "SFTP": Sftp, "WebDAV": WebDav}
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, kind: str) -> list[str]:
    """The blocks of one kind on a page."""
    return [body for found, body in _BLOCK.findall((ROOT / page).read_text()) if found == kind]


def sections(page: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Every section of an rclone.conf on a page: its name, and its options."""
    for body in blocks(page, "ini"):
        conf = configparser.RawConfigParser()
        conf.read_string(body)
        for name in conf.sections():
            yield name, dict(conf[name])


def rclone(*words: str, remote: Remote | None = None) -> subprocess.CompletedProcess[str]:
    """Run the installed rclone, with nothing of this machine's configuration."""
    settings = remote.environment if remote else {"RCLONE_CONFIG": os.devnull}
    return subprocess.run(
        [find_rclone(""), *words],
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """The options that rclone knows, by backend."""
    said = json.loads(rclone("config", "providers").stdout)
    return {each["Prefix"]: {option["Name"] for option in each["Options"]} for each in said}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_of_a_section_is_one_that_rclone_knows(
    page: str, options: dict[str, set[str]]
):
    found = list(sections(page))

    assert found
    for name, values in found:
        assert set(values) - {"type"} <= options[values["type"]], name


def test_every_section_of_the_examples_stands_there_as_variables_too():
    wanted = [
        sorted((f"{name}_{key}".upper(), value) for key, value in values.items())
        for name, values in sections("config/rclone.example.md")
    ]
    found = [
        sorted(re.findall(r"^RCLONE_CONFIG_(\w+?)='?(.*?)'?$", body, re.MULTILINE))
        for body in blocks("config/rclone.example.md", "sh")
        if "RCLONE_CONFIG_" in body
    ]

    assert wanted == found


@pytest.mark.parametrize("page", PAGES)
def test_no_secret_stands_on_a_page(page: str):
    for name, values in sections(page):
        for key, value in values.items():
            assert not SECRETS.search(key) or PLACEHOLDER.fullmatch(value), (name, key)


@pytest.mark.parametrize("row", HASH_ROWS)
def test_the_table_of_hashes_says_what_rclone_says(row: str, tmp_path: Path):
    with HASH_ROWS[row](tmp_path) as remote:
        said = rclone("backend", "features", f"{remote.remote}/", remote=remote).stdout
    hashes = json.loads(said)["Hashes"] or []
    page = (ROOT / "docs/OFFLOAD.md").read_text()
    cells = re.search(rf"^\| {row} \| ([^|]*) \| ([^|]*) \|", page, re.MULTILINE)

    assert cells is not None
    told = {each.lower().replace("-", "") for each in re.findall(r"MD5|SHA-\d+", cells[1])}
    assert set(hashes) == told
    proof = next((each for each in HASH_TYPES if each in hashes), "download")
    assert f"`{proof}`" == cells[2]


def test_a_check_without_a_common_hash_passes_a_flipped_byte(tmp_path: Path):
    here = tmp_path / "here"
    here.mkdir()
    (here / "file").write_bytes(b"as it was")
    with WebDav(tmp_path / "there") as remote:
        rclone("copy", str(here), remote.remote, remote=remote)
        remote.spoil("file")
        checked = rclone("check", str(here), remote.remote, remote=remote)

    assert 0 == checked.returncode
    assert "0 differences found" in checked.stderr


def test_a_copy_overwrites_unless_it_is_told_not_to(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, content in ((here, b"ours"), (there, b"of another")):
        folder.mkdir()
        (folder / "file").write_bytes(content)

    kept = rclone("copy", str(here), str(there), "--checksum", "--immutable")
    before = (there / "file").read_bytes()
    rclone("copy", str(here), str(there), "--checksum")

    assert kept.returncode != 0
    assert b"of another" == before
    assert b"ours" == (there / "file").read_bytes()


def test_no_command_that_is_built_here_overwrites_or_deletes():
    tuning = commands.Tuning(transfers=1, bandwidth_bytes_per_s=0, limit_s=1)
    built = {
        "copy_command": commands.copy_command("here", "there:", "list", tuning),
        "fetch_command": commands.fetch_command("there:", "here", "list", tuning),
        "list_command": commands.list_command("there:", "md5", "list"),
        "download_hash_command": commands.download_hash_command("there:", "list"),
        "features_command": commands.features_command("there:"),
    }

    assert set(built) == {each for each in vars(commands) if each.endswith("_command")}
    assert {"copy", "lsjson", "hashsum", "backend"} == {each[0] for each in built.values()}
    assert all("--immutable" in each for each in built.values() if each[0] == "copy")
