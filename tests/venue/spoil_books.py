"""Faults on the books of one answer. Each kind is one function.

Which books: `tokens`=[ids], else `number`=1 chosen by the seed (-1: all of them).
Kinds and their parameters:
  omit          the book is left out;  duplicate: it comes twice;  reorder: another order
  foreign       a book nobody asked for is added
  ghost         the 0.01 / 0.99 book, age_ms=60000 older (py-clob-client issue 180)
  wrong_market  another market's id in it
  bad_hash      the last digit of the hash is wrong
  empty_sides   no bids, no asks
  odd_times     timestamp=text ("100000000" was seen, VENUE 5.3)
  number_tokens asset_id as a JSON number
  drift         mode=extra|missing|renamed|type, key="tick_size"
Promises: except for bad_hash, drift and number_tokens, the hash is right for the text sent.
"""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass

from tests.venue.answers import Served, dumps
from tests.venue.bookhash import book_hash
from tests.venue.clob import served
from tests.venue.faults import Rule
from tests.venue.states import World

Book = dict[str, object]
Books = tuple[Served, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may look at: the rule, chance, and the world the books come from."""

    rule: Rule
    dice: random.Random
    world: World
    now_ms: int
    asked: tuple[str, ...]


def apply(books: Books, scene: Scene) -> Books:
    """The books of the answer with this fault in them."""
    if not books:
        return books
    rule, kind = scene.rule, scene.rule.kind
    if kind == "reorder":
        return tuple(sorted(books, key=lambda book: book.token_id[::-1]))
    if kind == "foreign":
        return (*books, *_foreign(scene))
    chosen = _chosen(books, scene)
    if kind == "omit":
        return tuple(book for book in books if book.token_id not in chosen)
    if kind == "duplicate":
        return (*books, *(book for book in books if book.token_id in chosen))
    edit = EDITS[kind]
    return tuple(edit(book, rule) if book.token_id in chosen else book for book in books)


def _chosen(books: Books, scene: Scene) -> set[str]:
    named = scene.rule.texts("tokens")
    if named:
        return set(named)
    ids = [book.token_id for book in books]
    number = int(scene.rule.number("number", 1))
    return set(ids if number < 0 else scene.dice.sample(ids, min(number, len(ids))))


def _foreign(scene: Scene) -> Books:
    for market in scene.world.listed(scene.now_ms):
        if market.token_ids[0] not in scene.asked:
            state = scene.world.state(market.token_ids[0], scene.now_ms)
            if state is not None:
                return (served(state),)
    return ()


def _edit(book: Served, **changes: object) -> Served:
    """The book with these fields changed and its hash made right again."""
    value = json.loads(book.raw) | changes
    value["hash"] = book_hash(value)
    return Served(book.token_id, str(value["timestamp"]), value["hash"], dumps(value))


def _ghost(book: Served, rule: Rule) -> Served:
    return _edit(
        book,
        timestamp=str(int(book.timestamp) - int(rule.number("age_ms", 60_000))),
        bids=[{"price": "0.01", "size": "1075"}],
        asks=[{"price": "0.99", "size": "1075"}],
    )


def _wrong_market(book: Served, rule: Rule) -> Served:
    value = json.loads(book.raw)["market"]
    return _edit(book, market=rule.text("market", "0x" + value[:1:-1]))


def _bad_hash(book: Served, _rule: Rule) -> Served:
    wrong = book.digest[:-1] + ("0" if book.digest[-1] != "0" else "1")
    raw = book.raw.replace(book.digest.encode(), wrong.encode(), 1)
    return Served(book.token_id, book.timestamp, wrong, raw)


def _empty_sides(book: Served, _rule: Rule) -> Served:
    return _edit(book, bids=[], asks=[])


def _odd_times(book: Served, rule: Rule) -> Served:
    return _edit(book, timestamp=rule.text("timestamp", "100000000"))


def _number_tokens(book: Served, _rule: Rule) -> Served:
    quoted = f'"asset_id":"{book.token_id}"'.encode()
    bare = f'"asset_id":{book.token_id}'.encode()
    return Served(book.token_id, book.timestamp, book.digest, book.raw.replace(quoted, bare, 1))


def _drift(book: Served, rule: Rule) -> Served:
    value = drifted(json.loads(book.raw), rule, key="tick_size")
    return Served(book.token_id, book.timestamp, book.digest, dumps(value))


def drifted(value: Book, rule: Rule, *, key: str) -> Book:
    """An object with one schema change: mode extra, missing, renamed or type.

    Raises:
        ValueError: unknown mode.
    """
    mode, key = rule.text("mode", "extra"), rule.text("key", key)
    if mode == "extra":
        return {**value, "newField": {"nested": [1, None, "é"]}, "another_new_field": None}
    if mode == "missing":
        return {name: item for name, item in value.items() if name != key}
    if mode == "renamed":
        return {(f"{name}V2" if name == key else name): item for name, item in value.items()}
    if mode == "type":
        return {name: ([item] if name == key else item) for name, item in value.items()}
    raise ValueError(f"drifting a schema: mode {mode!r}, need extra, missing, renamed or type")


EDITS: dict[str, Callable[[Served, Rule], Served]] = {
    "ghost": _ghost,
    "wrong_market": _wrong_market,
    "bad_hash": _bad_hash,
    "empty_sides": _empty_sides,
    "odd_times": _odd_times,
    "number_tokens": _number_tokens,
    "drift": _drift,
}
