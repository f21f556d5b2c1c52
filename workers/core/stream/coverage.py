"""What the stream covered of the time in which it was wanted: by market, by cause, by leg.

Times are of tokens: a market has two, so a minute without a stream is two minutes of gap. They are
never mixed with due ticks, which only polls owe.

Promises  wanted = covered + the gaps of every cause
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from workers.core.instants import utc_text
from workers.core.stream.covers import StreamGap, TokenCovers, causes, clipped, covered_ns

NS_PER_S = 1_000_000_000


class TokenGap(msgspec.Struct, frozen=True):
    """A gap of one token."""

    token_id: str
    gap: StreamGap


class Stretch(msgspec.Struct, frozen=True):
    """Nanoseconds of tokens: covered by any connection, by each leg, and missed by cause."""

    covered_ns: int = 0
    missed_ns: dict[str, int] = {}
    legs_ns: dict[int, int] = {}

    @property
    def wanted_ns(self) -> int:
        """From the first subscription to the last."""
        return self.covered_ns + sum(self.missed_ns.values())


class MarketStream(msgspec.Struct, frozen=True):
    """One market: its subscribed span, and what was covered of it."""

    slug: str
    condition_id: str
    from_wall_ns: int
    until_wall_ns: int
    connections: int
    stretch: Stretch
    gaps: list[TokenGap]


def market_stream(
    names: tuple[str, str], covers: Mapping[str, TokenCovers], from_ns: int, until_ns: int
) -> MarketStream | None:
    """One market between two moments; None when nobody wanted its stream then.

    Args:
        names: slug and condition id.
        covers: of its tokens.
        from_ns: the first moment.
        until_ns: the end, exclusive.
    """
    wanted = [
        (max(e.from_wall_ns, from_ns), min(e.until_wall_ns, until_ns))
        for e in covers.values()
        if e.from_wall_ns and e.from_wall_ns < until_ns and e.until_wall_ns > from_ns
    ]
    if not wanted:
        return None
    gaps = [
        TokenGap(token_id, gap)
        for token_id, each in covers.items()
        for gap in clipped(each.gaps(), from_ns, until_ns)
    ]
    stretch = Stretch(
        sum(covered_ns([*each.stretches()], from_ns, until_ns) for each in covers.values()),
        causes(each.gap for each in gaps),
        _legs(covers.values(), from_ns, until_ns),
    )
    connections = {e.connection for each in covers.values() for e in each.covered}
    return MarketStream(
        *names,
        min(each[0] for each in wanted),
        max(each[1] for each in wanted),
        len(connections),
        stretch,
        gaps,
    )


def _legs(covers: Iterable[TokenCovers], from_ns: int, until_ns: int) -> dict[int, int]:
    found: Counter[int] = Counter()
    for token in covers:
        for leg in {each.leg for each in token.covered}:
            own = TokenCovers([each for each in token.covered if each.leg == leg])
            found[leg] += covered_ns([*own.stretches()], from_ns, until_ns)
    return dict(sorted(found.items()))


def total(markets: Iterable[MarketStream]) -> Stretch:
    """All markets together."""
    covered, missed, legs = 0, Counter[str](), Counter[int]()
    for each in markets:
        covered += each.stretch.covered_ns
        missed.update(each.stretch.missed_ns)
        legs.update(each.stretch.legs_ns)
    return Stretch(covered, dict(missed.most_common()), dict(sorted(legs.items())))


def stream_json(markets: Sequence[MarketStream]) -> dict[str, object]:
    """Plain values; seconds of tokens."""
    return {**_seconds(total(markets)), "markets": [_market_json(each) for each in markets]}


def _seconds(stretch: Stretch) -> dict[str, object]:
    return {
        "wanted_s": stretch.wanted_ns / NS_PER_S,
        "covered_s": stretch.covered_ns / NS_PER_S,
        "missed_s": {cause: each / NS_PER_S for cause, each in stretch.missed_ns.items()},
        "legs_s": {str(leg): each / NS_PER_S for leg, each in stretch.legs_ns.items()},
    }


def _market_json(market: MarketStream) -> dict[str, object]:
    return {
        "slug": market.slug,
        "condition_id": market.condition_id,
        "from_utc": utc_text(market.from_wall_ns),
        "until_utc": utc_text(market.until_wall_ns),
        "connections": market.connections,
        **_seconds(market.stretch),
        "gaps": [
            {
                "token_id": each.token_id,
                "from_utc": utc_text(each.gap.from_wall_ns),
                "until_utc": utc_text(each.gap.until_wall_ns),
                "cause": each.gap.cause,
            }
            for each in market.gaps
        ],
    }


def stream_rows(markets: Sequence[MarketStream]) -> list[list[str]]:
    """A table under STREAM_HEAD, its last row all markets together."""
    rows = [_cells(each.slug, each.stretch) for each in markets]
    return [*rows, _cells("all", total(markets))]


def _cells(slug: str, stretch: Stretch) -> list[str]:
    wanted_ns = stretch.wanted_ns or 1
    missed = (f"{name} {each / NS_PER_S:.3f} s" for name, each in stretch.missed_ns.items())
    return [
        slug,
        f"{stretch.wanted_ns / NS_PER_S:.1f}",
        f"{stretch.covered_ns / wanted_ns:.3%}",
        " ".join(f"{each / wanted_ns:.3%}" for each in stretch.legs_ns.values()) or "-",
        " ".join(missed) or "-",
    ]


STREAM_HEAD = ("market", "wanted, s", "covered", "by each leg", "missed as")
