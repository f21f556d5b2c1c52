"""Run by the clients' own interpreter: what polymarket-client hears on a market channel, as JSON.

Usage: python official_channel.py <websocket url> <token id>…
Never: imports the project; the client is loaded by name, for it is not in its environment.
"""

import asyncio
import importlib
import json
import sys
from dataclasses import replace
from typing import Any

EVENTS = 100


async def listen(url: str, tokens: list[str]) -> dict[str, Any]:
    """The first hundred events, and what the client could not read."""
    environments = importlib.import_module("polymarket.environments")
    config = replace(environments.PRODUCTION._config, clob_market_ws_url=url)
    environment = environments._create_environment(name="loopback", config=config)
    public = importlib.import_module("polymarket.clients.async_public")
    spec = importlib.import_module("polymarket.streams").MarketSpec
    kinds: set[str] = set()
    hashes: list[str] = []
    async with public.AsyncPublicClient(environment) as client:
        handle = await client.subscribe(spec(token_ids=tokens, custom_feature_enabled=True))
        seen = 0
        async for event in handle:
            kinds.add(event.type)
            hashes += [item.hash for item in getattr(event.payload, "price_changes", ())]
            seen += 1
            if seen >= EVENTS and len(kinds) >= 3:
                break
        dropped = client._get_market_manager().dropped_events
        await handle.close()
    return {"kinds": sorted(kinds), "hashes": hashes, "dropped": dropped}


def main() -> None:
    """Print one JSON object."""
    url, *tokens = sys.argv[1:]
    print(json.dumps(asyncio.run(listen(url, tokens))))


if __name__ == "__main__":
    main()
