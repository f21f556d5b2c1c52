"""An archive of a day for the reading bench: markets of 5 minutes, each polled for 11 minutes.

Made by the real recorder from the captured states of three markets (99 levels a book), or from a
random walk where the captures are absent. Markets are recorded one after the other, which no
collector does: the books segments are the same, the ledgers are not, and no bench reads those.
"""

import gzip
import json
import random
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path

import msgspec

from tests.tools.archives import HOUR_MS, Fleet, S, market
from tests.venue.bookhash import render
from workers.core.books.amounts import MICROS, micros, shortest
from workers.core.instants import ms_text
from workers.core.polling.cadence import Phase
from workers.core.universe.markets import Market, Token
from workers.edge.spool import locks

CAPTURE = "shared/captures/stream/btc-5m-three-markets-2026-04-16.jsonl.gz"
DAY_MS = HOUR_MS // 86_400_000 * 86_400_000
TICKS, WARM_S = 660, 300
TAIL = '"min_order_size":"5","tick_size":"0.01","neg_risk":false,"last_trade_price":"0.480"}'
State = tuple[str, str]
_PRICE = re.compile(r'"price":"([0-9.]+)"')


def states() -> list[State]:
    """Bids and asks of consecutive states of one token, as JSON text; neither is empty."""
    path = Path(__file__).parents[3] / CAPTURE
    if not path.exists():
        return list(islice(_walk(), 5 * TICKS))
    found: dict[str, list[State]] = {}
    for line in gzip.decompress(path.read_bytes()).splitlines():
        frame = json.loads(json.loads(line)["raw"])
        sides = tuple(json.dumps(frame[each], separators=(",", ":")) for each in ("bids", "asks"))
        if "[]" not in sides:
            found.setdefault(frame["asset_id"], []).append(sides)  # type: ignore[arg-type]
    return max(found.values(), key=len)


def _walk() -> Iterator[State]:
    dice = random.Random(1)
    sizes = {price: dice.randint(1, 9999) for price in range(1, 100)}
    while True:
        for price in dice.sample(sorted(sizes), 3):
            sizes[price] = dice.randint(1, 9999)
        levels = [f'{{"price":"0.{p:02d}","size":"{n}.5"}}' for p, n in sizes.items()]
        yield f"[{','.join(levels[:49])}]", f"[{','.join(reversed(levels[50:]))}]"


def window(number: int, markets: int) -> Market:
    """One of the day's markets; their windows are spread over it."""
    start_ms = DAY_MS + 600 * S + number * (85_000 // markets) * S
    from_ms, until_ms = start_ms - WARM_S * S, start_ms + (TICKS - WARM_S) * S
    plain = market(number, from_ms, TICKS)
    slug = f"btc-updown-5m-{start_ms // 1000}"
    tokens = tuple(
        Token(token_id=f"{7 + at}{number:03d}{start_ms}{'4' * 60}", outcome=name)
        for at, name in enumerate(("Up", "Down"))
    )
    return msgspec.structs.replace(
        plain,
        slug=slug,
        event_slug=slug,
        tokens=tokens,
        window_start_utc=ms_text(start_ms),
        window_end_utc=ms_text(start_ms + 300 * S),
        phases=(Phase("hot", from_ms, until_ms, S),),
    )


def make(root: Path, markets: int) -> list[Market]:
    """Record the day; returns its markets."""
    fleet = Fleet(root)
    told = states()
    made = [window(number, markets) for number in range(markets)]
    for number, each in enumerate(made):
        first_ms = each.phases[0].from_ms
        fleet.publish_universe(first_ms - 60 * S + number % 50, each)
        worker = fleet.collector(first_ms - 30 * S)
        for tick in range(TICKS):
            due_ms = first_ms + tick * S
            # On where the market before it ended: no two markets of a real day share their sizes.
            body = _body(each, told, number * TICKS + tick, due_ms)
            worker.tick(due_ms, change=lambda _, body=body: body)
        worker.stop(first_ms + TICKS * S)
        locks.release_all()
    return made


def _body(each: Market, told: list[State], at: int, due_ms: int) -> bytes:
    state = told[at % len(told)]
    books = [
        render(
            f'{{"market":"{each.condition_id}","asset_id":"{token.token_id}",'
            f'"timestamp":"{due_ms - 200}","hash":"',
            f'","bids":{bids},"asks":{asks},{TAIL}',
        ).raw
        for token, (bids, asks) in zip(each.tokens, (state, mirrored(state)), strict=True)
    ]
    return b"[" + b",".join(books) + b"]"


@cache
def mirrored(state: State) -> State:
    """The other outcome's book: who bids p for one asks 1 - p for the other."""
    bids, asks = (_PRICE.sub(_other, side) for side in state)
    return asks, bids


def _other(price: re.Match[str]) -> str:
    return f'"price":"{shortest(MICROS - micros(price[1]))}"'
