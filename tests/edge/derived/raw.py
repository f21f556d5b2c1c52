"""A raw archive for tests of derived tables: markets whose two books mirror each other.

Used by tests only; made by the recorder itself.
"""

from pathlib import Path

from tests.tools.archives import HOUR_MS, Fleet, S, Worker, market
from tests.venue.bookhash import render
from workers.core.archive.segments import MANIFEST_SUFFIX
from workers.core.polling.answers import Answer
from workers.core.polling.batches import batches, due_markets
from workers.edge.derived import source
from workers.edge.derived.shelf import Batch
from workers.edge.derived.source import Segment
from workers.edge.spool import locks
from workers.edge.spool.directory import DataDir

VERSIONS = {"orderbooks": "0"}


def book(condition_id: str, token_id: str, due_ms: int) -> bytes:
    """One outcome's book; that of the other is its mirror image."""
    turn = due_ms // S % 10
    low = [f"0.{30 + each}" for each in range(5) if each != turn]
    low = [each.rstrip("0") for each in low]
    sizes = [f"{turn + 1}.5", *("20" for _ in low[1:])]
    levels = list(zip(low, sizes, strict=True))
    is_down = token_id.endswith("02")
    mirror = [(f"{1_000_000 - round(float(p) * 1_000_000)}", s) for p, s in levels]
    mirror = [(f"0.{int(p):06d}".rstrip("0"), s) for p, s in mirror]
    bids, asks = ([], mirror) if is_down else (levels, [])
    told = [",".join(f'{{"price":"{p}","size":"{s}"}}' for p, s in side) for side in (bids, asks)]
    head = (
        f'{{"market":"{condition_id}","asset_id":"{token_id}","timestamp":"{due_ms - 300}","hash":"'
    )
    tail = (
        f'","bids":[{told[0]}],"asks":[{told[1]}],"min_order_size":"5","tick_size":"0.01",'
        '"neg_risk":false,"last_trade_price":""}'
    )
    return render(head, tail).raw


def poll(worker: Worker, due_ms: int) -> None:
    """One good tick."""
    for batch in batches(due_markets(worker.markets, due_ms), 250):
        body = b"[%b]" % b",".join(book(own, each, due_ms) for each, own in batch.asked.items())
        answer = Answer(
            cause="ok",
            status=200,
            body=body,
            wire_bytes=len(body),
            send_wall_ns=(due_ms + 2) * 1_000_000,
            recv_wall_ns=(due_ms + 52) * 1_000_000,
            send_mono_ns=(due_ms + 2) * 1_000_000,
            recv_mono_ns=(due_ms + 52) * 1_000_000,
        )
        request_id = worker.diary.next_request_id()
        worker.catch.take(batch, answer, request_id=request_id, due_ms=due_ms)


def recorded(root: Path, *, markets: int = 3, seconds: int = 30, parts: int = 3) -> Fleet:
    """Some markets for some seconds, in `parts` segments each; everything published."""
    fleet = Fleet(root)
    listed = [market(number, seconds=seconds) for number in range(1, markets + 1)]
    fleet.publish_universe(HOUR_MS - 10 * S, *listed)
    collector = fleet.collector(HOUR_MS - 5 * S)
    length = seconds // parts
    for part in range(parts):
        for second in range(part * length, (part + 1) * length):
            poll(collector, HOUR_MS + second * S)
        collector.publish(HOUR_MS + (part + 1) * length * S, "size")
    collector.stop(HOUR_MS + (seconds + 1) * S)
    locks.release_all()
    return fleet


def segments(data: DataDir, kind: str = "books") -> list[Segment]:
    """Every published segment of a kind."""
    paths = [each for each in data.manifest_paths() if f"--{kind}--" in each.name]
    assert all(each.name.endswith(MANIFEST_SUFFIX) for each in paths)
    return [source.of_path(data, each) for each in paths]


def batch(data: DataDir, wall_ns: int = 1) -> Batch:
    """What a batch is made by."""
    return Batch(data, VERSIONS, wall_ns)
