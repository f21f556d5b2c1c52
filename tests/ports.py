"""Ports of 127.0.0.1 for peers that come and go.

Used by tests only.
"""

import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


def own_port(owner: object) -> int:
    """A port of 127.0.0.1 that the kernel gives to nobody else while `owner` lives.

    Also while nobody listens on it: it refuses connections then, and can be listened on again.
    """
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    port = int(kept.getsockname()[1])
    weakref.finalize(owner, os.close, kept.detach())
    return port


@contextmanager
def mute_port() -> Iterator[int]:
    """A port of 127.0.0.1 where nobody listens, nor anybody else can meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield int(held.getsockname()[1])
