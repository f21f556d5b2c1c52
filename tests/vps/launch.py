"""What the commands that rehearse the document share: arguments, the image first, the last words."""

import argparse
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from tests.vps import document, image
from tests.vps.image import ROOT
from tests.vps.record import PASS, Record


def parser(module: str, about: str | None) -> argparse.ArgumentParser:
    """Where things are made, and where the report goes."""
    made = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    made.add_argument("--folder", type=Path, default=Path("/var/tmp/orderbooks-vps"))
    made.add_argument("--out", type=Path, default=ROOT / "reports")
    return made


def add_steps(made: argparse.ArgumentParser, steps: Iterable[str]) -> None:
    """How far to go, and whether it is inside already."""
    made.add_argument("--until", choices=[*steps], help="the last step")
    made.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)


def blocks() -> list[document.Block]:
    """The commands of docs/VPS_DEPLOYMENT.md."""
    return list(document.blocks((ROOT / "docs/VPS_DEPLOYMENT.md").read_text()))


def make_image(folder: Path, tools: Mapping[str, str]) -> None:
    """Make the Debian that the document begins with; `tools` are needed besides, by package."""
    image.check_tools(tools)
    lines = [line for block in blocks() for line in block.commands]
    image.make(folder, image.packages_of(lines))


def go_inside(module: str, *namespaces: str) -> NoReturn:
    """The same command again, in a network without a way out."""
    words = [sys.executable, "-m", module, *sys.argv[1:], "--inside"]
    os.execvp("unshare", ["unshare", "--net", *namespaces, "--", *words])


def ended(record: Record, name: Path, run: Path) -> int:
    """Say what came of it; a folder of what passed is removed. Returns the exit code."""
    result = record.told()["result"]
    print(f"{result}  {name}.md")
    if result != PASS:
        print(f"what it left: {run}")
        return 1
    shutil.rmtree(run)
    return 0
