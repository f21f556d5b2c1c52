"""Ledger and universe rows as rows of derived tables, line by line.

Promises  every line becomes rows or one bad row; the ledger's other kinds are rows of no table
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from workers.core.archive import ledger
from workers.core.archive.manifests import SegmentManifest
from workers.core.archive.segments import parse_name
from workers.core.books.amounts import INT32_MAX, INT64_MAX, Inexact, micros
from workers.core.books.states import Bad
from workers.core.instants import parse_utc
from workers.core.stream import rows as stream_rows
from workers.core.tables.normalizing import BadRow, Found, bad_row
from workers.core.universe.markets import Market
from workers.core.universe.universe import Universe

Row = tuple[object, ...]
#: A row, and the table it is of.
Placed = tuple[str, Row]


class _Published(msgspec.Struct, frozen=True):
    at_wall_ns: int
    universe: Universe


_published = msgspec.json.Decoder(_Published)


class Reader:
    """Reads the lines of one ledger or universe segment; changed in place by its one owner."""

    def __init__(self, segment: str, kind: str) -> None:
        self.counts: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self._segment, self._row = segment, 0
        told: dict[str, Callable[[bytes], Iterator[Placed]]] = {
            "ledger": self._ledger,
            "universe": self._markets,
        }
        self._rows_of = told[kind]
        self._shown: dict[str, Market] = {}

    def read(self, lines: Sequence[bytes]) -> tuple[dict[str, list[Row]], list[BadRow]]:
        """Rows of the next lines (without line feeds) by table, and the lines that became none."""
        rows: dict[str, list[Row]] = {}
        bad: list[BadRow] = []
        for line in lines:
            try:
                for table, row in self._of_line(line):
                    rows.setdefault(table, []).append(row)
                    self.counts[table] += 1
            except Bad as error:
                bad.append(bad_row(self._segment, self._row, line, error))
            self._row += 1
        self.bad.update(each.reason for each in bad)
        return rows, bad

    def _of_line(self, line: bytes) -> list[Placed]:
        try:
            if not line.isascii():
                line.decode()
            found = list(self._rows_of(line))
        except msgspec.ValidationError as error:
            raise Bad("not_a_row", str(error)) from error
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Bad("not_json", str(error)) from error
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error
        except ValueError as error:
            raise Bad("bad_number", str(error)) from error
        numbers = (each for _, row in found for each in row if isinstance(each, int))
        if any(abs(each) > INT64_MAX for each in numbers):
            raise Bad("inexact", "a number is beyond 64 bits")
        return found

    def _ledger(self, line: bytes) -> Iterator[Placed]:
        row = ledger.read_row(line)
        if isinstance(row, ledger.Request):
            yield "requests", self._request(row)
        elif isinstance(row, _TURNS):
            name = parse_name(self._segment)
            yield "turns", (name.worker if name else "", *_turn(row), self._segment, self._row)

    def _request(self, row: ledger.Request) -> Row:
        if row.status is not None and abs(row.status) > INT32_MAX:
            raise Bad("inexact", "its status is beyond 32 bits")
        return (
            row.id.partition(".")[0],
            row.id,
            row.due_ms,
            row.endpoint,
            row.params,
            row.send_wall_ns,
            row.recv_wall_ns,
            row.send_mono_ns,
            row.recv_mono_ns,
            row.status,
            row.cause,
            row.detail,
            None if row.retry_after_s is None else round(row.retry_after_s * 1000),
            row.body_bytes,
            row.wire_bytes,
            row.sha256,
            len(row.asked),
            row.missing,
            [each.reason for each in row.refused],
            row.layout,
            self._segment,
            self._row,
        )

    def _markets(self, line: bytes) -> Iterator[Placed]:
        published = _published.decode(line)
        for market in published.universe.markets:
            told = msgspec.structs.replace(market, fetched_at_utc="", tier="", status="")
            before = self._shown.get(market.condition_id)
            if before is not None and told == msgspec.structs.replace(
                before, fetched_at_utc="", tier="", status=""
            ):
                # Its tier and status follow the clock; its phases say when.
                continue
            self._shown[market.condition_id] = market
            seen = (published.universe.seq, published.at_wall_ns, self._segment, self._row)
            yield "markets", (*_market(market), *seen)


_Turning = (
    stream_rows.Opened
    | stream_rows.Subscription
    | stream_rows.Turned
    | stream_rows.Heard
    | stream_rows.Closed
    | stream_rows.Stalled
)
_TURNS = _Turning.__args__


def _turn(row: _Turning) -> Row:
    """The columns of `turns` from `kind` to `bytes`."""
    told = msgspec.to_builtins(row)
    leg = told.get("leg")
    if leg is not None and abs(leg) > INT32_MAX:
        raise Bad("inexact", "its leg is beyond 32 bits")
    since = told.get("since_wall_ns")
    if isinstance(row, stream_rows.Stalled):
        since = row.at_wall_ns - row.for_ns
    return (
        told["kind"],
        told.get("connection", ""),
        leg,
        told.get("condition_id", ""),
        told.get("token_id", ""),
        told.get("token_ids", []),
        told.get("state") or told.get("operation", ""),
        told.get("reason") or told.get("cause", ""),
        told.get("detail") or told.get("url", ""),
        told["at_wall_ns"],
        since,
        told.get("heard_wall_ns") or told.get("last_recv_wall_ns"),
        told.get("frames"),
        told.get("events"),
        told.get("bytes"),
        told.get("told_ms"),
    )


def _market(market: Market) -> Row:
    return (
        market.condition_id,
        market.slug,
        market.question,
        market.series,
        market.event_slug,
        [each.token_id for each in market.tokens],
        [each.outcome for each in market.tokens],
        parse_utc(market.window_start_utc),
        parse_utc(market.window_end_utc),
        None if market.tick_size is None else micros(market.tick_size, INT32_MAX),
        market.status,
        market.source,
        market.tier,
        [each.tier for each in market.phases],
        [each.from_ms for each in market.phases],
        [each.until_ms for each in market.phases],
        [each.interval_ms for each in market.phases],
    )


def stats_row(manifest: SegmentManifest, found: Found) -> Row:
    """The row of `stats` for a books segment."""
    market = manifest.told.market
    flags = sorted(found.flags.items())
    return (
        market.condition_id if market else "",
        market.slug if market else "",
        market.series if market else "",
        manifest.name,
        manifest.sha256,
        manifest.ended,
        found.rows,
        found.bad.total(),
        found.verdicts["verified"],
        found.verdicts["failed"],
        found.verdicts["absent"],
        found.changes,
        found.mirrored,
        found.first_recv_wall_ns,
        found.last_recv_wall_ns,
        found.longest_silence_ns,
        [name for name, _ in flags],
        [count for _, count in flags],
    )
