"""Ledger and universe rows as rows of derived tables, line by line.

Promises  every line becomes rows or one bad row; the ledger's other kinds are rows of no table
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import msgspec

from workers.core import ledger
from workers.core.amounts import INT32_MAX, INT64_MAX, Inexact, micros
from workers.core.instants import parse_utc
from workers.core.manifests import SegmentManifest
from workers.core.markets import Market
from workers.core.normalizing import BadRow, Found, bad_row
from workers.core.states import Bad
from workers.core.universe import Universe

Row = tuple[object, ...]


class _Published(msgspec.Struct, frozen=True):
    at_wall_ns: int
    universe: Universe


_published = msgspec.json.Decoder(_Published)


class Reader:
    """Reads the lines of one ledger or universe segment; changed in place by its one owner."""

    def __init__(self, segment: str, kind: str) -> None:
        self.rows = 0
        self.bad: Counter[str] = Counter()
        self._segment, self._row = segment, 0
        told: dict[str, Callable[[bytes], Iterator[Row]]] = {
            "ledger": self._requests,
            "universe": self._markets,
        }
        self._rows_of = told[kind]
        self._shown: dict[str, Market] = {}

    def read(self, lines: Sequence[bytes]) -> tuple[list[Row], list[BadRow]]:
        """Rows of the next lines (without line feeds), and the lines that became none."""
        rows: list[Row] = []
        bad: list[BadRow] = []
        for line in lines:
            try:
                rows += self._of_line(line)
            except Bad as error:
                bad.append(bad_row(self._segment, self._row, line, error))
            self._row += 1
        self.rows += len(rows)
        self.bad.update(each.reason for each in bad)
        return rows, bad

    def _of_line(self, line: bytes) -> list[Row]:
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
        if any(isinstance(value, int) and abs(value) > INT64_MAX for row in found for value in row):
            raise Bad("inexact", "a number is beyond 64 bits")
        return found

    def _requests(self, line: bytes) -> Iterator[Row]:
        row = ledger.read_row(line)
        if not isinstance(row, ledger.Request):
            return
        if row.status is not None and abs(row.status) > INT32_MAX:
            raise Bad("inexact", "its status is beyond 32 bits")
        yield (
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

    def _markets(self, line: bytes) -> Iterator[Row]:
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
            yield (*_market(market), *seen)


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
