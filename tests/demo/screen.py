"""What the demo prints: one progress line while it records, one screen at the end."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.demo.judgement import Judgement
from tests.demo.offload import Offloaded
from tests.demo.stage import Stage
from workers.core.archive.manifests import read_manifest


@dataclass(frozen=True)
class Proof:
    """Everything that was checked."""

    verify_code: int
    verify: Mapping[str, Any]
    coverage_code: int
    coverage: Mapping[str, Any]
    judgement: Judgement
    killed: str
    flush_interval_s: float
    tick_s: float
    offloaded: Offloaded

    def checks(self) -> list[tuple[bool, str]]:
        """Each promise with its verdict."""
        totals = Counter(self.coverage.get("totals", {}))
        due = self.coverage.get("due", 0)
        told = self.judgement
        worst_s = self.flush_interval_s + self.tick_s
        worst = f"(allowed: flush {self.flush_interval_s:.0f} s + one tick)"
        kill = f"{told.lost_to_kill} books, the oldest {told.lost_to_kill_s:.1f} s old {worst}"
        return [
            (self.verify_code == 0, "every file is whole: manifests, checksums, rows, chains"),
            (told.kept_books > 0 and self._hashes_fail() == 0, "every venue hash verifies"),
            (
                due > 0 and sum(totals.values()) == due,
                f"coverage: the states of {due} ticks sum to 100 %",
            ),
            (self.coverage_code == 0 and not totals["UNEXPLAINED"], "0 unexplained gaps"),
            (
                not told.problems and told.sent_books > 0,
                "the archive equals the venue's own ledger",
            ),
            (told.lost_to_kill_s <= worst_s, f"the SIGKILL of {self.killed} cost {kill}"),
            (self._faults_named(), "every fault of the venue is in the ledger by its name"),
            *self.offloaded.checks(),
        ]

    def _hashes_fail(self) -> int:
        hashes = self.verify.get("hashes", {})
        return int(hashes.get("failed", 0)) + int(hashes.get("absent", 0)) if hashes else 1

    def _faults_named(self) -> bool:
        # More timeouts than hangs are no lie: a slow machine has its own.
        told = self.judgement
        answered = told.causes["http_429"] + told.causes["http_503"]
        return (
            not told.misnamed and answered > 0 and 0 < told.faults["hang"] <= told.causes["timeout"]
        )

    def is_true(self) -> bool:
        """True when every promise held."""
        return all(held for held, _ in self.checks())


class Progress:
    """The one line while the demo records (a line every ten seconds when piped)."""

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._counters: dict[str, dict[str, int]] = {}

    def show(self, stage: Stage, elapsed_s: float, said: str) -> None:
        """Draw it; a restarted worker counts on top of its earlier run."""
        beats = [beat for beat in stage.beats().values() if beat.worker.startswith("collector")]
        self._counters |= {beat.run: beat.counters for beat in beats}
        total: Counter[str] = Counter()
        for counters in self._counters.values():
            total.update(counters)
        markets = [market for beat in beats for market in beat.markets]
        hot = sum(1 for market in markets if market.tier == "hot")
        line = (
            f"{elapsed_s:3.0f}/{self._seconds} s  {len(markets)} markets, {hot} hot  "
            f"{total['books']} books  {total['requests']} requests, {total['failures']} failed  {said}"
        )
        if sys.stdout.isatty():
            print(f"\r\x1b[K{line}", end="", flush=True)
        elif int(elapsed_s * 2) % 20 == 0:
            print(line, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if sys.stdout.isatty():
            print()


def report(stage: Stage, proof: Proof) -> str:
    """The one screen."""
    totals = Counter(proof.coverage.get("totals", {}))
    due = proof.coverage.get("due", 0) or 1
    told = proof.judgement
    lines = ["", "RECORDED", *_recorded(stage, told), "", "WHAT BECAME OF EVERY DUE TICK"]
    for name, count in sorted(totals.items(), key=lambda each: -each[1]):
        if count:
            lines.append(f"  {name:<28}{count:>8}{count / due:>9.2%}")
    lines.append(f"  {'due':<28}{proof.coverage.get('due', 0):>8}")
    lines += ["", "LOST, AND WHY", *_losses(proof), "", "PROVED"]
    lines += [f"  {'yes' if held else 'NO ':<4}{text}" for held, text in proof.checks()]
    problems = [*told.problems[:10], *told.misnamed[:10], *proof.offloaded.problems()[:10]]
    lines += [f"       {problem}" for problem in problems]
    lines += _errors(proof)
    lines += ["", "LOOK NEXT", *_next(stage)]
    verdict = "the archive tells the truth" if proof.is_true() else "THE ARCHIVE IS NOT PROVED"
    return "\n".join([*lines, "", verdict])


def _recorded(stage: Stage, told: Judgement) -> list[str]:
    # By the manifests: the data of an hour has left the disk by now.
    paths = list(stage.data.root.glob("raw/**/*.manifest.json"))
    size, files = sum(read_manifest(path.read_bytes()).bytes for path in paths), len(paths)
    each = size / told.kept_books if told.kept_books else 0
    return [
        f"  {told.kept_books} books of {told.sent_books} that the venue sent, in {told.answers} answers",
        f"  {files} segments, {size / 1000:,.0f} kB in all, {each:.0f} bytes a book",
    ]


def _losses(proof: Proof) -> list[str]:
    lines = [
        f"  {count} request{'s' if count > 1 else ''}: {cause}"
        for cause, count in sorted(proof.judgement.causes.items())
        if cause != "ok"
    ]
    gaps = [gap for market in proof.coverage.get("markets", []) for gap in market["gaps"]]
    for gap in sorted(gaps, key=lambda each: -each["length_s"])[:4]:
        why = ", ".join(f"{name} × {count}" for name, count in gap["states"].items())
        lines.append(f"  gap of {gap['length_s']:.0f} s from {gap['from_utc']}: {why}")
    return lines or ["  nothing"]


def _errors(proof: Proof) -> list[str]:
    found = [text for text in (proof.verify.get("error"), proof.coverage.get("error")) if text]
    damage = proof.verify.get("damage", proof.verify.get("problems", []))
    found += [str(each) for each in damage[:10]] if isinstance(damage, list) else []
    return [f"       {text}" for text in found]


def _next(stage: Stage) -> list[str]:
    config, back = f"--config {stage.config}", stage.restored
    return [
        f"  ls {stage.remote_folder}/raw/venue=polymarket/*/*/",
        f"  zcat {back}/raw/venue=polymarket/*/*/*--books--*.jsonl.gz | head -1",
        f"  .venv/bin/orderbooks coverage {config} --data {back}",
        f"  .venv/bin/orderbooks verify {config}",
        f"  .venv/bin/orderbooks offload {config}",
        f"  .venv/bin/orderbooks status {config}",
    ]
