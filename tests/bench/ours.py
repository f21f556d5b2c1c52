"""Our side: the collector's own path (fetch, split, verify, splice, deflate, write) at full speed.

python -m tests.bench.ours URL TOKENS.json POLLS FOLDER   → {"books", "cpu_s", "bytes"}
"""

import json
import sys
import time
from pathlib import Path

from workers.core.archive.manifests import Writer
from workers.core.polling.batches import Batch, batches
from workers.core.universe.markets import Market, Token
from workers.edge.rest import Call, RestClient
from workers.edge.spool.catch import Catch
from workers.edge.spool.diary import Diary
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Limits, Recorder

NS_PER_S = 1_000_000_000
WORKER = "collector-00"


def market(number: int, tokens: list[str], condition_id: str) -> Market:
    """A universe record; only the ids matter here."""
    up, down = tokens
    return Market(
        slug=f"bench-{number:02d}",
        question="",
        condition_id=condition_id,
        tokens=(Token(token_id=up, outcome="Up"), Token(token_id=down, outcome="Down")),
        series="bench",
        event_slug="",
        listed_at_utc=None,
        window_start_utc="",
        window_end_utc="",
        tick_size=None,
        status="open",
        source="keyset",
        fetched_at_utc="",
        record_from_utc="",
        record_until_utc="",
        tier="hot",
        phases=(),
    )


def opened(folder: Path, wall_ns: int) -> Recorder:
    """A recorder with the shipped limits on a new data directory."""
    data = DataDir(folder)
    data.prepare()
    data.open_folder(WORKER).mkdir()
    limits = Limits(
        flush_interval_s=2,
        sync_interval_s=5,
        retry_pause_s=5,
        max_segment_bytes=1 << 26,
        deflate_level=9,
    )
    return Recorder(data, writer(wall_ns), limits)


def writer(wall_ns: int) -> Writer:
    """Who writes."""
    run = str(wall_ns // 1_000_000)
    return Writer(worker=WORKER, run=run, versions={"orderbooks": "bench"}, shard=0, shards=1)


def record(url: str, batch: Batch, polls: int, folder: Path) -> float:
    """Record the polls as if one second lay between them; returns the CPU seconds it took."""
    wall_ns = time.time_ns() // NS_PER_S * NS_PER_S
    recorder = opened(folder, wall_ns)
    diary = Diary(recorder, writer(wall_ns))
    catch = Catch(recorder, diary, version="bench", kept_bytes=65_536, big_bytes=7_000)
    client = RestClient(timeout_s=5, max_body_bytes=1 << 24, user_agent="orderbooks/bench")
    start_cpu_s = time.process_time()
    for number in range(polls):
        due_ms = wall_ns // 1_000_000 + 1000 * number
        request_id = diary.next_request_id()
        call = Call(method="POST", url=f"{url}/books", body=batch.body, request_id=request_id)
        answer = client.fetch(call)
        cause = catch.take(batch, answer, request_id=request_id, due_ms=due_ms)
        if cause != "ok":
            raise SystemExit(f"poll {number}: {cause} {answer.detail}")
        recorder.tend(wall_ns=wall_ns, mono_ns=number * NS_PER_S)
    recorder.close("stop", wall_ns=wall_ns, mono_ns=polls * NS_PER_S)
    return time.process_time() - start_cpu_s


def main() -> None:
    """Run our side and print its figures."""
    url, token_file, polls, folder = sys.argv[1:]
    by_condition: dict[str, list[str]] = {}
    for token_id, condition_id in json.loads(Path(token_file).read_text()).items():
        by_condition.setdefault(condition_id, []).append(token_id)
    markets = [market(n, ids, cid) for n, (cid, ids) in enumerate(by_condition.items())]
    (batch,) = batches(markets, 250)
    cpu_s = record(url, batch, int(polls), Path(folder))
    files = (Path(folder) / "raw").rglob("*.jsonl.gz")
    size = sum(path.stat().st_size for path in files)
    books = int(polls) * len(batch.asked)
    print(json.dumps({"books": books, "cpu_s": cpu_s, "bytes": size}))


if __name__ == "__main__":
    main()
