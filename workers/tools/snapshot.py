"""Have a running streamer write the books it knows of a market now, and hold them against REST.

The rows are archived like any other: `snapshot` rows with the rebuilt books, `rest` rows with the
venue's. The streamer is asked by a file (spool/snapshot) and answers by another.
"""

import argparse
import time

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.health.heartbeats import Heartbeat
from workers.core.stream.orders import DONE, READY, Snapshot, order_name
from workers.edge import durable
from workers.edge.spool import locks, state
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG = 0, 1
LIMIT_S = 15.0
LOOK_S = 0.1
EXAMPLES = """\
examples:
  orderbooks snapshot btc-updown-5m-1776326400

exit codes: 0 written, flushed and synced; 1 the streamer knows no book of it; 2 cannot do it: no
streamer runs, none carries this market, or it does not answer
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("slug", help="of a market that a streamer carries; see status")


def run(arguments: argparse.Namespace) -> int:
    """Ask, wait for the answer, print where the rows are."""
    data = DataDir(arguments.data)
    slug: str = arguments.slug
    _check_carried(data, slug)
    ready, done = (data.snapshots / order_name(slug, each) for each in (READY, DONE))
    done.unlink(missing_ok=True)
    durable.replace(ready, b"{}")
    until_s = time.monotonic() + LIMIT_S
    while not done.exists():
        if time.monotonic() > until_s:
            ready.unlink(missing_ok=True)
            raise NeedsAPerson(
                f"snapshot {slug}: the streamer did not answer within {LIMIT_S:.0f} s",
                hint="`orderbooks status`: does it live, does it carry the market?",
            )
        time.sleep(LOOK_S)
    answer = msgspec.json.decode(done.read_bytes(), type=Snapshot)
    done.unlink(missing_ok=True)
    print(f"{answer.slug}: {answer.books} books at {answer.at_utc} in {answer.segment or '-'}")
    return EXIT_FINE if answer.books else EXIT_WRONG


def _check_carried(data: DataDir, slug: str) -> None:
    alive = [each for each in state.heartbeats(data) if _is_alive(data, each)]
    if not alive:
        raise NeedsAPerson(
            f"snapshot {slug}: no streamer runs", hint="`orderbooks ctl start streamer`"
        )
    carried = sorted(each.slug for beat in alive for each in beat.streams)
    if slug not in carried:
        some = ", ".join(carried[:3]) or "none at all"
        raise NeedsAPerson(
            f"snapshot {slug}: no streamer carries it", hint=f"they carry {some}, …; see status"
        )


def _is_alive(data: DataDir, beat: Heartbeat) -> bool:
    is_streamer = beat.worker.startswith("streamer-")
    return is_streamer and locks.is_owned(data.open_folder(beat.worker))
