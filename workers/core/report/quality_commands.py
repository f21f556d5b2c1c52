"""For each part of a quality report the command that gives its numbers again.

They are run in the data directory, with `orderbooks`, zcat and jq; those of requests and of the
clock read the raw files, not the tables the report was made from.
"""

from workers.core.instants import hour_parts
from workers.core.reading.stretches import Stretch

_SUM = "group_by(.key) | map({(.[0].key): (map(.value) | add)}) | add"

_HOUR = '"\\(.endpoint) \\(.due_ms / 3600000 | floor * 3600000)"'


def commands(stretch: Stretch) -> dict[str, str]:
    """By part."""
    date = hour_parts(stretch.from_ms)[0]
    span = "--from {} --to {}".format(*stretch.texts)
    ledgers = f"zcat raw/venue=polymarket/date={date}/hour=*/*--ledger--*.jsonl.gz"
    health = f"zcat manifests/health/date={date}/hour=*/*--health--*.jsonl.gz"
    return {
        **_of_coverage(span),
        **_of_requests(stretch, ledgers),
        **_of_tables(f"venue=polymarket/date={date}/hour=*/*.manifest.json"),
        **_of_figures(span),
        "clock": (
            f"{health} | jq -s 'map(.clock | select(.offset_ms != null)) | "
            "unique_by(.measured_wall_ns) | {measured: length, "
            "least_ms: (map(.offset_ms) | min), most_ms: (map(.offset_ms) | max)}'"
        ),
        "steps": f"{ledgers} | jq -c 'select(.kind == \"clock\")'",
    }


def stream_commands(stretch: Stretch) -> dict[str, str]:
    """Those of the stream, where there is one."""
    date = hour_parts(stretch.from_ms)[0]
    span = "--from {} --to {}".format(*stretch.texts)
    ledgers = f"zcat raw/venue=polymarket/date={date}/hour=*/*--ledger--streamer-*.jsonl.gz"
    return {
        "stream": f"orderbooks coverage --data . {span} --json | jq '.stream | del(.markets)'",
        "resyncs": (
            f'{ledgers} | jq -s \'map(select(.kind == "turn" and .state != "SYNCED")) | '
            "group_by(.reason) | map({(.[0].reason): length}) | add'"
        ),
    }


def _of_coverage(span: str) -> dict[str, str]:
    plain = f"orderbooks coverage --data . {span}"
    coverage = f"{plain} --gaps 0 --json"
    return {
        "coverage": f"{coverage} | jq '{{due, totals}}'",
        "coverage_hours": f"{plain} --by hour",
        "coverage_markets": f"{coverage} | jq -c '.markets[] | {{slug, hours}}'",
        "gaps": (
            f"{coverage} | jq '[.markets[].gaps[].states | to_entries[]] | group_by(.key) | "
            "map({(.[0].key): {gaps: length, ticks: (map(.value) | add)}}) | add'"
        ),
        "gaps_longest": f"{plain} --gaps 0",
    }


def _of_requests(stretch: Stretch, ledgers: str) -> dict[str, str]:
    within = f".due_ms >= {stretch.from_ms} and .due_ms < {stretch.until_ms}"
    asked = f'map(select(.kind == "request" and {within}))'
    good = f'{asked} | map(select(.cause == "ok"))'
    return {
        "requests": (
            f"{ledgers} | jq -s '{asked} | group_by(.endpoint) | map({{(.[0].endpoint): "
            "(group_by(.cause) | map({(.[0].cause): length}) | add)}) | add'"
        ),
        "latency": f"{ledgers} | jq -s '{good} | {_latency('.endpoint')}'",
        "latency_hours": f"{ledgers} | jq -s '{good} | {_latency(_HOUR)}'",
    }


def _of_tables(manifests: str) -> dict[str, str]:
    every = " ".join(f"derived/{each}/{manifests}" for each in ("books", "requests", "markets"))
    return {
        "books": (
            f"jq -s '{{rows: (map(.rows) | add), checks: (map(.checks | to_entries[]) | {_SUM})}}' "
            f"derived/books/{manifests}"
        ),
        "bad": f"jq -s 'map(.sources[].bad | to_entries[]) | {_SUM}' {every}",
    }


def _of_figures(span: str) -> dict[str, str]:
    mine = f"orderbooks mine --data . {span} --json"
    return {
        "spread": (
            f"{mine} | jq '.tokens | {{held_s: (map(.observed_s | tonumber) | add), "
            "two_sided_s: (map(.two_sided_s | tonumber) | add), at_ticks: (map(.seconds_at_ticks | "
            f"map_values(tonumber) | to_entries[]) | {_SUM})}}'"
        ),
        "top": f"{mine} | jq .top",
    }


def _latency(key: str) -> str:
    """Nearest-rank percentiles in ns, by a key of each request."""
    ranks = ", ".join(f"p{at}: .[(length * {at} / 100 | ceil) - 1]" for at in (50, 90, 99))
    return (
        f"group_by({key}) | map({{(.[0] | {key}): (map(.recv_mono_ns - .send_mono_ns) | sort | "
        f"{{good: length, {ranks}, max: .[-1]}})}}) | add"
    )
