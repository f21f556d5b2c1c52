"""The universe: who is recorded, from when until when, and what was refused.

Promises  what `core.universe.rounds` makes is read back as the same value; keys of later versions
          are ignored, another schema is not believed.
Source    schema "orderbooks.universe/1": spool/universe/universe.json, manifests/discovery.
"""

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.universe.markets import Market
from workers.core.universe.refusals import Refusal

SCHEMA = "orderbooks.universe/1"


class Universe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a collector must know about what it records; spool/universe/universe.json.

    `fetched_at_utc` is the last round that was believed whole; `stale_since_utc` the first since
    then that was not.
    """

    schema: str = SCHEMA
    seq: int = 0
    published_at_utc: str = ""
    published_ms: int = 0
    fetched_at_utc: str = ""
    stale_since_utc: str | None = None
    stale_reason: str | None = None
    markets: tuple[Market, ...] = ()
    refused: tuple[Refusal, ...] = ()


_decoder = msgspec.json.Decoder(Universe)


def read_universe(data: bytes) -> Universe:
    """The universe from its bytes.

    Raises:
        msgspec.MsgspecError: not JSON, a field of another type, or another schema.
    """
    try:
        universe = _decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    if universe.schema != SCHEMA:
        raise msgspec.ValidationError(f"schema {universe.schema!r}, expected {SCHEMA!r}")
    return universe


def manifest_markets(universe: Universe) -> dict[str, ManifestMarket]:
    """Every market as segment manifests name it, by condition id."""
    return {
        market.condition_id: ManifestMarket(
            slug=market.slug,
            condition_id=market.condition_id,
            series=market.series,
            tokens={token.token_id: token.outcome for token in market.tokens},
        )
        for market in universe.markets
    }
