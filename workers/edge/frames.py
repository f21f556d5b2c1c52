"""Derived tables as frames: figures of a day by token, requests, and the cache of what was mined.

The one owner of polars. Rows are read an hour at a time, lists are summed while they are read, and
one row of each token is carried into the next hour, so that memory follows the busiest hour.

Reads     derived Parquet files; caches made here
Writes    the cache it is given a path for
Promises  the figures are those of `core.report.stats`, exactly: all sums are 128-bit integers
Fails     Refused for a file that polars cannot read
Never     publishes: a cache is no evidence, and may be removed at any time
"""

import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from workers.core.books.amounts import INT64_MAX, MICROS
from workers.core.coverage.plans import DueTicks
from workers.core.errors import Refused
from workers.core.polling.grid import CLOCK_STEP_NS
from workers.core.reading.evidence import FRESH_INTERVALS
from workers.core.report.stats import NS_PER_MS, Spreads, Sums
from workers.core.report.token_stats import TOKEN_STATS, WIDE, Tokens, TokenStats, Wanted
from workers.core.tables.columns import Column

_WIDE = pl.Int128()
_TOKEN = ["condition_id", "token_id"]
_NAMES = ("slug", "series", "outcome")
#: Above this the notional of one side could exceed 64 bits: prices are at most MICROS.
_SAFE_SIZE = INT64_MAX // MICROS
_TYPES: dict[str, Any] = {
    "text": pl.String(),
    "int64": pl.Int64(),
    "list<int64>": pl.List(pl.Int64()),
    WIDE: pl.Decimal(38, 0),
}
_LEVELS = [f"{side}_{what}_micros" for side in ("bid", "ask") for what in ("price", "size")]


def mined(
    hours: Iterable[Sequence[Path]], wanted: Wanted, due: Mapping[str, DueTicks]
) -> dict[tuple[str, str], Tokens]:
    """Sum up everything by (condition id, token id).

    Args:
        hours: the `books` files of each hour, oldest first.
        wanted: which of their rows.
        due: the due ticks of each market, by condition id.

    Raises:
        Refused: a file cannot be read.
    """
    found: dict[tuple[str, str], Tokens] = {}
    stretches, spans = _stretches(due), _spans(wanted)
    carried: pl.DataFrame | None = None
    for paths in hours:
        new = _streamed(_placed(_states(paths, wanted), stretches), spans)
        rows = new if carried is None else pl.concat([carried, new])
        rows = rows.sort(*_TOKEN, "recv_wall_ns", "segment", "row").with_columns(_pairs())
        _add(found, rows)
        last = rows.group_by(_TOKEN, maintain_order=True).last()
        carried = last.select(new.columns).with_columns(is_new=pl.lit(value=False))
    return found


def _stretches(due: Mapping[str, DueTicks]) -> pl.DataFrame:
    listed = [
        (condition, each.first_ms, each.interval_ms, each.count, each.base)
        for condition, ticks in due.items()
        for each in ticks.stretches
    ]
    names = ("first_ms", "interval_ms", "count", "base")
    schema = {"condition_id": pl.String(), **dict.fromkeys(names, pl.Int64())}
    return pl.DataFrame(listed, schema=schema, orient="row").sort("first_ms")


def _states(paths: Sequence[Path], wanted: Wanted) -> pl.DataFrame:
    """One narrow row for each state; notionals in 64 bits where that is enough."""
    try:
        found = _read_states(paths, wanted, pl.Int64())
        largest = found.select(pl.max_horizontal(pl.col("bid_size", "ask_size").max())).item()
        if largest is not None and largest > _SAFE_SIZE:
            found = _read_states(paths, wanted, _WIDE)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Refused(f"read {paths[0].parent}: {str(error)[:200]}") from error
    return found


def _read_states(paths: Sequence[Path], wanted: Wanted, kind: Any) -> pl.DataFrame:  # noqa: ANN401
    rows = pl.scan_parquet(list(paths), hive_partitioning=False)
    rows = rows.filter(
        pl.col("due_ms").is_between(wanted.from_ms, wanted.until_ms, closed="left"),
        ~pl.col("segment").is_in(list(wanted.invalid)),
    )
    bid, ask = pl.col("best_bid_micros"), pl.col("best_ask_micros")
    bid_size, ask_size = pl.col("best_bid_size_micros"), pl.col("best_ask_size_micros")
    chosen = rows.select(
        *_TOKEN,
        *_NAMES,
        *("due_ms", "recv_wall_ns", "recv_mono_ns", "segment", "row"),
        pl.col("spread_micros").cast(pl.Int64),
        pl.col("tick_micros").fill_null(0).cast(pl.Int64),
        best_bid_size=bid_size.fill_null(0),
        best_ask_size=ask_size.fill_null(0),
        best_bid_notional=(bid.cast(_WIDE) * bid_size).fill_null(0),
        best_ask_notional=(ask.cast(_WIDE) * ask_size).fill_null(0),
        bid_size=pl.col("bid_size_micros").cast(pl.List(_WIDE)).list.sum(),
        ask_size=pl.col("ask_size_micros").cast(pl.List(_WIDE)).list.sum(),
        bid_notional=_notional("bid", kind),
        ask_notional=_notional("ask", kind),
        # Of two books in a row: that they share a digest of 64 bits by chance will not happen.
        digest=pl.struct(_LEVELS).hash(),
        is_suspect=(pl.col("hash_verdict") != "verified") | (pl.col("flags").list.len() > 0),
        is_new=pl.lit(value=True),
    )
    return chosen.collect(engine="streaming")


def _notional(side: str, kind: Any) -> pl.Expr:  # noqa: ANN401 - a polars type
    prices = pl.col(f"{side}_price_micros").cast(pl.List(kind))
    return (prices * pl.col(f"{side}_size_micros")).list.sum().cast(_WIDE)


def _placed(rows: pl.DataFrame, stretches: pl.DataFrame) -> pl.DataFrame:
    """With the place of each row's tick among the due ones (`core.report.stats.place_of`)."""
    nth = (pl.col("due_ms") - pl.col("first_ms")) // pl.col("interval_ms")
    is_on_grid = (pl.col("due_ms") - pl.col("first_ms")) % pl.col("interval_ms") == 0
    joined = rows.sort("due_ms").join_asof(
        stretches,
        left_on="due_ms",
        right_on="first_ms",
        by="condition_id",
        strategy="backward",
        check_sortedness=False,
    )
    return joined.with_columns(
        rank=(pl.col("base") + pl.min_horizontal(pl.col("count"), nth + 1)).fill_null(0),
        is_due=(is_on_grid & (nth < pl.col("count"))).fill_null(value=False),
    ).drop("first_ms", "count", "base")


def _spans(wanted: Wanted) -> pl.DataFrame:
    spans = ((token_id, each) for token_id, own in wanted.spans.items() for each in own)
    listed = [(token_id, *each, span) for span, (token_id, each) in enumerate(spans)]
    names = ("recv_wall_ns", "end_ns", "span")
    schema = {"token_id": pl.String(), **dict.fromkeys(names, pl.Int64())}
    return pl.DataFrame(listed, schema=schema, orient="row").sort("recv_wall_ns")


def _streamed(rows: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """With the last span of the stream begun before each row, and whether that holds the row."""
    rows = rows.sort("recv_wall_ns").join_asof(
        spans, on="recv_wall_ns", by="token_id", strategy="backward", check_sortedness=False
    )
    is_streamed = (pl.col("recv_wall_ns") < pl.col("end_ns")).fill_null(value=False)
    return rows.with_columns(pl.col("span").fill_null(-1), is_streamed=is_streamed).drop("end_ns")


def _pairs() -> list[pl.Expr]:
    """How long each state held, and whether it differs from the one before."""

    def later(name: str) -> pl.Expr:
        return pl.col(name).shift(-1)

    mono_ns = later("recv_mono_ns") - pl.col("recv_mono_ns")
    wall_ns = later("recv_wall_ns") - pl.col("recv_wall_ns")
    missed = later("rank") - later("is_due").cast(pl.Int64) - pl.col("rank")
    interval_ms = pl.max_horizontal(pl.col("interval_ms"), later("interval_ms"))
    is_held = (
        (pl.struct(_TOKEN) == pl.struct(_TOKEN).shift(-1))
        & (mono_ns > 0)
        & ((mono_ns - wall_ns).abs() < CLOCK_STEP_NS)
        & (missed <= 0)
        & ~pl.col("is_streamed")
        & (later("span") == pl.col("span"))
        & (mono_ns <= FRESH_INTERVALS * NS_PER_MS * interval_ms)
    )
    is_same = pl.struct(_TOKEN) == pl.struct(_TOKEN).shift(1)
    differs = pl.col("digest") != pl.col("digest").shift(1)
    return [
        pl.when(is_held.fill_null(value=False)).then(mono_ns).otherwise(0).alias("held_ns"),
        (pl.col("is_new") & is_same & differs & ~pl.col("is_streamed"))
        .fill_null(value=False)
        .alias("is_change"),
    ]


_WEIGHED = [
    *("best_bid_size", "best_ask_size", "best_bid_notional", "best_ask_notional"),
    *("bid_size", "ask_size", "bid_notional", "ask_notional"),
]


def _add(found: dict[tuple[str, str], Tokens], rows: pl.DataFrame) -> None:
    """Add an hour to what was found; a carried row counts for its time alone."""
    is_new, held = pl.col("is_new"), pl.col("held_ns").cast(_WIDE)
    two_sided = pl.when(pl.col("spread_micros").is_not_null()).then(held).otherwise(0)
    figures = {
        "rows": is_new.sum(),
        "suspect": (is_new & pl.col("is_suspect")).sum(),
        "captured": pl.col("due_ms").filter(is_new & pl.col("is_due")).n_unique(),
        "changes": pl.col("is_change").sum(),
        "held_ns": held.sum(),
        "two_sided_ns": two_sided.sum(),
        "spread_x_ns": (pl.col("spread_micros").fill_null(0) * two_sided).sum(),
        "imbalance_x_ns": (_imbalance() * two_sided).sum(),
        **{f"{name}_x_ns": (pl.col(name) * held).sum() for name in _WEIGHED},
    }
    names = (pl.col(name).last() for name in _NAMES)
    by_token = rows.group_by(_TOKEN).agg(*names, **figures)
    for each in by_token.iter_rows(named=True):
        key = each["condition_id"], each["token_id"]
        token = found.setdefault(key, Tokens(names={}, sums=Sums(), spreads=Spreads()))
        token.names = {name: each[name] for name in _NAMES}
        token.sums.update({name: each[name] for name in figures})
    weighed = rows.filter(pl.col("spread_micros").is_not_null() & (pl.col("held_ns") > 0))
    at = weighed.group_by(*_TOKEN, "spread_micros", "tick_micros").agg(pl.col("held_ns").sum())
    for condition, token_id, spread, tick, ns in at.iter_rows():
        found[condition, token_id].spreads[spread, tick or None] += ns


def _imbalance() -> pl.Expr:
    """`core.report.stats.imbalance_micros`."""
    bid, ask = pl.col("best_bid_size").cast(_WIDE), pl.col("best_ask_size").cast(_WIDE)
    cut = (bid - ask).abs() * MICROS // (bid + ask)
    return pl.when(bid > ask).then(cut).otherwise(0 - cut).fill_null(0)


def leg_losses(paths: Iterable[Path]) -> dict[int, tuple[int, int]]:
    """By leg: events that were due to it, and those of them that it did not show.

    Raises:
        Refused: a file of `legs` cannot be read.
    """
    try:
        columns = pl.scan_parquet(list(paths), hive_partitioning=False)
        columns = columns.select("leg", "due", "missing")
        rows = columns.group_by("leg").sum().sort("leg").collect().rows()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Refused(f"read legs: {error}") from error
    return {leg: (due, missing) for leg, due, missing in rows}


def requests(
    paths: Sequence[Path], from_ms: int, until_ms: int
) -> Iterator[tuple[str, int, str, int | None, int]]:
    """(endpoint, due_ms, cause, status, ns from send to the last byte) of each exchange."""
    try:
        rows = pl.scan_parquet(list(paths), hive_partitioning=False)
        rows = rows.filter(pl.col("due_ms").is_between(from_ms, until_ms, closed="left"))
        took = pl.col("recv_mono_ns") - pl.col("send_mono_ns")
        found = rows.select("endpoint", "due_ms", "cause", "status", took.alias("took")).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Refused(f"read {paths[0].parent}: {str(error)[:200]}") from error
    yield from found.sort("due_ms").iter_rows()


def packed(rows: Sequence[TokenStats], told: Mapping[str, str]) -> bytes:
    """The cache as Parquet bytes; `told` and the meaning of each column are in its metadata."""
    frame = pl.DataFrame([_series(each, rows) for each in TOKEN_STATS.columns])
    meanings = {each.name: [each.unit, each.meaning] for each in TOKEN_STATS.columns}
    metadata = {
        "orderbooks.schema": TOKEN_STATS.schema,
        "orderbooks.about": TOKEN_STATS.about,
        "orderbooks.columns": json.dumps(meanings, ensure_ascii=False),
        **told,
    }
    file = io.BytesIO()
    frame.write_parquet(file, compression="zstd", compression_level=3, metadata=metadata)
    return file.getvalue()


def _series(column: Column, rows: Sequence[TokenStats]) -> pl.Series:
    values = [getattr(row, column.name) for row in rows]
    kind = _TYPES[column.kind]
    # Polars makes no decimals of small integers and large ones together (2.1.0).
    made = pl.Series(column.name, values, dtype=_WIDE if column.kind == WIDE else kind)
    return made.cast(kind)


def unpacked(path: Path) -> tuple[list[TokenStats], dict[str, str]] | None:
    """A cache and its metadata; None when it is none, whatever it is."""
    try:
        told = pl.read_parquet_metadata(path)
        if told.get("orderbooks.schema") != TOKEN_STATS.schema:
            return None
        rows = pl.read_parquet(path).iter_rows(named=True)
        return [msgspec.convert(_whole(row), TokenStats) for row in rows], told
    except (pl.exceptions.PolarsError, OSError, ValueError):
        return None


def _whole(row: dict[str, Any]) -> dict[str, Any]:
    wide = {each.name for each in TOKEN_STATS.columns if each.kind == WIDE}
    return {name: int(value) if name in wide else value for name, value in row.items()}
