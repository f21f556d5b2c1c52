"""A book for a person, and an answer for a program: text in columns, and plain JSON values.

Promises  amounts are printed exactly, but for `places_text`, which rounds half up; JSON has
          integers of micros
"""

from collections.abc import Sequence
from fractions import Fraction

import msgspec

from workers.core.books.amounts import MICROS, shortest
from workers.core.books.book import ASK, BID, Book, LevelChange
from workers.core.instants import utc_text
from workers.core.reading.evidence import STREAM, Answer, Provenance

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000


def micros_text(micros: int | None) -> str:
    """An amount, also a negative one; "-" for none."""
    if micros is None:
        return "-"
    return f"-{shortest(-micros)}" if micros < 0 else shortest(micros)


def half_text(half_micros: int | None) -> str:
    """An amount given as twice its micros, exactly; "-" for none."""
    if half_micros is None:
        return "-"
    text = micros_text(half_micros // 2)
    if half_micros % 2 == 0:
        return text
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(6, '0')}5"


def places_text(amount: Fraction | None, places: int = 6) -> str:
    """A fraction rounded half up to so many places; "-" for none."""
    if amount is None:
        return "-"
    scaled = abs(amount) * 10**places
    number = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    sign = "-" if amount < 0 and number else ""
    return f"{sign}{number // 10**places}.{number % 10**places:0{places}d}"


def ladder_rows(book: Book, levels: int) -> list[tuple[str, str, str, str]]:
    """Side, price, size and running size: asks from the far one down, then bids.

    Args:
        book: the book.
        levels: of each side, from the best one.
    """
    asks = _running(ASK, book, levels)
    return [*reversed(asks), *_running(BID, book, levels)]


def _running(side: str, book: Book, levels: int) -> list[tuple[str, str, str, str]]:
    rows, total = [], 0
    for level in book.side(side)[:levels]:
        total += level.size_micros
        price, size = shortest(level.price_micros), shortest(level.size_micros)
        rows.append((side, price, size, shortest(total)))
    return rows


def depth_text(book: Book) -> str:
    """How much there is: `12 bids (3,400.5), 14 asks (2,100)`."""
    bids, asks = sum(book.bids.size_micros), sum(book.asks.size_micros)
    return (
        f"{len(book.bids)} bids of {shortest(bids)} shares, "
        f"{len(book.asks)} asks of {shortest(asks)}"
    )


def change_rows(changes: Sequence[LevelChange]) -> list[tuple[str, str, str, str, str]]:
    """Side, price, size before, size after, and the difference with its sign."""
    return [
        (
            each.side,
            shortest(each.price_micros),
            shortest(each.before_micros) if each.before_micros else "-",
            shortest(each.after_micros) if each.after_micros else "-",
            _signed(each.after_micros - each.before_micros),
        )
        for each in changes
    ]


def _signed(micros: int) -> str:
    return f"+{shortest(micros)}" if micros > 0 else micros_text(micros)


def answer_json(answer: Answer) -> dict[str, object]:
    """An answer as plain values; ladders are [price, size] in micros, in the venue's order."""
    gap, source = answer.gap, answer.provenance
    return {
        "slug": answer.slug,
        "condition_id": answer.condition_id,
        "token_id": answer.token_id,
        "outcome": answer.outcome,
        "at_utc": utc_text(answer.at_ns),
        "at_ns": answer.at_ns,
        "state": answer.state.value,
        "cause": answer.cause,
        "age_ms": None if answer.age_ns is None else answer.age_ns // NS_PER_MS,
        "source": answer.source,
        "interval_ms": answer.interval_ms,
        "due_ms": answer.due_ms,
        "recv_wall_ns": answer.recv_wall_ns,
        "heard_wall_ns": answer.heard_wall_ns,
        "proven_wall_ns": answer.proven_wall_ns,
        "proof": answer.proof,
        "hash_verdict": None if answer.hash_verdict is None else answer.hash_verdict.value,
        "flags": list(answer.flags),
        "book": None if answer.book is None else book_json(answer.book),
        "gap": None
        if gap is None
        else {
            "from_due_ms": gap.from_due_ms,
            "until_due_ms": gap.until_due_ms,
            "length_ms": gap.length_ms,
            "states": gap.counts,
        },
        "stream_gap": None
        if answer.stream_gap is None
        else msgspec.structs.asdict(answer.stream_gap),
        "provenance": None if source is None else _provenance_json(source),
    }


def _provenance_json(source: Provenance) -> dict[str, object]:
    told = msgspec.structs.asdict(source)
    return {**told, "changes": [msgspec.structs.asdict(each) for each in source.changes]}


def book_json(book: Book) -> dict[str, object]:
    """A book as plain values."""
    bid, ask = book.best_bid, book.best_ask
    return {
        "venue_ms": book.venue_ms,
        "hash": book.hash,
        "best_bid_micros": bid.price_micros if bid else None,
        "best_ask_micros": ask.price_micros if ask else None,
        "mid_half_micros": book.mid_half_micros,
        "spread_micros": book.spread_micros,
        "tick_micros": book.tick_micros,
        "min_order_size_micros": book.min_order_size_micros,
        "neg_risk": book.neg_risk,
        "last_trade_price_micros": book.last_trade_price_micros,
        "bids": [list(each) for each in book.bids.levels],
        "asks": [list(each) for each in book.asks.levels],
        "micros": MICROS,
    }


def evidence_lines(answer: Answer) -> list[tuple[str, str]]:
    """What an answer rests on, as (name, text): what a person must know before believing it."""
    lines = [("source", answer.source)] if answer.book is not None else []
    if answer.recv_wall_ns is not None and answer.age_ns is not None:
        age = f"{answer.age_ns / NS_PER_S:.3f} s before the moment asked for"
        lines.append(("received", f"{utc_text(answer.recv_wall_ns)}, {age}"))
    if answer.book is not None and answer.recv_wall_ns is not None:
        quiet_ms = answer.recv_wall_ns // NS_PER_MS - answer.book.venue_ms
        changed = f"{utc_text(answer.book.venue_ms * NS_PER_MS)[:-4]}Z"
        lines.append(("changed", f"{changed} by the venue's clock, {quiet_ms / 1000:.3f} s before"))
        verdict = answer.proof or (answer.hash_verdict.value if answer.hash_verdict else "-")
        lines.append(("hash", f"{answer.book.hash} {verdict}"))
    if answer.flags:
        lines.append(("flags", ", ".join(answer.flags)))
    if answer.gap is not None:
        first, last = (
            f"{utc_text(each * NS_PER_MS)[:-4]}Z"
            for each in (answer.gap.from_due_ms, answer.gap.until_due_ms)
        )
        lines.append(("missed", f"ticks due {first} to {last}"))
    if answer.stream_gap is not None:
        first, last = (utc_text(each) for each in msgspec.structs.astuple(answer.stream_gap)[:2])
        lines.append(("stream", f"{answer.stream_gap.cause}: nothing from {first} to {last}"))
    return lines + _source_lines(answer)


def _source_lines(answer: Answer) -> list[tuple[str, str]]:
    """Where the book stands."""
    source, lines = answer.provenance, []
    if source is None:
        return []
    lines.append(("from", f"{source.path}:{source.row}"))
    lines += [("changes", f"{e.path}:{e.first_row} to {e.last_row}") for e in source.changes]
    lines.append(("sha256", source.sha256 or "none: the segment is still being written"))
    if answer.source == STREAM:
        proven = utc_text(answer.proven_wall_ns) if answer.proven_wall_ns else "never"
        heard = utc_text(answer.heard_wall_ns or 0)
        lines.append(("heard", f"{heard} on {source.connection}; last proven {proven}"))
    lines += [("request", source.request)] if source.request else []
    lines += [("table", source.derived)] if source.derived else []
    return lines
