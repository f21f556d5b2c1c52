"""Figures by outcome of a stretch of time, mined once and kept as long as their sources stand.

    derived/token_stats/venue=polymarket/date=YYYY-MM-DD/token_stats--FROM--UNTIL.parquet

Reads     derived `books`, and the tables of the stream; publications; labels
Writes    the cache, replaced whole
Promises  a kept result is used only when every `books` file, every due tick and every label it
          and file of the stream it
          was made from is the same; where the cache cannot be written the figures are told anyway
Fails     Refused, NeedsAPerson as `edge.reports.stock`
"""

import hashlib
import json
from pathlib import Path

import msgspec

from workers.core.instants import compact_text, hour_parts
from workers.core.report.stats import Sums
from workers.core.report.token_stats import TOKEN_STATS, Tokens, TokenStats, Wanted, with_sums
from workers.edge import durable, frames
from workers.edge.reports import stock
from workers.edge.reports.stock import Market, Stock
from workers.edge.reports.streamed import Streamed, streamed
from workers.edge.spool.directory import DataDir

#: Raised when the same sources are to give other figures than before.
EDITION = 2


class Mined(msgspec.Struct, frozen=True, kw_only=True):
    """Figures, where they are kept ("" = could not be), and whether they were there already."""

    rows: list[TokenStats]
    path: str
    is_kept: bool
    note: str = ""


def mined(data: DataDir, found: Stock) -> Mined:
    """The figures of a stretch, from the cache or anew."""
    path = _path(data, found)
    told = _told(found)
    kept = frames.unpacked(path)
    if kept is not None and told.items() <= kept[1].items():
        return Mined(rows=kept[0], path=data.relative(path), is_kept=True)
    for each in found.files:
        stock.prove(data, each)
    of_stream, notes = streamed(data, found)
    rows = _rows(data, found, of_stream)
    if notes:
        said = f"the stream is counted in part: {notes[0]}"
        return Mined(rows=rows, path="", is_kept=False, note=said)
    try:
        durable.make_directories(path.parent)
        durable.replace(path, frames.packed(rows, told))
    except OSError as error:
        return Mined(rows=rows, path="", is_kept=False, note=f"not kept: {error}")
    return Mined(rows=rows, path=data.relative(path), is_kept=False)


def _path(data: DataDir, found: Stock) -> Path:
    stretch = found.stretch
    name = f"{compact_text(stretch.from_ms)}--{compact_text(stretch.until_ms)}"
    folder = f"derived/{TOKEN_STATS.name}/venue=polymarket/date={hour_parts(stretch.from_ms)[0]}"
    return data.root / folder / f"{TOKEN_STATS.name}--{name}.parquet"


def _told(found: Stock) -> dict[str, str]:
    """What the figures are made from, as the metadata of the file says it."""
    sources = [
        {"name": each.name, "sha256": each.sha256, "rows": each.rows} for each in found.files
    ]
    due = hashlib.sha256()
    for market in found.markets:
        stretches = [
            (each.first_ms, each.interval_ms, each.count) for each in market.ticks.stretches
        ]
        named = [market.subject.slug, market.subject.series, market.subject.tokens]
        due.update(json.dumps([market.subject.condition_id, named, stretches]).encode() + b"\n")
    streamed_from = [each.sha256 for each in found.of_stream]
    return {
        "orderbooks.edition": str(EDITION),
        "orderbooks.stream": hashlib.sha256(json.dumps(streamed_from).encode()).hexdigest(),
        "orderbooks.sources": json.dumps(sources, separators=(",", ":")),
        "orderbooks.due_sha256": due.hexdigest(),
        "orderbooks.invalid": json.dumps(found.invalid),
    }


def _rows(data: DataDir, found: Stock, of_stream: dict[str, Streamed]) -> list[TokenStats]:
    spans = {token_id: each.spans for token_id, each in of_stream.items()}
    wanted = Wanted(found.stretch.from_ms, found.stretch.until_ms, found.invalid, spans)
    hours = [[data.root / each.path for each in hour] for hour in found.hours if hour]
    due = {each.subject.condition_id: each.ticks for each in found.markets}
    tokens = frames.mined(hours, wanted, due)
    for market in found.markets:
        for token_id, _ in market.subject.tokens:
            if token_id in of_stream:
                key = (market.subject.condition_id, token_id)
                _join(tokens, key, of_stream[token_id])
    rows = [row for market in found.markets for row in _of_market(market, tokens)]
    # Observed and never due here: its publication is not at hand.
    rows += [_of_token(key, token) for key, token in sorted(tokens.items(), key=lambda it: it[0])]
    # The outcomes of a market stay in the venue's order.
    return sorted(rows, key=lambda row: (row.slug, row.condition_id))


def _join(tokens: dict[tuple[str, str], Tokens], key: tuple[str, str], of_stream: Streamed) -> None:
    """Add what the stream told of a token to what polls did."""
    polled = tokens.setdefault(key, Tokens(names={}, sums=Sums(), spreads=of_stream.spreads.copy()))
    if polled.sums:
        polled.spreads.update(of_stream.spreads)
    polled.sums.update(of_stream.sums)


def _of_market(market: Market, tokens: dict[tuple[str, str], Tokens]) -> list[TokenStats]:
    """The rows of a market; its tokens are taken away."""
    subject = market.subject
    rows = []
    for token_id, outcome in subject.tokens:
        row = TokenStats(
            slug=subject.slug,
            series=subject.series,
            condition_id=subject.condition_id,
            token_id=token_id,
            outcome=outcome,
            due=market.ticks.size,
        )
        token = tokens.pop((subject.condition_id, token_id), None)
        rows.append(row if token is None else with_sums(row, token.sums, token.spreads))
    return rows


def _of_token(key: tuple[str, str], token: Tokens) -> TokenStats:
    row = TokenStats(
        slug=token.names["slug"],
        series=token.names["series"],
        condition_id=key[0],
        token_id=key[1],
        outcome=token.names["outcome"],
        due=0,
    )
    return with_sums(row, token.sums, token.spreads)
