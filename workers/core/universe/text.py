"""The universe as a page for people: what is recorded now, what was refused, what is stale.

Never  lets remote text break the page: table cells are one line, without `|` and back-ticks.
"""

from workers.core.health.heartbeats import Condition
from workers.core.universe.markets import Market
from workers.core.universe.phases import status_at, tier_at
from workers.core.universe.refusals import REASONS, Pending
from workers.core.universe.universe import Universe

SHOWN = 100


def universe_text(
    universe: Universe,
    *,
    pending: tuple[Pending, ...] = (),
    conditions: tuple[Condition, ...] = (),
    now_ms: int,
) -> str:
    """The page, Markdown, as of a moment; long lists are cut and say so."""
    alive = [each for each in universe.markets if each.record_until_ms > now_ms]
    parts = [*_head(universe, len(alive), conditions), *_markets(alive, now_ms)]
    if pending:
        parts += ["", f"## Waiting for the venue ({len(pending)})", ""]
        parts += [f"* {_cell(each.slug)}: {_cell(each.detail)}" for each in pending[:SHOWN]]
        parts += _rest(len(pending))
    if universe.refused:
        parts += _refused(universe)
    return "\n".join(parts) + "\n"


def _head(universe: Universe, count: int, conditions: tuple[Condition, ...]) -> list[str]:
    believed = universe.fetched_at_utc or "never"
    summary = f"Published {universe.published_at_utc}, {count} markets. "
    summary += f"The venue's listing was last believed {believed}."
    parts = [f"# Universe {universe.seq}", "", summary]
    if universe.stale_since_utc:
        reason = _cell(universe.stale_reason or "")
        parts += ["", f"**STALE since {universe.stale_since_utc}: {reason}**"]
    if conditions:
        parts += ["", *(f"* {each.alert}: {_cell(each.detail)}" for each in conditions)]
    return parts


def _markets(alive: list[Market], now_ms: int) -> list[str]:
    return [
        "",
        "| market | tier | status | window (UTC) | tokens | tick |",
        "|---|---|---|---|---|---|",
        *(_market_line(each, now_ms) for each in alive[:SHOWN]),
        *_rest(len(alive)),
    ]


def _refused(universe: Universe) -> list[str]:
    return [
        "",
        f"## Refused ({len(universe.refused)})",
        "",
        "| market | reason | detail | since |",
        "|---|---|---|---|",
        *(
            f"| {_cell(each.slug) or '?'} | {each.reason}: {REASONS.get(each.reason, '')} "
            f"| {_cell(each.detail)} | {each.at_utc} |"
            for each in universe.refused[:SHOWN]
        ),
        *_rest(len(universe.refused)),
    ]


def _market_line(market: Market, now_ms: int) -> str:
    status = market.status if market.status == "closed" else status_at(market.window, now_ms)
    tokens = ", ".join(f"{_cell(each.outcome)} {_short(each.token_id)}" for each in market.tokens)
    start, end = market.window_start_utc, market.window_end_utc
    until = end[11:19] if start[:10] == end[:10] else _minute(end)
    return (
        f"| {_cell(market.slug)} | {tier_at(market.phases, now_ms)} | {status} "
        f"| {_minute(start)} – {until} | {tokens} | {market.tick_size or '?'} |"
    )


def _minute(text: str) -> str:
    return text[:19].replace("T", " ")


def _short(token_id: str) -> str:
    return token_id if len(token_id) <= 12 else f"{token_id[:6]}…{token_id[-4:]}"


def _rest(count: int) -> list[str]:
    return ["", f"… and {count - SHOWN} more in universe.json"] if count > SHOWN else []


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("`", "'").replace("\n", " ")[:300]
