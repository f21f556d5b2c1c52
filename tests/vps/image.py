"""What the rehearsal's machine is made of: a clean Debian 12, its packages, the wheels of the lock.

Reads     the package indexes that this machine's apt and pip are set to; requirements.lock
Writes    <folder>/{base, packages, wheels}: made once, used by every later rehearsal
Promises  the base has none of what the document installs: apt-get really installs it, from a
          directory that stands in for a mirror
Fails     SystemExit: no root, or a tool is missing, by name
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = "bookworm"
#: What a provider's image of Debian 12 has beyond the smallest one.
IMAGE_HAS = "systemd,systemd-sysv,dbus,iproute2,procps,ca-certificates"
#: Debian 12's Python: the wheels are for it, whatever Python runs the rehearsal.
PYTHON = "3.11"
TOOLS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "dpkg-scanpackages": "dpkg-dev",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
SOURCES = "deb [trusted=yes] file:/media/packages ./\n"


def check_tools(more: Mapping[str, str]) -> None:
    """End with what is missing, if something is; `more` are packages by tool."""
    tools = {**TOOLS, **more}
    missing = sorted({package for tool, package in tools.items() if not shutil.which(tool)})
    if missing:
        raise SystemExit(f"vps: needs {', '.join(missing)} (Debian: apt install)")
    if os.geteuid() != 0:
        raise SystemExit("vps: needs root: it boots a machine")


def packages_of(commands: list[str]) -> list[str]:
    """The packages that a document's apt-get installs."""
    words = [line.split() for line in commands if line.startswith("apt-get install")]
    return [word for line in words for word in line[2:] if not word.startswith("-")]


def make(folder: Path, packages: list[str]) -> None:
    """Make what is not there yet; whatever is there was made whole."""
    folder.mkdir(parents=True, exist_ok=True)
    once(folder / "base", "", _bootstrap)
    wanted = " ".join(packages)
    once(folder / "packages", wanted, lambda new: _packages(new, folder / "base", packages))
    lock = hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest()
    once(folder / "wheels", lock, _wheels)


def once(made: Path, of: str, make_in: object) -> None:
    """Make it unless it is there, made of the same."""
    stamp = made.with_suffix(".made-of")
    if made.is_dir() and stamp.exists() and stamp.read_text() == of:
        return
    print(f"making {made} …", flush=True)
    for old in (made, new := made.with_suffix(".new")):
        shutil.rmtree(old, ignore_errors=True)
    make_in(new)  # type: ignore[operator]
    new.rename(made)
    stamp.write_text(of)


def run(*words: str | Path) -> str:
    """The output of a command that must succeed."""
    return subprocess.run(
        list(map(str, words)), check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def _bootstrap(new: Path) -> None:
    mirror = run("apt-get", "indextargets", "--format", "$(SITE)", f"Codename: {SUITE}")
    site = mirror.split()[0]
    run("debootstrap", "--variant=minbase", f"--include={IMAGE_HAS}", SUITE, new, site)
    run("chroot", new, "apt-get", "clean")


def install(root: Path, packages: Sequence[str], *options: str) -> None:
    """Install into a machine's disk from the mirror that its Debian came from."""
    kept = root / "etc/apt/sources.list"
    theirs = root / "etc/apt/sources.list.d/mirror.list.off"
    if not theirs.exists():
        kept.rename(theirs)
    shutil.copy(theirs, kept)
    try:
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        run("chroot", root, "apt-get", "-qq", "update")
        always = ("--no-install-recommends", "-y", "-qq")
        run("chroot", root, "apt-get", "install", *always, *options, *packages)
    finally:
        kept.write_text(SOURCES)
    shutil.rmtree(root / "var/lib/apt/lists")
    (root / "var/lib/apt/lists/partial").mkdir(parents=True)


def _packages(new: Path, base: Path, packages: list[str]) -> None:
    """Fetch what is to be installed, and write the index that apt reads in the machine."""
    install(base, packages, "--download-only")
    new.mkdir()
    for each in (base / "var/cache/apt/archives").glob("*.deb"):
        each.rename(new / each.name)
    scan = ("dpkg-scanpackages", "--multiversion", ".", "/dev/null")
    told = subprocess.run(scan, cwd=new, check=True, capture_output=True, text=True).stdout
    index = re.sub(r"^Filename: \./", "Filename: ", told, flags=re.MULTILINE)
    (new / "Packages").write_text(index)


def _wheels(new: Path) -> None:
    lock = ROOT / "requirements.lock"
    options = ("--quiet", "--only-binary=:all:", f"--python-version={PYTHON}", "--require-hashes")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "download")
    run(*pip, *options, "--no-deps", "-d", new, "-r", lock)
