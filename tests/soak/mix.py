"""The default fault mix: what goes wrong in a soak, how often, and when.

What each costs must be in the ledger by its name; nothing of it may be UNEXPLAINED.
"""

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.demo.stage import Stage

#: Kind, route, probability of a request, parameters.
RULES: tuple[tuple[str, str, float, dict[str, Any]], ...] = (
    ("status", "books", 0.004, {"code": 429, "retry_after": "1"}),
    ("status", "books", 0.004, {"code": 503}),
    ("hang", "books", 0.001, {}),
    ("html", "books", 0.001, {}),
    ("reset", "books", 0.002, {}),
    ("truncate", "books", 0.002, {}),
    ("omit", "books", 0.005, {}),
    ("status", "events", 0.01, {"code": 503}),
    ("reset", "events", 0.005, {}),
    ("html", "events", 0.003, {}),
)
WORKERS = ("collector-00", "collector-01", "normalizer", "uploader", "discovery", "watchdog")
NOTE = (
    "Faults by chance, of POST /books: 429 and 503 0.4 % each, a hang and an HTML page 0.1 % each, "
    "reset and truncated 0.2 % each, tokens left out 0.5 %; of GET /events: 503 1 %, reset 0.5 %, "
    "HTML 0.3 %. SIGKILL of each worker once and of supervisord once (started again at once, as "
    "systemd would). The remote away for a twelfth of the time. Not in it: DNS (the venue is an "
    "address)."
)


@dataclass(frozen=True)
class Act:
    """Something that is done at a share of the soak."""

    at: float
    what: str
    do: Callable[[Stage], None]


def acts() -> Iterator[Act]:
    """All of them, in order; every worker lives for half of the soak after its kill."""
    for number, worker in enumerate(WORKERS):
        yield Act(0.08 + 0.04 * number, f"SIGKILL {worker}", partial(kill, worker=worker))
    yield Act(0.34, "SIGKILL supervisord", kill_supervisord)
    yield Act(0.60, "the remote is away", take_remote)
    yield Act(0.68, "the remote is back", give_remote)


def kill(stage: Stage, worker: str) -> None:
    """SIGKILL one worker."""
    os.kill(stage.beats()[worker].pid, signal.SIGKILL)


def kill_supervisord(stage: Stage) -> None:
    """SIGKILL supervisord; its workers get SIGTERM from the kernel, and it is started again."""
    stage.fleet.kill()
    stage.fleet.wait(30)
    stage.open_fleet()


def take_remote(stage: Stage) -> None:
    """Something else is where the remote was."""
    stage.remote_folder.rename(stage.folder / "away")
    stage.remote_folder.write_text("not a directory\n")


def give_remote(stage: Stage) -> None:
    """It is back."""
    stage.remote_folder.unlink()
    (stage.folder / "away").rename(stage.remote_folder)
