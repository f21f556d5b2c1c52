"""Books for tests: rendered as the venue renders them, and hypothesis strategies of them."""

from hypothesis import strategies as st

from tests.venue.bookhash import render
from workers.core.books.amounts import shortest

CONDITION = "0x" + "ab" * 32
TOKEN = "1001"
Level = tuple[int, int]

prices = st.integers(1, 999).map(lambda tick: tick * 1000)
sizes = st.integers(1, 10**13)


@st.composite
def sides(draw) -> tuple[list[Level], list[Level]]:
    """Bids ascending, asks descending, in micros; either may be empty, or cross the other."""
    bids = draw(st.dictionaries(prices, sizes, max_size=12))
    asks = draw(st.dictionaries(prices, sizes, max_size=12))
    return sorted(bids.items()), sorted(asks.items(), reverse=True)


def raw(
    bids: list[Level],
    asks: list[Level],
    *,
    condition_id: str = CONDITION,
    token_id: str = TOKEN,
    timestamp_ms: int = 1_776_326_400_000,
    last: str = "0.480",
) -> bytes:
    """A book as the venue sends it, with a right hash."""
    head = (
        f'{{"market":"{condition_id}","asset_id":"{token_id}","timestamp":"{timestamp_ms}","hash":"'
    )
    tail = (
        f'","bids":[{_levels(bids)}],"asks":[{_levels(asks)}],"min_order_size":"5",'
        f'"tick_size":"0.001","neg_risk":false,"last_trade_price":"{last}"}}'
    )
    return render(head, tail).raw


def _levels(levels: list[Level]) -> str:
    return ",".join(
        f'{{"price":"{shortest(price)}","size":"{shortest(size)}"}}' for price, size in levels
    )
