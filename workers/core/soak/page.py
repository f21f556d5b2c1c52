"""A soak report as a page of Markdown.

Promises  the same report gives the same page; every figure of the page is in the report
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction

from workers.core.instants import utc_text
from workers.core.report.markdown import NOTHING, command, counts, percent, picture, safe, table
from workers.core.report.stats import rounded
from workers.core.soak.gates import PASS, RULES
from workers.core.soak.report import Account, Archived, Asked, Files, Report, Verified
from workers.core.soak.seen import NS_PER_HOUR, NS_PER_S, Seen, Trend

_MB = 1_000_000


def page(report: Report, pictures: Mapping[str, str], packed: tuple[str, str] | None = None) -> str:
    """The page.

    Args:
        report: what it says.
        pictures: file by name; without them it has none.
        packed: the report as JSON, and the file with its evidence, if there is one.
    """
    facts = report.facts
    parts = [
        _head(report),
        _rules(report),
        _processes(facts.seen, pictures),
        _account(facts.archived.account),
        _files(facts.archived),
        _upload(facts.archived, facts.seen, pictures),
        _disk(facts.seen, pictures),
        _quality(facts.verified, facts.archived),
        _evidence(report, packed),
    ]
    return "\n\n".join("\n\n".join(part) for part in parts) + "\n"


def _head(report: Report) -> Iterator[str]:
    begun, seen = report.facts.begun, report.facts.seen
    yield f"# Soak of {utc_text(begun.at_wall_ns)[:10]}: {report.verdict}"
    hours = rounded(Fraction(seen.observed_ns, NS_PER_HOUR), 3)
    yield (
        f"{_time(seen.from_wall_ns)} to {_time(seen.until_wall_ns)}: {hours} hours of real time "
        f"were observed, in {seen.samples} samples, one each {begun.sample_s:g} s. By orderbooks "
        f"{report.version}. All times are UTC."
    )
    yield "\n".join(f"* {safe(each)}" for each in begun.notes) or "No notes."
    yield table(
        ("", ""),
        [
            ("soak", report.soak),
            ("venue", f"{begun.gamma_url} and {begun.clob_url}"),
            ("remote", begun.remote),
            ("machine", begun.machine),
            ("boots of the machine", len(seen.boots)),
            ("starts of the sampler", seen.sampler_starts),
        ],
    )
    for hole in seen.holes:
        what = "the machine was started anew" if hole.is_reboot else "no samples"
        yield f"* {_time(hole.from_wall_ns)}, {hole.length_ns // NS_PER_S} s: {what}"


def _rules(report: Report) -> Iterator[str]:
    yield "## Verdict"
    broken = {each.rule: each.found for each in report.broken}
    if report.verdict == PASS:
        yield "PASS: every rule holds."
    else:
        yield f"{report.verdict}: {len(broken)} of {len(RULES)} rules do not hold."
    yield table(
        ("rule", "holds", "otherwise", "must hold", "found"),
        (
            [
                name,
                "NO" if name in broken else "yes",
                rule.otherwise,
                rule.meaning.replace("`", ""),
                broken.get(name, NOTHING),
            ]
            for name, rule in RULES.items()
        ),
    )


def _processes(seen: Seen, pictures: Mapping[str, str]) -> Iterator[str]:
    yield "## Processes: uptime, restarts, memory, descriptors"
    yield (
        "Running: of all samples. Memory is PSS, what a process costs beside the others. First and "
        "last are medians of the first and the last quarter of its longest life, warm-up left out."
    )
    yield table(
        (
            *("process", "running", "restarts", "longest life, s"),
            *("memory first, MB", "last, MB", "highest, MB", "MB an hour"),
            *("fds first", "last", "highest"),
        ),
        (
            [
                each.worker,
                "off" if each.is_off else percent(each.running, each.samples),
                max(0, each.lives - 1),
                each.longest_s,
                *_megabytes(each.memory),
                *([each.fds.first, each.fds.last, each.fds.high] if each.fds else [NOTHING] * 3),
            ]
            for each in seen.workers
        ),
    )
    yield from picture(pictures, "memory", "memory of each process over time")
    yield from picture(pictures, "descriptors", "descriptors of each process over time")
    yield f"Health of the samples: {counts(seen.verdicts)}. Alerts: {safe(counts(seen.alerts))}."


def _megabytes(trend: Trend | None) -> list[str]:
    if trend is None:
        return [NOTHING] * 4
    numbers = (trend.first, trend.last, trend.high, trend.per_hour)
    return [str(rounded(Fraction(each, _MB), 2)) for each in numbers]


def _account(account: Account) -> Iterator[str]:
    told, first = account.coverage, account.first_capture
    yield "## Coverage: what became of every due tick"
    sums = "add up to" if told.adds_up else "DO NOT ADD UP to"
    captured = told.count("CAPTURED")
    yield (
        f"{told.markets} markets were tracked; {told.due} ticks were due, and the states {sums} "
        f"them. {captured} snapshots of both outcomes were captured, {told.due - captured} "
        f"intervals missed. Unexplained: **{told.totals.get('UNEXPLAINED', 0)}**."
    )
    yield table(
        ("state", "ticks", "of all"),
        ([name, n, percent(n, told.due)] for name, n in told.totals.items()),
    )
    yield "### Time to the first capture of each market"
    yield table(
        ("markets", "p50, ms", "p99, ms", "max, ms", "slowest", "absent at first", "never"),
        [
            [
                first.markets,
                *(NOTHING if n is None else n for n in (first.p50_ms, first.p99_ms, first.max_ms)),
                first.slowest if first.max_ms else NOTHING,
                first.absent_first,
                len(first.never),
            ]
        ],
    )
    yield from _asked(account.asked)


def _asked(asked: Asked) -> Iterator[str]:
    yield "### Requests, errors and rate limits"
    yield table(
        ("endpoint", "requests", "failed", "429", "causes"),
        (
            [
                name,
                sum(causes.values()),
                sum(causes.values()) - causes.get("ok", 0),
                causes.get("http_429", 0),
                counts(causes),
            ]
            for name, causes in asked.requests.items()
        ),
    )
    skipped = counts(asked.skipped)
    yield f"Answers with Retry-After: {asked.retry_after}. Pauses, by cause: {skipped}."


def _files(archived: Archived) -> Iterator[str]:
    yield "## Files"
    yield table(
        ("kind", "files", "rows", "MB", "median, kB", "largest, kB", "bytes a row", "compressed"),
        map(_file_cells, archived.files),
    )


def _file_cells(each: Files) -> list[object]:
    ratio = (
        f"{rounded(Fraction(each.raw_bytes, each.bytes), 1)} times" if each.raw_bytes else NOTHING
    )
    return [
        each.kind,
        each.files,
        each.rows,
        rounded(Fraction(each.bytes, _MB), 2),
        rounded(Fraction(each.p50_bytes, 1000), 1),
        rounded(Fraction(each.max_bytes, 1000), 1),
        rounded(Fraction(each.bytes, each.rows), 1) if each.rows else NOTHING,
        ratio,
    ]


def _upload(archived: Archived, seen: Seen, pictures: Mapping[str, str]) -> Iterator[str]:
    told = archived.upload
    yield "## Upload"
    yield (
        f"{told.proven} of {told.published} published segments are proven on the remote, "
        f"{rounded(Fraction(told.bytes, _MB), 2)} MB; {told.batches} batches. Failed batches: "
        f"{counts(told.causes)}. Verdicts: {counts(told.verdicts)}. Left this disk without proof: "
        f"{len(told.unproven_gone)}. Drills: {told.drills_passed} passed, {told.drills_failed} "
        "failed. What was published last is copied with the next batch."
    )
    yield table(
        ("queue", "most ready", "most failed", "oldest, s", "ready at the end", "failed"),
        (
            [
                *(each.name, each.most_ready, each.most_failed, each.oldest_s),
                *(each.last_ready, each.last_failed),
            ]
            for each in seen.queues
        ),
    )
    yield from picture(pictures, "queues", "tickets that wait over time")


def _disk(seen: Seen, pictures: Mapping[str, str]) -> Iterator[str]:
    disk = seen.disk
    yield "## Disk"
    growth = rounded(Fraction(disk.growth_bytes_per_hour, _MB), 2)
    free = " to ".join(
        NOTHING if each is None else str(rounded(Fraction(each, _MB), 0))
        for each in (disk.free_first_bytes, disk.free_last_bytes)
    )
    yield (
        f"The data directory grew by {growth} MB an hour; free: {free} MB. Guard, by samples: "
        f"{counts(disk.guards)}. In quarantine at most: {seen.most_quarantined} files."
    )
    yield table(
        ("directory", "first, MB", "last, MB"),
        (
            [name, *(rounded(Fraction(each, _MB), 2) for each in sizes)]
            for name, sizes in disk.directories.items()
        ),
    )
    yield from picture(pictures, "disk", "bytes on disk over time")


def _quality(verified: Verified, archived: Archived) -> Iterator[str]:
    yield "## Data quality"
    problems = [*verified.problems, *archived.damage, *archived.account.coverage.unreadable]
    yield (
        f"orderbooks verify: {verified.segments} segments with {verified.rows} rows and "
        f"{verified.derived} derived files, {len(problems)} problems. Hashes of books: "
        f"{counts(verified.hashes)}. Cut short by a death: {verified.cut_short} segments; rows "
        f"that were lost with their writer: {verified.excused_rows}."
    )
    yield "\n".join(f"* {safe(each)}" for each in problems[:20]) or "Nothing is unexplained here."
    never = archived.account.first_capture.never
    if never:
        yield f"Never captured: {safe(', '.join(never[:20]))}."


def _evidence(report: Report, packed: tuple[str, str] | None) -> Iterator[str]:
    evidence, begun = report.evidence, report.facts.begun
    yield "## Evidence"
    yield (
        f"{evidence.files} files with their SHA-256 stand in `{evidence.path}` of the data "
        f"directory, which itself has SHA-256 `{evidence.sha256}`. The settings have "
        f"`{begun.config_sha256}`. `orderbooks gate` checks all of them and makes the figures "
        "anew; by hand, in the data directory:"
    )
    until = report.facts.archived
    yield command(
        f"sha256sum --quiet -c {evidence.path}\n"
        f"orderbooks coverage --from {until.from_utc} --to {until.until_utc}\n"
        "orderbooks verify"
    )
    if packed:
        told, bundle = packed
        yield (
            f"[{bundle}]({bundle}) has all of them and the ledgers, but not the books. This hashes "
            "each of its files, counts the samples and gives the account of every tick again:"
        )
        yield command(f"orderbooks soak --check {told}")


def _time(wall_ns: int) -> str:
    return utc_text(wall_ns)[:19] + "Z"
