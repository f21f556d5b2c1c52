"""A scripted archive for coverage tests: publications, ledger rows and captured ticks as values.

Used by tests only. Times are Unix ms after START_MS; a market is recorded every second.
"""

from collections.abc import Iterable

from workers.core.archive import ledger
from workers.core.archive.labels import Acknowledged
from workers.core.archive.runs import Runs
from workers.core.coverage.coverage import MarketCoverage, Seen, answers_by_market, judge
from workers.core.coverage.lives import Lives
from workers.core.coverage.plans import Plans
from workers.core.instants import ms_text
from workers.core.polling.cadence import Phase
from workers.core.universe.markets import Market, Token
from workers.core.universe.shards import shard_of
from workers.core.universe.universe import Universe

START_MS = 1_776_329_100_000
END_MS = START_MS + 60_000
UP, DOWN = "1001", "1002"
CONDITION = "0x" + "ab" * 32
WORKER = "collector-00"


def market(*phases: Phase, condition_id: str = CONDITION, tokens: tuple[str, str] = (UP, DOWN)):
    """A market with these phases, by default one second for a minute from START_MS on."""
    phases = phases or (Phase("hot", START_MS, END_MS, 1000),)
    start, end = ms_text(phases[0].from_ms), ms_text(phases[-1].until_ms)
    return Market(
        slug="btc-updown-5m-1776329100",
        question="",
        condition_id=condition_id,
        tokens=(
            Token(token_id=tokens[0], outcome="Up"),
            Token(token_id=tokens[1], outcome="Down"),
        ),
        series="btc-5m",
        event_slug="",
        listed_at_utc=None,
        window_start_utc=start,
        window_end_utc=end,
        tick_size=None,
        status="open",
        source="keyset",
        fetched_at_utc=start,
        record_from_utc=start,
        record_until_utc=end,
        tier="hot",
        phases=phases,
    )


def universe(seq: int, at_ms: int, *markets: Market) -> Universe:
    """One publication."""
    return Universe(seq=seq, published_ms=at_ms, markets=markets)


class Script:
    """Publications, ledger rows and captures, told in order, then judged."""

    def __init__(self, *publications: Universe) -> None:
        self.plans, self.lives = Plans(), Lives()
        for each in publications or (universe(1, START_MS - 5000, market()),):
            self.plans.saw(each)
        self.rows: list[ledger.Row] = []
        self.captured: dict[str, Runs] = {}
        self.invalid: dict[str, Runs] = {}
        self.labels: list[Acknowledged] = []
        self.run, self.requests = "", 0

    def started(self, at_ms: int, *, shard: int = 0, shards: int = 1, worker: str = WORKER):
        """A worker begins."""
        self.run = str(at_ms)
        self.rows.append(
            ledger.Started(
                at_wall_ns=at_ms * 1_000_000,
                at_mono_ns=0,
                worker=worker,
                shard=shard,
                shards=shards,
                run=self.run,
                pid=1,
                boot_id="",
                version="0",
                config_sha256="",
            )
        )

    def loaded(self, at_ms: int, seq: int = 1, markets: Iterable[str] = (CONDITION,)):
        """It takes over a universe."""
        row = ledger.Loaded(at_wall_ns=at_ms * 1_000_000, seq=seq, markets=list(markets))
        self.rows.append(row)

    def asked(self, due_ms: int, *, cause: str = "ok", took_ms: int = 50, **more: object):
        """It asks for both tokens; what an ok answer brings is captured unless said otherwise."""
        self.requests += 1
        self.rows.append(
            ledger.Request(
                id=f"{WORKER}.{self.run}.{self.requests}",
                due_ms=due_ms,
                endpoint="POST /books",
                send_wall_ns=due_ms * 1_000_000,
                recv_wall_ns=(due_ms + took_ms) * 1_000_000,
                send_mono_ns=0,
                recv_mono_ns=0,
                status=200,
                cause=cause,
                body_bytes=0,
                wire_bytes=0,
                sha256=None,
                layout="array",
                **{"asked": [UP, DOWN], **more},
            )
        )

    def caught(self, due_ms: int, *tokens: str):
        """Rows are in the archive."""
        for token in tokens or (UP, DOWN):
            self.captured.setdefault(token, Runs(token)).add(due_ms)

    def polled(self, from_ms: int, until_ms: int, step_ms: int = 1000):
        """Asked and caught, tick after tick."""
        for due_ms in range(from_ms, until_ms, step_ms):
            self.asked(due_ms)
            self.caught(due_ms)

    def skipped(self, from_ms: int, until_ms: int, cause: str, markets: list[str] | None = None):
        """It asks nothing, both ends inclusive."""
        self.rows.append(
            ledger.Skipped(
                at_wall_ns=until_ms * 1_000_000,
                from_due_ms=from_ms,
                until_due_ms=until_ms,
                cause=cause,
                markets=markets,
            )
        )

    def stopped(self, at_ms: int):
        """It ends as asked."""
        self.rows.append(ledger.Stopped(at_wall_ns=at_ms * 1_000_000, at_mono_ns=0, reason="asked"))

    def judged(self, from_ms: int = 0, until_ms: int = END_MS, gap_ms: int = 0) -> MarketCoverage:
        """The coverage of the market, from the first publication at the earliest."""
        self.lives.read(WORKER, self.rows)
        self.rows = []
        known = self.plans.markets[CONDITION]
        lives = self.lives.listed()
        owners = dict.fromkeys(known.tokens, known.condition_id)
        return judge(
            known,
            Seen(
                captured={token: runs.listed() for token, runs in self.captured.items()},
                invalid={token: runs.listed() for token, runs in self.invalid.items()},
            ),
            lives,
            answers_by_market(lives, owners).get(known.condition_id, []),
            self.labels,
            from_ms=max(from_ms, self.plans.first_ms or 0),
            until_ms=until_ms,
            gap_ms=gap_ms,
        )

    def counts(self, **window: int) -> dict[str, int]:
        """The states, checked to add up."""
        judged = self.judged(**window)
        assert judged.adds_up(), judged
        return dict(judged.counts())


def other_shard(shards: int = 2) -> int:
    """A shard that does not record the market."""
    return 1 - shard_of(CONDITION, shards)
