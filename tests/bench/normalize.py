"""Books normalised per CPU-second: ours, pyarrow.json and polars on the same files, in turn.

Each side reads the same gzipped segments and writes the same numbers as one zstd Parquet file:
times, ids, both ladders as exact integers, in a process of its own. Ours does more: it proves the
file, hashes every book, checks it, sorts, and commits; the rivals only parse, convert and write.

    python -m tests.bench.normalize [ROUNDS]
"""

# ruff: noqa: PLC0415 - each side loads its own packages only

import gzip
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import feed
from workers.core.archive.manifests import SegmentManifest, encode
from workers.core.archive.segments import segment_folder, segment_name
from workers.core.archive.story import ManifestMarket, Told
from workers.core.books.bookhash import verdict
from workers.core.polling import rows
from workers.core.polling.answers import Answer
from workers.core.polling.messages import read_books
from workers.core.settings.settings import Normalizer
from workers.edge.deflate import Deflater
from workers.edge.spool.directory import DataDir

ROOT = Path(__file__).parents[2]
POLLS, LARGE_LAPS, ROUNDS = 960, 60, 5
SIDES = ("ours", "pyarrow", "polars")
TARGET_BOOKS_PER_CPU_S, MEMORY_MAX_MB = 30_000, 150
HOUR_MS = feed.BEGIN_MS
S = 1_000_000_000
TIMES = ("due_ms", "recv_wall_ns", "recv_mono_ns", "send_wall_ns")
TEXTS = ("market", "asset_id", "timestamp", "hash", "tick_size", "last_trade_price")


def record(folder: Path, polls: int, *, laps: int = 1, markets: int = 25) -> int:
    """Segments of markets polled each second, as a collector leaves them; how many books."""
    data = DataDir(folder)
    data.prepare()
    bodies, tokens = feed.polls(polls, HOUR_MS)
    kept = set(list(dict.fromkeys(tokens.values()))[:markets])
    streams: dict[str, list[bytes]] = {}
    for number, body in enumerate(body for _ in range(laps) for body in bodies):
        at_ns = HOUR_MS * 1_000_000 + number * S
        answer = Answer(
            cause="ok",
            status=200,
            body=body,
            wire_bytes=len(body),
            send_wall_ns=at_ns,
            recv_wall_ns=at_ns + S // 20,
            send_mono_ns=number * S,
            recv_mono_ns=number * S + S // 20,
        )
        due_ms = HOUR_MS + number * 1000
        head = rows.answer_head(answer, f"collector-00.{HOUR_MS}.{number + 1}", due_ms, "0.1.0")
        for book in (each for each in read_books(body, tokens).books if each.market in kept):
            row = rows.books_row(head, book, verdict(book.raw), ())
            streams.setdefault(book.market, []).append(row)
    for number, (market, lines) in enumerate(sorted(streams.items())):
        owned = {token: str(at) for at, token in enumerate(tokens) if tokens[token] == market}
        _publish(
            data,
            number,
            ManifestMarket(slug="m", condition_id=market, series="x", tokens=owned),
            lines,
        )
    return sum(map(len, streams.values()))


def _publish(data: DataDir, number: int, market: ManifestMarket, lines: list[bytes]) -> None:
    name = segment_name(
        f"m{number}", "books", "collector-00", started_ms=HOUR_MS, number=number + 1
    )
    path = data.root / segment_folder("books", HOUR_MS) / f"{name}.jsonl.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    deflater, size = Deflater(9), 0
    with path.open("wb") as file:
        for line in lines:
            file.write(deflater.add(line))
            size += len(line)
        file.write(deflater.finish())
    packed = path.read_bytes()
    manifest = SegmentManifest(
        name=name,
        kind="books",
        path=data.relative(path),
        subject=f"m{number}",
        worker="collector-00",
        run=str(HOUR_MS),
        versions={},
        created_at_utc="",
        bytes=len(packed),
        sha256=hashlib.sha256(packed).hexdigest(),
        md5="",
        raw_bytes=size,
        raw_sha256="",
        ended="hour",
        told=Told(rows=len(lines), market=market),
    )
    path.with_name(f"{name}.manifest.json").write_bytes(encode(manifest))


def ours(folder: Path, _target: Path) -> None:
    """The whole way, as the normalizer's job goes it."""
    from workers.edge.derived import build, source
    from workers.edge.derived.shelf import Batch

    data = DataDir(folder)
    batches: list[list[source.Segment]] = [[]]
    for segment in (source.of_path(data, path) for path in data.manifest_paths()):
        size = sum(each.manifest.raw_bytes for each in [*batches[-1], segment])
        if batches[-1] and size > Normalizer().batch_bytes:
            batches.append([])
        batches[-1].append(segment)
    for batch in batches:
        build.build(Batch(data, {}, 0), HOUR_MS, "books", batch)


def by_pyarrow(folder: Path, target: Path) -> None:
    """Pyarrow's JSON reader, floats rounded to integers: faster than its decimals."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    pa.set_cpu_count(1)
    text = pa.string()
    level = pa.list_(pa.struct([("price", text), ("size", text)]))
    book = [("market", text), ("asset_id", text), ("timestamp", text), ("hash", text)]
    book += [("bids", level), ("asks", level), ("tick_size", text), ("last_trade_price", text)]
    times = [(name, pa.int64()) for name in TIMES]
    schema = pa.schema([*times, ("book", pa.struct(book))])
    options = pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    read = pj.ReadOptions(use_threads=False, block_size=1 << 22)

    def micros(values: pa.Array, kind: pa.DataType) -> pa.Array:
        return pc.cast(pc.round(pc.multiply(pc.cast(values, pa.float64()), 1e6)), kind)

    writer = None
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path) as file:
            found = pj.read_json(file, read_options=read, parse_options=options).combine_chunks()
        books = found["book"].combine_chunks()
        columns = {name: found[name] for name, _ in times}
        columns |= {name: books.field(name) for name in TEXTS}
        for side in ("bids", "asks"):
            lists = books.field(side)
            for what, kind in (("price", pa.int32()), ("size", pa.int64())):
                values = micros(lists.values.field(what), kind)
                columns[f"{side}_{what}"] = pa.ListArray.from_arrays(lists.offsets, values)
        table = pa.table(columns)
        ids = ["market", "asset_id", "tick_size", "last_trade_price"]
        writer = writer or pq.ParquetWriter(
            target, table.schema, compression="zstd", compression_level=3, use_dictionary=ids
        )
        writer.write_table(table)
    assert writer is not None
    writer.close()


def by_polars(folder: Path, target: Path) -> None:
    """Polars' NDJSON reader, floats rounded to integers."""
    import polars as pl

    level = pl.List(pl.Struct({"price": pl.String, "size": pl.String}))
    book = dict.fromkeys(("market", "asset_id", "timestamp", "hash"), pl.String)
    book |= {"bids": level, "asks": level, "tick_size": pl.String, "last_trade_price": pl.String}
    schema = {**dict.fromkeys(TIMES, pl.Int64), "book": pl.Struct(book)}

    def micros(side: str, what: str, kind: type) -> pl.Expr:
        value = pl.element().struct.field(what).cast(pl.Float64)
        return pl.col(side).list.eval((value * 1e6).round().cast(kind)).alias(f"{side}_{what}")

    parts = []
    for path in sorted(folder.rglob("*.jsonl.gz")):
        with gzip.open(path) as file:
            found = pl.read_ndjson(file.read(), schema=schema)
        parts.append(
            found.unnest("book").select(
                *TIMES,
                *TEXTS,
                *(micros(side, "price", pl.Int32) for side in ("bids", "asks")),
                *(micros(side, "size", pl.Int64) for side in ("bids", "asks")),
            )
        )
    pl.concat(parts).write_parquet(target, compression="zstd", compression_level=3)


WAYS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours,
    "pyarrow": by_pyarrow,
    "polars": by_polars,
}


def child(side: str, folder: str) -> None:
    """One side in this process: one JSON line with CPU seconds and peak memory."""
    target = Path(folder).parent / "rival.parquet"
    start_s = time.process_time()
    WAYS[side](Path(folder), target)
    cpu_s = time.process_time() - start_s
    # Not ru_maxrss: a child inherits it from the parent it was forked from.
    status = Path("/proc/self/status").read_text()
    peak_mb = int(status.split("VmHWM:")[1].split()[0]) / 1000
    files = [target] if side != "ours" else list(Path(folder).glob("derived/books/**/*.parquet"))
    size = sum(each.stat().st_size for each in files)
    print(json.dumps({"cpu_s": cpu_s, "peak_mb": peak_mb, "bytes": size}))


def one(side: str, folder: Path) -> dict[str, float]:
    """One run of one side, on a fresh derived directory."""
    for path in sorted((folder / "derived").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    run = subprocess.run(
        [sys.executable, "-m", "tests.bench.normalize", "--child", side, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
    )
    if run.returncode:
        raise SystemExit(f"{side} failed: {run.stderr[-1200:]}")
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def measure(*, rounds: int = ROUNDS) -> dict[str, object]:
    """All sides in turn; medians, medians of per-round ratios, and the memory of a large input."""
    with tempfile.TemporaryDirectory(prefix="bench") as place:
        folder = Path(place) / "var"
        folder.mkdir()
        books = record(folder, POLLS)
        table = []
        for number in range(rounds):
            sides = random.Random(number).sample(SIDES, len(SIDES))
            table.append({side: one(side, folder) for side in sides})
        large = Path(place) / "large"
        large.mkdir()
        many = record(large, POLLS, laps=LARGE_LAPS, markets=1)
        peak = one("ours", large)
    found: dict[str, object] = {"rounds": rounds, "books": books, "large_books": many}
    found["large"] = {"peak_mb": round(peak["peak_mb"]), "per_cpu_s": round(many / peak["cpu_s"])}
    for side in SIDES:
        found[side] = {
            "per_cpu_s": round(statistics.median(books / each[side]["cpu_s"] for each in table)),
            "bytes": round(statistics.median(each[side]["bytes"] / books for each in table), 1),
            "peak_mb": round(max(each[side]["peak_mb"] for each in table)),
            "ours_faster": round(
                statistics.median(each[side]["cpu_s"] / each["ours"]["cpu_s"] for each in table), 2
            ),
        }
    return found


def report(found: dict[str, object]) -> str:
    """The table a person reads."""
    lines = [f"normalising: {found['books']} books, median of {found['rounds']} rounds in turn"]
    lines.append(
        f"  {'':10}{'books/CPU-s':>14}{'bytes/book':>12}{'peak MB':>10}{'ours faster':>14}"
    )
    for side in SIDES:
        each = found[side]
        assert isinstance(each, dict)
        lines.append(
            f"  {side:10}{each['per_cpu_s']:>14,}{each['bytes']:>12}{each['peak_mb']:>10}"
            f"{each['ours_faster']:>13}x"
        )
    large = found["large"]
    assert isinstance(large, dict)
    lines.append(
        f"  one segment of {found['large_books']} books: peak {large['peak_mb']} MB, "
        f"{large['per_cpu_s']:,} books/CPU-s"
    )
    lines.append(f"  targets: {TARGET_BOOKS_PER_CPU_S:,} books/CPU-s; at most {MEMORY_MAX_MB} MB")
    return "\n".join(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
    else:
        print(report(measure(rounds=int(sys.argv[1]) if sys.argv[1:] else ROUNDS)))
