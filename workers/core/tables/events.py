"""Rows of the stream's tables from the lines of one `frames` segment, in two readings.

    vouch for what each connection was worth (core.stream.vouching), then follow each token's line
    through all of them (core.stream.followers)

Promises  every price change of the segment becomes one row, on a line or, where no connection was
          known to be right, beside all; the same lines give the same rows, in whatever portions
Never     needs the ledger, or another segment: seeds say where it begins
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from workers.core.archive.story import ManifestMarket
from workers.core.books.amounts import INT32_MAX, Inexact, micros, shortest
from workers.core.books.states import Bad
from workers.core.stream.follow import Item
from workers.core.stream.followers import Follower, Placed
from workers.core.stream.frames import Change
from workers.core.stream.lines import BOOKS, Exact, Heard, Lines
from workers.core.stream.vouching import Vouching, fate_of
from workers.core.tables.normalizing import BadRow, bad_row
from workers.core.tables.snapshots import Books

Row = tuple[object, ...]
_TRADES_MAX = 8_192
_CONNECTION = re.compile(rb'"connection":"([^"]+)"')
#: What several connections tell differently: the best of them is the row's.
_RANKS = {"verified": 0, "explained": 1, "absent": 2, "unproven": 3, "failed": 4}
#: What is no gap in what a connection told of this market.
_FOREIGN = frozenset({"wrong_market", "wrong_token"})


class _Changed(msgspec.Struct, frozen=True):
    """A change that is to become a row."""

    heard: Heard
    verdict: str
    change: Change
    exact: Exact
    at: int


class _Whole(msgspec.Struct, frozen=True):
    """A book that is to become a row; `columns` as core.tables.snapshots gives them."""

    heard: Heard
    verdict: str
    columns: Row


class Voucher:
    """The first reading."""

    def __init__(self, market: ManifestMarket) -> None:
        self.vouching = Vouching(market.condition_id)
        self._lines = Lines(market)

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in the next lines (without line feeds)."""
        for line in lines:
            try:
                self.vouching.heard(self._lines.read(line))
            except Bad as error:
                found = _CONNECTION.search(line)
                if found is not None and error.reason not in _FOREIGN:
                    name = found[1].decode("utf-8", "replace")
                    self.vouching.unreadable(name, self._lines.number)


class FramesReader:
    """The second reading of the same lines; changed in place by its one owner.

    `rows` are those of each table since they were last taken away.
    """

    def __init__(self, segment: str, market: ManifestMarket, vouching: Vouching) -> None:
        self.rows: dict[str, list[Row]] = {}
        self.bad: list[BadRow] = []
        self.counts: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.bad_counts: Counter[str] = Counter()
        self._segment, self._market, self._vouching = segment, market, vouching
        self._fates = iter(vouching.fates)
        self._lines, self._books = Lines(market), Books()
        self._followers: dict[str, Follower] = {}
        self._trades: dict[Row, None] = {}
        self._ticks: set[Row] = set()
        self._step = 0

    def read(self, lines: Iterable[bytes]) -> None:
        """Take in the next lines (without line feeds)."""
        for line in lines:
            try:
                self._take(self._lines.read(line), line)
            except Bad as error:
                self._refuse(line, error)

    def finish(self) -> None:
        """Give out what waits, and what each connection was worth."""
        for token_id in sorted(self._followers):
            self._put(self._followers[token_id].finish())
        for (connection, token_id), token in sorted(self._vouching.tokens.items()):
            leg, verdicts = self._vouching.legs[connection], token.verdicts
            due, shown = self._follower(token_id).lost(connection)
            row = (
                *self._of_market(token_id, token.market),
                *(connection, leg.leg, leg.first_wall_ns, leg.last_wall_ns),
                *(token.snapshots, token.changes, token.duplicates, token.stale, token.invalid),
                token.resyncs.total(),
                *(verdicts["verified"], verdicts["explained"], verdicts["failed"]),
                verdicts["unproven"],
                *(due, shown, due - shown),
                self._segment,
            )
            self._add("legs", row)

    def taken(self) -> tuple[dict[str, list[Row]], list[BadRow]]:
        """The rows, and the lines that became none, since the last call."""
        rows, bad = self.rows, self.bad
        self.rows, self.bad = {}, []
        return rows, bad

    def _refuse(self, line: bytes, error: Bad) -> None:
        self.bad.append(bad_row(self._segment, self._lines.number - 1, line, error))
        self.bad_counts[error.reason] += 1

    def _add(self, table: str, row: Row) -> None:
        self.rows.setdefault(table, []).append(row)
        self.counts[table] += 1

    def _take(self, heard: Heard, line: bytes) -> None:
        if heard.sort == "change":
            for at, (change, exact) in enumerate(zip(heard.changes, heard.exact, strict=True)):
                self._change(heard, at, change, exact)
            if heard.strange:
                self._refuse(line, Bad("wrong_token", heard.strange))
        elif heard.sort in BOOKS:
            self._book(heard)
        elif heard.sort == "trade":
            self._trade(heard)
        elif heard.line.type == "tick_size_change":
            self._tick(heard)

    def _follower(self, token_id: str) -> Follower:
        found = self._followers.get(token_id)
        if found is None:
            vouching = self._vouching
            found = Follower(vouching.covers(token_id), vouching.openings.get(token_id))
            self._followers[token_id] = found
        return found

    def _change(self, heard: Heard, at: int, change: Change, exact: Exact) -> None:
        verdict, stands = fate_of(next(self._fates))
        follower, connection = self._follower(change.token_id), heard.line.connection
        if follower.is_past(connection, heard.ms, change.hash):
            return
        parts = (heard.timestamp, change.hash, change.side, change.price, change.size)
        key = " ".join(parts).encode()
        of = _Changed(heard, verdict, change, exact, at)
        item = Item(connection, heard.number, heard.ms, key, change.hash)
        follower.showed(item)
        if stands:
            self._put(follower.took(item, of, _RANKS[verdict]))
        else:
            self._put(follower.beside(item, of, _RANKS[verdict]))

    def _book(self, heard: Heard) -> None:
        verdict, stands = fate_of(next(self._fates))
        told, connection = heard.told, heard.line.connection
        columns = self._books.columns(heard, self._vouching.tails.get(heard.number))
        of = _Whole(msgspec.structs.replace(heard, raw=b""), verdict, columns)
        follower, is_copy = self._follower(told.asset_id), heard.sort != "book"
        if not is_copy and follower.is_past(connection, heard.ms, told.hash):
            return
        state = self._vouching.opened.get(heard.number, told.hash)
        name = f"{heard.sort} {heard.number}" if is_copy else f"{heard.timestamp} {told.hash}"
        item = Item(
            *(connection, heard.number, heard.ms, name.encode(), state),
            is_whole=True,
            is_copy=is_copy,
        )
        if heard.sort != "rest":
            follower.showed(item)
        if not stands:
            rank = _RANKS[verdict]
            self._put([Placed(of, None)] if is_copy else follower.beside(item, of, rank))
        elif heard.sort == "seed" and heard.number in self._vouching.opened:
            self._put(follower.seeded(item, of, heard.number))
        else:
            self._put(follower.took(item, of, _RANKS[verdict]))

    def _trade(self, heard: Heard) -> None:
        # What a connection behind the opening shows may be lost to the others: no hash tells.
        told, line = heard.told, heard.line
        fee = None if told.fee_rate_bps is None else str(told.fee_rate_bps)
        try:
            size = None if told.size is None else micros(told.size)
            price = micros(told.price or "", INT32_MAX)
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error
        what = (told.side or "", price, size, fee, told.transaction_hash)
        key = (told.asset_id, heard.timestamp, *what)
        if key in self._trades:
            return
        self._trades[key] = None
        if len(self._trades) > _TRADES_MAX:
            del self._trades[next(iter(self._trades))]
        times = (line.recv_wall_ns, line.recv_mono_ns, heard.ms)
        market = self._of_market(told.asset_id, told.market)
        self._add("trades", (*market, *times, *what, *self._origin(heard)))

    def _tick(self, heard: Heard) -> None:
        told, line = heard.told, heard.line
        if self._market.tokens and told.asset_id not in self._market.tokens:
            raise Bad("wrong_token", f"it is of {told.asset_id[:90]}")
        try:
            old, new = told.old_tick_size, micros(told.new_tick_size or "", INT32_MAX)
            ticks = (None if old is None else micros(old, INT32_MAX), new)
        except Inexact as error:
            raise Bad(error.reason, str(error)) from error
        key = (told.asset_id, heard.timestamp, *ticks)
        if key not in self._ticks:
            self._ticks.add(key)
            times = (line.recv_wall_ns, line.recv_mono_ns, heard.ms)
            market = self._of_market(told.asset_id, told.market)
            self._add("ticks", (*market, *times, *ticks, *self._origin(heard)))

    def _put(self, placed: Iterable[Placed]) -> None:
        for each in placed:
            self._step += 1
            if isinstance(each.of, _Changed):
                self._put_change(each.of, each.line)
            elif isinstance(each.of, _Whole):
                self._put_book(each.of, each.line)

    def _put_change(self, of: _Changed, line: int | None) -> None:
        heard, change, exact = of.heard, of.change, of.exact
        self.checks[f"hash_{of.verdict}"] += 1
        self.checks["beside"] += line is None
        row = (
            *self._of_market(change.token_id, heard.told.market),
            *(heard.line.recv_wall_ns, heard.line.recv_mono_ns, heard.ms),
            *(change.side, exact.price_micros, exact.size_micros),
            *(exact.best_bid_micros, exact.best_ask_micros, change.hash, of.verdict),
            *(line, self._step),
            *self._origin(heard),
            of.at,
            _texts(change.price, change.size),
        )
        self._add("changes", row)

    def _put_book(self, of: _Whole, line: int | None) -> None:
        heard = of.heard
        *columns, texts = of.columns
        row = (
            *(heard.sort, heard.why),
            *self._of_market(heard.told.asset_id, heard.told.market),
            *(heard.line.recv_wall_ns, heard.line.recv_mono_ns, heard.ms),
            *(*columns, of.verdict, texts, line, self._step),
            *self._origin(heard),
        )
        self._add("snapshots", row)

    def _of_market(self, token_id: str, told: str) -> Sequence[object]:
        market = self._market
        return (
            *(market.condition_id or told, market.slug, market.series, token_id),
            market.tokens.get(token_id, ""),
        )

    def _origin(self, heard: Heard) -> Sequence[object]:
        line = heard.line
        return (
            *(line.connection, line.leg, line.seq, line.position),
            *(self._segment, heard.number - 1),
        )


def _texts(price: str, size: str) -> str | None:
    """Both as told, where the numbers do not give them back."""
    return None if _is_canonical(price) and _is_canonical(size) else f"{price} {size}"


@lru_cache(maxsize=20_000)
def _is_canonical(text: str) -> bool:
    return shortest(micros(text)) == text
