"""Play the archive again: as JSON lines, or as the venue, for clients that are to see the past.

Rows: every captured row in time order with its state and provenance, `book` in the venue's bytes;
gaps are lines of their own, and so is the moment from which on nothing was due. A head line says
what was asked for, a last line counts what came.

Venue: what a subscriber of the market channel is sent: the events that a stream recorded, in the
venue's bytes, and a `book` event where a polled book has changed; an empty line where a gap begins,
which disconnects a client.

With --serve the past answers on 127.0.0.1: GET /book, POST /books and GET /time on PORT, the
market channel on the next port. The clock starts with the first client.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import utc_text
from workers.core.reading.evidence import State
from workers.core.reading.playback import Present, Sent, step_of
from workers.core.reading.replay import SCHEMA, Kind, Scene, line_of
from workers.edge.reading.archive import Reader, open_archive
from workers.edge.replaying.cast import Cast, cast_of, opening
from workers.edge.replaying.scenes import scenes_of

EXIT_FINE, EXIT_WRONG = 0, 1
EXAMPLES = """\
examples:
  orderbooks replay btc-updown-5m-1776326400 | jq -c '[.at_utc, .state, .book.hash]'
  orderbooks replay --from 2026-04-16T08:00 --to 2026-04-16T09:00 --source derived
  orderbooks replay btc-updown-5m-1776326400 --serve 8765 --speed 10
  orderbooks replay btc-updown-5m-1776326400 --from open+30s --serve 8765 --speed 0

exit codes: 0 played to the end; 1 with damage on the way; 2 no such market or time, or damage with
--on-damage raise
"""
NS_PER_S = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("markets", nargs="*", metavar="MARKET", help="slugs, patterns; default all")
    parser.add_argument("--from", dest="from_text", default="", metavar="T", help="first moment")
    parser.add_argument("--to", dest="to_text", default="", metavar="T", help="end, exclusive")
    parser.add_argument(
        "--speed", metavar="N", help="times as fast as it was, 0, or max (served: 1, else max)"
    )
    parser.add_argument("--source", choices=("raw", "derived"), default="raw", help="read from")
    parser.add_argument("--as", dest="form", choices=("rows", "venue"), default="rows")
    parser.add_argument("--serve", type=int, metavar="PORT", help="be the venue; 0 = free ports")
    parser.add_argument("--on-damage", choices=("label", "raise"), default="label")


def run(arguments: argparse.Namespace) -> int:
    """Play; 0 when nothing was damaged."""
    speed = _speed(arguments)
    reader = open_archive(arguments.data, arguments.on_damage, source=arguments.source)
    cast = cast_of(
        reader,
        arguments.markets,
        arguments.from_text,
        arguments.to_text,
        now_ns=time.time_ns(),
    )
    counts: Counter[str] = Counter()
    scenes = _counted(scenes_of(reader, cast), counts)
    if arguments.serve is not None:
        _serve(reader, cast, scenes, arguments.serve, speed)
    elif arguments.form == "venue":
        present, sent = Present({}), Sent()
        for scene in _paced(scenes, cast.from_ns, speed):
            step = step_of(scene)
            event = present.take(step)
            if step.gap or (event and (not step.event or sent.is_new(event))):
                _print(event.replace(b"\n", b" ") + b"\n" if step.event else event + b"\n")
    else:
        _rows(cast, _paced(scenes, cast.from_ns, speed), counts, arguments.source)
    return EXIT_WRONG if counts[State.LABELLED] else EXIT_FINE


def _speed(arguments: argparse.Namespace) -> float | None:
    """How many times as fast; None = as fast as it goes."""
    text = arguments.speed or ("max" if arguments.serve is None else "1")
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < 1e9 or (speed == 0 and arguments.serve is None):
        raise NeedsAPerson(f"replay at speed {text!r}", hint="1, 10, 0.5, max; 0 with --serve")
    return speed


def _counted(scenes: Iterator[Scene], counts: Counter[str]) -> Iterator[Scene]:
    for scene in scenes:
        counts[scene.kind] += 1
        counts[State.LABELLED] += scene.answer.state == State.LABELLED
        yield scene


def _paced(scenes: Iterator[Scene], from_ns: int, speed: float | None) -> Iterator[Scene]:
    """The scenes, each when it is its time."""
    started_s = time.monotonic()
    for scene in scenes:
        if speed is not None:
            sys.stdout.buffer.flush()
            due_s = started_s + (scene.at_ns - from_ns) / NS_PER_S / speed
            time.sleep(max(0.0, due_s - time.monotonic()))
        yield scene


def _rows(cast: Cast, scenes: Iterator[Scene], counts: Counter[str], source: str) -> None:
    head = {
        "kind": "replay",
        "schema": SCHEMA,
        "from_utc": utc_text(cast.from_ns),
        "until_utc": utc_text(cast.until_ns),
        "source": source,
        "markets": [each.slug for each in cast.subjects],
    }
    _print(msgspec.json.encode(head) + b"\n")
    for scene in scenes:
        _print(line_of(scene))
    end = {"kind": "end", **{each.value: counts[each] for each in Kind}}
    _print(msgspec.json.encode(end) + b"\n")


def _print(line: bytes) -> None:
    sys.stdout.buffer.write(line)


def _serve(
    reader: Reader, cast: Cast, scenes: Iterator[Scene], port: int, speed: float | None
) -> None:
    from workers.edge.feed_server import FeedServer, Listening  # noqa: PLC0415 - only when served

    def listening(found: Listening) -> None:
        told = {
            **msgspec.structs.asdict(found),
            "pid": os.getpid(),
            "from_utc": utc_text(cast.from_ns),
            "until_utc": utc_text(cast.until_ns),
            "tokens": [token for each in cast.subjects for token, _ in each.tokens],
        }
        print(json.dumps(told), flush=True)

    async def play() -> None:
        books = {each.answer.token_id: each.raw for each in opening(reader, cast) if each.raw}
        server = FeedServer(Present(books), cast.from_ns, speed)
        await server.run(map(step_of, scenes), port, listening)

    if not 0 <= port < 65_535:
        raise NeedsAPerson(f"serve on port {port}", hint="1 to 65534, or 0 for free ones")
    asyncio.run(play())
