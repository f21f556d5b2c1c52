"""Which shard records a market: rendezvous hashing on the condition id.

Promises  both outcomes of a market go to one shard; going from n to n+1 shards moves about
          1/(n+1) of the markets and no other.
Source    Thaler and Ravishankar, "Using name-based mappings to increase hit rates", 1998.
"""

import hashlib


def shard_of(condition_id: str, shards: int) -> int:
    """The shard in 0 … shards-1 whose hash with this market is the largest."""
    return max(range(shards), key=lambda shard: _weight(condition_id, shard))


def _weight(condition_id: str, shard: int) -> bytes:
    return hashlib.sha256(f"{shard}:{condition_id}".encode()).digest()
