"""Bugs planted into an uploader on purpose: a campaign that misses them proves nothing.

    ORDERBOOKS_TEST_PLANT=NAME python -m tests.crash.offload_plants --config FILE

Each breaks one promise of offload; workers/ knows none of them.
"""

import os
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from workers import uploader
from workers.core.offload.offload import Facts, Judged
from workers.edge import remote
from workers.edge.offload import shipment, sweep
from workers.edge.offload.courier import Job
from workers.edge.spool import outbox, tickets
from workers.edge.spool.outbox import Parcel

#: How long what is done too early stands alone: a killer on a busy machine comes late.
WINDOW_S = 0.5


def _settled_without_verdict() -> None:
    def settle(parcel: Parcel, _verdicts: Collection[Judged]) -> str:
        tickets.finish(parcel.ticket)
        return tickets.DONE

    outbox.settle = settle


def _settled_before_the_row() -> None:
    real = shipment.shipped

    def shipped(courier: Any, data: Any, parcels: Any, **more: Any) -> Job[Any]:
        done = yield from real(courier, data, parcels, **more)
        for parcel in parcels:
            outbox.settle(parcel, done.of(parcel))
        time.sleep(WINDOW_S)
        return done

    shipment.shipped = shipped
    real_settle = outbox.settle

    def settle(parcel: Parcel, verdicts: Collection[Judged]) -> str:
        return real_settle(parcel, verdicts) if parcel.ticket.exists() else tickets.DONE

    outbox.settle = settle


def _removed_before_the_row() -> None:
    real = sweep.listed

    def listed(courier: Any, data: Any, plan: Any, **more: Any) -> Job[Any]:
        found = yield from real(courier, data, plan, **more)
        sweep.let_go(data, found.rows)
        time.sleep(WINDOW_S)
        return found

    sweep.listed = listed


def _believed_unasked() -> None:
    """A batch whose listing failed is taken for proven: exit codes instead of evidence."""
    real = shipment.proven

    def proven(courier: Any, facts: Sequence[Facts], said: Any, **more: Any) -> Job[Any]:
        verdicts = yield from real(courier, facts, said, **more)
        if all(each.verdict == shipment.UNKNOWN for each in verdicts):
            return [Judged(each.facts, "proven", proof="sha256") for each in verdicts]
        return verdicts

    shipment.proven = proven


def _forgotten_after_a_failure() -> None:
    """What a failed batch left ready is thrown away."""

    def settle(parcel: Parcel, verdicts: Collection[Judged]) -> str:
        if all(each.is_proven for each in verdicts):
            tickets.finish(parcel.ticket)
            return tickets.DONE
        parcel.ticket.unlink()
        return tickets.FAILED

    outbox.settle = settle


def _orphaned() -> None:
    remote._dies_with = lambda _parent: lambda: None


PLANTS: dict[str, Callable[[], None]] = {
    "settled_without_verdict": _settled_without_verdict,
    "settled_before_the_row": _settled_before_the_row,
    "removed_before_the_row": _removed_before_the_row,
    "believed_unasked": _believed_unasked,
    "forgotten_after_a_failure": _forgotten_after_a_failure,
    "orphaned": _orphaned,
}


if __name__ == "__main__":
    PLANTS[os.environ["ORDERBOOKS_TEST_PLANT"]]()
    raise SystemExit(uploader.main())
