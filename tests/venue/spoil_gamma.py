"""Faults on a Gamma page. Each kind is one function.

Which markets: `slugs`=[…], else all on the page.
Kinds and their parameters:
  swapped        mode=outcomes: Down before Up with the tokens left; mode=tokens (default): the
                 tokens of another market
  ids_changed    another condition id and other tokens under the same slug
  three_outcomes a third outcome and token
  drift          mode=extra|missing|renamed|type, key="clobTokenIds" (of the market)
  cursor_loop    next_cursor always leads to the same first page;  empty_page: no objects at all
  stale_page     the page as it was age_s=600 ago (done before the page is made)
  arrays         real arrays where Gamma sends JSON text;  position_ids: protocol-v2 naming
  hydration      clobTokenIds "[]";  number_tokens: numbers inside the JSON text
  odd_times      mode=offset|space|missing|fraction|nonsense on endDate and the window start
  no_series      the event has no series
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import cast

from tests.venue.faults import Rule
from tests.venue.gamma import Page
from tests.venue.gamma_objects import Json
from tests.venue.spoil_books import drifted

LISTS = ("outcomes", "outcomePrices", "clobTokenIds", "umaResolutionStatuses")
TIMES = ("endDate", "eventStartTime", "startTime")


def apply(page: Page, rule: Rule) -> Page:
    """The page with this fault in it."""
    if rule.kind == "cursor_loop":
        return replace(page, next_cursor=rule.text("cursor", "bG9vcA=="))
    if rule.kind == "empty_page":
        return replace(page, items=(), next_cursor=None, single=False)
    if rule.kind == "stale_page":
        return page
    slugs = rule.texts("slugs")
    markets = [market for item in page.items for market in _inner(item)]
    items = tuple(
        _edited(item, rule, markets) if not slugs or item["slug"] in slugs else item
        for item in page.items
    )
    return replace(page, items=items)


def _inner(item: Json) -> list[Json]:
    return cast(list[Json], item["markets"]) if "markets" in item else [item]


def _edited(item: Json, rule: Rule, markets: list[Json]) -> Json:
    edit = EDITS[rule.kind]
    if "markets" not in item:
        return edit(item, rule, markets)
    event = {**item, "markets": [edit(market, rule, markets) for market in _inner(item)]}
    if rule.kind == "odd_times":
        return _odd_times(event, rule, markets)
    return {**event, "series": []} if rule.kind == "no_series" else event


def _swapped(market: Json, rule: Rule, markets: list[Json]) -> Json:
    if rule.text("mode", "tokens") == "outcomes":
        return {**market, "outcomes": json.dumps(_list(market, "outcomes")[::-1])}
    place = [other["slug"] for other in markets].index(market["slug"])
    other = markets[(place + 1) % len(markets)]
    if other is market:
        return {**market, "clobTokenIds": json.dumps(_list(market, "clobTokenIds")[::-1])}
    return {**market, "clobTokenIds": other["clobTokenIds"]}


def _ids_changed(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    tokens = [_other_id(token) for token in _list(market, "clobTokenIds")]
    condition = hashlib.sha256(str(market["conditionId"]).encode()).hexdigest()
    return {**market, "conditionId": f"0x{condition}", "clobTokenIds": json.dumps(tokens)}


def _three_outcomes(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    tokens = _list(market, "clobTokenIds")
    return {
        **market,
        "outcomes": json.dumps([*_list(market, "outcomes"), "Flat"]),
        "clobTokenIds": json.dumps([*tokens, *(_other_id(token) for token in tokens[:1])]),
    }


def _drift(market: Json, rule: Rule, _markets: list[Json]) -> Json:
    return drifted(market, rule, key="clobTokenIds")


def _arrays(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    return {**market, **{key: _list(market, key) for key in LISTS if key in market}}


def _position_ids(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    positions = market["clobTokenIds"]
    return {**market, "clobTokenIds": "[]", "positionIds": positions, "version": "v2"}


def _hydration(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    return {**market, "clobTokenIds": "[]"}


def _number_tokens(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    return {**market, "clobTokenIds": f"[{', '.join(_list(market, 'clobTokenIds'))}]"}


def _odd_times(market: Json, rule: Rule, _markets: list[Json]) -> Json:
    mode = rule.text("mode", "offset")
    if mode == "missing":
        return {key: value for key, value in market.items() if key not in TIMES}
    return market | {key: _odd_time(str(market[key]), mode) for key in TIMES if key in market}


def _odd_time(text: str, mode: str) -> str:
    """A time of Gamma's in another form."""
    odd = {
        "offset": text.replace("Z", "+00:00:00"),
        "space": text.replace("T", " ").replace("Z", "+00"),
        "fraction": text.replace("Z", ".1234567Z"),
        "nonsense": "soon",
    }
    return odd[mode]


def _unchanged(market: Json, _rule: Rule, _markets: list[Json]) -> Json:
    return market


def _list(market: Json, key: str) -> list[str]:
    return cast(list[str], json.loads(str(market[key])))


def _other_id(token: str) -> str:
    return str(int(hashlib.sha256(token.encode()).hexdigest(), 16))


EDITS: dict[str, Callable[[Json, Rule, list[Json]], Json]] = {
    "swapped": _swapped,
    "ids_changed": _ids_changed,
    "three_outcomes": _three_outcomes,
    "drift": _drift,
    "arrays": _arrays,
    "position_ids": _position_ids,
    "hydration": _hydration,
    "number_tokens": _number_tokens,
    "odd_times": _odd_times,
    "no_series": _unchanged,
}
