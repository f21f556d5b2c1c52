"""The verbs of the `orderbooks` command: one row each.

Promises  a verb costs only its own imports: each module is loaded when its row is called
"""

# ruff: noqa: PLC0415 - `status` starts in 0.1 s because it does not load pyarrow

from collections.abc import Callable
from enum import Enum
from types import ModuleType

import msgspec


class Place(Enum):
    """What a verb needs: a data directory, which is found before it runs, or nothing."""

    DATA = "data"
    ANYWHERE = "anywhere"


class Verb(msgspec.Struct, frozen=True):
    """What it does, in a line; how its module is loaded; what it needs."""

    what: str
    load: Callable[[], ModuleType]
    place: Place


def _up() -> ModuleType:
    from workers.tools import up

    return up


def _ctl() -> ModuleType:
    from workers.tools import ctl

    return ctl


def _status() -> ModuleType:
    from workers.tools import status

    return status


def _health() -> ModuleType:
    from workers.tools import health

    return health


def _verify() -> ModuleType:
    from workers.tools import verify

    return verify


def _coverage() -> ModuleType:
    from workers.tools import coverage

    return coverage


def _book() -> ModuleType:
    from workers.tools import book

    return book


def _diff() -> ModuleType:
    from workers.tools import diff

    return diff


def _fill() -> ModuleType:
    from workers.tools import fill

    return fill


def _quote() -> ModuleType:
    from workers.tools import quote

    return quote


def _markets() -> ModuleType:
    from workers.tools import markets

    return markets


def _replay() -> ModuleType:
    from workers.tools import replay

    return replay


def _snapshot() -> ModuleType:
    from workers.tools import snapshot

    return snapshot


def _export() -> ModuleType:
    from workers.tools import export

    return export


def _response() -> ModuleType:
    from workers.tools import response

    return response


def _normalize() -> ModuleType:
    from workers.tools import normalize

    return normalize


def _rebuild() -> ModuleType:
    from workers.tools import rebuild

    return rebuild


def _mine() -> ModuleType:
    from workers.tools import mine

    return mine


def _quality() -> ModuleType:
    from workers.tools import quality

    return quality


def _soak() -> ModuleType:
    from workers.tools import soak

    return soak


def _gate() -> ModuleType:
    from workers.tools import gate

    return gate


def _spool() -> ModuleType:
    from workers.tools import spool

    return spool


def _offload() -> ModuleType:
    from workers.tools import offload

    return offload


def _retention() -> ModuleType:
    from workers.tools import retention

    return retention


def _restore() -> ModuleType:
    from workers.tools import restore

    return restore


def _discover() -> ModuleType:
    from workers.tools import discover

    return discover


def _probe() -> ModuleType:
    from workers.tools import probe

    return probe


def _label() -> ModuleType:
    from workers.tools import label

    return label


def _config() -> ModuleType:
    from workers.tools import config

    return config


VERBS: dict[str, Verb] = {
    "up": Verb("run the fleet in the foreground", _up, Place.ANYWHERE),
    "ctl": Verb(
        "talk to the running fleet: status, start, stop, restart, tail", _ctl, Place.ANYWHERE
    ),
    "status": Verb("what every worker and market is doing now", _status, Place.DATA),
    "health": Verb("one word for a probe, or the same over HTTP here", _health, Place.DATA),
    "verify": Verb("prove that every published file is whole and unchanged", _verify, Place.DATA),
    "coverage": Verb("account for every tick that was due", _coverage, Place.DATA),
    "book": Verb("the order book of a market at a moment, and its proof", _book, Place.DATA),
    "diff": Verb("what changed between two books, and does the hash agree", _diff, Place.DATA),
    "fill": Verb("what the visible book would have filled; no order is placed", _fill, Place.DATA),
    "quote": Verb(
        "price, midpoint, spread and book of a market now, from the venue", _quote, Place.ANYWHERE
    ),
    "markets": Verb("which markets the archive holds", _markets, Place.DATA),
    "replay": Verb(
        "play the past again: JSON lines, or the venue on this machine", _replay, Place.DATA
    ),
    "snapshot": Verb(
        "have a streamer write a market's books now, and check them", _snapshot, Place.DATA
    ),
    "export": Verb("files for hftbacktest, readers of Tardis slices, CSV", _export, Place.DATA),
    "response": Verb("rebuild one HTTP response byte for byte", _response, Place.DATA),
    "normalize": Verb("make the derived tables of raw segments now", _normalize, Place.DATA),
    "rebuild": Verb("make the derived tables of some hours anew from raw", _rebuild, Place.DATA),
    "mine": Verb("how deep, how tight, how busy each book of a day was", _mine, Place.DATA),
    "quality": Verb("a report on the data of a day, with pictures", _quality, Place.DATA),
    "soak": Verb("watch a fleet for hours, and report with evidence", _soak, Place.DATA),
    "gate": Verb("the definition of done, step by step, with evidence", _gate, Place.DATA),
    "spool": Verb("what waits, what failed, what is in quarantine", _spool, Place.DATA),
    "offload": Verb(
        "what is on the remote, what waits, whether it is still there", _offload, Place.DATA
    ),
    "retention": Verb(
        "what may leave this disk now, and what stays and why", _retention, Place.DATA
    ),
    "restore": Verb("bring files back from the remote and prove them", _restore, Place.ANYWHERE),
    "discover": Verb("one round of discovery, to look at", _discover, Place.ANYWHERE),
    "probe": Verb("check every public endpoint that is used", _probe, Place.ANYWHERE),
    "label": Verb(
        "say of a file or a gap that it is invalid, deprecated or known", _label, Place.DATA
    ),
    "config": Verb(
        "check a settings file, or print the settings in force", _config, Place.ANYWHERE
    ),
}
