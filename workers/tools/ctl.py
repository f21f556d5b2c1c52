"""Talk to the running fleet: supervisorctl, with the right socket and the names used elsewhere.

`collector-00` is the process that supervisord calls collector:collector-00, and `collector` means
all shards. Without words it is supervisorctl's own prompt.
"""

import argparse
import os
import re

from workers.edge import fleet, settings_file, terminal
from workers.edge.spool.directory import DataDir

EXIT_NOT_UP = 4
ANSWER_LIMIT_S = 3.0
_NUMBERED = re.compile(r"^([a-z]+)-\d\d$", re.ASCII)
#: The words after which supervisord takes a whole group, and the groups of our table.
_GROUP_VERBS = frozenset({"start", "stop", "restart", "status", "signal"})
_GROUPS = frozenset({"collector", "streamer"})
EXAMPLES = """\
examples:
  orderbooks ctl status                what runs, since when
  orderbooks ctl tail -f collector-00  follow a log
  orderbooks ctl restart collector     all shards
  orderbooks ctl stop discovery        until `start discovery`
  orderbooks ctl update                after a change of supervisord.conf (numprocs)
  orderbooks ctl shutdown              seal everything and end the fleet

exit codes are supervisorctl's: 0 done; 1 refused, or no such word; 3 status: not all are RUNNING;
4 the fleet is not up, or status of a name that it does not have
"""


def in_table(words: list[str]) -> list[str]:
    """The words, with our process names as supervisord's table has them.

    `in_table(["restart", "collector-00"]) == ["restart", "collector:collector-00"]`
    """
    groups = _GROUPS if words and words[0] in _GROUP_VERBS else frozenset()
    starred = [f"{word}:*" if word in groups else word for word in words]
    return [_NUMBERED.sub(r"\1:\g<0>", word) for word in starred]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("words", nargs=argparse.REMAINDER, help="what supervisorctl is told")


def run(arguments: argparse.Namespace) -> int:
    """Speak to the running fleet; returns only when none answers.

    Raises:
        NeedsAPerson: the settings have mistakes, or supervisor is not installed.
    """
    loaded = settings_file.load(arguments.config)
    data = DataDir(loaded.data_dir.absolute())
    data.check_socket()
    found = fleet.look(data.socket, ANSWER_LIMIT_S)
    if not found.is_reached:
        terminal.complain(
            f"no fleet is up on {data.root}: {found.problem}", "start it with `orderbooks up`"
        )
        return EXIT_NOT_UP
    env = fleet.environment(os.environ, data=data.root, config=loaded.path)
    return fleet.become_supervisorctl(fleet.CONF, env, in_table(arguments.words))
