"""What polling does not see: every message of a real capture against polls of the same books.

python -m tests.bench.missed [CAPTURE]

A poll sees the state that stands at its moment and nothing else; it costs no time and never fails.
So what is missed here is missed by the interval alone. Each interval is laid over the capture at
PHASES offsets of the UTC grid. A share is summed over the tokens in each phase; told are the mean
over the phases and their least, median and greatest. docs/METHODOLOGY.md has the definitions and
the output (tests/bench/test_missed.py holds it).

Reads     rows {recv_ts, slug, raw} of websocket `book` events, gzip
Promises  prices, sizes and shares are exact; they are rounded where they are shown
"""

import gzip
import statistics
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import msgspec

from tests.conftest import CAPTURES
from tests.made_tables import table
from workers.core.books.amounts import MICROS
from workers.core.books.book import Book, BookReader, changes_between
from workers.core.books.fills import BUY, SELL, fill
from workers.core.report.stats import percentile, rounded

NAME = "stream/btc-5m-three-markets-2026-04-16.jsonl.gz"
INTERVALS_MS, PHASES, SECOND_MS = (1000, 2000), 20, 1000
ORDERS = tuple((side, shares) for side in (BUY, SELL) for shares in (100, 1000))
#: A price that is better by this much a share is worth telling.
CENT_MICROS = 10_000
VIEWS = ("book", "best price or size", "best price")
COLUMNS = ("better", "better by a cent", "unseen", "unseen by a cent", "gone")
#: A part, and the whole it is of.
Share = tuple[int, int]
#: (moment, index of the state that stands then) of each poll.
Polls = Sequence[tuple[int, int]]
Gain = int | None
#: The share of each measure in each phase.
Phases = dict[str, list[Share]]


class Track(msgspec.Struct, frozen=True):
    """The states of one token: state i stood from `starts_ms[i]` to before `starts_ms[i + 1]`.

    `views` has a column for each of VIEWS: equal numbers are equal values. `worth` has one for each
    of ORDERS: minus the cost of a purchase, the proceeds of a sale, in pico-units; None = the book
    does not fill it whole.
    """

    starts_ms: list[int]
    views: list[list[int]]
    worth: list[list[int | None]]


class Message(msgspec.Struct, frozen=True):
    """One message: its book, and when by the recorder's clock."""

    recv_ms: int
    book: Book


Tracks = Sequence[Track]
Measures = Callable[[Track, Polls], dict[str, Share]]


class _Row(msgspec.Struct, frozen=True):
    recv_ts: Decimal
    raw: str


def read(capture: Path) -> dict[str, list[Message]]:
    """The messages of each token, in the order of the file."""
    found: dict[str, list[Message]] = {}
    decoder, reader = msgspec.json.Decoder(_Row), BookReader()
    for line in gzip.decompress(capture.read_bytes()).splitlines():
        row = decoder.decode(line)
        book = reader.read(row.raw.encode())
        found.setdefault(book.token_id, []).append(Message(int(row.recv_ts * 1000), book))
    return found


def venue_ms(message: Message) -> int:
    """When the venue says the book became so."""
    return message.book.venue_ms


def recorder_ms(message: Message) -> int:
    """When the recorder had it."""
    return message.recv_ms


def track_of(messages: Sequence[Message], clock: Callable[[Message], int]) -> Track:
    """A state is a run of messages with the same levels; the last run only ends the one before."""
    runs = [each for at, each in enumerate(messages) if not at or _differ(messages[at - 1], each)]
    books = [each.book for each in runs[:-1]]
    bests = [(book.best_bid, book.best_ask) for book in books]
    return Track(
        starts_ms=[clock(each) for each in runs],
        views=[
            _numbered([(book.bids.levels, book.asks.levels) for book in books]),
            _numbered(bests),
            _numbered([tuple(each and each.price_micros for each in best) for best in bests]),
        ],
        worth=[[_worth(book, *order) for book in books] for order in ORDERS],
    )


def _differ(one: Message, other: Message) -> bool:
    return (one.book.bids, one.book.asks) != (other.book.bids, other.book.asks)


def _numbered(values: Iterable[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(each, len(numbers)) for each in values]


def _worth(book: Book, side: str, shares: int) -> int | None:
    found = fill(book, side, shares * MICROS)
    if found.unfilled_micros:
        return None
    return -found.cost_picos if side == BUY else found.cost_picos


def polls_of(track: Track, interval_ms: int, offset_ms: int) -> Polls:
    """The polls of one grid from the first state to the end of the last."""
    first_ms, until_ms = track.starts_ms[0], track.starts_ms[-1]
    first_ms += (offset_ms - first_ms) % interval_ms
    return [(at_ms, state_at(track, at_ms)) for at_ms in range(first_ms, until_ms, interval_ms)]


def state_at(track: Track, at_ms: int) -> int:
    """The index of the state that stands at a moment."""
    return bisect_right(track.starts_ms, at_ms) - 1


def met(track: Track, at: int, from_ms: int, until_ms: int) -> Iterator[tuple[int, int]]:
    """(index, ms of it) of the states from a moment, which state `at` has, to before another."""
    starts_ms = track.starts_ms
    while from_ms < until_ms:
        end_ms = min(until_ms, starts_ms[at + 1])
        yield at, end_ms - from_ms
        from_ms, at = end_ms, at + 1


def unseen(track: Track, polls: Polls) -> list[int]:
    """How long each state stood in whose life no poll fell, in ms."""
    seen = {at for _, at in polls}
    lives_ms = (until_ms - from_ms for from_ms, until_ms in pairwise(track.starts_ms))
    return [life_ms for at, life_ms in enumerate(lives_ms) if at not in seen]


def unseen_changes(track: Track, polls: Polls, view: int) -> Share:
    """Changes from state to state that are more than those from poll to poll, of all."""
    values = track.views[view]
    true = changes(values)
    return true - changes([values[at] for _, at in polls]), true


def changes(values: Sequence[int]) -> int:
    """How many values differ from the one before them."""
    return sum(one != other for one, other in pairwise(values))


def wrong_ms(track: Track, polls: Polls, view: int) -> Share:
    """Time between polls in which the view of the last poll is not the true one, of all."""
    values = track.views[view]
    wrong = total = 0
    for (from_ms, polled), (until_ms, _) in pairwise(polls):
        total += until_ms - from_ms
        for at, ms in met(track, polled, from_ms, until_ms):
            wrong += ms if values[at] != values[polled] else 0
    return wrong, total


def gone_ms(track: Track, polls: Polls, order: int) -> Share:
    """Time after polls that showed an average price in which none so good was there, of all."""
    worth = track.worth[order]
    gone = total = 0
    for (from_ms, polled), (until_ms, _) in pairwise(polls):
        shown = worth[polled]
        if shown is None:
            continue
        total += until_ms - from_ms
        for at, ms in met(track, polled, from_ms, until_ms):
            true = worth[at]
            gone += ms if true is None or true < shown else 0
    return gone, total


def gains(track: Track, polls: Polls, order: int) -> list[tuple[Gain, Gain]]:
    """How much better than polled each fillable second was at its best, in pico-units.

    Fillable is a second, counted from a poll on, in which the order could be filled whole at some
    moment.

    Returns: against the last poll that is not after the second's beginning, and against the better
    one of this poll and the next; None where those polls do not fill it whole.
    """
    worth = track.worth[order]
    found = []
    for (from_ms, before), (until_ms, after) in pairwise(polls):
        shown = worth[before], most((worth[before], worth[after]))
        for second_ms in range(from_ms, until_ms, SECOND_MS):
            there = met(track, state_at(track, second_ms), second_ms, second_ms + SECOND_MS)
            true = most([worth[at] for at, _ in there])
            if true is not None:
                one, both = (None if each is None else true - each for each in shown)
                found.append((one, both))
    return found


def most(worth: Iterable[int | None]) -> int | None:
    """The best of those that are filled; None when none is."""
    return max((each for each in worth if each is not None), default=None)


def better(of: Sequence[Gain], least: int) -> Share:
    """The seconds with at least this gain, of all; any price is better than none."""
    return sum(each is None or each >= least for each in of), len(of)


def of_books(track: Track, polls: Polls) -> dict[str, Share]:
    """What is missed of states, of changes of the best, and of time: the rows of a table."""
    found = {"states of the book": (len(unseen(track, polls)), len(track.views[0]))}
    for view, name in enumerate(VIEWS[1:], 1):
        found[f"changes of {name}"] = unseen_changes(track, polls, view)
    for view, name in enumerate(VIEWS):
        found[f"ms with another {name} than polled last"] = wrong_ms(track, polls, view)
    return found


def of_orders(track: Track, polls: Polls) -> dict[str, Share]:
    """What is missed of each order: the cells of a table, by order and column."""
    found = {}
    for order, (side, shares) in enumerate(ORDERS):
        found_gains = gains(track, polls, order)
        of_one, of_both = ([pair[at] for pair in found_gains] for at in (0, 1))
        cent = CENT_MICROS * shares * MICROS
        cells = (
            *(better(each, least) for each in (of_one, of_both) for least in (1, cent)),
            gone_ms(track, polls, order),
        )
        for column, share in zip(COLUMNS, cells, strict=True):
            found[f"{side} {shares:,} {column}"] = share
    return found


def offsets_ms(interval_ms: int) -> range:
    """Where the grids of an interval begin: PHASES of them, evenly."""
    return range(0, interval_ms, interval_ms // PHASES)


def in_phases(track: Track, interval_ms: int, measures: Measures) -> Phases:
    """Each measure of one token, in each phase of the grid."""
    found: Phases = {}
    for offset_ms in offsets_ms(interval_ms):
        for name, share in measures(track, polls_of(track, interval_ms, offset_ms)).items():
            found.setdefault(name, []).append(share)
    return found


def together(tokens: Sequence[Phases]) -> Phases:
    """The measures of some tokens as one: in each phase the sums of both numbers."""
    return {
        name: [
            (sum(part for part, _ in phase), sum(whole for _, whole in phase))
            for phase in zip(*(each[name] for each in tokens), strict=True)
        ]
        for name in tokens[0]
    }


def percents(shares: Sequence[Share]) -> list[Fraction]:
    """Each share in per cent; nothing of nothing is 0."""
    return [Fraction(100 * part, whole or 1) for part, whole in shares]


def mean(shares: Sequence[Share]) -> str:
    """The mean share."""
    return f"{rounded(statistics.mean(percents(shares)), 1)} %"


def spread(shares: Sequence[Share]) -> str:
    """The mean share, and in brackets the least, the median and the greatest."""
    found = percents(shares)
    three = (min(found), statistics.median(found), max(found))
    return f"{mean(shares)} ({', '.join(str(rounded(each, 1)) for each in three)})"


def of_how_many(shares: Sequence[Share]) -> str:
    """What the share is of: the median of the phases."""
    return f"{statistics.median_low(whole for _, whole in shares):,}"


def lives_ms(tracks: Tracks, interval_ms: int) -> list[int]:
    """How long each missed state stood, ordered; each phase adds its own."""
    return sorted(
        life_ms
        for offset_ms in offsets_ms(interval_ms)
        for track in tracks
        for life_ms in unseen(track, polls_of(track, interval_ms, offset_ms))
    )


def three_of(numbers: Sequence[int]) -> list[str]:
    """The median, the 90th percentile and the greatest."""
    return [f"{percentile(numbers, percent):,}" for percent in (50, 90, 100)]


def measure(capture: Path = CAPTURES / NAME) -> dict[str, str]:
    """The tables of the report, by name; none without the capture."""
    if not capture.is_file():
        return {}
    messages = list(read(capture).values())
    tracks = [track_of(each, venue_ms) for each in messages]
    return {
        "books": _books_table(tracks, [track_of(each, recorder_ms) for each in messages]),
        "orders": _orders_table(tracks),
        "lives": _lives_table(tracks, messages),
    }


def _books_table(tracks: Tracks, recorder: Tracks) -> str:
    markets, longer, theirs = (
        [in_phases(track, interval_ms, of_books) for track in some]
        for some, interval_ms in ((tracks, 1000), (tracks, 2000), (recorder, 1000))
    )
    short, long, other = map(together, (markets, longer, theirs))
    head = ("missed", "of", "each 1 s", "each 2 s", "markets, 1 s", "recorder's clock, 1 s")
    return table(
        head,
        (
            (
                *(name, of_how_many(short[name]), spread(short[name]), spread(long[name])),
                *(", ".join(mean(one[name]) for one in markets), mean(other[name])),
            )
            for name in short
        ),
    )


def _orders_table(tracks: Tracks) -> str:
    rows = []
    for interval_ms in INTERVALS_MS:
        found = together([in_phases(track, interval_ms, of_orders) for track in tracks])
        for name in (f"{side} {shares:,}" for side, shares in ORDERS):
            each = [found[f"{name} {column}"] for column in COLUMNS]
            seconds = of_how_many(each[0])
            rows.append((name, f"{interval_ms // 1000} s", seconds, *map(spread, each)))
    return table(("order", "poll", "fillable seconds", *COLUMNS), rows)


def _lives_table(tracks: Tracks, messages: Sequence[Sequence[Message]]) -> str:
    stood = sorted(two[1] - two[0] for track in tracks for two in pairwise(track.starts_ms))
    levels = sorted(
        len(changes_between(one.book, other.book))
        for each in messages
        for one, other in pairwise(each)
    )
    rows = [("ms that a state stood", *three_of(stood))]
    for interval_ms in INTERVALS_MS:
        name = f"ms that a state missed each {interval_ms // 1000} s stood"
        rows.append((name, *three_of(lives_ms(tracks, interval_ms))))
    rows.append(("levels that differ from one message to the next", *three_of(levels)))
    return table(("", "median", "p90", "most"), rows)


def report(found: Mapping[str, str]) -> str:
    """The tables a person reads."""
    return "\n".join(found.values()).rstrip() or "missed: the captures are not on this machine"


if __name__ == "__main__":
    print(report(measure(*map(Path, sys.argv[1:]))))
