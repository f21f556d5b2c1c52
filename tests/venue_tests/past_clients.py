"""Run by the clients' own interpreter: what the official clients see of a past, as JSON.

Usage: python past_clients.py stream <rest url> <websocket url> <books to await> <token id>…
       python past_clients.py rest <rest url> <token id>…
Never: imports the project; the clients are loaded by name, for they are not in its environment.
"""

import asyncio
import importlib
import json
import sys
from dataclasses import replace
from typing import Any


def stream(url: str, websocket: str, count: str, *tokens: str) -> dict[str, Any]:
    """The first books that polymarket-client's market stream yields."""
    environments = importlib.import_module("polymarket.environments")
    config = replace(
        environments.PRODUCTION._config,
        gamma_url=url,
        clob_url=url,
        clob_market_ws_url=websocket,
    )
    environment = environments._create_environment(name="past", config=config)
    client_type = importlib.import_module("polymarket.clients.async_public").AsyncPublicClient
    spec_type = importlib.import_module("polymarket.streams._specs").MarketSpec

    async def watch() -> list[Any]:
        found: list[Any] = []
        async with client_type(environment) as client:
            handle = await client.subscribe(spec_type(token_ids=tokens))
            async for event in handle:
                found.append([event.type, _seen(event.payload)])
                if len(found) == int(count):
                    break
        return found

    return {"events": asyncio.run(watch())}


def _seen(book: Any) -> dict[str, Any]:
    sides = {
        name: [[str(each.price), str(each.size)] for each in getattr(book, name)]
        for name in ("bids", "asks")
    }
    return {"token_id": book.asset_id, "hash": book.hash, **sides}


def rest(url: str, *tokens: str) -> dict[str, Any]:
    """The books of py-clob-client, each with the hash that this client computes itself."""
    types = importlib.import_module("py_clob_client.clob_types")
    client = importlib.import_module("py_clob_client.client").ClobClient(url)
    one = client.get_order_book(tokens[0])
    many = client.get_order_books([types.BookParams(token_id=each) for each in tokens])
    return {
        "books": [
            {
                "token_id": book.asset_id,
                "hash": book.hash,
                "computed": client.get_order_book_hash(book),
                "bids": [[each.price, each.size] for each in book.bids],
                "asks": [[each.price, each.size] for each in book.asks],
            }
            for book in [one, *many]
        ],
        "time": client.get_server_time(),
    }


def main() -> None:
    """Print one JSON object."""
    print(json.dumps({"stream": stream, "rest": rest}[sys.argv[1]](*sys.argv[2:])))


if __name__ == "__main__":
    main()
