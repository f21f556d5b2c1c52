"""Check a settings file: every mistake at once, each with its line; or print what is in force."""

import argparse
from pathlib import Path

from workers.core.errors import NeedsAPerson
from workers.edge import settings_file, terminal

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks config check
  orderbooks config check my.yaml
  orderbooks config check --show       every setting with the value in force

exit codes: 0 no mistakes; 1 mistakes, listed on stderr; 2 wrong command line
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("what", choices=("check",))
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="instead of --config")
    parser.add_argument("--show", action="store_true", help="print the effective settings")


def run(arguments: argparse.Namespace) -> int:
    """0 when the file has no mistakes, else 1 with all of them."""
    path: Path = arguments.file or arguments.config
    try:
        loaded = settings_file.load(path)
    except NeedsAPerson as error:
        terminal.complain(str(error), error.hint)
        return EXIT_WRONG
    if arguments.show:
        print(settings_file.render(loaded.settings), end="")
    else:
        print(f"{path}: no mistakes; data goes to {loaded.data_dir}")
    return EXIT_FINE
