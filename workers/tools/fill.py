"""Show what the visible book would have filled of an order at a moment: an observation, no order.

Levels are taken from the best one on until the size is met or the limit is passed. There is no
queue, no latency, no fee and nobody reacts; what was not visible is not counted.
"""

import argparse
import json

from workers.core.books.amounts import Inexact, micros, shortest
from workers.core.books.fills import Fill, fill
from workers.core.books.page import answer_json, half_text, micros_text, places_text
from workers.core.errors import NeedsAPerson
from workers.core.instants import utc_text
from workers.core.reading.evidence import Answer, State
from workers.edge import terminal
from workers.edge.reading.archive import open_archive

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks fill btc-updown-5m-1776326400 --side buy --size 500 --at open+30s
  orderbooks fill btc-updown-5m-1776326400 --side sell --size 20 --limit 0.47 --at close-1m --json

exit codes: 0 filled whole, from a SYNCED book; 1 not; 2 no book at that moment
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("market", metavar="MARKET", help="slug, condition id or address")
    parser.add_argument("--side", choices=("buy", "sell"), required=True)
    parser.add_argument("--size", required=True, metavar="N", help="shares, an exact decimal")
    parser.add_argument("--limit", metavar="P", help="a price not to be passed")
    parser.add_argument("--at", required=True, metavar="T", help="the moment")
    parser.add_argument("--outcome", default="0", metavar="NAME", help="Up, Down, 0, 1, a token id")
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the fill; 0 when all of it was visible in a SYNCED book."""
    size_micros = _exact("--size", arguments.size)
    limit_micros = _exact("--limit", arguments.limit) if arguments.limit else None
    reader = open_archive(arguments.data, "label")
    answer = reader.book(arguments.market, arguments.outcome, arguments.at)
    if answer.book is None:
        raise NeedsAPerson(
            f"fill at {utc_text(answer.at_ns)}: no book: {answer.state} {answer.cause}",
            hint="`orderbooks coverage --market SLUG` tells what was captured",
        )
    found = fill(answer.book, arguments.side, size_micros, limit_micros)
    if arguments.json:
        print(json.dumps(_json(found, answer)))
    else:
        _print(found, answer)
    is_whole = not found.unfilled_micros and answer.state == State.SYNCED
    return EXIT_FINE if is_whole else EXIT_WRONG


def _exact(option: str, text: str) -> int:
    try:
        return micros(text)
    except Inexact as error:
        raise NeedsAPerson(f"read {option}: {error}", hint="a decimal such as 12.5") from error


def _json(found: Fill, answer: Answer) -> dict[str, object]:
    vwap = found.vwap
    return {
        "schema": "orderbooks.fill/1",
        "side": found.side,
        "size_micros": found.size_micros,
        "limit_micros": found.limit_micros,
        "filled_micros": found.filled_micros,
        "unfilled_micros": found.unfilled_micros,
        "cost_picos": found.cost_picos,
        "vwap": None if vwap is None else [vwap.numerator, vwap.denominator],
        "vwap_text": places_text(vwap),
        "slippage_best_text": places_text(found.slippage_best),
        "slippage_mid_text": places_text(found.slippage_mid),
        "steps": [[each.price_micros, each.taken_micros] for each in found.steps],
        "evidence": answer_json(answer),
    }


def _print(found: Fill, answer: Answer) -> None:
    name = terminal.printable(f"{answer.slug} {answer.outcome}")
    wanted = f"{found.side} {shortest(found.size_micros)}"
    limit = f" at {shortest(found.limit_micros)} or better" if found.limit_micros else ""
    print(f"{terminal.coloured(name, 'bold')}  {wanted}{limit}, {utc_text(answer.at_ns)}")
    age = "-" if answer.age_ns is None else f"{answer.age_ns / 1_000_000_000:.3f} s"
    print(terminal.printable(f"{answer.state} {answer.cause}".strip()) + f", evidence {age} old\n")
    rows = [
        (shortest(each.price_micros), shortest(each.taken_micros), shortest(each.left_micros))
        for each in found.steps
    ]
    print(terminal.table(["price", "taken", "left there"], rows))
    left = shortest(found.unfilled_micros)
    print(f"\nfilled {shortest(found.filled_micros)}, not filled {left}")
    best, mid = micros_text(found.best_micros), half_text(found.mid_half_micros)
    print(f"average {places_text(found.vwap)}  best {best}  mid {mid}")
    worse_best, worse_mid = places_text(found.slippage_best), places_text(found.slippage_mid)
    print(f"worse than the best by {worse_best}, than the mid by {worse_mid}")
    if answer.provenance is not None:
        print(f"from {answer.provenance.path}:{answer.provenance.row}")
