"""Is the venue still as this program knows it? One answer of each endpoint, judged.

| verdict     | means                                                              |
|-------------|--------------------------------------------------------------------|
| ok          | everything that the program relies on is as documented             |
| differs     | something it relies on is not; `detail` says what                  |
| unreachable | no answer came, or nothing could be asked for want of another one  |

Promises  any bytes give a check; keys that are new are told as facts, not as a difference: the
          venue adds keys without notice.
Source    VENUE §2 and §3.
"""

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import msgspec

from workers.core.books.bookhash import Verdict, verdict
from workers.core.health.clocks import compared
from workers.core.polling.answers import Answer

OK, DIFFERS, UNREACHABLE = "ok", "differs", "unreachable"
BOOK_KEYS = (
    *("market", "asset_id", "timestamp", "hash", "bids", "asks"),
    *("min_order_size", "tick_size", "neg_risk", "last_trade_price"),
)
MARKET_KEYS = ("slug", "conditionId", "outcomes", "clobTokenIds", "endDate", "closed")
EVENT_KEYS = ("slug", "markets", "series")


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one question; `facts` are of JSON types."""

    endpoint: str
    target: str
    verdict: str
    detail: str = ""
    status: int | None = None
    cause: str = ""
    took_ms: int | None = None
    bytes: int = 0
    headers: dict[str, str] = {}
    facts: dict[str, object] = {}


class Finding(msgspec.Struct):
    """Facts and differences while a body is looked at."""

    facts: dict[str, object] = {}
    differences: list[str] = []


def unasked(endpoint: str, why: str) -> Check:
    """An endpoint that could not be asked."""
    return Check(endpoint=endpoint, target="", verdict=UNREACHABLE, detail=why)


def check(endpoint: str, target: str, answer: Answer, *, status: int = 200) -> Check:
    """Judge one answer.

    Args:
        endpoint: as ENDPOINTS calls it.
        target: what was asked, for a person.
        answer: what came.
        status: the one that is right for this question.
    """
    found = Finding()
    if answer.status is None:
        given, detail = UNREACHABLE, f"{answer.cause}: {answer.detail}"
    else:
        if answer.status != status:
            found.differences.append(f"status {answer.status} ({answer.cause}), expected {status}")
        else:
            _look(endpoint, answer, found)
        given, detail = DIFFERS if found.differences else OK, "; ".join(found.differences)
    return Check(
        endpoint=endpoint,
        target=target,
        verdict=given,
        detail=detail[:500],
        status=answer.status,
        cause=answer.cause,
        took_ms=answer.took_ms,
        bytes=len(answer.body),
        headers=answer.headers,
        facts=found.facts,
    )


def _look(endpoint: str, answer: Answer, found: Finding) -> None:
    try:
        value = msgspec.json.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        found.differences.append(f"not JSON: {error}")
        return
    if endpoint == "GET /events/keyset":
        _look_page(value, found)
    elif endpoint == "GET /events/slug":
        _look_event(value, found)
    elif endpoint == "GET /markets/slug":
        _look_market(value, found)
    elif endpoint == "GET /time":
        _look_time(value, answer, found)
    elif endpoint == "GET /book":
        _look_book(value, answer.body, found)
    elif endpoint == "POST /books":
        _look_books(value, answer.body, found)
    elif endpoint == "GET /book, unknown token":
        _look_keys(value, ("error",), found)
    else:
        _look_quote(value, endpoint.rpartition("/")[2].partition(" ")[0], found)


def _look_keys(value: object, needed: Sequence[str], found: Finding) -> Mapping[str, object]:
    """The keys of an object; the needed ones that are absent differ."""
    if not isinstance(value, dict):
        found.differences.append(f"{_kind(value)}, expected an object")
        return {}
    found.facts["keys"] = sorted(value)
    absent = [key for key in needed if key not in value]
    if absent:
        found.differences.append(f"without {', '.join(absent)}")
    return value


def _look_page(value: object, found: Finding) -> None:
    page = _look_keys(value, ("events",), found)
    events = page.get("events")
    if not isinstance(events, list) or not events:
        found.differences.append(f"events is {_kind(events)}, expected at least one")
        return
    inner = Finding()
    _look_event(events[0], inner)
    found.facts |= {"events": len(events), "event": inner.facts, "cursor": "next_cursor" in page}
    found.differences += inner.differences


def _look_event(value: object, found: Finding) -> None:
    event = _look_keys(value, EVENT_KEYS, found)
    markets = event.get("markets")
    if not isinstance(markets, list) or not markets:
        found.differences.append(f"markets is {_kind(markets)}, expected at least one")
        return
    inner = Finding()
    _look_market(markets[0], inner)
    found.facts["market"] = inner.facts
    found.differences += inner.differences


def _look_market(value: object, found: Finding) -> None:
    market = _look_keys(value, MARKET_KEYS, found)
    found.facts["types"] = {key: _kind(market[key]) for key in MARKET_KEYS if key in market}
    for key in ("outcomes", "clobTokenIds"):
        if key in market and not isinstance(market[key], str | list):
            found.differences.append(f"{key} is {_kind(market[key])}, expected text or a list")


def _look_time(value: object, answer: Answer, found: Finding) -> None:
    if not isinstance(value, int):
        found.differences.append(f"{_kind(value)}, expected Unix seconds")
        return
    clock = compared(answer)
    found.facts |= {"offset_ms": clock.offset_ms, "tolerance_ms": clock.tolerance_ms}


def _look_book(value: object, raw: bytes, found: Finding) -> None:
    book = _look_keys(value, BOOK_KEYS, found)
    found.facts["extra_keys"] = sorted(set(book) - set(BOOK_KEYS))
    found.facts["is_in_known_order"] = tuple(book)[: len(BOOK_KEYS)] == BOOK_KEYS
    for side, falling in (("bids", False), ("asks", True)):
        prices = list(_prices(book.get(side), found))
        found.facts[side] = len(prices)
        if prices != sorted(prices, reverse=falling):
            found.differences.append(f"{side} do not end with the best")
    found.facts["hash"] = str(verdict(raw))
    if verdict(raw) != Verdict.VERIFIED:
        found.differences.append(f"its hash is {verdict(raw)}")


def _prices(levels: object, found: Finding) -> Iterator[Decimal]:
    for level in levels if isinstance(levels, list) else ():
        try:
            yield Decimal(level["price"])
        except (InvalidOperation, KeyError, TypeError, ValueError):
            found.differences.append(f"a level is {str(level)[:60]}")


def _look_books(value: object, raw: bytes, found: Finding) -> None:
    if not isinstance(value, list):
        found.differences.append(f"{_kind(value)}, expected an array")
        return
    found.facts["books"] = len(value)
    raws = msgspec.json.decode(raw, type=list[msgspec.Raw])
    for number, (book, text) in enumerate(zip(value, raws, strict=True), 1):
        inner = Finding()
        _look_book(book, bytes(text), inner)
        found.facts["hash"] = inner.facts.get("hash")
        found.differences += [f"book {number}: {each}" for each in inner.differences]
    rebuilt = b"[" + b",".join(bytes(each) for each in raws) + b"]"
    found.facts["is_rebuilt_from_its_books"] = rebuilt == raw
    if not value:
        found.differences.append("no book of a token that has one by GET /book")


def _look_quote(value: object, route: str, found: Finding) -> None:
    name = {"midpoint": "mid"}.get(route, route)
    quote = _look_keys(value, (name,), found)
    found.facts["type"] = _kind(quote.get(name))
    if name in quote and not isinstance(quote[name], str):
        found.differences.append(f"{name} is {_kind(quote[name])}, expected text")


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "text", bool: "true or false"}
    if value is None:
        return "null"
    return names.get(type(value), "a number")


def report_text(at_utc: str, checks: Sequence[Check]) -> str:
    """The probe as a page for people, Markdown."""
    lines = [f"# Probe of {at_utc}", "", "| endpoint | verdict | status | ms | what |"]
    lines += ["|---|---|---|---|---|"]
    for each in checks:
        said = each.detail or ", ".join(f"{key} {_fact(each.facts[key])}" for key in each.facts)
        cell = " ".join(said.replace("|", "/").replace("`", "'").split())[:300]
        row = (each.endpoint, each.verdict, each.status or "-", each.took_ms or "-", cell)
        lines.append("| " + " | ".join(str(part) for part in row) + " |")
    return "\n".join(lines) + "\n"


def _fact(value: object) -> str:
    if isinstance(value, dict):
        return f"({len(value)} facts)"
    return f"({len(value)})" if isinstance(value, list) and len(value) > 4 else str(value)
