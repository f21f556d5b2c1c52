"""The other sides: what people do today, at full speed. Run by the clients' environment.

    python rivals.py pyclob|aiohttp URL TOKENS.json POLLS FOLDER   → {"books", "cpu_s", "bytes"}

py-clob:  the official client's get_order_books, its objects as JSON lines through gzip
aiohttp:  bare aiohttp, the body of each poll as one line through gzip -6 (the poll-order file)
"""

import asyncio
import dataclasses
import gzip
import json
import sys
import time
from pathlib import Path


def pyclob(url: str, tokens: list[str], polls: int, path: Path) -> None:
    """py-clob-client → dict → json → gzip, one line for each book."""
    from py_clob_client.client import ClobClient  # noqa: PLC0415 - a rival loads only its own client
    from py_clob_client.clob_types import BookParams  # noqa: PLC0415 - a rival loads only its own client

    client = ClobClient(url)
    asked = [BookParams(token_id=token) for token in tokens]
    with gzip.open(path, "wb", compresslevel=6) as file:
        for _ in range(polls):
            books = client.get_order_books(asked)
            assert len(books) == len(tokens)
            for book in books:
                row = {"at": time.time(), "book": dataclasses.asdict(book)}
                file.write(json.dumps(row).encode() + b"\n")


def bare_aiohttp(url: str, tokens: list[str], polls: int, path: Path) -> None:
    """Aiohttp → the body as it came → gzip -6, one line for each poll."""
    import aiohttp  # noqa: PLC0415 - a rival loads only its own client

    body = json.dumps([{"token_id": token} for token in tokens]).encode()
    headers = {"Content-Type": "application/json"}

    async def one(session: aiohttp.ClientSession) -> bytes:
        async with session.post(f"{url}/books", data=body, headers=headers) as answer:
            return await answer.read()

    async def poll() -> None:
        with gzip.open(path, "wb", compresslevel=6) as file:
            async with aiohttp.ClientSession() as session:
                for _ in range(polls):
                    file.write(await one(session) + b"\n")

    asyncio.run(poll())


def main() -> None:
    """Run one rival and print its figures."""
    side, url, token_file, polls, folder = sys.argv[1:]
    tokens = list(json.loads(Path(token_file).read_text()))
    path = Path(folder) / f"{side}.jsonl.gz"
    run = {"pyclob": pyclob, "aiohttp": bare_aiohttp}[side]
    start_cpu_s = time.process_time()
    run(url, tokens, int(polls), path)
    cpu_s = time.process_time() - start_cpu_s
    size = path.stat().st_size
    print(json.dumps({"books": int(polls) * len(tokens), "cpu_s": cpu_s, "bytes": size}))


if __name__ == "__main__":
    main()
