"""Show what changed between two books of a market, level by level, and whether the hash agrees.

The changes are put on the first book and the venue's hash of the result is computed: when it is
the hash that the second book carries, these are all the changes there are between the two.
What came and went in between, polling has not seen; where the stream covers both books, the changes
it told in between are counted.
"""

import argparse
import json

import msgspec

from workers.core.books.book import Book, LevelChange, changed, changes_between, hash_verdict
from workers.core.books.bookhash import Verdict
from workers.core.books.page import answer_json, change_rows, half_text, micros_text
from workers.core.errors import NeedsAPerson
from workers.core.instants import utc_text
from workers.core.reading.evidence import STREAM, Answer, State
from workers.edge import terminal
from workers.edge.reading.archive import Reader, open_archive

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks diff btc-updown-5m-1776326400 --at open+30s --and open+31s
  orderbooks diff btc-updown-5m-1776326400 --around open+30s --outcome Down
  orderbooks diff btc-updown-5m-1776326400 --at open --and close --json

exit codes: 0 the hash agrees; 1 it does not, or a book is not SYNCED; 2 there are no two books
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("market", metavar="MARKET", help="slug, condition id or address")
    parser.add_argument("--at", metavar="T1", help="the first moment")
    parser.add_argument("--and", dest="then", metavar="T2", help="the second moment")
    parser.add_argument("--around", metavar="T", help="the books before a moment and after it")
    parser.add_argument("--outcome", default="0", metavar="NAME", help="Up, Down, 0, 1, a token id")
    parser.add_argument("--json", action="store_true", help="everything, for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the changes; 0 when the hash of the second book follows from them."""
    reader = open_archive(arguments.data, "label")
    before, after = _answers(reader, arguments)
    if before.book is None or after.book is None:
        lacking = before if before.book is None else after
        raise NeedsAPerson(
            f"compare: no book at {utc_text(lacking.at_ns)}: {lacking.state} {lacking.cause}",
            hint="`orderbooks coverage --market SLUG` tells what was captured",
        )
    changes = changes_between(before.book, after.book)
    verdict = hash_verdict(changed(before.book, changes, after.book))
    agrees = verdict == Verdict.VERIFIED
    told = _told_between(reader, arguments, before, after)
    if arguments.json:
        print(json.dumps({**_json(before, after, changes, verdict), "told": told}))
    else:
        _print(before, after, changes)
        if told is not None:
            print(f"{told} changes told by the stream between them")
        print(f"hash of the second book from these changes: {'agrees' if agrees else 'DIFFERS'}")
    synced = {before.state, after.state} == {State.SYNCED}
    return EXIT_FINE if agrees and synced else EXIT_WRONG


def _answers(reader: Reader, arguments: argparse.Namespace) -> tuple[Answer, Answer]:
    market, outcome = arguments.market, arguments.outcome
    if arguments.around:
        before = reader.book(market, outcome, arguments.around)
        after = reader.next_book(market, outcome, arguments.around)
        if after is None:
            raise NeedsAPerson(f"compare: no book was received after {arguments.around}")
        return before, after
    if not arguments.at or not arguments.then:
        raise NeedsAPerson("compare: which two books?", hint="--at T1 --and T2, or --around T")
    return reader.book(market, outcome, arguments.at), reader.book(market, outcome, arguments.then)


def _told_between(
    reader: Reader, arguments: argparse.Namespace, before: Answer, after: Answer
) -> int | None:
    """How many changes of a level the stream told from one book to the other."""
    if {before.source, after.source} != {STREAM}:
        return None
    span_ns = (before.recv_wall_ns or 0) + 1, (after.recv_wall_ns or 0) + 1
    return sum(1 for _ in reader.changes(arguments.market, *span_ns, arguments.outcome))


def _json(
    before: Answer, after: Answer, changes: list[LevelChange], verdict: Verdict
) -> dict[str, object]:
    return {
        "schema": "orderbooks.diff/1",
        "hash_agrees": verdict == Verdict.VERIFIED,
        "changes": [msgspec.structs.asdict(each) for each in changes],
        "before": answer_json(before),
        "after": answer_json(after),
    }


def _print(before: Answer, after: Answer, changes: list[LevelChange]) -> None:
    print(terminal.coloured(terminal.printable(f"{before.slug} {before.outcome}"), "bold"))
    for head, answer in (("first", before), ("second", after)):
        seen = utc_text(answer.recv_wall_ns or 0)
        where = answer.provenance
        said = terminal.printable(f"{answer.state} {answer.cause}".strip())
        print(f"{head:7} {seen}  {said}  {where.path}:{where.row}" if where else f"{head} {said}")
    if before.book and after.book:
        print(_moved("mid", before.book, after.book))
    if changes:
        print()
        print(terminal.table(["side", "price", "before", "after", "change"], change_rows(changes)))
    print(f"\n{len(changes)} levels changed")


def _moved(name: str, before: Book, after: Book) -> str:
    mids = f"{half_text(before.mid_half_micros)} → {half_text(after.mid_half_micros)}"
    spreads = f"{micros_text(before.spread_micros)} → {micros_text(after.spread_micros)}"
    return f"{name:7} {mids}   spread {spreads}"
