"""Gamma's discovery routes over a world: keyset pages, slugs, series, tags.

Promises: `next_cursor` only on a full page; `offset` on a keyset route and an order that is no
          camelCase field name are 422; an unknown slug is 404 on the slug routes and an empty
          array on the query routes; `closed` is false unless asked, on the keyset routes.
Source:   VENUE sections 2.1 and 2.4.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from tests.venue import dates, gamma_objects
from tests.venue.answers import Answer, Request, from_json, refused
from tests.venue.gamma_objects import Json
from tests.venue.markets import Market
from tests.venue.states import World

DEFAULT_LIMIT, LARGEST_LIMIT = 20, 100
Query = dict[str, list[str]]
ORDERS: dict[str, Callable[[Market], int]] = {
    "id": lambda market: market.number,
    "endDate": lambda market: market.end_ms,
    "startDate": lambda market: market.listed_ms,
    "createdAt": lambda market: market.listed_ms,
    "startTime": lambda market: market.start_ms,
    "eventStartTime": lambda market: market.start_ms,
    "volumeNum": lambda _: 0,
    "volume24hr": lambda _: 0,
}


@dataclass(frozen=True, slots=True)
class Page:
    """Parsed objects of one Gamma answer, before faults and before they become bytes.

    `key` names the array ("events", "markets"), or is None for a bare array or object.
    """

    key: str | None
    items: tuple[Json, ...]
    next_cursor: str | None = None
    single: bool = False

    def payload(self) -> object:
        """The JSON value to send."""
        if self.single:
            return self.items[0]
        if self.key is None:
            return list(self.items)
        cursor = {} if self.next_cursor is None else {"next_cursor": self.next_cursor}
        return {self.key: list(self.items), **cursor}


class Gamma:
    """Pages for Gamma paths."""

    def __init__(self, world: World) -> None:
        self.world = world

    def owns(self, path: str) -> bool:
        """This path is one of Gamma's."""
        return path.split("/")[1] in ("events", "markets", "series", "tags", "public-search")

    def page(self, request: Request, now_ms: int) -> Page | Answer:
        """The page for one request, or the refusal."""
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        query = parse_qs(request.query, keep_blank_values=True)
        if request.method != "GET":
            return refused(405, "method not allowed", type="method error")
        if parts[0] in ("events", "markets"):
            if parts[1:] == ["keyset"]:
                return self._keyset(parts[0], query, now_ms)
            if len(parts) == 3 and parts[1] == "slug":
                return self._one(parts[0], lambda market: market.slug == parts[2], now_ms)
            if len(parts) == 2:
                return self._one(parts[0], lambda m: self._id(parts[0], m) == parts[1], now_ms)
            return self._array(parts[0], query, now_ms)
        return from_json([] if len(parts) == 1 else {})

    def objects(self, kind: str, market: Market, now_ms: int) -> Json:
        """One market as this route shows it."""
        middle = self.world.middle(market, now_ms)
        state = None
        if market.start_ms <= now_ms < market.closed_ms and market.kind == "regular":
            state = self.world.state(market.token_ids[0], now_ms)
        tick = state.tick if state else "0.01"
        inner = gamma_objects.market_object(market, now_ms=now_ms, middle=middle, tick=tick)
        if kind == "events":
            return gamma_objects.event_object(market, inner)
        return gamma_objects.market_with_event(market, inner)

    def _id(self, kind: str, market: Market) -> str:
        return str(market.number - (1_400_000 if kind == "events" else 0))

    def _one(self, kind: str, wanted: Callable[[Market], bool], now_ms: int) -> Page | Answer:
        for market in self.world.listed(now_ms):
            if wanted(market):
                return Page(None, (self.objects(kind, market, now_ms),), single=True)
        return refused(404, "slug not found", type="not found error")

    def _array(self, kind: str, query: Query, now_ms: int) -> Page | Answer:
        """The legacy routes: offset up to 2000, closed ones too unless `closed` is sent."""
        try:
            offset, limit = _number(query, "offset", 0), _number(query, "limit", DEFAULT_LIMIT)
            if offset > 2000:
                return refused(422, f"offset too large: use /{kind}/keyset", type="validation")
            found = _select(self.world.listed(now_ms), query, now_ms, default_closed=None)
            found = _order(query).page(found, "")[offset : offset + min(limit, LARGEST_LIMIT)]
        except ValueError as error:
            return refused(422, str(error), type="validation error")
        return Page(None, tuple(self.objects(kind, market, now_ms) for market in found))

    def _keyset(self, kind: str, query: Query, now_ms: int) -> Page | Answer:
        if "offset" in query:
            return refused(422, "offset is not supported, use after_cursor", type="validation")
        try:
            limit = _number(query, "limit", DEFAULT_LIMIT, most=LARGEST_LIMIT)
            found = _select(self.world.listed(now_ms), query, now_ms, default_closed="false")
            order = _order(query)
            found = order.page(found, query.get("after_cursor", [""])[-1])[:limit]
        except ValueError as error:
            return refused(422, str(error), type="validation error")
        cursor = order.cursor(found[-1]) if len(found) == limit else None
        items = tuple(self.objects(kind, market, now_ms) for market in found)
        return Page(kind, items, next_cursor=cursor)


def _select(
    listed: Sequence[Market], query: Query, now_ms: int, *, default_closed: str | None
) -> list[Market]:
    tests: list[Callable[[Market], bool]] = []
    closed = query.get("closed", [default_closed])[-1]
    if closed is not None:
        tests.append(lambda market: market.is_closed(now_ms) == (closed == "true"))
    if "slug" in query:
        tests.append(lambda market: market.slug in query["slug"])
    if "series_id" in query:
        tests.append(lambda market: market.series.series_id in query["series_id"])
    if "condition_ids" in query:
        tests.append(lambda market: market.condition_id in query["condition_ids"])
    if "clob_token_ids" in query:
        tests.append(lambda market: bool(set(market.token_ids) & set(query["clob_token_ids"])))
    for name in ("tag_id", "tag_slug"):
        if name in query:
            wanted = set(query[name])
            tests.append(lambda market, w=wanted: bool(w & gamma_objects.tag_ids(market)))  # type: ignore[misc]
    return [market for market in listed if all(t(market) for t in [*tests, *_spans(query)])]


def _spans(query: Query) -> list[Callable[[Market], bool]]:
    fields = {
        "end_date": ORDERS["endDate"],
        "start_date": ORDERS["startDate"],
        "start_time": ORDERS["startTime"],
    }
    tests: list[Callable[[Market], bool]] = []
    for name, read in fields.items():
        if f"{name}_min" in query:
            least = dates.parse_iso(query[f"{name}_min"][-1])
            tests.append(lambda market, read=read, least=least: read(market) >= least)  # type: ignore[misc]
        if f"{name}_max" in query:
            most = dates.parse_iso(query[f"{name}_max"][-1])
            tests.append(lambda market, read=read, most=most: read(market) <= most)  # type: ignore[misc]
    return tests


@dataclass(frozen=True, slots=True)
class _Order:
    """The order asked, and the place a cursor names in it."""

    names: tuple[str, ...]
    rising: bool

    def place(self, market: Market) -> list[int]:
        """Sort key, made unique by the number; the same list is what a cursor holds."""
        sign = 1 if self.rising else -1
        return [sign * value for value in (*(ORDERS[n](market) for n in self.names), market.number)]

    def page(self, found: list[Market], after: str) -> list[Market]:
        """All that follows the cursor `after`, in order."""
        ranked = sorted(found, key=self.place)
        if not after:
            return ranked
        try:
            place = json.loads(base64.urlsafe_b64decode(after))
            return [market for market in ranked if self.place(market) > place]
        except (binascii.Error, ValueError, TypeError):
            raise ValueError("after_cursor is not valid") from None

    def cursor(self, last: Market) -> str:
        """Opaque text naming the place of `last`."""
        return base64.urlsafe_b64encode(json.dumps(self.place(last)).encode()).decode()


def _order(query: Query) -> _Order:
    names = tuple(query.get("order", ["id"])[-1].split(","))
    if any(name not in ORDERS for name in names):
        raise ValueError("order fields are not valid")
    rising = query.get("ascending", ["false" if "order" in query else "true"])[-1] == "true"
    return _Order(names, rising)


def _number(query: Query, name: str, default: int, *, most: int | None = None) -> int:
    text = query.get(name, [str(default)])[-1]
    if not text.isdigit():
        raise ValueError(f"{name} must be a number")
    if most is not None and not 1 <= int(text) <= most:
        raise ValueError(f"{name} must be between 1 and {most}")
    return int(text)
