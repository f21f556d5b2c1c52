"""The CLOB's public read routes over a world: books, prices, time.

Promises: `POST /books` omits what has no book, in silence, and answers in an order that is not
          the order asked (12 of 12 real batches, VENUE 3.1); texts of errors as VENUE 3.2, 3.3.
"""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import parse_qs

from tests.venue.answers import Answer, Request, Served, from_json, refused
from tests.venue.states import PRICE_TEXT, BookState, World

LIMIT_BYTES = 50_000  # "somewhere past roughly 500 ids" (VENUE 3.1); 500 ids are about 47 kB
LIMIT_ITEMS = 500
NO_BOOK = "No orderbook exists for the requested token id"


class Clob:
    """Answers for CLOB paths; `routes` names them all."""

    def __init__(self, world: World, dice: random.Random) -> None:
        self.world = world
        self._dice = dice
        self._gets: dict[str, Callable[[BookState, dict[str, list[str]]], Answer]] = {
            "/book": _book,
            "/price": _price,
            "/midpoint": lambda state, _: from_json({"mid": _middle(state)}),
            "/spread": lambda state, _: from_json({"spread": _spread(state)}),
            "/tick-size": lambda state, _: from_json({"minimum_tick_size": float(state.tick)}),
            "/neg-risk": lambda _, __: from_json({"neg_risk": False}),
            "/last-trade-price": lambda state, _: from_json(_last_trade(state)),
        }
        self._posts: dict[str, Callable[[list[BookState], list[dict[str, str]]], Answer]] = {
            "/books": self._books,
            "/prices": _prices,
            "/midpoints": lambda states, _: from_json({s.token_id: _middle(s) for s in states}),
            "/spreads": lambda states, _: from_json({s.token_id: _spread(s) for s in states}),
            "/last-trades-prices": _last_trades,
        }
        self.routes = frozenset({*self._gets, *self._posts, "/", "/time", "/ok", "/version"})

    def answer(self, request: Request, now_ms: int) -> Answer:
        """The faultless answer to one request on one of `routes`."""
        path = request.path
        if path == "/time":
            return from_json(now_ms // 1000)
        if path in ("/", "/ok", "/version"):
            return from_json({"version": 2} if path == "/version" else "OK")
        if request.method == "POST" and path in self._posts:
            return self._post(request, now_ms)
        if request.method == "GET" and path in self._gets:
            return self._get(request, now_ms)
        # GET of a plural form, in every encoding (live test of 2026-10-02).
        return refused(400, "Invalid payload")

    def _get(self, request: Request, now_ms: int) -> Answer:
        query = parse_qs(request.query)
        token_id = query.get("token_id", [""])[0]
        if not (token_id.isascii() and token_id.isdigit() and len(token_id) <= 78):
            return refused(400, "Invalid token id")
        state = self.world.state(token_id, now_ms)
        if state is None:
            return replace(refused(404, NO_BOOK), asked=(token_id,))
        answer = self._gets[request.path](state, query)
        return replace(answer, asked=(token_id,), states=(state,) if answer.books else ())

    def _post(self, request: Request, now_ms: int) -> Answer:
        if len(request.body) > LIMIT_BYTES:
            return refused(400, "Payload exceeds the limit")
        items = _items(request.body)
        if items is None:
            return refused(400, "Invalid payload")
        if len(items) > LIMIT_ITEMS:
            return refused(400, "Payload exceeds the limit")
        asked = tuple(item["token_id"] for item in items)
        found = (self.world.state(token_id, now_ms) for token_id in dict.fromkeys(asked))
        states = [state for state in found if state is not None]
        answer = self._posts[request.path](states, items)
        return replace(answer, asked=asked, states=tuple(states) if answer.books else ())

    def _books(self, states: list[BookState], _items: list[dict[str, str]]) -> Answer:
        """All books, shuffled: never in the order asked while there are two."""
        order = [*states]
        self._dice.shuffle(order)
        if order == states:
            order.reverse()
        books = tuple(served(state) for state in order)
        return Answer(status=200, body=join(books), books=books)


def served(state: BookState) -> Served:
    """A state as one book of an answer."""
    return Served(state.token_id, state.timestamp, state.digest, state.raw)


def join(books: tuple[Served, ...]) -> bytes:
    """The body of a `POST /books` answer."""
    return b"[" + b",".join([book.raw for book in books]) + b"]"


def _items(body: bytes) -> list[dict[str, str]] | None:
    """The asked items, or None for anything else than a list of objects with a token id."""
    try:
        items = json.loads(body)
    except ValueError:
        return None
    if not isinstance(items, list):
        return None
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("token_id"), str):
            return None
    return items


def _book(state: BookState, _query: dict[str, list[str]]) -> Answer:
    return Answer(status=200, body=state.raw, books=(served(state),))


def _price(state: BookState, query: dict[str, list[str]]) -> Answer:
    side = query.get("side", [""])[0].upper()
    if side not in ("BUY", "SELL"):
        return refused(400, "Invalid side")
    return from_json({"price": _side_price(state, side)})


def _prices(states: list[BookState], items: list[dict[str, str]]) -> Answer:
    sides: dict[str, list[str]] = {}
    for item in items:
        sides.setdefault(item["token_id"], []).append(item.get("side", "SELL").upper())
    return from_json(
        {s.token_id: {side: _side_price(s, side) for side in sides[s.token_id]} for s in states}
    )


def _side_price(state: BookState, side: str) -> str:
    """BUY is the best bid (docs of Oct 2026; older ones said the opposite)."""
    best = state.best_bid if side == "BUY" else state.best_ask
    return "0" if best is None else PRICE_TEXT[best]


def _middle(state: BookState) -> str:
    bid = 0 if state.best_bid is None else state.best_bid
    ask = 1000 if state.best_ask is None else state.best_ask
    return f"{(bid + ask) / 2000:.4f}".rstrip("0").rstrip(".")


def _spread(state: BookState) -> str:
    bid = 0 if state.best_bid is None else state.best_bid
    ask = 1000 if state.best_ask is None else state.best_ask
    return PRICE_TEXT[ask - bid]


def _last_trade(state: BookState) -> dict[str, str]:
    if not state.last_trade:
        return {"price": "0.5", "side": ""}
    return {"price": state.last_trade.rstrip("0").rstrip(".") or "0", "side": "BUY"}


def _last_trades(states: list[BookState], _items: list[dict[str, str]]) -> Answer:
    traded = [state for state in states if state.last_trade]
    return from_json([{"token_id": state.token_id, **_last_trade(state)} for state in traded])
