"""Run by the clients' own interpreter: what the official clients make of a venue, as JSON.

Usage: python official_clients.py <base url> <token id> <other token id> <event slug>
Never: imports the project; the clients are loaded by name, for they are not in its environment.
"""

import importlib
import json
import sys
from dataclasses import replace
from typing import Any


def py_clob_client(url: str, tokens: list[str]) -> dict[str, Any]:
    """The answers of py-clob-client's read-only calls."""
    types = importlib.import_module("py_clob_client.clob_types")
    client = importlib.import_module("py_clob_client.client").ClobClient(url)
    params = [types.BookParams(token_id=token) for token in tokens]
    one = client.get_order_book(tokens[0])
    many = client.get_order_books(params)
    hashes = [(book.asset_id, book.hash, client.get_order_book_hash(book)) for book in [one, *many]]
    return {
        "hashes": hashes,
        "best": [one.bids[-1].price, one.asks[-1].price],
        "midpoint": client.get_midpoint(tokens[0]),
        "midpoints": client.get_midpoints(params),
        "price": client.get_price(tokens[0], "BUY"),
        "spread": client.get_spread(tokens[0]),
        "spreads": client.get_spreads(params),
        "tick": client.get_tick_size(tokens[0]),
        "neg_risk": client.get_neg_risk(tokens[0]),
        "last": client.get_last_trade_price(tokens[0]),
        "lasts": client.get_last_trades_prices(params),
        "ok": client.get_ok(),
        "time": client.get_server_time(),
    }


def polymarket_client(url: str, tokens: list[str], slug: str) -> dict[str, Any]:
    """The answers of polymarket-client's discovery and book calls."""
    environments = importlib.import_module("polymarket.environments")
    config = replace(environments.PRODUCTION._config, gamma_url=url, clob_url=url)
    environment = environments._create_environment(name="loopback", config=config)
    public = importlib.import_module("polymarket.clients.public")
    with public.PublicClient(environment) as client:
        pages = client.list_events(
            series_ids=[10684], order="endDate", ascending=True, page_size=100
        )
        events = [event for page in pages for event in page.items]
        event = client.get_event(slug=slug)
        one = client.get_order_book(token_id=tokens[0])
        many = client.get_order_books(token_ids=tokens)
        return {
            "events": [event.slug for event in events],
            "event": json.loads(event.model_dump_json()),
            "market": json.loads(client.get_market(slug=slug).model_dump_json()),
            "book": json.loads(one.model_dump_json()),
            "books": [(book.asset_id, book.hash) for book in many],
            "midpoint": str(client.get_midpoint(token_id=tokens[0])),
            "spread": str(client.get_spread(token_id=tokens[0])),
            "price": str(client.get_price(token_id=tokens[0], side="BUY")),
        }


def main() -> None:
    """Print one JSON object with both clients' answers."""
    url, *tokens, slug = sys.argv[1:]
    answers = {
        "py_clob_client": py_clob_client(url, tokens),
        "polymarket_client": polymarket_client(url, tokens, slug),
    }
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
