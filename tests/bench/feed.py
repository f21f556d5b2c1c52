"""A server that answers `POST /books` with prepared polls of 50 evolving books.

The books come from the loopback venue's simulation: 20 of the 50 tokens are in their window and
move about eleven times a second, the rest are quiet, as in a real shard at 1 s polls. Answers
are made, and compressed, before the first request, so that the server costs next to nothing.

    python -m tests.bench.feed POLLS   → one JSON line {"url": …, "tokens": {token: condition}}
"""

import dataclasses
import gzip
import json
import random
import socketserver
import sys
from http.server import BaseHTTPRequestHandler

from tests.venue.live import LiveWorld
from tests.venue.markets import Market, series
from tests.venue.simulate import Simulation

#: The first poll: the share of books that change hangs on how far its hour is gone.
BEGIN_MS = 1_776_326_400_000
HOT_MARKETS, QUIET_MARKETS = 10, 15
DAY_MS = 86_400_000


def markets(now_ms: int) -> list[tuple[Market, int]]:
    """25 markets with a seed each: copies of the open one, and of ones far from their window."""
    world = LiveWorld([series("btc-1h")], seed=1, born_ms=now_ms)
    listed = [each for each in world.listed(now_ms) if each.kind == "regular"]
    hot = next(each for each in listed if each.start_ms <= now_ms < each.end_ms)
    quiet = next(each for each in listed if each.start_ms > now_ms + DAY_MS // 4)
    kinds = [hot] * HOT_MARKETS + [quiet] * QUIET_MARKETS
    return [(renamed(market, seed), seed) for seed, market in enumerate(kinds)]


def renamed(market: Market, seed: int) -> Market:
    """The same window under ids of its own."""
    dice = random.Random(seed)
    tokens = (str(dice.getrandbits(255)).zfill(77), str(dice.getrandbits(255)).zfill(77))
    slug, condition_id = f"bench-{seed:02d}", f"0x{dice.getrandbits(256):064x}"
    return dataclasses.replace(
        market, slug=slug, condition_id=condition_id, token_ids=tokens, number=seed
    )


def polls(count: int, now_ms: int) -> tuple[list[bytes], dict[str, str]]:
    """The bodies of `count` polls one second apart, and condition id by token id.

    The hot markets end with the hour of `now_ms`: a poll behind it has hardly a change.
    """
    simulations = [Simulation(market, seed) for market, seed in markets(now_ms)]
    tokens: dict[str, str] = {}
    bodies = []
    for number in range(count):
        states = [each.states(now_ms + 1000 * number) for each in simulations]
        books = [state for pair in states for state in pair]
        tokens |= {state.token_id: state.condition_id for state in books}
        random.Random(number).shuffle(books)
        bodies.append(b"[" + b",".join(state.raw for state in books) + b"]")
    return bodies, tokens


class Feed(BaseHTTPRequestHandler):
    """Serves the polls in turn, compressed for those who ask."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    bodies: tuple[tuple[bytes, bytes], ...] = ()
    number = 0

    def do_POST(self) -> None:
        """One poll."""
        self.rfile.read(int(self.headers["Content-Length"]))
        plain, packed = self.bodies[Feed.number % len(self.bodies)]
        Feed.number += 1
        zipped = "gzip" in self.headers.get("Accept-Encoding", "")
        body = packed if zipped else plain
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        )
        head += "Content-Encoding: gzip\r\n\r\n" if zipped else "\r\n"
        self.wfile.write(head.encode() + body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Prepare, announce, serve until killed."""
    bodies, tokens = polls(int(sys.argv[1]), BEGIN_MS)
    Feed.bodies = tuple((body, gzip.compress(body, 5)) for body in bodies)
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Feed)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    print(json.dumps({"url": url, "tokens": tokens}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
