"""Coverage, for answers: what became of ticks that were due.

Reads     what `edge.spool.archive` reads; heartbeats, for workers that are alive
Promises  ticks that a living worker may still hold in its memory are called not written yet, and
          never a gap of another cause; what is read for an answer is proven like any other file
Never     writes
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from fnmatch import fnmatchcase

import msgspec

from workers.core.archive.segments import MANIFEST_SUFFIX, ROOTS, parse_name
from workers.core.coverage.coverage import MarketCoverage, written_ms
from workers.core.coverage.plans import DueTicks, Known
from workers.core.instants import MS_PER_HOUR, NS_PER_MS
from workers.core.stream.covers import NOT_WRITTEN
from workers.edge.offload import ledger
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import Folders, hour_folder, hour_of
from workers.edge.reading.vault import Vault
from workers.edge.spool import archive, state
from workers.edge.spool.archive import Judge
from workers.edge.spool.directory import DataDir

_KEPT = 32


class _Account(msgspec.Struct, frozen=True):
    """What was gathered for some hours, and when that began."""

    judge: Judge
    now_ms: int

    def written_ms(self, known: Known) -> int:
        """As `core.coverage.coverage.written_ms`."""
        return written_ms(known, self.judge.lives, self.now_ms)


class Accounts:
    """Causes of missed ticks, by the hours they lie in."""

    def __init__(
        self, data: DataDir, folders: Folders, vault: Vault, now_ns: Callable[[], int]
    ) -> None:
        self._data, self._folders, self._vault, self._now_ns = data, folders, vault, now_ns
        self._kept: OrderedDict[tuple[object, ...], _Account] = OrderedDict()

    def states(self, known: Known, from_ms: int, until_ms: int, findings: Findings) -> Counter[str]:
        """What became of the ticks of a market in from_ms ≤ due < until_ms."""
        account = self._account(hour_of(from_ms), hour_of(until_ms - 1) + MS_PER_HOUR, findings)
        known = account.judge.gathered.plans.markets.get(known.condition_id, known)
        told_ms = min(until_ms, max(from_ms, account.written_ms(known)))
        counts: Counter[str] = Counter()
        if told_ms > from_ms:
            counts = _judged(account, known, from_ms, told_ms, 1 << 62).counts()
        counts[NOT_WRITTEN] += DueTicks(known.plans, told_ms, until_ms).size
        return +counts

    def coverage(
        self, from_ms: int, until_ms: int, slug: str, gap_ms: int, findings: Findings
    ) -> list[MarketCoverage]:
        """Every market of a pattern that had a tick due in from_ms ≤ due < until_ms."""
        account = self._account(from_ms, until_ms, findings)
        found = [
            _judged(account, each, from_ms, min(until_ms, account.written_ms(each)), gap_ms)
            for each in account.judge.gathered.plans.markets.values()
            if fnmatchcase(each.slug, slug)
        ]
        return [each for each in found if each.due]

    def _account(self, from_ms: int, until_ms: int, findings: Findings) -> _Account:
        # Before anything is read: what is written meanwhile was not missed.
        now_ms = self._now_ns() // NS_PER_MS
        self._prove(from_ms, until_ms, findings)
        places = [hour_folder(root, hour) for root, hour in self._places(from_ms, until_ms)]
        open_files = [
            self._folders.names(f"spool/open/{worker}")
            for worker in self._folders.names("spool/open")
        ]
        running = state.running(self._data)
        alive = now_ms // 1000 if running or now_ms < until_ms else 0
        names = tuple(self._folders.names(place) for place in places)
        key = (from_ms, until_ms, names, tuple(open_files), self._folders.names("labels"), alive)
        if key not in self._kept:
            self._kept[key] = _Account(self._gather(from_ms, until_ms, running), now_ms)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        account = self._kept[key]
        for each in account.judge.gathered.unreadable:
            path, _, what = each.partition(": ")
            findings.damaged(path, what)
        return account

    def _gather(self, from_ms: int, until_ms: int, running: dict[str, str]) -> Judge:
        gathered = archive.gather(
            self._data,
            from_ms=from_ms,
            until_ms=until_ms,
            running=running,
            released=ledger.Gone(self._data),
        )
        return Judge(gathered, gathered.plans.markets.values())

    def _places(self, from_ms: int, until_ms: int) -> list[tuple[str, int]]:
        hours = range(from_ms - MS_PER_HOUR, until_ms + MS_PER_HOUR, MS_PER_HOUR)
        return [(ROOTS[kind], hour) for hour in hours for kind in ("ledger", "universe")]

    def _prove(self, from_ms: int, until_ms: int, findings: Findings) -> None:
        """Hash the ledgers that will be read; what `gather` reads beyond them has its CRC."""
        for root, hour in self._places(from_ms, until_ms):
            place = hour_folder(root, hour)
            for each in self._folders.names(place):
                name = parse_name(each.removesuffix(MANIFEST_SUFFIX))
                is_asked = each.endswith(MANIFEST_SUFFIX) and name is not None
                if is_asked and name is not None and name.kind in ("ledger", "universe"):
                    self._vault.prove(self._data.root / place / each, findings)


def _judged(
    account: _Account, known: Known, from_ms: int, until_ms: int, gap_ms: int
) -> MarketCoverage:
    gathered = account.judge.gathered
    begin_ms = max(from_ms, gathered.plans.first_ms or 0, gathered.plans_from_ms)
    until_ms = max(begin_ms, until_ms)
    return account.judge.judged(known, from_ms=begin_ms, until_ms=until_ms, gap_ms=gap_ms)
