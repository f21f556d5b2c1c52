"""Scenes as text for other programs: lines of raw slices, rows of a CSV file.

Promises  prices and sizes are exact decimals as text; a message of a slice is the venue's bytes;
          a gap is an empty line in a slice, and a row without a level in a CSV file
Source    slices: tardis-client 1.4.2, `tardis_client.py`: 28 characters of time with seven
          decimals, a space, the message; an empty line is a disconnect; one file for each minute
"""

from collections.abc import Iterable, Iterator

from workers.core.books.amounts import shortest
from workers.core.books.book import ASK, BID, Book
from workers.core.instants import utc_text
from workers.core.reading.evidence import Trade
from workers.core.reading.replay import Kind, Scene

#: tardis-client looks for slices without filters below the SHA-256 of `[]`.
NO_FILTERS = "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
MINUTE_NS = 60_000_000_000
COLUMNS = {
    "kind": "`book`, `trade`, `gap`, `silence` or `damage`",
    "at_utc": "when it was received, or when the gap begins; microseconds",
    "at_ns": "the same, Unix ns",
    "venue_ms": "the venue's time of its last change, Unix ms",
    "slug": "market",
    "condition_id": "market",
    "token_id": "token",
    "outcome": "what the token pays for",
    "state": "SYNCED, SUSPECT, GAP or LABELLED",
    "cause": "why it is not SYNCED",
    "side": "`bid` or `ask`, of a trade `BUY` or `SELL` as told; empty in a row without a level",
    "level": "from the best one, which is 1",
    "price": "exact decimal",
    "size": "exact decimal, shares",
    "hash": "the venue's, as sent",
    "hash_verdict": "`verified`, `failed` or `absent`",
    "path": "the raw segment",
    "row": "its line in the uncompressed segment, from 0",
}


def slice_name(minute_ns: int) -> str:
    """Where the slice of a minute lies: `feeds/polymarket/<filters>/2026/04/16/08/00.json.gz`."""
    text = utc_text(minute_ns)
    parts = (text[:4], text[5:7], text[8:10], text[11:13], text[14:16])
    return f"feeds/polymarket/{NO_FILTERS}/{'/'.join(parts)}.json.gz"


def slice_line(at_ns: int, raw: bytes) -> bytes:
    """One line of a slice; a line feed between members becomes a blank, which is the same JSON."""
    stamp = f"{utc_text(at_ns)[:-1]}{at_ns // 100 % 10}Z"
    return b"%b %b\n" % (stamp.encode(), raw.replace(b"\n", b" "))


def csv_head() -> str:
    """The first line of a CSV file."""
    return _row(COLUMNS)


def csv_rows(scene: Scene, levels: int | None) -> Iterator[str]:
    """The rows of a scene: one for each level, the best first; one alone where there is none.

    Args:
        scene: what was seen.
        levels: of each side, at most; None = all.
    """
    answer, book = scene.answer, scene.answer.book
    head = [
        *(scene.kind.value, utc_text(answer.at_ns), answer.at_ns, book.venue_ms if book else ""),
        *(answer.slug, answer.condition_id, answer.token_id, answer.outcome),
        *(answer.state.value, answer.cause),
    ]
    source = answer.provenance
    tail = [
        *(book.hash if book else "", answer.hash_verdict.value if answer.hash_verdict else ""),
        *((source.path, source.row) if source else ("", "")),
    ]
    told = list(_levels(book, levels)) if scene.kind == Kind.BOOK and book else []
    for level in told or [("", "", "", "")]:
        yield _row([*head, *level, *tail])


def csv_trade(scene: Scene, trade: Trade) -> str:
    """The row of a trade that a scene tells."""
    answer, source = scene.answer, trade.provenance
    return _row(
        [
            *("trade", utc_text(answer.at_ns), answer.at_ns, trade.venue_ms),
            *(answer.slug, answer.condition_id, answer.token_id, answer.outcome),
            *(answer.state.value, answer.cause),
            *(trade.side, "", shortest(trade.price_micros), shortest(trade.size_micros)),
            *("", "", source.path, source.row),
        ]
    )


def _levels(book: Book, levels: int | None) -> Iterator[tuple[object, ...]]:
    for side in (BID, ASK):
        for rank, level in enumerate(book.side(side)[:levels], 1):
            yield side, rank, shortest(level.price_micros), shortest(level.size_micros)


def _row(values: Iterable[object]) -> str:
    """One line as RFC 4180 has it, but for its end, which is a line feed."""
    return ",".join(map(_cell, values)) + "\n"


def _cell(value: object) -> str:
    text = str(value)
    if not any(each in text for each in ',"\r\n'):
        return text
    return '"{}"'.format(text.replace('"', '""'))
