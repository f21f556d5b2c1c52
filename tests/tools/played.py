"""Archives that are worth playing: books that move, real captured books, and a gap.

Used by tests only. Books are recorded by the code that records the real ones (tests.tools.archives).
"""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tests.tools.archives import HOUR_MS, Fleet, S, Worker, body_of, market
from tests.venue import recordings
from tests.venue.bookhash import render
from tests.venue.recordings import Recording
from tests.venue.states import BookState
from workers.core.instants import ms_text
from workers.core.polling.answers import Answer
from workers.core.polling.batches import batches, due_markets
from workers.core.universe.markets import Market, Token
from workers.edge.spool import locks, reader

#: Seconds of the minute in which the venue answers 503.
MISSED = range(20, 25)
UNCHANGED = range(40, 50)


def moving(root: Path) -> Fleet:
    """One market for a minute, many levels; five seconds are missing, in ten nothing changes."""
    played, dice = market(1), random.Random(7)
    texts: dict[str, bytes] = {}

    def bodies(second: int) -> bytes:
        for token in played.tokens:
            if token.token_id not in texts or second not in UNCHANGED:
                texts[token.token_id] = moved_book(played, token.token_id, second, dice)
        return b"[" + b",".join(texts.values()) + b"]"

    return recorded(root, played, HOUR_MS, 60, bodies=bodies, missed=MISSED)


def moved_book(played: Market, token_id: str, second: int, dice: random.Random) -> bytes:
    """A book of about twenty levels a side; sometimes a side is empty."""
    middle = 480 + dice.randrange(40)
    bids = sorted(dice.sample(range(10, middle), dice.choice((0, 20, 20, 20))))
    asks = sorted(dice.sample(range(middle + 1, 990), 20), reverse=True)
    sides = [
        json.dumps([{"price": f"0.{each:03d}".rstrip("0"), "size": size(dice)} for each in side])
        for side in (bids, asks)
    ]
    bid_text, ask_text = (each.replace(" ", "") for each in sides)
    changed_ms = HOUR_MS + second * S - 300
    head = f'{{"market":"{played.condition_id}","asset_id":"{token_id}","timestamp":"{changed_ms}"'
    tail = (
        f'","bids":{bid_text},"asks":{ask_text},"min_order_size":"5","tick_size":"0.001",'
        '"neg_risk":false,"last_trade_price":""}'
    )
    return render(f'{head},"hash":"', tail).raw


def size(dice: random.Random) -> str:
    """A size as the venue spells it."""
    return f"{dice.randrange(1, 10 ** dice.randrange(1, 8)) / 100:.2f}".rstrip("0").rstrip(".")


def real(captures: Path, root: Path, seconds: int = 60) -> Fleet:
    """The first captured market of the stream, polled each second; the second token mirrored."""
    found = recordings.load(_head(captures, root.with_name("head.jsonl"), seconds))
    first = found.books[0]
    start_ms = (first.from_ms // S + 1) * S
    tokens = (first.state.token_id, "1" * 77)
    played = real_market(first, tokens, start_ms, seconds)

    def bodies(second: int) -> bytes:
        state = state_at(found, first.slug, start_ms + second * S)
        return b"[" + state.raw + b"," + recordings.mirrored(state, tokens[1]).raw + b"]"

    return recorded(root, played, start_ms, seconds, bodies=bodies, missed=range(0))


def _head(captures: Path, path: Path, seconds: int) -> Path:
    """The first seconds of the stream's capture, alone: to explain all its hashes takes 5 s."""
    lines = []
    with gzip.open(captures / "stream/btc-5m-three-markets-2026-04-16.jsonl.gz") as file:
        for line in file:
            lines.append(line)
            first, last = (json.loads(each)["recv_ts"] for each in (lines[0], line))
            if last > first + seconds + 2:
                break
    path.write_bytes(b"".join(lines))
    return path


def state_at(found: Recording, slug: str, at_ms: int) -> BookState:
    """The book of the one token that was captured, at a moment."""
    return [each.state for each in found.books if each.slug == slug and each.from_ms <= at_ms][-1]


def real_market(
    first: recordings.Recorded, tokens: tuple[str, str], start_ms: int, seconds: int
) -> Market:
    """A market that is due each second, under its real names."""
    made = market(1, start_ms, seconds)
    names = zip(tokens, ("Up", "Down"), strict=True)
    return msgspec.structs.replace(
        made,
        slug=first.slug,
        event_slug=first.slug,
        condition_id=first.state.condition_id,
        tokens=tuple(Token(token_id=each, outcome=name) for each, name in names),
        window_start_utc=ms_text(start_ms),
        window_end_utc=ms_text(start_ms + seconds * S),
    )


def recorded(
    root: Path,
    played: Market,
    start_ms: int,
    seconds: int,
    *,
    bodies: Callable[[int], bytes],
    missed: range,
) -> Fleet:
    """An archive of one market, a poll each second."""
    fleet = Fleet(root)
    fleet.publish_universe(start_ms - 10 * S, played)
    collector = fleet.collector(start_ms - 5 * S)
    for second in range(seconds):
        body, due_ms = bodies(second), start_ms + second * S
        if second in missed:
            collector.tick(due_ms, cause="http_503", status=503, change=lambda _: b"{}")
        else:
            collector.tick(due_ms, change=lambda _, body=body: body)
    collector.stop(start_ms + (seconds + 1) * S)
    locks.release_all()
    return fleet


def books_in(fleet: Fleet) -> Iterator[tuple[str, int, bytes]]:
    """What lies in the books segments, read without the reading library: path, row, book."""
    for path in fleet.segments("books"):
        for at, line in enumerate(reader.read_stream(path).data.split(b"\n")[:-1]):
            yield fleet.data.relative(path), at, line[line.index(b'"book":') + 7 : -1]


def rows_in(fleet: Fleet) -> Iterator[bytes]:
    """Every line of the books segments."""
    for path in fleet.segments("books"):
        yield from reader.read_stream(path).data.split(b"\n")[:-1]


def late_tick(collector: Worker, due_ms: int, late_ms: int) -> None:
    """A good tick whose answer came late."""
    for batch in batches(due_markets(collector.markets, due_ms), 250):
        body = body_of(batch.asked, due_ms)
        answer = Answer(
            cause="ok",
            status=200,
            body=body,
            wire_bytes=len(body),
            send_wall_ns=due_ms * 1_000_000,
            recv_wall_ns=(due_ms + late_ms) * 1_000_000,
            send_mono_ns=1,
            recv_mono_ns=late_ms * 1_000_000 + 1,
        )
        request_id = collector.diary.next_request_id()
        collector.catch.take(batch, answer, request_id=request_id, due_ms=due_ms)
