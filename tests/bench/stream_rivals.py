"""The other sides of `stream`: what people record the market channel with. Run by .venv-rivals.

    python stream_rivals.py SIDE URL MARKETS.json MESSAGES FOLDER   says "ready", records, ends

websockets:  the plain loop: a time and the message as a line, through gzip -6
picows:      the same on picows
cryptofeed:  its WSAsyncConn with its AsyncFileCallback, as `raw_data_collection` does (no gzip)
nautilus:    its Polymarket schemas to its objects to its StreamingFeatherWriter
"""

import asyncio
import gzip
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

#: The books of 250 tokens may come as one message.
MESSAGE_MAX = 1 << 25


def subscriptions(markets: list[list[str]]) -> Iterator[str]:
    """What is sent, 100 tokens at a time."""
    ids = [token for market in markets for token in market[1:]]
    for start in range(0, len(ids), 100):
        yield json.dumps({"assets_ids": ids[start : start + 100], "type": "market"})


def ready() -> None:
    """All first books are here."""
    print("ready", flush=True)


async def _received(url: str, markets: list[list[str]], count: int) -> AsyncIterator[bytes]:
    """Every message, by websockets."""
    import websockets  # noqa: PLC0415 - a rival loads only its own client

    async with websockets.connect(url, max_size=MESSAGE_MAX) as peer:
        asked = [*subscriptions(markets)]
        for each in asked:
            await peer.send(each)
        for number in range(len(asked) + count):
            if number == len(asked):
                ready()
            yield await peer.recv(decode=False)


async def with_websockets(url: str, markets: list[list[str]], count: int, folder: Path) -> None:
    """The loop that everybody writes first."""
    with gzip.open(folder / "stream.jsonl.gz", "wb", compresslevel=6) as file:
        async for message in _received(url, markets, count):
            file.write(b'{"at":%d,"message":%b}\n' % (time.time_ns(), message))


async def with_picows(url: str, markets: list[list[str]], count: int, folder: Path) -> None:
    """The same, on the fastest client."""
    import picows  # noqa: PLC0415 - a rival loads only its own client

    asked = [*subscriptions(markets)]
    left, done = len(asked) + count, asyncio.Event()

    class Listener(picows.WSListener):
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            for each in asked:
                transport.send(picows.WSMsgType.TEXT, each.encode())

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            nonlocal left
            message = frame.get_payload_as_bytes()
            file.write(b'{"at":%d,"message":%b}\n' % (time.time_ns(), message))
            left -= 1
            if left == count:
                ready()
            elif not left:
                done.set()
                transport.disconnect()

    with gzip.open(folder / "stream.jsonl.gz", "wb", compresslevel=6) as file:
        await picows.ws_connect(Listener, url, max_frame_size=MESSAGE_MAX)
        await done.wait()


async def with_cryptofeed(url: str, markets: list[list[str]], count: int, folder: Path) -> None:
    """Its raw capture: lines of text, 10,000 at a time."""
    from cryptofeed.connection import WSAsyncConn  # noqa: PLC0415 - as above
    from cryptofeed.raw_data_collection import AsyncFileCallback  # noqa: PLC0415 - as above

    peer = WSAsyncConn("wss://polymarket", "polymarket", max_size=MESSAGE_MAX)
    peer.address = url  # it refuses to be made for a plain one
    writer = AsyncFileCallback(str(folder))
    peer.raw_data_callback = writer
    await peer._open()
    asked = [*subscriptions(markets)]
    for each in asked:
        await peer.write(each)
    number = 0
    async for _ in peer.read():
        number += 1
        if number == len(asked):
            ready()
        elif number == len(asked) + count:
            break
    writer.stop()


async def with_nautilus(url: str, markets: list[list[str]], count: int, folder: Path) -> None:
    """Its objects and its Feather files; websockets bring the messages."""
    write = _feather(markets, folder)
    async for message in _received(url, markets, count):
        write(message, time.time_ns())
    write(b"", 0)


def _instruments(markets: list[list[str]]) -> dict[str, Any]:
    """Its instruments by token."""
    from nautilus_trader.adapters.polymarket.common.parsing import (  # noqa: PLC0415 - as above
        parse_instrument,
    )

    facts = {
        "question": "?",
        "minimum_tick_size": "0.001",
        "minimum_order_size": 5,
        "end_date_iso": None,
        "maker_base_fee": 0,
        "taker_base_fee": 0,
    }
    return {
        token: parse_instrument({**facts, "condition_id": condition_id}, token, "Up", 0)
        for condition_id, *tokens in markets
        for token in tokens
    }


def _objects(event: Any, known: dict[str, Any], at_ns: int) -> Iterator[Any]:
    """What its adapter makes of one event."""
    kind = type(event).__name__
    if kind == "PolymarketBookSnapshot":
        yield from event.parse_to_snapshot(known[event.asset_id], at_ns).deltas
    elif kind == "PolymarketQuotes":
        for change in event.price_changes:
            of_one = type(event)(event.market, [change], event.timestamp)
            yield from of_one.parse_to_deltas(known[change.asset_id], at_ns).deltas
    else:
        yield event.parse_to_trade_tick(known[event.asset_id], at_ns)


def _feather(markets: list[list[str]], folder: Path) -> Callable[[bytes, int], None]:
    """What takes a message and its time; b"" ends the files."""
    import msgspec  # noqa: PLC0415 - as above
    from nautilus_trader.adapters.polymarket.websocket import types  # noqa: PLC0415 - as above
    from nautilus_trader.cache.cache import Cache  # noqa: PLC0415 - as above
    from nautilus_trader.common.component import LiveClock  # noqa: PLC0415 - as above
    from nautilus_trader.persistence.writer import (  # noqa: PLC0415 - as above
        StreamingFeatherWriter,
    )

    cache, known = Cache(), _instruments(markets)
    for each in known.values():
        cache.add_instrument(each)
    writer = StreamingFeatherWriter(path=str(folder), cache=cache, clock=LiveClock())
    decoder = msgspec.json.Decoder(types.MARKET_WS_MESSAGE)

    def write(message: bytes, at_ns: int) -> None:
        if not message:
            writer.close()
            return
        told = decoder.decode(message)
        for event in told if isinstance(told, list) else [told]:
            for each in _objects(event, known, at_ns):
                writer.write(each)

    return write


def main() -> None:
    """Run one rival."""
    side, url, markets, count, folder = sys.argv[1:]
    run = {
        "websockets": with_websockets,
        "picows": with_picows,
        "cryptofeed": with_cryptofeed,
        "nautilus": with_nautilus,
    }[side]
    asyncio.run(run(url, json.loads(Path(markets).read_text()), int(count), Path(folder)))


if __name__ == "__main__":
    main()
