"""The written rules of a soak, and the verdict that follows from them.

| verdict      | means                                                                     |
|--------------|---------------------------------------------------------------------------|
| PASS         | every rule holds: 24 hours or more of real time against the live venue    |
| NEEDS_REVIEW | nothing is wrong with the archive, but a person must judge what is listed |
| FAIL         | a promise of the archive, or of its processes, is broken                  |

Promises  a verdict names every rule that does not hold, with what was found; without evidence for
          a rule it does not hold
Never     PASS for less than 24 hours, for another venue than the live one, or on a scaled clock:
          whatever is not https to polymarket.com is not the live venue
"""

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import msgspec

from workers.core.coverage.coverage import UNEXPLAINED
from workers.core.soak.report import Broken, Facts
from workers.core.soak.seen import NS_PER_HOUR, NS_PER_S, Trend

PASS, NEEDS_REVIEW, FAIL = "PASS", "NEEDS_REVIEW", "FAIL"
BLOCKED = "BLOCKED_NEEDS_VPS_ACCESS"
LIVE_HOST = "polymarket.com"
LIVE_NS = 24 * NS_PER_HOUR
#: Growth between the quarters of a life that is no leak.
MEMORY_BYTES, FDS = 4 << 20, 8
FIRST_CAPTURE_MS = 60_000
BACKLOG_S = 3600


class Rule(msgspec.Struct, frozen=True):
    """What must hold, the verdict when it does not, and how it is seen: "" or what was found."""

    meaning: str
    otherwise: str
    found: Callable[[Facts], str]


def is_live(url: str) -> bool:
    """True for the venue itself: its certificate is checked by the client."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == LIVE_HOST or host.endswith(f".{LIVE_HOST}"))


def verdict(facts: Facts) -> tuple[str, list[Broken]]:
    """The worst of the rules that do not hold, and all of them."""
    broken = [
        (rule.otherwise, Broken(name, found))
        for name, rule in RULES.items()
        if (found := rule.found(facts))
    ]
    worst = {otherwise for otherwise, _ in broken}
    said = FAIL if FAIL in worst else NEEDS_REVIEW if worst else PASS
    return said, [each for _, each in broken]


def _counted(found: Mapping[str, int], unit: str) -> str:
    """`name in 3 samples, …`; in one order, so that a report that is read again says the same."""
    return ", ".join(f"{name} in {count} {unit}" for name, count in sorted(found.items()))


def _live(facts: Facts) -> str:
    urls = (facts.begun.gamma_url, facts.begun.clob_url)
    return ", ".join(url for url in urls if not is_live(url))


def _settings(facts: Facts) -> str:
    told = facts.archived.account.asked.settings
    others = [run for run, sha256 in sorted(told.items()) if sha256 != facts.begun.config_sha256]
    return ", ".join(others[:5]) or ("" if told else "nobody asked the venue anything")


def _long(facts: Facts) -> str:
    hours = facts.seen.observed_ns / NS_PER_HOUR
    return "" if facts.seen.observed_ns >= LIVE_NS else f"{hours:.2f} hours were observed"


def _over(facts: Facts) -> str:
    return "" if facts.seen.is_over else "the soak was stopped, or still runs"


def _accounted(facts: Facts) -> str:
    told = facts.archived.account.coverage
    found = []
    if not told.due:
        found.append("no tick was due")
    if not told.adds_up:
        found.append("the states do not add up to the due ticks")
    if told.totals.get(UNEXPLAINED):
        found.append(f"{told.totals[UNEXPLAINED]} ticks UNEXPLAINED")
    if told.unreadable:
        found.append(f"{len(told.unreadable)} parts unreadable, first {told.unreadable[0]}")
    return "; ".join(found)


def _whole(facts: Facts) -> str:
    problems = [*facts.verified.problems, *facts.archived.damage]
    return f"{len(problems)} problems, first {problems[0]}" if problems else ""


def _hashes(facts: Facts) -> str:
    odd = {name: n for name, n in facts.verified.hashes.items() if n and name != "verified"}
    if not facts.verified.hashes.get("verified"):
        return "no book's hash was verified"
    return _counted(odd, "books")


def _captured(facts: Facts) -> str:
    told = facts.archived.account.coverage
    owed = told.due - told.count("VENUE_ABSENT")
    captured = told.count("CAPTURED")
    if 1000 * captured >= 995 * owed:
        return ""
    return (
        f"{captured} of {owed} ticks that the venue had a book for ({100 * captured / owed:.2f} %)"
    )


def _watched(facts: Facts) -> str:
    seen = facts.seen
    if not seen.holes:
        return ""
    lost_s = sum(each.length_ns for each in seen.holes) // NS_PER_S
    return f"{len(seen.holes)} times without samples, {lost_s} s in all"


def _boots(facts: Facts) -> str:
    count = len(facts.seen.boots)
    return "" if count == 1 else f"the machine was started {count - 1} times"


def _running(facts: Facts) -> str:
    absent = [
        f"{each.worker} in {each.running} of {each.samples} samples"
        for each in facts.seen.workers
        if 100 * each.running < 99 * each.samples and not each.is_off
    ]
    return "; ".join(absent) or ("" if facts.seen.workers else "no process was seen")


def _restarts(facts: Facts) -> str:
    return "; ".join(
        f"{each.worker} {each.lives - 1} times" for each in facts.seen.workers if each.lives > 1
    )


def grown(trend: Trend, least: int) -> bool:
    """Whether a number grew by more than `least`, and by more than a tenth."""
    return trend.last - trend.first > max(least, trend.first // 10)


def _memory(facts: Facts) -> str:
    return "; ".join(
        f"{each.worker} from {each.memory.first} to {each.memory.last} bytes"
        for each in facts.seen.workers
        if each.memory and grown(each.memory, MEMORY_BYTES)
    )


def _fds(facts: Facts) -> str:
    return "; ".join(
        f"{each.worker} from {each.fds.first} to {each.fds.last}"
        for each in facts.seen.workers
        if each.fds and grown(each.fds, FDS)
    )


def _judged(facts: Facts) -> str:
    awake = [each for each in facts.seen.workers if not each.is_off]
    return ", ".join(each.worker for each in awake if not (each.memory and each.fds))


def _guard(facts: Facts) -> str:
    odd = {name: n for name, n in facts.seen.disk.guards.items() if name != "ok"}
    return _counted(odd, "samples")


def _alerts(facts: Facts) -> str:
    return _counted(facts.seen.alerts, "samples")


def _quarantine(facts: Facts) -> str:
    count = facts.seen.most_quarantined
    return f"{count} files" if count else ""


def _uploaded(facts: Facts) -> str:
    told = facts.archived.upload
    odd = {each: n for each, n in told.verdicts.items() if each in {"conflict", "duplicate"} and n}
    found = [_counted(odd, "verdicts")] if odd else []
    if told.unproven_gone:
        found.append(f"{len(told.unproven_gone)} files gone without proof: {told.unproven_gone[0]}")
    return "; ".join([*found, *told.damage[:1]])


def _shipped(facts: Facts) -> str:
    told = facts.archived.upload
    queue = next((each for each in facts.seen.queues if each.name == "upload"), None)
    found = [] if told.proven else ["nothing is proven on the remote"]
    if told.drills_failed:
        found.append(f"{told.drills_failed} drills failed")
    if queue and queue.most_failed:
        found.append(f"{queue.most_failed} tickets failed")
    if queue and queue.oldest_s > BACKLOG_S:
        found.append(f"the oldest ticket waited {queue.oldest_s} s")
    return "; ".join(found)


def _first(facts: Facts) -> str:
    told = facts.archived.account.first_capture
    if told.p99_ms is None:
        return "no market was captured from its first tick on"
    found = [f"never: {', '.join(told.never[:5])}"] if told.never else []
    if told.p99_ms > FIRST_CAPTURE_MS:
        found.append(f"p99 {told.p99_ms} ms, slowest {told.slowest}")
    return "; ".join(found)


RULES: dict[str, Rule] = {
    "live_venue": Rule(
        "the venue is polymarket.com by https: nothing else is evidence about it",
        NEEDS_REVIEW,
        _live,
    ),
    "settings": Rule(
        "who asked the venue had the settings that the soak names", NEEDS_REVIEW, _settings
    ),
    "real_time": Rule("24 hours or more of real time were observed", NEEDS_REVIEW, _long),
    "is_over": Rule("the time that was asked for is over", NEEDS_REVIEW, _over),
    "accounted": Rule(
        "every due tick has one state, they add up, and UNEXPLAINED is 0", FAIL, _accounted
    ),
    "whole": Rule("`orderbooks verify` finds nothing that is not labelled", FAIL, _whole),
    "uploaded": Rule(
        "no file of the remote differs from ours, and none left this disk unproven", FAIL, _uploaded
    ),
    "memory_flat": Rule(
        "the memory of no process grew by more than 4 MiB and a tenth, first quarter of its "
        "longest life to the last (medians, warm-up left out)",
        FAIL,
        _memory,
    ),
    "descriptors_flat": Rule("nor did its descriptors by more than 8 and a tenth", FAIL, _fds),
    "long_lives": Rule(
        "every process has a life of ten minutes, so that its trend is known", NEEDS_REVIEW, _judged
    ),
    "hashes": Rule("every book's hash is the venue's", NEEDS_REVIEW, _hashes),
    "captured": Rule(
        "99.5 % of the ticks that the venue had a book for were captured", NEEDS_REVIEW, _captured
    ),
    "watched": Rule("no four intervals in a row without a sample", NEEDS_REVIEW, _watched),
    "one_boot": Rule("the machine was not started anew", NEEDS_REVIEW, _boots),
    "running": Rule(
        "every process that is not STOPPED on purpose was RUNNING in 99 % of the samples",
        NEEDS_REVIEW,
        _running,
    ),
    "restarts": Rule("no process was started again", NEEDS_REVIEW, _restarts),
    "guard": Rule("the disk guard was always ok", NEEDS_REVIEW, _guard),
    "alerts": Rule("no alert was raised", NEEDS_REVIEW, _alerts),
    "quarantine": Rule("nothing was in quarantine", NEEDS_REVIEW, _quarantine),
    "shipped": Rule(
        "files are proven on the remote, none waited for an hour, no ticket and no drill failed",
        NEEDS_REVIEW,
        _shipped,
    ),
    "first_capture": Rule(
        "99 % of the markets were captured within a minute of their first tick, none never",
        NEEDS_REVIEW,
        _first,
    ),
}
