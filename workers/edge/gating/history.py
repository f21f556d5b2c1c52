"""What the archive tells of restarts and cuts: deaths and later rows, silence and later answers.

Reads     ledgers, publications, books, the history of health
Promises  a restart counts only with rows of the same shard after it; a cut only with an answer
          after it, and with every tick of it accounted for
Never     writes
"""

import msgspec

from workers.core.archive.runs import points_of
from workers.core.archive.segments import MANIFEST_SUFFIX, ROOTS
from workers.core.causes import OK
from workers.core.coverage.lives import Life
from workers.core.health.reports import HealthManifest
from workers.core.instants import utc_text
from workers.core.soak.gate import Cut, cut_text, cuts
from workers.edge.reading.folders import hour_folder
from workers.edge.soaking.account import NS_PER_MS, Span, accounted, gathered_of, rows_of
from workers.edge.spool import reader
from workers.edge.spool.directory import DataDir

#: How long after a cut its alert may still come: a look, a grace, a late row.
SEEN_LATE_MS = 120_000
#: Each is accounted for; of a bad line the newest are enough.
CUTS_MAX = 20


class Found(msgspec.Struct, frozen=True):
    """What was found, and what is wrong with it."""

    found: list[str]
    wrong: list[str]


def restarts(data: DataDir, span: Span) -> Found:
    """Every life that ended without its own last row, and the rows after it."""
    gathered = gathered_of(data, span)
    lives = gathered.lives.listed()
    found = [text for each in lives if (text := _restart(each, lives))]
    return Found(found, list(gathered.unreadable))


def _restart(death: Life, lives: list[Life]) -> str:
    if death.is_running or death.stopped_ms is not None:
        return ""
    for later in lives:
        answers = (runs for cause, _, runs in later.answered() if cause == OK)
        rows = sum(1 for runs in answers for run in runs for _ in points_of(run))
        if later.worker == death.worker and later.started_ms > death.ended_ms and rows:
            ended, began = (utc_text(ms * NS_PER_MS) for ms in (death.ended_ms, later.started_ms))
            return f"{death.worker}: died at {ended}, back at {began}, {rows} polls answered since"
    return ""


def network(data: DataDir, span: Span) -> Found:
    """Every cut that is over, whether the health history shows it, and what its ticks became."""
    damage: list[str] = []
    found, wrong = [], damage
    health = _health(data, span, damage)
    over = [it for it in cuts(rows_of(data, span, damage)) if it.worker.startswith("collector-")]
    for cut in over[-CUTS_MAX:]:
        during = Span(cut.from_wall_ns // NS_PER_MS, cut.until_wall_ns // NS_PER_MS + 1)
        told = accounted(data, during).coverage
        unexplained = told.totals.get("UNEXPLAINED", 0)
        if unexplained or not told.adds_up:
            wrong.append(f"{cut_text(cut)}: {unexplained} ticks UNEXPLAINED")
        elif _is_seen(cut, health):
            found.append(
                f"{utc_text(cut.from_wall_ns)} {cut_text(cut)}; {told.due} ticks, all told"
            )
    return Found(found, wrong)


def _is_seen(cut: Cut, health: list[tuple[int, str]]) -> bool:
    """Whether health was not ok while it was cut, and ok again after it."""
    late_ns = cut.until_wall_ns + SEEN_LATE_MS * NS_PER_MS
    odd = [at for at, verdict in health if cut.from_wall_ns < at < late_ns and verdict != "ok"]
    return bool(odd) and any(verdict == "ok" and at > odd[0] for at, verdict in health)


def _health(data: DataDir, span: Span, damage: list[str]) -> list[tuple[int, str]]:
    """(when, verdict) of the watchdog's history."""
    streams = [each.rows for each in reader.open_streams(data, kinds=frozenset({"health"}))]
    for hour_ms in span.hours:
        folder = data.root / hour_folder(ROOTS["health"], hour_ms)
        for path in sorted(folder.glob(f"*--health--*{MANIFEST_SUFFIX}")):
            name = path.name.removesuffix(MANIFEST_SUFFIX)
            try:
                streams.append(reader.read_stream(path.with_name(f"{name}.jsonl.gz")).data)
            except OSError as error:
                damage.append(f"{data.relative(path)}: {error.strerror}")
    rows = [
        msgspec.json.decode(line, type=HealthManifest)
        for stream in streams
        for line in stream.split(b"\n")[:-1]
    ]
    return sorted((row.at_wall_ns, row.verdict) for row in rows)
