"""Run by the clients' own interpreter: what other programs read out of an export, as JSON.

Usage: python export_readers.py hftbacktest <npz> <tick size> <moment ns>…
       python export_readers.py tardis <folder> <from> <to>
Never: imports the project; the readers are loaded by name, for they are not in its environment.
"""

import asyncio
import importlib
import json
import sys
from typing import Any


def hftbacktest(path: str, tick: str, *moments: str) -> dict[str, Any]:
    """The book at some moments, replayed by the real engine: bids and asks as [tick, quantity].

    And the trades that it showed until then: exchange time, local time, price, quantity.
    """
    numpy = importlib.import_module("numpy")
    package = importlib.import_module("hftbacktest")
    validation = importlib.import_module("hftbacktest.data.validation")
    events = numpy.load(path)["data"]
    validation.validate_event_order(events)
    asset = (
        package.BacktestAsset()
        .data([path])
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0, 0)
        .tick_size(float(tick))
        .lot_size(0.01)
        .last_trades_capacity(10_000)
    )
    engine = package.HashMapMarketDepthBacktest([asset])
    engine.elapse(0)
    books, ticks = [], range(round(1 / float(tick)) + 1)
    for moment in map(int, moments):
        engine.elapse(moment - engine.current_timestamp)
        depth = engine.depth(0)
        sides = (
            [[at, quantity] for at in ticks if (quantity := side(at)) > 0]
            for side in (depth.bid_qty_at_tick, depth.ask_qty_at_tick)
        )
        books.append([engine.current_timestamp, *sides])
    trades = [
        [int(each["exch_ts"]), int(each["local_ts"]), float(each["px"]), float(each["qty"])]
        for each in engine.last_trades(0)
    ]
    engine.close()
    return {"events": len(events), "books": books, "trades": trades}


def tardis(folder: str, from_date: str, to_date: str) -> dict[str, Any]:
    """Every line of the slices as tardis-client gives it: [time, message], null at a disconnect."""
    package = importlib.import_module("tardis_client")

    async def read() -> list[Any]:
        client = package.TardisClient(cache_dir=folder, endpoint="http://127.0.0.1:9")
        found = client.replay(
            exchange="polymarket",
            from_date=from_date,
            to_date=to_date,
            filters=[],
            decode_response=False,
            with_disconnects=True,
        )
        return [
            None if each is None else [each[0].decode(), each[1].decode()] async for each in found
        ]

    return {"lines": asyncio.run(read())}


def main() -> None:
    """Print one JSON object."""
    reader = {"hftbacktest": hftbacktest, "tardis": tardis}[sys.argv[1]]
    print(json.dumps(reader(*sys.argv[2:])))


if __name__ == "__main__":
    main()
