"""What the market channel says: the events of one moment, worded as the venue words them.

Promises: key orders and decimals as in the frames of 2026-08-14 (VENUE 5.3); a price change
          covers both tokens and carries, per token, the hash of the whole book after the frame;
          a `book` after a trade has neither tick size nor last trade price.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.venue.markets import Market
from tests.venue.states import PRICE_TEXT, BookState, Event, Item, Told

Pair = tuple[BookState, BookState]


@dataclass(frozen=True, slots=True)
class Tempo:
    """How the simulated markets move.

    Attributes:
        changes_per_s: of each market with a book, up to 1,000; None as captured, which depends on
            the age of the market: about 11 in an open window.
        trade_share: of the changes that can be one, the share that is a trade.
        told_first_share: of the trades, those whose `last_trade_price` comes before the books;
            after the others a book is hashed with a price nobody has been told yet.
        together_share: of the moments with several events, those sent as one array.
    """

    changes_per_s: float | None = None
    trade_share: float = 0.25
    told_first_share: float = 0.2
    together_share: float = 0.1


def price_change(market: Market, states: Pair, items: Sequence[Item]) -> Event:
    """The frame of these levels of the first token, mirrored for the second."""
    told = (_told(states[0], items), _told(states[1], [_mirrored(item) for item in items]))
    texts = [
        _item_text(state, item)
        for pair in zip(told[0].items, told[1].items, strict=True)
        for state, item in zip(states, pair, strict=True)
    ]
    timestamp = states[0].timestamp
    raw = (
        f'{{"market":"{market.condition_id}","price_changes":[{",".join(texts)}],'
        f'"timestamp":"{timestamp}","event_type":"price_change"}}'
    )
    return Event("price_change", market.condition_id, timestamp, raw.encode(), told)


def later_book(state: BookState) -> Event:
    """The `book` after a trade: another key order, no tick size, no last trade price."""
    levels = state.raw[state.raw.index(b'"bids":') : state.raw.rindex(b',"min_order_size":')]
    raw = (
        f'{{"market":"{state.condition_id}","asset_id":"{state.token_id}",'.encode()
        + levels
        + f',"hash":"{state.digest}","timestamp":"{state.timestamp}","event_type":"book"}}'.encode()
    )
    told = (Told(state.token_id, state.digest),)
    return Event("book", state.condition_id, state.timestamp, raw, told)


def first_book(state: BookState) -> Event:
    """The `book` of a token subscribed before it had one, in the words of the dump."""
    told = (Told(state.token_id, state.digest),)
    return Event("book", state.condition_id, state.timestamp, dump_book(state), told)


def dump_book(state: BookState) -> bytes:
    """The `book` on subscribing, with tick size and last trade price."""
    head = state.raw[: state.raw.rindex(b'"min_order_size":')]
    tail = (
        f'"tick_size":"{state.tick}","last_trade_price":"{state.last_trade}","event_type":"book"}}'
    )
    return head + tail.encode()


def trade(state: BookState, price: str, size: str, side: str, transaction: str) -> Event:
    """A fill, told once, on one of the two tokens."""
    raw = (
        f'{{"market":"{state.condition_id}","asset_id":"{state.token_id}","price":"{price}",'
        f'"size":"{size}","fee_rate_bps":"0","side":"{side}","timestamp":"{state.timestamp}",'
        f'"event_type":"last_trade_price","transaction_hash":"0x{transaction}"}}'
    )
    told = (Told(state.token_id, "", (Item(price, size, side),)),)
    return Event("last_trade_price", state.condition_id, state.timestamp, raw.encode(), told)


def tick_change(state: BookState, old_tick: str) -> Event:
    """The grid of a token has changed; its book follows."""
    raw = (
        f'{{"event_type":"tick_size_change","asset_id":"{state.token_id}",'
        f'"market":"{state.condition_id}","old_tick_size":"{old_tick}",'
        f'"new_tick_size":"{state.tick}","timestamp":"{state.timestamp}"}}'
    )
    told = (Told(state.token_id, ""),)
    return Event("tick_size_change", state.condition_id, state.timestamp, raw.encode(), told)


def best_bid_ask(state: BookState) -> Event:
    """Best prices of one token, for those who asked for custom features."""
    bid, ask = _best(state)
    spread = PRICE_TEXT[_milli(state.best_ask, 1000) - _milli(state.best_bid, 0)]
    raw = (
        f'{{"market":"{state.condition_id}","asset_id":"{state.token_id}","best_bid":"{bid}",'
        f'"best_ask":"{ask}","spread":"{spread}","timestamp":"{state.timestamp}",'
        f'"event_type":"best_bid_ask"}}'
    )
    told = (Told(state.token_id, ""),)
    return Event("best_bid_ask", state.condition_id, state.timestamp, raw.encode(), told, True)


def new_market(market: Market) -> Event:
    """A market has been listed; global."""
    tokens = f'["{market.token_ids[0]}","{market.token_ids[1]}"]'
    texts = f'"ticker":"{market.slug}","slug":"{market.slug}","title":"{market.title}"'
    raw = (
        f'{{"event_type":"new_market","id":"{market.number}","question":"{market.title}",'
        f'"market":"{market.condition_id}","slug":"{market.slug}","description":"",'
        f'"assets_ids":{tokens},"outcomes":["{market.outcomes[0]}","{market.outcomes[1]}"],'
        f'"event_message":{{"id":"{market.number}",{texts},"description":""}},'
        f'"timestamp":"{market.listed_ms}","tags":["crypto"],'
        f'"condition_id":"{market.condition_id}","active":false,"clob_token_ids":{tokens},'
        '"sports_market_type":"","line":"","game_start_time":"",'
        '"order_price_min_tick_size":"0.01","group_item_title":"","taker_base_fee":"1000",'
        '"fees_enabled":true,"fee_schedule":{"exponent":"1","rate":"0.07","taker_only":true,'
        '"rebate_rate":"0.2"}}'
    )
    return Event(
        "new_market", market.condition_id, str(market.listed_ms), raw.encode(), custom=True
    )


def market_resolved(market: Market) -> Event:
    """A market has been settled; global."""
    tokens = f'["{market.token_ids[0]}","{market.token_ids[1]}"]'
    raw = (
        f'{{"event_type":"market_resolved","id":"{market.number}",'
        f'"market":"{market.condition_id}","assets_ids":{tokens},'
        f'"winning_asset_id":"{market.token_ids[market.winner]}",'
        f'"winning_outcome":"{market.outcomes[market.winner]}",'
        f'"timestamp":"{market.closed_ms}","tags":["crypto"]}}'
    )
    return Event(
        "market_resolved", market.condition_id, str(market.closed_ms), raw.encode(), custom=True
    )


def _told(state: BookState, items: Sequence[Item]) -> Told:
    return Told(state.token_id, state.digest, tuple(items))


def _mirrored(item: Item) -> Item:
    """The other token's level: bid p is ask 1 - p (4,520 of 4,520 real pairs, VENUE 3.1)."""
    side = "SELL" if item.side == "BUY" else "BUY"
    return Item(PRICE_TEXT[1000 - _MILLI[item.price]], item.size, side)


def _item_text(state: BookState, item: Item) -> str:
    bid, ask = _best(state)
    return (
        f'{{"asset_id":"{state.token_id}","price":"{item.price}","size":"{item.size}",'
        f'"side":"{item.side}","hash":"{state.digest}","best_bid":"{bid}","best_ask":"{ask}"}}'
    )


def _best(state: BookState) -> tuple[str, str]:
    """Best bid and ask; an empty side is "0" or "1"."""
    return PRICE_TEXT[_milli(state.best_bid, 0)], PRICE_TEXT[_milli(state.best_ask, 1000)]


def _milli(best: int | None, empty: int) -> int:
    return empty if best is None else best


_MILLI = {text: milli for milli, text in enumerate(PRICE_TEXT)}
