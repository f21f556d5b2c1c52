"""What a tick asks: the markets that are due, cut into batches of tokens.

Promises  both tokens of a market go into one request; the same due markets give the same batches.
"""

import math
from collections.abc import Iterable, Sequence

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.polling.cadence import phase_due
from workers.core.universe.markets import Market
from workers.core.universe.shards import shard_of


class Batch(msgspec.Struct, frozen=True):
    """One `POST /books`: its markets, condition id by token id, and the body."""

    markets: tuple[Market, ...]
    asked: dict[str, str]
    body: bytes


def mine(markets: Iterable[Market], *, shard: int, shards: int) -> tuple[Market, ...]:
    """The markets this shard records."""
    return tuple(each for each in markets if shard_of(each.condition_id, shards) == shard)


def due_markets(markets: Sequence[Market], due_ms: int) -> tuple[Market, ...]:
    """The markets that a tick must ask for."""
    return tuple(each for each in markets if phase_due(each.phases, due_ms) is not None)


def grid_ms(markets: Sequence[Market], default_ms: int) -> int:
    """The step of the tick grid: no market is ever due between two of its points."""
    steps = [phase.interval_ms for market in markets for phase in market.phases]
    return math.gcd(default_ms, *steps)


def batches(markets: Sequence[Market], max_tokens: int) -> tuple[Batch, ...]:
    """Cut markets into requests of at most `max_tokens` tokens (at least one market each)."""
    groups: list[list[Market]] = []
    room = 0
    for market in markets:
        if room < len(market.tokens):
            groups.append([])
            room = max(max_tokens, len(market.tokens))
        groups[-1].append(market)
        room -= len(market.tokens)
    return tuple(_batch(group) for group in groups)


def _batch(markets: Sequence[Market]) -> Batch:
    asked = {token.token_id: market.condition_id for market in markets for token in market.tokens}
    body = msgspec.json.encode([{"token_id": token_id} for token_id in asked])
    return Batch(tuple(markets), asked, body)


def manifest_market(market: Market) -> ManifestMarket:
    """The market as segment manifests name it."""
    return ManifestMarket(
        slug=market.slug,
        condition_id=market.condition_id,
        series=market.series,
        tokens={token.token_id: token.outcome for token in market.tokens},
    )
