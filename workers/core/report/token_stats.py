"""What was mined of one outcome: the columns of `token_stats`, the averages and the rankings.

The table holds sums and weights, exact; an average is made of them when it is shown. It is a
cache of what `books` and the publications say, one file for each stretch that was asked for.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction

import msgspec

from workers.core.books.amounts import MICROS
from workers.core.report.stats import NS_PER_S, Spreads, Sums, mean
from workers.core.tables.columns import Column, Table

#: Type of a sum of products: 38 digits, no fraction.
WIDE = "decimal(38,0)"
_SIZE, _NOTIONAL = "micros × ns", "micros² × ns"
TOKEN_STATS = Table(
    "token_stats",
    "orderbooks.token_stats/1",
    "One row for each outcome of a market that was due or observed in a stretch of time.",
    (
        Column("slug", "text", "", "the market's slug"),
        Column("series", "text", "", "the series of the settings, or `other`"),
        Column("condition_id", "text", "", "the market"),
        Column("token_id", "text", "", "whose book"),
        Column("outcome", "text", "", "what the token pays for"),
        Column("due", "int64", "ticks", "due in the stretch, by the publications in force"),
        Column("captured", "int64", "ticks", "of these, with a row of this token"),
        Column("rows", "int64", "rows", "states that polls observed"),
        Column("suspect", "int64", "rows", "of these, with a flag or a hash that is not verified"),
        Column(
            *("changes", "int64", "rows"),
            "whose levels differ from the token's state before; of polls where no stream was",
        ),
        Column("held_ns", "int64", "ns", "for which a state is known to have held"),
        Column("two_sided_ns", "int64", "ns", "of these, with a bid and an ask"),
        Column("best_bid_size_x_ns", WIDE, _SIZE, "shares at the best bid, over held_ns"),
        Column("best_ask_size_x_ns", WIDE, _SIZE, "shares at the best ask"),
        Column("best_bid_notional_x_ns", WIDE, _NOTIONAL, "price × shares at the best bid"),
        Column("best_ask_notional_x_ns", WIDE, _NOTIONAL, "price × shares at the best ask"),
        Column("bid_size_x_ns", WIDE, _SIZE, "shares of all bids"),
        Column("ask_size_x_ns", WIDE, _SIZE, "shares of all asks"),
        Column("bid_notional_x_ns", WIDE, _NOTIONAL, "price × shares of all bids"),
        Column("ask_notional_x_ns", WIDE, _NOTIONAL, "price × shares of all asks"),
        Column("spread_x_ns", WIDE, "micros × ns", "best ask − best bid, over two_sided_ns"),
        Column("imbalance_x_ns", WIDE, "millionths × ns", "of the best sizes, over two_sided_ns"),
        Column("at_spread_micros", "list<int64>", "micros", "each spread there was"),
        Column("at_tick_micros", "list<int64>", "micros", "the tick at it; 0 = not told"),
        Column("at_ns", "list<int64>", "ns", "how long it was held"),
        Column("stream_states", "int64", "states", "that the stream told where it was covered"),
        Column("stream_changes", "int64", "states", "of changes, those that the stream told"),
        Column("stream_ns", "int64", "ns", "of held_ns, what the stream covered"),
    ),
    ("slug", "condition_id"),
)
#: Outcomes seen for less are not ranked: one state of a second would win by chance.
RANKED_NS = 60 * NS_PER_S


class Tokens(msgspec.Struct, kw_only=True):
    """What was found of one token, hour after hour."""

    names: dict[str, str]
    sums: Sums
    spreads: Spreads


class Wanted(msgspec.Struct, frozen=True):
    """Rows of from_ms ≤ due < until_ms, but those of segments that a person called invalid.

    `spans`: by token, from when until when (ns, exclusive) the stream is counted instead.
    """

    from_ms: int
    until_ms: int
    invalid: tuple[str, ...] = ()
    spans: Mapping[str, Sequence[tuple[int, int]]] = {}


class TokenStats(msgspec.Struct, frozen=True, kw_only=True):
    """A row of `token_stats`."""

    slug: str
    series: str
    condition_id: str
    token_id: str
    outcome: str
    due: int
    captured: int = 0
    rows: int = 0
    suspect: int = 0
    changes: int = 0
    held_ns: int = 0
    two_sided_ns: int = 0
    best_bid_size_x_ns: int = 0
    best_ask_size_x_ns: int = 0
    best_bid_notional_x_ns: int = 0
    best_ask_notional_x_ns: int = 0
    bid_size_x_ns: int = 0
    ask_size_x_ns: int = 0
    bid_notional_x_ns: int = 0
    ask_notional_x_ns: int = 0
    spread_x_ns: int = 0
    imbalance_x_ns: int = 0
    at_spread_micros: list[int] = []
    at_tick_micros: list[int] = []
    at_ns: list[int] = []
    stream_states: int = 0
    stream_changes: int = 0
    stream_ns: int = 0

    @property
    def stream_share(self) -> Fraction | None:
        """How much of the observed time the stream covered, as a part of 1."""
        return mean(self.stream_ns, self.held_ns)

    @property
    def coverage(self) -> Fraction | None:
        """Captured ticks as a part of those due; None when none was."""
        return Fraction(self.captured, self.due) if self.due else None

    @property
    def best_shares(self) -> Fraction | None:
        """Average shares at the best bid and the best ask together."""
        return mean(self.best_bid_size_x_ns + self.best_ask_size_x_ns, self.held_ns, MICROS)

    @property
    def best_usdc(self) -> Fraction | None:
        """Average USDC at the best bid and the best ask together."""
        total = self.best_bid_notional_x_ns + self.best_ask_notional_x_ns
        return mean(total, self.held_ns, MICROS**2)

    @property
    def all_shares(self) -> Fraction | None:
        """Average shares of all levels of both sides."""
        return mean(self.bid_size_x_ns + self.ask_size_x_ns, self.held_ns, MICROS)

    @property
    def all_usdc(self) -> Fraction | None:
        """Average USDC of all levels of both sides."""
        return mean(self.bid_notional_x_ns + self.ask_notional_x_ns, self.held_ns, MICROS**2)

    @property
    def spread(self) -> Fraction | None:
        """Average spread in USDC a share, while there was a bid and an ask."""
        return mean(self.spread_x_ns, self.two_sided_ns, MICROS)

    @property
    def imbalance(self) -> Fraction | None:
        """Average imbalance of the best sizes, −1 (asks alone) to 1; as `spread`."""
        return mean(self.imbalance_x_ns, self.two_sided_ns, MICROS)

    @property
    def ns_at_ticks(self) -> Counter[Fraction | None]:
        """Time at each spread, in ticks; None where the tick was not told."""
        found: Counter[Fraction | None] = Counter()
        stretches = zip(self.at_spread_micros, self.at_tick_micros, self.at_ns, strict=True)
        for spread, tick, ns in stretches:
            found[Fraction(spread, tick) if tick else None] += ns
        return found


def with_sums(row: TokenStats, sums: Sums, spreads: Spreads) -> TokenStats:
    """The row with what was summed."""
    listed = sorted((spread, tick or 0, ns) for (spread, tick), ns in spreads.items())
    return msgspec.structs.replace(
        row,
        **sums,
        at_spread_micros=[each[0] for each in listed],
        at_tick_micros=[each[1] for each in listed],
        at_ns=[each[2] for each in listed],
    )


def spread_over(rows: Iterable[TokenStats]) -> Counter[Fraction | None]:
    """Time at each spread, in ticks, over all rows."""
    found: Counter[Fraction | None] = Counter()
    for row in rows:
        found.update(row.ns_at_ticks)
    return found


RANKINGS: dict[str, tuple[str, Callable[[TokenStats], Fraction | None]]] = {
    "depth": ("most USDC at the best bid and ask", lambda row: row.best_usdc),
    "tightness": ("smallest spread", lambda row: None if row.spread is None else -row.spread),
    "activity": ("most changes", lambda row: Fraction(row.changes)),
}


def ranked(rows: Sequence[TokenStats], by: str, count: int) -> list[TokenStats]:
    """The first of a ranking; equal ones by slug and token."""
    value_of = RANKINGS[by][1]
    found = [
        (-value, row.slug, row.token_id, row)
        for row in rows
        if row.two_sided_ns >= RANKED_NS and (value := value_of(row)) is not None
    ]
    return [each[3] for each in sorted(found, key=lambda each: each[:3])[:count]]
