"""A streamer's part of its heartbeat: each market over all its connections, and what is wrong.

Never     changes anything
"""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from workers.core.health.heartbeats import Condition, StreamBeat
from workers.core.stream.tallies import Seen, Tally
from workers.core.universe.markets import Market
from workers.edge.streaming.legs import Leg
from workers.edge.streaming.link import Link

NS_PER_S = 1_000_000_000


def seen_on(link: Link, market: str) -> Seen:
    """A market on one connection."""
    tokens = [each for each in link.tokens.values() if each.market == market]
    latest_ms = max(link.latest_ms(each.token_id) for each in tokens)
    return Seen(connection=link.name, frames=link.frames, last_update_ms=latest_ms, tokens=tokens)


def streams(
    markets: Iterable[Market],
    legs: Sequence[Leg],
    tallies: Mapping[str, Tally],
) -> list[StreamBeat]:
    """One entry for each market that is subscribed."""
    isolated = {each for leg in legs for each in leg.groups.isolated()}
    links = [link for leg in legs for link in leg.open_links()]
    found = []
    for market in markets:
        key = market.condition_id
        carrying = [each for each in links if key in each.carried]
        seen = [seen_on(link, key) for link in carrying]
        heard_ns = [token.last_wall_ns for each in seen for token in each.tokens]
        beat = tallies.get(key, Tally()).beat(market, seen, max(heard_ns, default=0) or None)
        found.append(msgspec.structs.replace(beat, is_isolated=key in isolated))
    return found


def conditions(
    beats: Iterable[StreamBeat], legs: Sequence[Leg], *, down_s: float
) -> list[Condition]:
    """What a person may have to know.

    Args:
        beats: of every market.
        legs: with their connections.
        down_s: for how long no connection was open although one was wanted.
    """
    found = [
        Condition(alert="market_isolated", subject=each.slug, detail="its connections die with it")
        for each in beats
        if each.is_isolated
    ]
    if down_s:
        failures = sum(leg.reconnects for leg in legs)
        detail = f"no connection for {down_s:.0f} s, {failures} lost since the start"
        found.append(Condition(alert="stream_failing", detail=detail))
    return found
