"""What a streamer's archive holds, held against the venue's truth.

Used by tests only. Coverage is worked out here anew, from the ledger's rows alone: what the
project itself says of gaps is not asked.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from tests.rig import Rig
from tests.venue import Venue
from tests.venue.channel_truth import ChangeRow
from workers.core.archive.ledger import Row
from workers.core.stream.frames import FrameRow, read_frame, read_frame_row
from workers.core.stream.rebuilt import Rebuilt
from workers.core.stream.rows import Closed, Heard, Turned
from workers.core.stream.tails import Tails

#: The loopback venue tells what happened in a round market by market: on a busy machine the first
#: event of one market is older than the last of another, which went out before it.
ROUND_NS = 100_000_000
Key = tuple[str, ...]


class Cover(NamedTuple):
    """A connection covered a token; when it was heard last, when that was over, and by what."""

    from_ns: int
    until_ns: int
    heard_ns: int
    over_ns: int
    ended: str


@dataclass(frozen=True)
class Gap:
    """A stretch in which no connection covered a token, and how it began."""

    from_ns: int
    until_ns: int
    cause: str


def keys_of(event: dict[str, Any]) -> Iterator[Key]:
    """One key for each thing an event of the archive tells of a token."""
    kind, at = event.get("event_type", ""), event.get("timestamp", "")
    if kind == "price_change":
        for each in event["price_changes"]:
            yield kind, each["asset_id"], at, each["price"], each["size"], each["side"]
    elif kind == "book":
        yield kind, event["asset_id"], at, event["hash"]
    else:
        yield kind, event.get("asset_id", ""), at


def keys_of_truth(change: ChangeRow) -> Iterator[Key]:
    """The same of what the venue produced."""
    if change.kind == "price_change":
        for item in change.items:
            at = change.timestamp
            yield change.kind, change.token_id, at, item.price, item.size, item.side
    elif change.kind == "book":
        yield change.kind, change.token_id, change.timestamp, change.hash
    else:
        yield change.kind, change.token_id, change.timestamp


class Archive:
    """Everything one data directory holds of a stream."""

    def __init__(self, rig: Rig) -> None:
        lines = [*rig.published_rows("frames"), *rig.open_rows("frames")]
        self.rows = [read_frame_row(line) for line in lines]
        self.events = [json.loads(each.raw) for each in self.rows if each.origin == "event"]
        self.keys = Counter(key for event in self.events for key in keys_of(event))
        self.ledger: list[Row] = rig.ledger()

    def of(self, kind: type) -> list[Any]:
        """Ledger rows of one kind."""
        return [row for row in self.ledger if isinstance(row, kind)]

    @cached_property
    def verdicts(self) -> dict[Key, set[str]]:
        """What the hash of every state says, by its key."""
        return verdicts_of(self.rows)

    @cached_property
    def covered(self) -> dict[str, list[Cover]]:
        """What the connections covered, by token."""
        ends: dict[str, tuple[int, int, int, str]] = {}
        for row in self.of(Heard):
            at_ns = row.at_wall_ns
            ends[row.connection] = (_no_later(at_ns, row.told_ms), at_ns, at_ns, "down")
        for row in self.of(Closed):
            heard_ns = row.heard_wall_ns or row.at_wall_ns
            over_ns = heard_ns if row.cause == "silent" else row.at_wall_ns
            ends[row.connection] = (_no_later(heard_ns, row.told_ms), heard_ns, over_ns, row.cause)
        open_now: dict[tuple[str, str], int] = {}
        found: dict[str, list[Cover]] = defaultdict(list)
        for row in self.of(Turned):
            key, since_ns = (row.connection, row.token_id), row.since_wall_ns
            if key in open_now:
                begun_ns = open_now.pop(key)
                end_ns = max(begun_ns, since_ns)
                found[row.token_id].append(Cover(begun_ns, end_ns, end_ns, end_ns, row.reason))
            if row.state == "SYNCED":
                open_now[key] = since_ns
        for (connection, token_id), since_ns in open_now.items():
            found[token_id].append(Cover(since_ns, *ends.get(connection, (0, 0, 0, "down"))))
        return found

    def gaps(self, token_id: str, until_ns: int) -> list[Gap]:
        """What no connection covered of a token, up to a moment."""
        found, reached_ns, over_ns, cause = [], 0, 0, "start"
        for each in sorted(self.covered.get(token_id, [])):
            if each.heard_ns < each.from_ns:
                continue
            if each.from_ns > reached_ns:
                found.append(Gap(reached_ns, each.from_ns, cause))
            reached_ns = max(reached_ns, each.until_ns, each.from_ns)
            if each.over_ns >= over_ns:
                over_ns, cause = each.over_ns, each.ended
        if reached_ns < until_ns:
            found.append(Gap(reached_ns, until_ns, cause))
        return found


def _no_later(heard_ns: int, told_ms: int) -> int:
    """When a connection was heard last, or the venue's time of its newest event."""
    return min(heard_ns, told_ms * 1_000_000)


def verdicts_of(rows: Iterable[FrameRow]) -> dict[Key, set[str]]:
    """Every state of every connection rebuilt, and its hash checked, whatever failed before.

    A seed of ours is stood upon only where rows begin in the middle of a connection.
    """
    books: dict[tuple[str, str], Rebuilt] = {}
    tails: dict[str, Tails] = defaultdict(Tails)
    found: dict[Key, set[str]] = defaultdict(set)
    for row in rows:
        told = json.loads(row.raw)
        if row.origin != "event" or told.get("event_type") == "book":
            key = (row.connection, told["asset_id"])
            is_needed = row.verdict == "not_synced" if row.origin == "rest" else key not in books
            if row.origin == "event" or is_needed:
                books[key] = Rebuilt(told["market"], told["asset_id"], row.raw)
        if row.origin != "event":
            continue
        event = read_frame(row.raw).events[0]
        tails[event.market].traded(told.get("price", ""))
        hashes = {each.token_id: each.hash for each in event.changes}
        for change in event.changes:
            if (row.connection, change.token_id) in books:
                books[row.connection, change.token_id].apply(change)
        if event.type == "book":
            hashes[event.token_id] = told["hash"]
        for each in keys_of(told):
            book = books.get((row.connection, each[1]))
            if book is not None and each[1] in hashes:
                prefix, said = book.prefix(event.timestamp), hashes[each[1]]
                known = tails[event.market]
                is_right = known.is_known(prefix, said) or known.find(prefix, said)
                found[each].add("verified" if is_right else "failed")
    return found


@dataclass(frozen=True)
class Judgement:
    """The venue's changes of some tokens: archived, missing in a gap by its cause, or nowhere.

    `hidden`, what a fault kept from one connection, by why the ledger could not notice: the
    connection ended, and the gap begins with what it had brought of other markets (`cut`); or what
    came next is a whole `book`; or its hash proves the book without what is missing (`verified`); or
    the hash has `failed`, which the tables say of it, and was mended before the next look.
    """

    archived: int
    lost: dict[str, int]
    hidden: dict[str, int]
    unexplained: list[ChangeRow]


def judge(archive: Archive, venue: Venue, token_ids: Iterable[str], *, until_ns: int) -> Judgement:
    """Hold every change of a book that the venue produced against the archive.

    A lost trade, or a lost best price, shows nowhere: no later message depends on it.
    """
    changes: dict[str, list[ChangeRow]] = defaultdict(list)
    for change in venue.channel_truth.changes():
        if change.kind in ("price_change", "book"):
            changes[change.token_id].append(change)
    sent = venue.channel_truth.sent()
    withheld = {number for row in sent if row.kind == "withheld" for number in row.n}
    archived, unexplained = 0, list[ChangeRow]()
    hidden, lost = Counter[str](), Counter[str]()
    for token_id in token_ids:
        # The last gap begins after it was asked to stop, and how long after is its machine's doing.
        end_ns = until_ns + 10**12
        gaps = archive.gaps(token_id, end_ns)
        told, next_ns = set[str](), end_ns
        for change in reversed(changes[token_id]):
            said_ns = int(change.timestamp) * 1_000_000
            if all(key in archive.keys for key in keys_of_truth(change)):
                archived, next_ns = archived + 1, said_ns
                told = {
                    change.kind,
                    *(v for key in keys_of_truth(change) for v in archive.verdicts[key]),
                }
            elif cause := _inside(gaps, said_ns):
                lost[cause] += 1
            elif change.n not in withheld:
                unexplained.append(change)
            elif any(said_ns < gap.from_ns <= next_ns for gap in gaps):
                hidden["cut"] += 1
            elif why := [each for each in ("book", "failed", "verified") if each in told]:
                hidden[why[0]] += 1
            else:
                unexplained.append(change)
    return Judgement(archived, dict(lost), dict(hidden), unexplained)


def _inside(gaps: Sequence[Gap], said_ns: int) -> str:
    """The cause of the gap that holds what the venue said at a moment."""
    for gap in gaps:
        if gap.from_ns - ROUND_NS <= said_ns <= gap.until_ns:
            return gap.cause
    return ""
