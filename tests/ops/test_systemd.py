"""The unit and the scripts around it, as far as no systemd needs to run (`make vps-rehearsal` does)."""

import configparser
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "ops/systemd/orderbooks.service"
SCRIPTS = sorted([*(ROOT / "ops").glob("*.sh"), *(ROOT / "ops/systemd").glob("*.sh")])


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def setting(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT.read_text(), re.MULTILINE)


def stop_waits_s() -> int:
    table = configparser.RawConfigParser(inline_comment_prefixes=None)
    table.read(ROOT / "supervisord.conf")
    groups = [name for name in table.sections() if name.startswith("program:")]
    assert len(groups) >= 5
    return sum(int(table[name]["stopwaitsecs"]) for name in groups)


def test_systemd_waits_longer_than_the_fleet_may_take_to_stop():
    (limit_s,) = setting("TimeoutStopSec")

    # supervisord stops group after group and waits for each.
    assert int(limit_s) > stop_waits_s() + 10


def test_it_is_started_for_ever_and_leaves_nothing_behind():
    assert setting("Restart") == ["always"]
    assert setting("StartLimitIntervalSec") == ["0"]
    assert setting("KillMode") == ["mixed"]


def test_its_exposure_is_at_most_two():
    command = [tool("systemd-analyze"), "security", "--offline=yes", "--threshold=20", str(UNIT)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout[-400:] + said.stderr


def test_systemd_finds_nothing_odd_in_it(tmp_path: Path):
    # Its binaries must exist for the check; it returns 0 whatever it finds, so its words count.
    unit = tmp_path / UNIT.name
    unit.write_text(re.sub(r"/opt/orderbooks/current/\S+", "/bin/true", UNIT.read_text()))
    said = subprocess.run(
        [tool("systemd-analyze"), "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    mine = [line for line in said.stderr.splitlines() if "orderbooks" in line]
    assert mine == []


def test_every_path_of_the_unit_is_in_a_release():
    for path in re.findall(r"/opt/orderbooks/current/(\S+)", UNIT.read_text()):
        assert path.startswith(".venv/") or (ROOT / path).exists(), path


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_plain_sh_and_stops_at_the_first_error(script: Path):
    text = script.read_text()
    assert script.stat().st_mode & 0o111 == 0o111
    assert text.startswith("#!/bin/sh\n#")
    assert "\nset -eu\n" in text
    subprocess.run(["sh", "-n", str(script)], check=True)


@pytest.mark.parametrize("name", ["release", "install", "upgrade", "rollback", "uninstall"])
def test_without_root_nothing_is_touched_and_root_is_asked_for(name: str):
    shell = ["sh"]
    if os.geteuid() == 0:
        shell = [tool("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups", "sh"]
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        shutil.copytree(ROOT / "ops", f"{folder}/ops")
        said = subprocess.run(
            [*shell, f"{folder}/ops/{name}.sh"], capture_output=True, text=True, check=False
        )
    assert said.returncode == 1
    assert "needs root" in said.stderr


def test_the_installer_refuses_a_systemd_that_is_too_old_before_it_touches_anything(
    tmp_path: Path,
):
    # A copy without what it calls: if it went on it could install nothing.
    script = tmp_path / "ops/install.sh"
    script.parent.mkdir()
    shutil.copy(ROOT / "ops/install.sh", script)
    for name, said in (("systemctl", "systemd 249 (249.11-0ubuntu3.17)"), ("id", "0")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho '{said}'\n")
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        [script],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert 1 == done.returncode
    assert "install: systemd is 249, the unit needs 250 or newer" in done.stderr
