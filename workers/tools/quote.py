"""Show the price, the midpoint, the spread and the book of a market as the venue says them now.

Public endpoints only, a dozen requests at most, nothing is written and nothing is kept. The book's
hash is computed again. What `side` means on /price is in dispute (docs/VENUE.md §3.2): both are
shown.
"""

import argparse
import json
from collections.abc import Callable

import msgspec

from workers import VERSION
from workers.core.books.book import Book, hash_verdict, read_book
from workers.core.books.page import book_json, depth_text, half_text, ladder_rows, micros_text
from workers.core.errors import NeedsAPerson, Refused, Temporary
from workers.core.instants import ms_text
from workers.core.polling.answers import Answer
from workers.core.reading.moments import designation_of
from workers.core.settings.settings import Venue
from workers.core.universe.gamma import fields_of, objects, read_page, texts
from workers.core.universe.refusals import WrongField
from workers.edge import settings_file, terminal
from workers.edge.rest import Call, RestClient

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks quote btc-updown-5m-1776326400
  orderbooks quote https://polymarket.com/event/btc-updown-5m-1776326400 --levels 3
  orderbooks quote btc-updown-5m-1776326400 --json

exit codes: 0 both books, hashes right; 1 a book is missing or its hash is wrong; 2 no such market,
or the venue does not answer
"""
NOT_FOUND = 404
Ask = Callable[[Call], Answer]


class Quoted(msgspec.Struct, frozen=True):
    """One outcome as the venue says it now; texts as sent, "-" where it said none."""

    outcome: str
    token_id: str
    buy: str
    sell: str
    midpoint: str
    spread: str
    book: Book | None
    hash_verdict: str
    at_ms: int


class _Small(msgspec.Struct, frozen=True):
    """The answer of a small read (VENUE §3.2)."""

    price: str | None = None
    mid: str | None = None
    spread: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("market", metavar="MARKET", help="slug, or address of its page")
    parser.add_argument("--levels", type=int, default=5, metavar="N", help="of each side (5)")
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Ask and print; 0 when both books came and their hashes are right."""
    settings = settings_file.load(arguments.config).settings
    client = RestClient(
        timeout_s=settings.discovery.request_timeout_s,
        max_body_bytes=settings.discovery.max_body_bytes,
        user_agent=f"orderbooks/{VERSION}",
    )
    try:
        slug, quoted = quotes(settings.venue, client.fetch, arguments.market)
    finally:
        client.close()
    if arguments.json:
        found = {"schema": "orderbooks.quote/1", "slug": slug, "outcomes": [*map(_json, quoted)]}
        print(json.dumps(found))
    else:
        print(terminal.coloured(terminal.printable(slug), "bold"))
        for each in quoted:
            _print(each, arguments.levels)
    is_right = all(each.hash_verdict == "verified" for each in quoted)
    return EXIT_FINE if is_right else EXIT_WRONG


def quotes(venue: Venue, ask: Ask, market: str) -> tuple[str, list[Quoted]]:
    """The market's name, and each outcome.

    Raises:
        NeedsAPerson: the venue knows no such market, or it has no books.
        Temporary: the venue does not answer.
    """
    fields = _market(venue.gamma_url, ask, market)
    try:
        tokens = texts(fields, "clobTokenIds", "token_number")
        outcomes = texts(fields, "outcomes", "bad_list")
    except WrongField as wrong:
        raise NeedsAPerson(f"read the market {market!r}: {wrong.detail}") from wrong
    if not tokens or len(tokens) != len(outcomes):
        raise NeedsAPerson(
            f"quote {market!r}: the venue lists it without tokens",
            hint="it may not be open yet",
        )
    pairs = zip(tokens, outcomes, strict=True)
    return str(fields.get("slug")), [
        _quoted(venue.clob_url, ask, token, outcome) for token, outcome in pairs
    ]


def _market(gamma_url: str, ask: Ask, market: str) -> dict[str, object]:
    """The market object: by its own name, else as the one market of an event."""
    names = designation_of(market).names
    for name in names:
        answer = _answered(ask, f"{gamma_url}/markets/slug/{name}")
        if answer is not None:
            return dict(fields_of(msgspec.json.decode(answer.body)))
    for name in names:
        answer = _answered(ask, f"{gamma_url}/events/slug/{name}")
        events = read_page(answer.body).events if answer is not None else ()
        inside = [each for event in objects([*events]) for each in objects(event.get("markets"))]
        if len(inside) == 1:
            return dict(inside[0])
        if inside:
            some = ", ".join(str(each.get("slug")) for each in inside[:5])
            raise NeedsAPerson(
                f"quote {name}: it has {len(inside)} markets", hint=f"such as {some}"
            )
    raise NeedsAPerson(
        f"quote {market!r}: the venue knows no such market",
        hint="a slug, or the address of the market's page; condition ids are not looked up",
    )


def _answered(ask: Ask, url: str) -> Answer | None:
    """A good answer, or None for 404."""
    answer = ask(Call(method="GET", url=url))
    if answer.status == NOT_FOUND:
        return None
    if not answer.is_ok:
        raise Temporary(
            f"ask {url.partition('?')[0]}: {answer.cause} {answer.detail}".strip(),
            hint="is there a network? `orderbooks probe` asks every endpoint",
        )
    return answer


def _quoted(clob_url: str, ask: Ask, token_id: str, outcome: str) -> Quoted:
    book, verdict, at_ms = None, "no book", 0
    answer = _answered(ask, f"{clob_url}/book?token_id={token_id}")
    if answer is not None:
        at_ms = answer.recv_wall_ns // 1_000_000
        try:
            book = read_book(answer.body.strip())
            verdict = hash_verdict(book).value
        except Refused as error:
            verdict = f"unreadable: {error}"
    token = f"token_id={token_id}"
    return Quoted(
        outcome=outcome,
        token_id=token_id,
        buy=_small(ask, f"{clob_url}/price?{token}&side=BUY").price or "-",
        sell=_small(ask, f"{clob_url}/price?{token}&side=SELL").price or "-",
        midpoint=_small(ask, f"{clob_url}/midpoint?{token}").mid or "-",
        spread=_small(ask, f"{clob_url}/spread?{token}").spread or "-",
        book=book,
        hash_verdict=verdict,
        at_ms=at_ms,
    )


def _small(ask: Ask, url: str) -> _Small:
    answer = _answered(ask, url)
    try:
        return msgspec.json.decode(answer.body, type=_Small) if answer else _Small()
    except msgspec.MsgspecError:
        return _Small()


def _json(quoted: Quoted) -> dict[str, object]:
    plain = msgspec.structs.asdict(quoted)
    return plain | {"book": None if quoted.book is None else book_json(quoted.book)}


def _print(quoted: Quoted, levels: int) -> None:
    name, verdict = terminal.printable(quoted.outcome), quoted.hash_verdict
    print(
        f"\n{terminal.coloured(name, 'bold')}  price BUY {quoted.buy}  SELL {quoted.sell}", end=""
    )
    print(f"  midpoint {quoted.midpoint}  spread {quoted.spread}")
    book = quoted.book
    if book is None:
        print(terminal.printable(verdict))
        return
    print(terminal.table(["side", "price", "size", "in all"], ladder_rows(book, levels)))
    mid, spread = half_text(book.mid_half_micros), micros_text(book.spread_micros)
    print(f"of the book: mid {mid}  spread {spread}  {depth_text(book)}")
    changed, seen = ms_text(book.venue_ms), ms_text(quoted.at_ms)
    print(f"changed {changed} by the venue's clock, received {seen} by ours; hash {verdict}")
