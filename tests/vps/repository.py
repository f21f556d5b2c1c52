"""The repository that the rehearsal's machine clones: this checkout, as it lies here.

Reads     the checkout, with what is not committed
"""

import shutil
import subprocess
from pathlib import Path

from tests.vps.image import ROOT


def clone(folder: Path) -> str:
    """A clone of this checkout as it lies here; what it is a clone of."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    listed = (
        "git",
        "-C",
        str(ROOT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    )
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    for path in (each for each in folder.iterdir() if each.name != ".git"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    git = ("git", "-C", str(folder))
    subprocess.run([*git, "add", "--all"], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    commit = head.stdout.strip()
    if subprocess.run([*git, "diff", "--cached", "--quiet"], check=False).returncode == 0:
        return commit
    who = ("-c", "user.name=rehearsal", "-c", "user.email=rehearsal@localhost")
    subprocess.run([*git, *who, "commit", "-q", "-m", "What was not committed"], check=True)
    return f"{commit} and changes that were not committed"
