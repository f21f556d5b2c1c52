"""Gamma's market and event objects, with the keys and types captured in March and June 2026.

Promises: lists inside a market are JSON text, as Gamma sends them; `startDate` is the listing
          time, `eventStartTime` (event: `startTime`) the window start, `endDate` its end.
Source:   the `gamma` folder of the captures; VENUE sections 2.3 to 2.5.
"""

import json

from tests.venue import dates
from tests.venue.markets import Market
from tests.venue.states import PRICE_TEXT

Json = dict[str, object]

CHAINLINK = "https://data.chain.link/streams/btc-usd"
BINANCE = "https://www.binance.com/en/trade/BTC_USDT"
IMAGE = "https://polymarket-upload.s3.us-east-2.amazonaws.com/BTC+fullsize.png"
TAGS = (
    ("235", "Bitcoin", "bitcoin"),
    ("102127", "Up or Down", "up-or-down"),
    ("1312", "Crypto Prices", "crypto-prices"),
    ("101757", "Recurring", "recurring"),
    ("102169", "Hide From New", "hide-from-new"),
    ("21", "Crypto", "crypto"),
)
NEVER = (
    "cyom", "pagerDutyNotificationEnabled", "clearBookOnStart", "showGmpSeries",
    "showGmpOutcome", "manualActivation", "negRiskOther", "pendingDeployment", "deploying",
    "rfqEnabled", "holdingRewardsEnabled", "requiresTranslation", "ready", "funded", "new",
    "featured", "archived",
)  # fmt: skip

# What is alike in every market and in every event of these series.
SAME_MARKET: Json = {
    "liquidity": "1654.53",
    "volume": "30335.869374999984",
    "marketMakerAddress": "",
    "restricted": True,
    "groupItemThreshold": "0",
    "orderMinSize": 5,
    "volumeNum": 30335.869374999984,
    "liquidityNum": 1654.53,
    "hasReviewedDates": True,
    "comboStatus": "disabled",
    "liquidityClob": 1654.53,
    "makerBaseFee": 1000,
    "takerBaseFee": 1000,
    "negRisk": False,
    "competitive": 1,
    "approved": True,
    "rewardsMinSize": 50,
    "rewardsMaxSpread": 4.5,
    "spread": 0.01,
    "automaticallyActive": True,
    "umaResolutionStatuses": "[]",
    "feesEnabled": True,
    "makerRebatesFeeShareBps": 10000,
    "feeType": "crypto_fees_v2",
    "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
    "version": "v1",
}
SAME_EVENT: Json = {
    "image": IMAGE,
    "icon": IMAGE,
    "active": True,
    "archived": False,
    "new": False,
    "featured": False,
    "restricted": True,
    "negRisk": False,
    "commentCount": 0,
    "cyom": False,
    "showAllOutcomes": True,
    "showMarketImages": True,
    "enableNegRisk": False,
    "automaticallyActive": True,
    "negRiskAugmented": False,
    "pendingDeployment": False,
    "deploying": False,
    "requiresTranslation": False,
}


def tag_ids(market: Market) -> set[str]:
    """Ids and slugs of the event's tags, for the tag filters."""
    return {text for tag_id, _, slug in _tags(market) for text in (tag_id, slug)}


def market_object(market: Market, *, now_ms: int, middle: int, tick: str) -> Json:
    """One market as it stands at `now_ms`; `middle` is its first outcome's price, thousandths."""
    body: Json = {
        "id": str(market.number),
        "question": market.title,
        "conditionId": market.condition_id,
        "slug": market.slug,
        "resolutionSource": _source(market),
        "endDate": dates.iso(market.end_ms),
        "startDate": dates.iso_micros(market.listed_ms + 58_586),
        "image": IMAGE,
        "icon": IMAGE,
        "description": _description(market),
        "outcomes": json.dumps(list(market.outcomes)),
        "outcomePrices": _prices(market, now_ms, middle),
        "active": True,
        "closed": market.is_closed(now_ms),
        "createdAt": dates.iso_micros(market.listed_ms),
        "updatedAt": dates.iso_micros(now_ms // 10_000 * 10_000 + market.number % 1000),
        "questionID": "0x" + market.condition_id[:1:-1],
        "enableOrderBook": True,
        "orderPriceMinTickSize": float(tick),
        "endDateIso": dates.iso(market.end_ms)[:10],
        "startDateIso": dates.iso(market.listed_ms)[:10],
        "clobTokenIds": json.dumps(list(market.token_ids)),
        "acceptingOrders": True,
        "acceptingOrdersTimestamp": dates.iso(market.book_from_ms),
        "bestBid": max(middle - 5, 0) / 1000,
        "bestAsk": min(middle + 5, 1000) / 1000,
        "eventStartTime": dates.iso(market.start_ms),
        **SAME_MARKET,
        **dict.fromkeys(NEVER, False),
    }
    _age(body, market, now_ms)
    return body


def event_object(market: Market, inner: Json) -> Json:
    """The event that holds the one market `inner`."""
    body: Json = {
        "id": str(market.number - 1_400_000),
        "ticker": market.slug,
        "slug": market.slug,
        "title": market.title,
        "description": inner["description"],
        "resolutionSource": inner["resolutionSource"],
        "startDate": inner["startDate"],
        "creationDate": dates.iso_micros(market.listed_ms + 102_770),
        "endDate": inner["endDate"],
        "closed": inner["closed"],
        "createdAt": inner["createdAt"],
        "updatedAt": inner["updatedAt"],
        "enableOrderBook": inner["enableOrderBook"],
        "markets": [inner],
        "series": [_series_object(market)],
        "tags": [_tag_object(*tag) for tag in _tags(market)],
        "startTime": inner["eventStartTime"],
        "seriesSlug": market.series.slug,
        **SAME_EVENT,
    }
    if inner["closed"]:
        body["closedTime"] = inner["closedTime"]
        body["eventMetadata"] = {"priceToBeat": 63123.54, "finalPrice": 63150.01}
    return body


def market_with_event(market: Market, inner: Json) -> Json:
    """A market as the market routes send it: with its event inside, without the way back."""
    event = event_object(market, inner)
    del event["markets"]
    del event["tags"]
    return {**inner, "events": [event]}


def _age(body: Json, market: Market, now_ms: int) -> None:
    """What changes over a life: hydration, zombie, closed."""
    if market.kind == "zombie":
        body["enableOrderBook"] = False
        del body["acceptingOrders"]
        del body["outcomePrices"]
        body.update(bestBid=0, bestAsk=1, spread=1, liquidity="0", volume="0", feeType=None)
    elif market.is_closed(now_ms):
        body["acceptingOrders"] = False
        body["closedTime"] = dates.closed_time(market.closed_ms)
        body["umaEndDate"] = dates.iso(market.closed_ms)
        body["umaResolutionStatus"] = "resolved"
        body["automaticallyResolved"] = True
    elif now_ms < market.book_from_ms:
        body["acceptingOrders"] = False
        for key in ("outcomePrices", "acceptingOrdersTimestamp", "bestBid", "bestAsk"):
            del body[key]


def _prices(market: Market, now_ms: int, middle: int) -> str:
    first = middle
    if market.is_closed(now_ms):
        first = 1000 if market.winner == 0 else 0
    return json.dumps([PRICE_TEXT[first], PRICE_TEXT[1000 - first]])


def _source(market: Market) -> str:
    return CHAINLINK if market.series.shape == "unix" else BINANCE


def _description(market: Market) -> str:
    return (
        f'This market will resolve to "Up" if the {market.series.asset} price at the end of the '
        "time range specified in the title is greater than or equal to the price at the "
        'beginning of that range. Otherwise, it will resolve to "Down".\nThe resolution source '
        f"for this market is available at {_source(market)}.\nPlease note that this market is "
        "about the price according to that source, not according to other sources or spot markets."
    )


def _tags(market: Market) -> list[tuple[str, str, str]]:
    own = market.series.tag
    tags = list(TAGS[1:] if market.series.asset != "Bitcoin" else TAGS)
    return [*tags, (own[0], own[1], own[1])] if own else tags


def _tag_object(tag_id: str, label: str, slug: str) -> Json:
    return {
        "id": tag_id,
        "label": label,
        "slug": slug,
        "forceShow": False,
        "createdAt": "2025-05-09T20:56:58.880785Z",
        "updatedAt": "2026-03-09T22:33:38.505979Z",
        "isCarousel": False,
        "requiresTranslation": False,
    }


def _series_object(market: Market) -> Json:
    line = market.series
    return {
        "id": line.series_id,
        "ticker": line.slug,
        "slug": line.slug,
        "title": line.title,
        "seriesType": "single",
        "recurrence": line.recurrence,
        "image": "",
        "icon": "",
        "active": True,
        "closed": False,
        "archived": False,
        "createdAt": "2025-11-21T21:46:22.201627Z",
        "updatedAt": "2026-03-11T20:30:20.348185Z",
        "volume24hr": 42718151.032061964,
        "volume": 62244.9784059997,
        "liquidity": 6069599.0099,
        "commentCount": 27534,
        "requiresTranslation": False,
    }
