"""Gamma objects as the venue sends them, one value changed at a time by a test."""

import json
from typing import Any

from workers.core.instants import ms_text, parse_utc
from workers.core.settings.scope import DEFAULT_SERIES
from workers.core.settings.settings import Schedule
from workers.core.universe.gamma import read_page
from workers.core.universe.markets import KEYSET, Asked, Market, Reading, Rules, read_market

START_S = 1_773_261_600  # 2026-03-11 20:40 UTC, a window of the captures
START_MS = START_S * 1000
NOW_MS = START_MS - 60_000
RULES = Rules(DEFAULT_SERIES, Schedule())
ASKED = Asked(source=KEYSET, series_id="10684")


def second_text(ms: int) -> str:
    """A time as `endDate` is written."""
    return f"{ms_text(ms)[:19]}Z"


def market_object(start_ms: int = START_MS, **changes: Any) -> dict[str, Any]:
    """A 5-minute market; a change of None leaves the key out."""
    second = start_ms // 1000
    fields: dict[str, Any] = {
        "question": "Bitcoin Up or Down - March 11, 4:40PM-4:45PM ET",
        "conditionId": f"0x{second:064x}",
        "slug": f"btc-updown-5m-{second}",
        "startDate": "2026-03-10T20:48:12.32406Z",
        "eventStartTime": second_text(start_ms),
        "endDate": second_text(start_ms + 300_000),
        "outcomes": '["Up", "Down"]',
        "clobTokenIds": json.dumps([f"{second}{'1' * 67}", f"{second}{'2' * 67}"]),
        "active": True,
        "closed": False,
        "enableOrderBook": True,
        "acceptingOrders": True,
        "orderPriceMinTickSize": 0.01,
    }
    return {key: value for key, value in (fields | changes).items() if value is not None}


def event_object(*markets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The event around markets; a change of None leaves the key out."""
    first = markets[0] if markets else {}
    fields = {
        "slug": first.get("slug", "an-event"),
        "startTime": first.get("eventStartTime"),
        "series": [{"id": "10684", "slug": "btc-up-or-down-5m", "recurrence": "5m"}],
        "markets": list(markets),
    }
    return {key: value for key, value in (fields | changes).items() if value is not None}


def as_sent(value: object) -> Any:
    """A value after its way over the wire: what `read_page` gives for it."""
    (event,) = read_page(json.dumps([value]).encode()).events
    return event


def read(
    market: object, event: object = "its own", *, asked: Asked = ASKED, now_ms: int = NOW_MS
) -> Reading:
    """Judge a market object as it comes over the wire."""
    if event == "its own":
        event = event_object(market) if isinstance(market, dict) else {}
    return read_market(as_sent(market), as_sent(event), asked=asked, rules=RULES, now_ms=now_ms)


def market(start_ms: int = START_MS, *, now_ms: int = NOW_MS, **changes: Any) -> Market:
    """A market that was read without objection."""
    found = read(market_object(start_ms, **changes), now_ms=now_ms)
    assert isinstance(found, Market), found
    return found


def ms(text: str) -> int:
    """Unix ms of a text."""
    return parse_utc(text)
