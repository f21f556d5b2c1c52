"""Show the order book of a market at a moment, and what proves it.

The book is the last one received before the moment: its source, its age, its state, the file and
row it stands in, the file's SHA-256 and the verdict on the venue's own hash are printed with it.
The source is the stream where a connection covered the token, and polls elsewhere.

SYNCED: the last due tick is here, or the stream's book is the venue's by its hash. SUSPECT: it is
here, and something speaks against it. GAP: due ticks between the book and the moment were not
captured, or none was due, and the stream did not cover it. LABELLED: a file that was read is
damaged, or a person called it invalid.

A market is a slug, a condition id or the address of its page. A moment is RFC 3339 in UTC, Unix
seconds or ms, relative to the market's window (open+30s, close-1m), or now, now-5s.
"""

import argparse
import json

from workers.core.books.page import (
    answer_json,
    depth_text,
    evidence_lines,
    half_text,
    ladder_rows,
    micros_text,
)
from workers.core.instants import utc_text
from workers.core.reading.evidence import Answer, State
from workers.edge import terminal
from workers.edge.reading.archive import open_archive

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks book btc-updown-5m-1776326400 --at open+30s
  orderbooks book btc-updown-5m-1776326400 --at 2026-04-16T08:00:30.5Z --outcome Down --levels 20
  orderbooks book https://polymarket.com/event/btc-updown-5m-1776326400 --at close-1m --json
  orderbooks book btc-updown-5m-1776326400 --at now          the last known state, and its age

exit codes: 0 SYNCED; 1 any other state; 2 no such market or time, or damage with --on-damage raise
"""
COLOURS = {State.SYNCED: "green", State.SUSPECT: "yellow", State.GAP: "yellow"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("market", metavar="MARKET", help="slug, condition id or address")
    parser.add_argument("--at", required=True, metavar="T", help="the moment")
    parser.add_argument("--outcome", default="0", metavar="NAME", help="Up, Down, 0, 1, a token id")
    parser.add_argument("--levels", type=int, default=10, metavar="N", help="of each side (10)")
    parser.add_argument(
        "--on-damage",
        choices=("label", "raise"),
        default="label",
        help="read a damaged file as far as it is whole, or stop",
    )
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the answer; 0 when it is SYNCED."""
    reader = open_archive(arguments.data, arguments.on_damage)
    answer = reader.book(arguments.market, arguments.outcome, arguments.at)
    if arguments.json:
        print(json.dumps({"schema": "orderbooks.book/1", **answer_json(answer)}))
    else:
        _print(answer, arguments.levels)
    return EXIT_FINE if answer.state == State.SYNCED else EXIT_WRONG


def _print(answer: Answer, levels: int) -> None:
    name = terminal.printable(f"{answer.slug} {answer.outcome}")
    state = terminal.coloured(answer.state.value, COLOURS.get(answer.state, "red"))
    print(f"{terminal.coloured(name, 'bold')} at {utc_text(answer.at_ns)}")
    print(f"{state} {terminal.printable(answer.cause)}".rstrip())
    book = answer.book
    if book is not None:
        print()
        rows = [
            (terminal.coloured(side, "red" if side == "ask" else "green"), *rest)
            for side, *rest in ladder_rows(book, levels)
        ]
        print(terminal.table(["side", "price", "size", "in all"], rows))
        spread, mid = micros_text(book.spread_micros), half_text(book.mid_half_micros)
        last = micros_text(book.last_trade_price_micros)
        print(f"\nspread {spread}  mid {mid}  tick {micros_text(book.tick_micros)}  last {last}")
        print(depth_text(book))
    print()
    for head, text in evidence_lines(answer):
        print(f"{head:9} {terminal.printable(text)}")
