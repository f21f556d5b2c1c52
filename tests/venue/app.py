"""One request in, one answer out: routes, then faults stage by stage, then the control routes.

Promises: a fault changes the answer only where its stage is (objects, books, whole answer,
          wire) and is named in the answer; control routes (`/_…`) are never spoiled or recorded.
"""

import json
import random
import re
from dataclasses import dataclass, replace

from tests.venue import clob, faults, spoil_answers, spoil_books, spoil_gamma
from tests.venue.answers import Answer, Request, Wire, dumps, from_json, refused
from tests.venue.clob import Clob
from tests.venue.faults import Faults, Rule
from tests.venue.gamma import Gamma, Page
from tests.venue.spoil_books import Scene
from tests.venue.states import World


@dataclass(frozen=True, slots=True)
class Routed:
    """The answer and the name of its route, as fault rules and the ledger call it."""

    route: str
    answer: Answer


class App:
    """The venue without its sockets and files."""

    def __init__(self, world: World, menu: Faults, *, seed: int) -> None:
        self.world = world
        self.faults = menu
        self.gamma = Gamma(world)
        self._dice = random.Random(f"{seed}:answers")
        self._clob = Clob(world, self._dice)

    def answer(self, request: Request, now_ms: int) -> Routed:
        """The answer to one request of a client, with the faults that apply now."""
        route = _route(request)
        rules = self.faults.match(route, now_ms)
        if self.gamma.owns(request.path):
            answer = self._gamma(request, rules, now_ms)
        elif request.path in self._clob.routes:
            answer = self._clob_answer(request, rules, now_ms)
        else:
            answer = refused(404, "not found")
        for rule in (rule for rule in rules if rule.kind in faults.ANSWER_KINDS):
            answer = spoil_answers.apply(answer, rule, now_ms=now_ms)
        wires = tuple(Wire(r.kind, r.params) for r in rules if r.kind in faults.WIRE_KINDS)
        return Routed(route, replace(answer, wires=wires))

    def control(self, request: Request) -> Answer:
        """`POST /_fault`, `DELETE /_fault/<id>`, `GET` and `DELETE /_faults`."""
        name = (request.method, request.path.rpartition("/_")[2])
        try:
            if name == ("POST", "fault"):
                return from_json({"id": self.faults.add(**json.loads(request.body))})
            if name == ("GET", "faults"):
                return from_json(self.faults.listing())
            if name == ("DELETE", "faults"):
                self.faults.clear()
                return from_json([])
            if name[0] == "DELETE" and name[1].startswith("fault/"):
                self.faults.remove(int(name[1].removeprefix("fault/")))
                return from_json([])
        except (ValueError, TypeError) as error:
            return refused(400, str(error))
        return refused(404, "no such control route")

    def _gamma(self, request: Request, rules: tuple[Rule, ...], now_ms: int) -> Answer:
        rules = tuple(rule for rule in rules if rule.kind in faults.OBJECT_KINDS)
        for rule in rules:
            if rule.kind == "stale_page":
                now_ms -= round(rule.number("age_s", 600) * 1000)
            if rule.kind == "cursor_loop":
                query = re.sub(r"(^|&)after_cursor=[^&]*", "", request.query)
                request = replace(request, query=query)
        page = self.gamma.page(request, now_ms)
        if isinstance(page, Answer):
            return page
        for rule in rules:
            page = spoil_gamma.apply(page, rule)
        return _gamma_answer(page, rules)

    def _clob_answer(self, request: Request, rules: tuple[Rule, ...], now_ms: int) -> Answer:
        answer = self._clob.answer(request, now_ms)
        for rule in (rule for rule in rules if rule.kind in faults.BOOK_KINDS):
            if not answer.books:
                continue
            scene = Scene(rule, self._dice, self.world, now_ms, answer.asked)
            answer = answer.marked(rule.kind, books=spoil_books.apply(answer.books, scene))
            answer = _rebuilt(answer, request)
        return answer


def _gamma_answer(page: Page, rules: tuple[Rule, ...]) -> Answer:
    body = dumps(page.payload())
    return Answer(status=200, body=body, faults=tuple(rule.kind for rule in rules))


def _rebuilt(answer: Answer, request: Request) -> Answer:
    """The body again, from the books it now carries."""
    if request.path == "/books":
        return replace(answer, body=clob.join(answer.books))
    if not answer.books:
        missing = refused(404, clob.NO_BOOK)
        return replace(answer, status=404, body=missing.body)
    return replace(answer, body=answer.books[0].raw)


def _route(request: Request) -> str:
    """Name of the route: books, book, events, markets, slug, time or clob."""
    parts = request.path.strip("/").split("/")
    if parts[0] in ("events", "markets"):
        if len(parts) == 1 and "slug=" in request.query:
            return "slug"
        return parts[0] if parts[1:] in ([], ["keyset"]) else "slug"
    return parts[0] if parts[0] in ("books", "book", "time") else "clob"
