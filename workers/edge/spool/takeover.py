"""Taking a worker's directory over from whoever had it: own, agree, recover.

Reads     spool/universe/universe.json, to name the market of a salvaged segment
Writes    what recovery publishes and quarantines
Promises  nothing of an earlier process stays unpublished; shard 0 also settles the folders of
          shards that no longer exist, because nobody else ever will
Fails     Temporary while another live process owns the directory or counts other shards;
          OSError while the disk refuses: call it again
"""

import re

import msgspec

from workers.core.archive.manifests import Writer
from workers.core.archive.story import ManifestMarket
from workers.core.universe.universe import manifest_markets, read_universe
from workers.edge import durable
from workers.edge.spool import locks, state
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recovery import Finding, Salvager

_SHARD = re.compile(r"([a-z]+)-(\d\d)", re.ASCII)


def take_over(data: DataDir, writer: Writer, *, level: int, wall_ns: int) -> list[Finding]:
    """Own the worker's directory for the life of this process and settle what lies there."""
    durable.make_directories(data.open_folder(writer.worker))
    locks.own(data.open_folder(writer.worker))
    if writer.shards is not None:
        locks.agree_on_shards(data.open_root, writer.shards, writer.worker.partition("-")[0])
    markets = known_markets(data)
    findings = Salvager(data, writer, level).recover(markets, wall_ns)
    for gone in _gone_shards(data, writer):
        locks.own(data.open_folder(gone.worker))
        findings += Salvager(data, gone, level).recover(markets, wall_ns)
    return findings


def known_markets(data: DataDir) -> dict[str, ManifestMarket]:
    """Names for salvaged segments; a universe that cannot be read must not stop recovery."""
    try:
        found = durable.read_regular(data.universe, state.UNIVERSE_MAX_BYTES)
        return manifest_markets(read_universe(found))
    except (FileNotFoundError, ValueError, msgspec.MsgspecError):
        return {}


def _gone_shards(data: DataDir, writer: Writer) -> list[Writer]:
    """Shards above the count that all live workers of the same name have just agreed on."""
    if writer.shard != 0 or writer.shards is None:
        return []
    names = sorted(folder.name for folder in data.open_root.iterdir() if folder.is_dir())
    numbers = [(name, _SHARD.fullmatch(name)) for name in names]
    kind = writer.worker.partition("-")[0]
    return [
        msgspec.structs.replace(writer, worker=name, shard=int(found[2]))
        for name, found in numbers
        if found is not None and found[1] == kind and int(found[2]) >= writer.shards
    ]
