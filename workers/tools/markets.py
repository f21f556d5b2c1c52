"""List the markets an archive holds: slug, window, ticks due and captured.

Without times: the markets of the newest hour that has any.
"""

import argparse
import json
import time
from fnmatch import fnmatchcase

from workers.core.coverage.canvas import CAPTURED
from workers.core.instants import MS_PER_HOUR, moment_ms, ms_text
from workers.edge import terminal
from workers.edge.reading.archive import Reader, open_archive

EXIT_FINE = 0
EXAMPLES = """\
examples:
  orderbooks markets                               of the newest hour
  orderbooks markets --from 2026-04-16 --to 2026-04-17 --market 'btc-updown-5m-*'
  orderbooks markets --from 6h --json | jq -r '.markets[].slug'

exit codes: 0 listed; 2 cannot do it
"""
NS_PER_MS = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--from", dest="from_text", metavar="T", help="first moment")
    parser.add_argument("--to", dest="to_text", metavar="T", help="end, exclusive")
    parser.add_argument("--market", default="*", metavar="SLUG", help="a pattern with * and ?")
    parser.add_argument("--json", action="store_true", help="for a program")


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    reader = open_archive(arguments.data, "label")
    now_ms = time.time_ns() // NS_PER_MS
    newest_ms = max(reader.hours(), default=0)
    from_ms = moment_ms(arguments.from_text, now_ms) if arguments.from_text else newest_ms
    until_ms = moment_ms(arguments.to_text, now_ms) if arguments.to_text else 0
    if not until_ms:
        until_ms = now_ms if arguments.from_text else newest_ms + MS_PER_HOUR
    listed = _listed(reader, from_ms, max(until_ms, from_ms + 1), arguments.market)
    if arguments.json:
        found = {"schema": "orderbooks.market_list/1", "markets": listed}
        print(json.dumps(found, indent=1))
        return EXIT_FINE
    rows = [
        [
            terminal.printable(str(each["slug"])),
            each["window_start_utc"],
            each["window_end_utc"],
            each["due"],
            each["captured"],
        ]
        for each in listed
    ]
    print(terminal.table(["market", "from", "until", "due", "captured"], rows))
    return EXIT_FINE


def _listed(reader: Reader, from_ms: int, until_ms: int, pattern: str) -> list[dict[str, object]]:
    span = (from_ms * NS_PER_MS, until_ms * NS_PER_MS)
    judged = {each.condition_id: each for each in reader.coverage(*span, pattern)}
    found: list[dict[str, object]] = []
    for each in reader.markets(*span):
        coverage = judged.get(each.condition_id)
        if coverage is None or not fnmatchcase(each.slug, pattern):
            continue
        window = each.window
        found.append(
            {
                "slug": each.slug,
                "condition_id": each.condition_id,
                "series": each.series,
                "outcomes": [name for _, name in each.tokens],
                "token_ids": [token for token, _ in each.tokens],
                "window_start_utc": ms_text(window.start_ms) if window else None,
                "window_end_utc": ms_text(window.end_ms) if window else None,
                "due": coverage.due,
                "captured": coverage.counts()[CAPTURED],
                "states": dict(coverage.counts()),
            }
        )
    return found
