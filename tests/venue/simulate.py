"""A living book for one market, worked out when asked: from (seed, time), no busy thread.

Promises: the state at a moment depends on seed, market and that moment only; it never goes
          back; an unasked stretch costs nothing, because time is cut into epochs and each
          begins from a fresh ladder of the same base depth.
          About 11 changes a second while the window is open (gap p50 30 ms, p99 0.7 s as in
          the capture of 2026-04-16), a few a second just before, one in many seconds earlier,
          none after the end; another rate with a `Tempo`. The two tokens mirror exactly.
          A market once followed (`take`) is stepped through every change, and each is told; its
          books at any moment are those it would have had unfollowed.
Never:    reads a clock: `now_ms` is given.
"""

import math
import random
import threading
from dataclasses import dataclass

from tests.venue.bookhash import render
from tests.venue.events import Tempo
from tests.venue.markets import Market
from tests.venue.states import NEVER_MS, PRICE_TEXT, BookState, Moment, Taken
from tests.venue.telling import Fragment, Teller
from tests.venue.walk import QUIET_EPOCHS, Path

QUIET_CHANGES = 15  # changes in one quiet epoch


@dataclass(slots=True)
class _Epoch:
    """The running state inside one epoch; changed in place by its Simulation."""

    index: int
    until_ms: int
    dice: random.Random
    tick: int
    at_ms: int
    next_ms: int
    top: int
    bids: dict[int, Fragment]
    asks: dict[int, Fragment]
    last_trade: str
    traded: bool
    due_ms: float


class Simulation:
    """The books of one market. Thread-safe; `states` answers for both tokens."""

    def __init__(self, market: Market, seed: int, tempo: Tempo | None = None) -> None:
        self.market = market
        self.seed = seed
        self.tempo = tempo or Tempo()
        rate = self.tempo.changes_per_s
        self.path = Path(market, seed, quiet_epochs=QUIET_EPOCHS if rate is None else 1)
        dice = random.Random(f"{seed}:{market.slug}:base")
        self._base = {p: level(p, _size(dice)) for p in range(10, 1000, 10) if dice.random() < 0.95}
        span_ms = market.start_ms - market.book_from_ms
        share = dice.uniform(0.3, 0.999) if rate is None else 0.0
        self._first_trade_ms = market.book_from_ms + round(span_ms * share)
        self._lock = threading.Lock()
        self._epoch: _Epoch | None = None
        self._states: tuple[BookState, BookState] | None = None
        self._teller: Teller | None = None
        self._untaken: list[Moment] = []

    def states(self, now_ms: int) -> tuple[BookState, BookState]:
        """Books of both tokens at `now_ms`, which must not be before book_from_ms."""
        with self._lock:
            return self._reach(now_ms)

    @property
    def due_ms(self) -> int:
        """When something can be taken: now, at the next change, or never after the end."""
        epoch = self._epoch
        if self._untaken or epoch is None:
            return 0
        due_ms = min(epoch.next_ms, epoch.until_ms)
        return due_ms if due_ms < self.market.end_ms else NEVER_MS

    def take(self, now_ms: int) -> Taken:
        """What was told since the last `take`, the first time nothing, and the books after it."""
        with self._lock:
            states = self._reach(now_ms)
            if self._teller is None and self._epoch is not None:
                sides = {"bids": self._epoch.bids, "asks": self._epoch.asks}
                self._teller = Teller(self.market, self.tempo, self.seed, **sides, states=states)
            moments, self._untaken = tuple(self._untaken), []
            return Taken(moments, states)

    def _reach(self, now_ms: int) -> tuple[BookState, BookState]:
        now_ms = min(now_ms, self.market.end_ms - 1)
        epoch = self._epoch
        if epoch is None:
            epoch = self._epoch = self._begin(now_ms)
        while now_ms >= epoch.until_ms:
            if self._teller is not None:
                self._step(epoch, epoch.until_ms - 1)
            begin_ms = now_ms if self._teller is None else epoch.until_ms
            epoch = self._epoch = self._begin(begin_ms)
            self._changed(epoch)
        self._step(epoch, now_ms)
        if self._states is None:
            self._states = self._render(epoch)
        return self._states

    def _step(self, epoch: _Epoch, until_ms: int) -> None:
        while epoch.next_ms <= until_ms:
            self._change(epoch)
            self._changed(epoch)

    def _changed(self, epoch: _Epoch) -> None:
        """The books are others now; told at once where somebody follows."""
        self._states = None
        if self._teller is not None:
            self._states = self._render(epoch)
            moment = self._teller.tell(epoch.bids, epoch.asks, self._states, traded=epoch.traded)
            self._untaken.append(moment)

    def _begin(self, now_ms: int) -> _Epoch:
        index, begin_ms, until_ms = self.path.epoch_at(now_ms)
        dice = random.Random(f"{self.seed}:{self.market.slug}:{index}")
        tick = self.path.tick(index)
        top = (self.path.middle(begin_ms) - 1) // tick * tick
        bids = {price: text for price, text in self._base.items() if price <= top}
        asks = {price: text for price, text in self._base.items() if price >= top + tick}
        if tick == 1:
            for price in range(max(top - 25, 1), min(top + 27, 1000)):
                if dice.random() < 0.6:
                    (bids if price <= top else asks)[price] = level(price, _size(dice))
        traded = begin_ms >= self._first_trade_ms
        epoch = _Epoch(
            index, until_ms, dice, tick, begin_ms, 0, top, bids, asks,
            f"{max(top, 1) / 1000:.3f}" if traded else "", traded, begin_ms,
        )  # fmt: skip
        _touch(epoch)
        epoch.next_ms = self._next_ms(epoch)
        return epoch

    def _next_ms(self, epoch: _Epoch) -> int:
        """When the next change is due: later than the last."""
        rate = self.tempo.changes_per_s
        if rate is None:
            return epoch.at_ms + self._gap_ms(epoch)
        epoch.due_ms += epoch.dice.expovariate(rate / 1000)
        return max(int(epoch.due_ms), epoch.at_ms + 1)

    def _gap_ms(self, epoch: _Epoch) -> int:
        dice = epoch.dice
        if epoch.index < 0:
            mean_ms = self.path.epoch_ms * QUIET_EPOCHS / QUIET_CHANGES
            return 1 + int(dice.expovariate(1 / mean_ms))
        if epoch.at_ms < self.market.start_ms:
            return 1 + int(dice.expovariate(1 / 400))
        return 1 + int(dice.expovariate(1 / 35 if dice.random() < 0.8 else 1 / 310))

    def _change(self, epoch: _Epoch) -> None:
        """One change of the book at its due time: the touch moves, one level is rewritten."""
        at_ms = epoch.at_ms = epoch.next_ms
        dice, tick = epoch.dice, epoch.tick
        top = (self.path.middle(at_ms) - 1) // tick * tick
        if top != epoch.top:
            epoch.top = top
            for price in [price for price in epoch.bids if price > top]:
                del epoch.bids[price]
            for price in [price for price in epoch.asks if price <= top]:
                del epoch.asks[price]
            _touch(epoch)
        away = int(dice.expovariate(0.3)) * tick
        traded = at_ms >= self._first_trade_ms and dice.random() < self.tempo.trade_share
        epoch.traded = False
        if traded:
            away = 0
        if dice.random() < 0.5:
            side, price = epoch.bids, top - away
        else:
            side, price = epoch.asks, top + tick + away
        if 0 < price < 1000:
            _rewrite(side, price, dice, removable=away if price in side else 0)
            if traded:
                epoch.last_trade = f"{price / 1000:.3f}"
                epoch.traded = True
        else:
            _rewrite(epoch.bids or epoch.asks, 500, dice, removable=0)
        epoch.next_ms = self._next_ms(epoch)

    def _render(self, epoch: _Epoch) -> tuple[BookState, BookState]:
        bids = [epoch.bids[price] for price in sorted(epoch.bids)]
        asks = [epoch.asks[price] for price in sorted(epoch.asks, reverse=True)]
        best_bid = max(epoch.bids, default=None)
        best_ask = min(epoch.asks, default=None)
        return (
            self._state(epoch, 0, (bids, asks), (best_bid, best_ask)),
            self._state(epoch, 1, (asks, bids), (_other(best_ask), _other(best_bid))),
        )

    def _state(
        self,
        epoch: _Epoch,
        token: int,
        sides: tuple[list[Fragment], list[Fragment]],
        best: tuple[int | None, int | None],
    ) -> BookState:
        market, tick = self.market, PRICE_TEXT[epoch.tick]
        token_id = market.token_ids[token]
        bids = ",".join([texts[token] for texts in sides[0]])
        asks = ",".join([texts[token] for texts in sides[1]])
        text = render(
            f'{{"market":"{market.condition_id}","asset_id":"{token_id}",'
            f'"timestamp":"{epoch.at_ms}","hash":"',
            f'","bids":[{bids}],"asks":[{asks}],"min_order_size":"5","tick_size":"{tick}",'
            f'"neg_risk":false,"last_trade_price":"{epoch.last_trade}"}}',
        )
        return BookState(
            token_id, market.condition_id, str(epoch.at_ms), text.digest, text.raw,
            best[0], best[1], epoch.last_trade, tick,
        )  # fmt: skip


def level(price: int, size_hundredths: int) -> Fragment:
    """One level as JSON text, for the first token and mirrored for the second."""
    whole, rest = divmod(size_hundredths, 100)
    size = f"{whole}.{rest:02d}".rstrip("0") if rest else str(whole)
    return (
        f'{{"price":"{PRICE_TEXT[price]}","size":"{size}"}}',
        f'{{"price":"{PRICE_TEXT[1000 - price]}","size":"{size}"}}',
    )


def _touch(epoch: _Epoch) -> None:
    """The best bid and ask exist, except where the price range ends."""
    if epoch.top > 0 and epoch.top not in epoch.bids:
        epoch.bids[epoch.top] = level(epoch.top, _size(epoch.dice))
    ask = epoch.top + epoch.tick
    if ask < 1000 and ask not in epoch.asks:
        epoch.asks[ask] = level(ask, _size(epoch.dice))


def _rewrite(side: dict[int, Fragment], price: int, dice: random.Random, *, removable: int) -> None:
    """Remove or resize one level; the text always differs from what was there."""
    if removable and dice.random() < 0.3:
        del side[price]
        return
    text, old = level(price, _size(dice)), side.get(price)
    while text == old:
        text = level(price, _size(dice))
    side[price] = text


def _size(dice: random.Random) -> int:
    """Hundredths of a share: mostly round numbers, some not, a few large."""
    amount = int(math.exp(dice.gauss(4.0, 1.6)) * 100) + 100
    return amount // 500 * 500 + 500 if dice.random() < 0.5 else amount


def _other(milli: int | None) -> int | None:
    return None if milli is None else 1000 - milli
