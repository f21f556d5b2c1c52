"""A loopback Polymarket in this process: start it, spoil it, ask it for the truth.

Writes:   answers.jsonl, states.jsonl, markets.jsonl in its state directory (see `truth`), and
          changes.jsonl, sent.jsonl (see `channel_truth`).
Promises: Gamma and CLOB on one port of 127.0.0.1, the market channel on another; the same seed and clock make the same markets
          and books; after `stop` the ports are closed and every connection with them, and
          `start` opens the same ports again on the same world: free ones are its own until then.
Never:    imports the recorder.
"""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.ports import own_port
from tests.venue import markets
from tests.venue.app import App
from tests.venue.channel import PATH, Channel
from tests.venue.channel_truth import ChannelLedger, ChannelTruth
from tests.venue.events import Tempo
from tests.venue.faults import Faults
from tests.venue.live import LiveWorld
from tests.venue.markets import Market
from tests.venue.server import Server
from tests.venue.states import World
from tests.venue.truth import AnswerRow, Ledger, Truth

DEFAULT_MARKETS = ("btc-5m", "btc-15m", "btc-1h")


class Venue:
    """One venue; a context manager.

    Args:
        state_dir: where the ledger goes; made when missing.
        port: 0 for a free one.
        channel_port: of the market channel; 0 for a free one.
        scale: divides the window length of the 5m, 15m and 4h series (15: 20 s and 60 s).
        seed: of every id, price, order of answers and chance.
        lines: names of the series to serve.
        encoding: "gzip" to compress for clients that accept it, or "identity".
        tempo: how the simulated markets move, and how the market channel tells it.
        world: another world than the simulated one, such as a replay.
        clock_ns: Unix ns; the one clock of the venue.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        port: int = 0,
        channel_port: int = 0,
        scale: int = 1,
        seed: int = 1,
        lines: Sequence[str] = DEFAULT_MARKETS,
        encoding: str = "identity",
        tempo: Tempo | None = None,
        world: World | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.clock_ns = clock_ns
        self.port = port or own_port(self)
        self.channel_port = channel_port or own_port(self)
        self.encoding = encoding
        self.faults = Faults(seed)
        self.world = world or LiveWorld(
            [markets.series(name, scale=scale) for name in lines],
            seed=seed,
            born_ms=self.now_ms(),
            tempo=tempo,
        )
        self.app = App(self.world, self.faults, seed=seed)
        self.ledger = Ledger(state_dir)
        self.truth: Truth = self.ledger.truth
        self.channel_ledger = ChannelLedger(state_dir)
        self.channel_truth: ChannelTruth = self.channel_ledger.truth
        self._channel = Channel(self.world, self.faults, self.channel_ledger, clock_ns=clock_ns)
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Base URL of both Gamma and CLOB, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """Address of the market channel."""
        return f"ws://127.0.0.1:{self.channel_port}{PATH}"

    def now_ms(self) -> int:
        """Unix ms of the venue's clock."""
        return self.clock_ns() // 1_000_000

    def markets(self) -> list[Market]:
        """Every market listed now, closed ones and zombies too."""
        return list(self.world.listed(self.now_ms()))

    def open_markets(self) -> list[Market]:
        """Markets that have a book now, the soonest ending first."""
        now_ms = self.now_ms()
        found = [m for m in self.markets() if self.world.state(m.token_ids[0], now_ms)]
        return sorted(found, key=lambda market: (market.end_ms, market.slug))

    def answers(self, *, at_least: int = 0, limit_s: float = 10.0) -> list[AnswerRow]:
        """The ledger's answers, after every request received has its row.

        Args:
            at_least: wait for so many requests, counted from the ledger's first.
            limit_s: how long to wait.

        Raises:
            TimeoutError: after `limit_s` there are fewer, or some are still on their way.
        """
        self.ledger.settle(at_least=at_least, limit_s=limit_s)
        return self.truth.answers()

    def start(self) -> None:
        """Listen; the ports stay the same over stop and start."""
        self._channel.start(self.channel_port)
        server = Server(
            self.port, self.app, self.ledger, clock_ns=self.clock_ns, encoding=self.encoding
        )
        self._server = server
        loop = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        loop.name = f"venue-{self.port}"
        loop.start()

    def stop(self) -> None:
        """Close the ports and every connection; the ledger stays open for the next start."""
        self._channel.stop()
        if self._server is not None:
            self._server.end()
            self._server = None

    def __enter__(self) -> Self:
        """Start, and give the venue."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and close the ledger."""
        self.stop()
        self.ledger.close()
        self.channel_ledger.close()
