"""Rows of the stream's derived tables as rows of `frames` and ledger segments again.

Of each streamer one made-up connection tells each event once: those of the token's line, in its
order, and the copies beside it.

Promises  a book rebuilt from them has the venue's own texts, so its hash can be computed again; an
          event is the venue's in what it tells, not in its bytes
Never     tells an event that stands beside every line
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

import msgspec

from workers.core.archive import ledger
from workers.core.books.amounts import shortest, three_decimals
from workers.core.books.book import with_hash
from workers.core.books.payloads import Hashed, payload
from workers.core.stream import rows as stream_rows
from workers.core.stream.covers import Covered, TokenCovers
from workers.core.stream.frames import FrameRow

Fields = Mapping[str, Any]
#: From when until when nothing is known, both inclusive; None = to the end.
Lost = tuple[int, int | None]
_TAIL = b',"min_order_size":'
_HASHED = frozenset(Hashed.__struct_fields__)
_BROKEN = frozenset({"failed", "unproven"})
_Told = stream_rows.Turned | stream_rows.Subscription | stream_rows.Heard | stream_rows.Closed
_TOLD = frozenset({"turn", "subscription", "heard", "closed"})
_UNKNOWN: Fields = {
    "min_order_size_micros": 0,
    "tick_micros": 0,
    "neg_risk": False,
    "last_trade_price_micros": None,
}
_raw = msgspec.json.Encoder()


class Reprint(FrameRow, frozen=True, kw_only=True):
    """A row made from a table; `shown_by`: the connection that showed it."""

    shown_by: str


class Line(msgspec.Struct, frozen=True):
    """A token's line in one segment: its rows in order, each with its number, and what is lost."""

    rows: list[tuple[int, Reprint]]
    begins_ns: int | None
    lost: list[Lost]


def printer(worker: str) -> str:
    """The made-up connection of a streamer."""
    return f"{worker}.tables"


def line_of(worker: str, steps: Sequence[Fields]) -> Line:
    """A token's line from its rows of `snapshots` and `changes` in one segment, by `step`."""
    rows = []
    for row, group in groupby(filter(_is_told, steps), key=lambda each: int(each["row"])):
        parts = list(group)
        made = snapshot(worker, parts[0]) if "kind" in parts[0] else change(worker, parts)
        rows.append((row, made))
    lined = (each["recv_wall_ns"] for each in steps if each["line"] is not None)
    return Line(rows, next(lined, None), list(_lost(steps)))


def _is_told(fields: Fields) -> bool:
    """True on the line, and of copies: but the seed of a connection that was behind is stale."""
    if fields["line"] is not None:
        return True
    return bool(fields.get("kind", "book") != "book" and fields["why"] != "opened")


def _lost(steps: Iterable[Fields]) -> Iterator[Lost]:
    """From the first event behind a line that nobody could vouch for, to where the next begins.

    An event beside every line comes out late: its place is the time of its receipt.
    """
    spans: dict[int, tuple[int, int]] = {}
    doubted = []
    for each in steps:
        line, at_ns = each["line"], each["recv_wall_ns"]
        if line is not None:
            begin_ns, end_ns = spans.get(line, (at_ns, at_ns))
            spans[line] = min(begin_ns, at_ns), max(end_ns, at_ns)
        elif "kind" not in each and each["hash_verdict"] in _BROKEN:
            doubted.append(at_ns)
    begins = [*(begin_ns for begin_ns, _ in spans.values()), None]
    for (_, end_ns), later_ns in zip(spans.values(), begins[1:], strict=True):
        behind = [e for e in doubted if end_ns < e and (later_ns is None or e < later_ns)]
        if behind:
            yield min(behind), None if later_ns is None else later_ns - 1


def without(covers: TokenCovers, worker: str, lost: Iterable[Lost], cause: str) -> TokenCovers:
    """The covers but for what a streamer has lost; `cause` names the gap that is there instead."""
    covered = covers.covered
    for from_ns, until_ns in lost:
        covered = [
            part for each in covered for part in _cut(each, worker, from_ns, until_ns, cause)
        ]
    is_begun_later = _begins_ns(covered) != _begins_ns(covers.covered)
    before = cause if is_begun_later else covers.before
    return msgspec.structs.replace(covers, covered=sorted(covered), before=before)


def _begins_ns(covered: Iterable[Covered]) -> int | None:
    return min((each.from_wall_ns for each in covered), default=None)


def _cut(
    each: Covered, worker: str, from_ns: int, until_ns: int | None, cause: str
) -> Iterator[Covered]:
    is_apart = each.until_wall_ns < from_ns or (
        until_ns is not None and each.from_wall_ns > until_ns
    )
    if is_apart or not each.connection.startswith(f"{worker}."):
        yield each
        return
    replace = msgspec.structs.replace
    if each.from_wall_ns < from_ns:
        yield replace(each, until_wall_ns=from_ns - 1, ended=cause, ended_wall_ns=from_ns - 1)
    if until_ns is not None and each.until_wall_ns > until_ns:
        yield replace(each, from_wall_ns=until_ns + 1)


def printed(covers: TokenCovers, workers: Iterable[str]) -> TokenCovers:
    """The covers of the made-up connections: where any of a streamer's own covered."""
    found = []
    for worker in workers:
        own = [each for each in covers.covered if each.connection.startswith(f"{worker}.")]
        found += [
            Covered(begin_ns, end_ns, printer(worker), 0, "", end_ns)
            for begin_ns, end_ns in TokenCovers(own).stretches()
        ]
    return msgspec.structs.replace(covers, covered=sorted(found))


def snapshot(worker: str, fields: Fields) -> Reprint:
    """The row of a whole book."""
    kind = fields["kind"]
    raw = msgspec.Raw(_book(kind, fields))
    if kind == "seed":
        return _row(worker, fields, "snapshot", snapshot=raw, why=fields["why"])
    if kind == "rest":
        return _row(worker, fields, "rest", book=raw, verdict=fields["why"])
    return _row(worker, fields, "book", event=raw)


def change(worker: str, parts: Sequence[Fields]) -> Reprint:
    """The row of one event, from a token's items in it."""
    items = []
    for each in parts:
        price, _, size = (each["texts"] or "").partition(" ")
        item = {
            "asset_id": each["token_id"],
            "price": price or shortest(each["price_micros"]),
            "size": size or shortest(each["size_micros"]),
            "side": each["side"],
            "hash": each["hash"],
        }
        for name in ("best_bid", "best_ask"):
            told = each[f"{name}_micros"]
            item |= {} if told is None else {name: shortest(told)}
        items.append(item)
    return _event(worker, parts[0], "price_change", {"price_changes": items})


def trade(worker: str, fields: Fields) -> Reprint:
    """The row of a trade."""
    size = fields["size_micros"]
    told = {
        "asset_id": fields["token_id"],
        "price": shortest(fields["price_micros"]),
        "size": None if size is None else shortest(size),
        "side": fields["side"] or None,
        "fee_rate_bps": fields["fee_rate_bps"],
        "transaction_hash": fields["transaction_hash"],
    }
    told = {name: value for name, value in told.items() if value is not None}
    return _event(worker, fields, "last_trade_price", told)


def tick(worker: str, fields: Fields) -> Reprint:
    """The row of a new tick."""
    told = {"asset_id": fields["token_id"]}
    for name in ("old", "new"):
        value = fields[f"{name}_tick_micros"]
        told |= {} if value is None else {f"{name}_tick_size": shortest(value)}
    return _event(worker, fields, "tick_size_change", told)


def _event(worker: str, fields: Fields, kind: str, told: Mapping[str, object]) -> Reprint:
    members = {
        "market": fields["condition_id"],
        **told,
        "timestamp": str(fields["venue_ms"]),
        "event_type": kind,
    }
    return _row(worker, fields, kind, event=msgspec.Raw(_raw.encode(members)))


def _row(worker: str, fields: Fields, kind: str, **members: Any) -> Reprint:  # noqa: ANN401
    return Reprint(
        recv_wall_ns=fields["recv_wall_ns"],
        recv_mono_ns=fields["recv_mono_ns"],
        connection=printer(worker),
        leg=fields["leg"],
        seq=fields["seq"],
        type=kind,
        shown_by=fields["connection"],
        **members,
    )


def _book(kind: str, fields: Fields) -> bytes:
    """A book as the venue tells it: of the stream without what it does not tell there."""
    told = {name: fields[name] for name in _HASHED}
    known = {name: value for name, value in told.items() if value is not None}
    hashed = with_hash(payload(Hashed(**{**_UNKNOWN, **known})), fields["hash"])
    if kind in {"seed", "rest"} and _UNKNOWN.keys() - known.keys() <= {"last_trade_price_micros"}:
        return hashed
    levels = hashed.partition(_TAIL)[0]
    if kind == "book":
        return levels + b',"event_type":"book"}'
    told_too = {"tick_size": shortest(fields["tick_micros"] or 0)}
    last = three_decimals(fields["last_trade_price_micros"])
    tail = _raw.encode({"event_type": "book", **told_too, "last_trade_price": last})
    return levels + b"," + tail[1:]


def ledger_row(fields: Fields) -> ledger.Row | None:
    """The ledger row of a row of `turns`; None for what no cover is made of."""
    if fields["kind"] not in _TOLD:
        return None
    told = {
        **fields,
        "operation": fields["state"],
        "cause": fields["reason"],
        "last_recv_wall_ns": fields["heard_wall_ns"],
    }
    row: ledger.Row = msgspec.convert(told, type=_Told)
    return row
