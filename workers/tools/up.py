"""Run the fleet in the foreground, by becoming supervisord; Ctrl-C seals everything and ends it.

Everything that can be wrong before the start is said at once, with what to do. One data directory
has one fleet: a second is refused while the first lives.
"""

import argparse
import os
from pathlib import Path

from workers.edge import fleet, settings_file
from workers.edge.spool.directory import DataDir

EXAMPLES = """\
examples:
  orderbooks up                        record what config/orderbooks.yaml names, until Ctrl-C
  orderbooks up --config my.yaml       other settings, usually with another data_dir
  orderbooks ctl status                (in another terminal) what runs

exit codes: 2 it could not start, and why; else as supervisord: 0 stopped as asked
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FILE",
        default=fleet.CONF,
        help="the process table (default: supervisord.conf of the checkout)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Start the fleet; never returns.

    Raises:
        NeedsAPerson: the settings, the directory or another fleet forbid it.
    """
    loaded = settings_file.load(arguments.config)
    data = DataDir(loaded.data_dir.absolute())
    data.check_socket()
    data.prepare()
    env = fleet.environment(os.environ, data=data.root, config=loaded.path)
    fleet.claim(data.run)
    return fleet.become_supervisord(arguments.table.absolute(), env)
