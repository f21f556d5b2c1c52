"""A day to report on: real segments whose books move, with gaps, failures, slow answers, a clock.

Used by tests, and for the sample in docs/samples. Everything is a function of the time: the same
day gives the same bytes.

    python -m tests.tools.days DIR      makes it, to be looked at by `orderbooks … --data DIR`
"""

import sys
from pathlib import Path

import msgspec

from tests.tools.archives import HOUR_MS, LIMITS, Fleet, S, Worker, market
from tests.venue.bookhash import render
from workers.core.archive.ledger import ClockStepped
from workers.core.archive.manifests import Writer
from workers.core.health.looks import ClockSeen
from workers.core.polling.answers import Answer
from workers.core.polling.batches import batches, due_markets
from workers.edge.spool import locks
from workers.edge.spool.recorder import Recorder, Stream
from workers.edge.spool.recovery import Salvager

MS = 1_000_000
DAY = "2026-04-16"
#: The monotonic clock began this much earlier.
BOOT_MS = HOUR_MS - 3_600 * S


def book(condition_id: str, token_id: str, due_ms: int) -> bytes:
    """A book that moves: its spread is 1, 2 or 4 ticks, and now and then one side is empty.

    The second outcome's book mirrors the first one's.
    """
    second = due_ms // S
    number = int(token_id[:-2])
    spread = (1, 1, 1, 2, 2, 4)[(second // 7 + number) % 6]
    middle = 40 + (second // 11 + number) % 10
    bids = [(middle - 5, 40 + number), (middle - 1, 10 * number), (middle, 5 + second % 3)]
    asks = [(middle + spread + 3, 70), (middle + spread, 8 + second % 2 * number)]
    asks = [] if second % 50 == 49 else asks
    if token_id.endswith("2"):
        bids, asks = ([(100 - cents, size) for cents, size in side] for side in (asks, bids))
    head = (
        f'{{"market":"{condition_id}","asset_id":"{token_id}","timestamp":"{due_ms - 400}","hash":"'
    )
    tail = (
        f'","bids":[{_levels(bids)}],"asks":[{_levels(asks)}],"min_order_size":"5",'
        '"tick_size":"0.01","neg_risk":false,"last_trade_price":"0.480"}'
    )
    return render(head, tail).raw


def _levels(levels: list[tuple[int, int]]) -> str:
    def price(cents: int) -> str:
        return f"0.{cents:02d}".rstrip("0")

    return ",".join(f'{{"price":"{price(cents)}","size":"{size}"}}' for cents, size in levels)


def poll(worker: Worker, due_ms: int, *, cause: str = "ok", status: int | None = 200) -> None:
    """Ask for everything that is due; the answer takes 40 to 90 ms, and now and then a second."""
    for batch in batches(due_markets(worker.markets, due_ms), 250):
        books = [book(owner, token, due_ms) for token, owner in reversed(batch.asked.items())]
        body = b"[" + b",".join(books) + b"]" if cause == "ok" else b""
        took_ms = 900 if due_ms // S % 97 == 0 else 40 + due_ms // S * 7 % 51
        sent_ms, received_ms = due_ms + 2, due_ms + 2 + took_ms
        answer = Answer(
            cause=cause,
            status=status,
            body=body,
            wire_bytes=len(body),
            send_wall_ns=sent_ms * MS,
            recv_wall_ns=received_ms * MS,
            send_mono_ns=(sent_ms - BOOT_MS) * MS,
            recv_mono_ns=(received_ms - BOOT_MS) * MS,
        )
        request_id = worker.diary.next_request_id()
        worker.catch.take(batch, answer, request_id=request_id, due_ms=due_ms)


def polls(worker: Worker, from_s: int, until_s: int) -> None:
    """Good polls of some seconds of the hour."""
    for second in range(from_s, until_s):
        poll(worker, HOUR_MS + second * S)


def watch(fleet: Fleet, *offsets_ms: int) -> None:
    """What a watchdog saw of the clock, a minute apart."""
    at_ms = HOUR_MS
    writer = Writer(
        worker="watchdog", run=str(at_ms), versions={"orderbooks": "0"}, shard=None, shards=None
    )
    fleet.data.open_folder("watchdog").mkdir(exist_ok=True)
    Salvager(fleet.data, writer, 6).recover({}, at_ms * MS)
    recorder = Recorder(fleet.data, writer, LIMITS)
    for minute, offset_ms in enumerate(offsets_ms):
        seen_ms = at_ms + minute * 60 * S
        clock = ClockSeen(
            offset_ms=offset_ms, tolerance_ms=550, source="/time", measured_wall_ns=seen_ms * MS
        )
        line = msgspec.json.encode({"at_wall_ns": seen_ms * MS, "clock": clock}) + b"\n"
        stream = Stream(subject="watchdog", kind="health")
        recorder.append(stream, line, due_ms=seen_ms, wall_ns=seen_ms * MS)
    recorder.close("stop", wall_ns=(at_ms + 600 * S) * MS, mono_ns=1)


def troubled(root: Path) -> Fleet:
    """Three markets of two hours: a restart, five seconds of 503, a timeout, a step of the clock."""
    fleet = Fleet(root)
    markets = [market(1, seconds=600), market(2, seconds=600), market(3, HOUR_MS + 3540 * S, 300)]
    fleet.publish_universe(HOUR_MS - 10 * S, *markets)
    first = fleet.collector(HOUR_MS - 5 * S)
    polls(first, 0, 100)
    for at_s in range(100, 105):
        poll(first, HOUR_MS + at_s * S, cause="http_503", status=503)
    polls(first, 105, 260)
    poll(first, HOUR_MS + 260 * S, cause="timeout", status=None)
    polls(first, 261, 300)
    first.stop(HOUR_MS + 301 * S)
    locks.release_all()
    second = fleet.collector(HOUR_MS + 330 * S)
    polls(second, 331, 600)
    at_ns = (HOUR_MS + 600 * S) * MS
    step = ClockStepped(at_wall_ns=at_ns, at_mono_ns=at_ns - BOOT_MS * MS, step_ns=-300 * MS)
    second.diary.write(step, at_ns)
    polls(second, 3540, 3840)
    second.stop(HOUR_MS + 3841 * S)
    locks.release_all()
    watch(fleet, 12, -40, 480, 90)
    locks.release_all()
    return fleet


if __name__ == "__main__":
    troubled(Path(sys.argv[1]))
