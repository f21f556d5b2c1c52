"""Check every public endpoint that is used: is the venue still as this program knows it?

At most twelve requests, one a second, no account: status, time taken, keys and types seen, order
of the sides, the book's hash, clock offset, the headers that tell of limits. Writes a JSON file
and a page for people.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from workers import VERSION
from workers.core.instants import compact_text, ms_text
from workers.core.polling.answers import Answer
from workers.core.polling.probing import DIFFERS, UNREACHABLE, Check, check, report_text, unasked
from workers.core.settings.settings import Settings
from workers.core.universe.gamma import fields_of, moment, objects, read_page, texts
from workers.core.universe.refusals import WrongField
from workers.core.universe.survey import Survey
from workers.edge import durable, settings_file, terminal
from workers.edge.rest import Call, RestClient
from workers.edge.spool.directory import DataDir

EXIT_FINE, EXIT_WRONG, EXIT_CANNOT = 0, 1, 2
PAUSE_S = 1.0
UNKNOWN_TOKEN = "1"  # noqa: S105 - a token of a market, not of a person
EXAMPLES = """\
examples:
  orderbooks probe                   writes manifests/probe/<time>.json and .md
  orderbooks probe --out .           writes them here

exit codes: 0 all as known; 1 an endpoint differs or did not answer; 2 none answered: no network?
"""
#: Of one token: endpoint, path and query.
TOKEN_CHECKS = (
    ("GET /book", "/book?token_id={token}"),
    ("GET /price BUY", "/price?token_id={token}&side=BUY"),
    ("GET /price SELL", "/price?token_id={token}&side=SELL"),
    ("GET /midpoint", "/midpoint?token_id={token}"),
    ("GET /spread", "/spread?token_id={token}"),
)
Ask = Callable[[Call], Answer]


class Target(msgspec.Struct, frozen=True):
    """A market to ask about: its event, itself, its tokens."""

    event_slug: str
    slug: str
    tokens: tuple[str, ...]


class Prober:
    """The questions, in order; `ask` fetches, `rest` waits between two of them."""

    def __init__(self, settings: Settings, ask: Ask, rest: Callable[[], None]) -> None:
        self._settings, self._ask_venue, self._rest = settings, ask, rest
        self.checks: list[Check] = []

    def probe(self) -> list[Check]:
        """Ask everything; returns one check for each endpoint."""
        self._ask("GET /time", self._settings.venue.clob_url, "/time")
        target = self._listing()
        gamma = self._settings.venue.gamma_url
        if target is None:
            why = "not asked: the listing gave no market"
            names = ["GET /events/slug", "GET /markets/slug", *(each[0] for each in TOKEN_CHECKS)]
            self.checks += [unasked(name, why) for name in (*names, "POST /books")]
        else:
            self._ask("GET /events/slug", gamma, f"/events/slug/{target.event_slug}")
            self._ask("GET /markets/slug", gamma, f"/markets/slug/{target.slug}")
            self._ask_tokens(target)
        clob, unknown = self._settings.venue.clob_url, f"/book?token_id={UNKNOWN_TOKEN}"
        self._ask("GET /book, unknown token", clob, unknown, status=404)
        return self.checks

    def _ask(
        self, endpoint: str, base: str, target: str, body: bytes | None = None, status: int = 200
    ) -> Answer:
        self._rest()
        method = endpoint.partition(" ")[0]
        answer = self._ask_venue(Call(method=method, url=f"{base}{target}", body=body))
        self.checks.append(check(endpoint, target, answer, status=status))
        return answer

    def _listing(self) -> Target | None:
        """Ask the first listing that discovery would, and take a market that trades now."""
        now_ms = time.time_ns() // 1_000_000
        question = Survey(self._settings, now_ms=now_ms).question()
        params = question.params if question else "closed=false&limit=20"
        gamma = self._settings.venue.gamma_url
        answer = self._ask("GET /events/keyset", gamma, f"/events/keyset?{params}")
        page = read_page(answer.body)
        for event in page.events:
            target = _target(event, now_ms) if isinstance(event, dict) else None
            if target is not None:
                return target
        return None

    def _ask_tokens(self, target: Target) -> None:
        clob = self._settings.venue.clob_url
        for endpoint, path in TOKEN_CHECKS:
            self._ask(endpoint, clob, path.format(token=target.tokens[0]))
        body = msgspec.json.encode([{"token_id": token} for token in target.tokens])
        self._ask("POST /books", clob, "/books", body)


def _target(event: dict[str, object], now_ms: int) -> Target | None:
    """A market of an event that has a book now: one that ended may have lost it already."""
    for market in objects(event.get("markets")):
        try:
            fields = fields_of(market)
            tokens = texts(fields, "clobTokenIds", "token_number")
            lasts = (moment(fields, "endDate") or 0) > now_ms
        except WrongField:
            continue
        if tokens and lasts and fields.get("acceptingOrders"):
            return Target(str(event.get("slug")), str(fields.get("slug")), tokens)
    return None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb understands."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="default: manifests/probe")
    parser.add_argument("--json", action="store_true", help="print the JSON instead of the page")


def run(arguments: argparse.Namespace) -> int:
    """Ask, write both files, print the page; the exit code follows from the verdicts."""
    loaded = settings_file.load(arguments.config)
    client = RestClient(
        timeout_s=loaded.settings.discovery.request_timeout_s,
        max_body_bytes=loaded.settings.discovery.max_body_bytes,
        user_agent=f"orderbooks/{VERSION}",
    )
    progress = terminal.Progress("asked", 11)

    def rest() -> None:
        progress.advance()
        time.sleep(PAUSE_S)

    now_ms = time.time_ns() // 1_000_000
    checks = Prober(loaded.settings, client.fetch, rest).probe()
    client.close()
    progress.end()
    folder = arguments.out or DataDir(loaded.data_dir).manifests / "probe"
    encoded, page = encode(now_ms, checks), report_text(ms_text(now_ms), checks)
    durable.make_directories(folder.absolute())
    durable.replace(folder / f"{compact_text(now_ms)}.json", encoded)
    durable.replace(folder / f"{compact_text(now_ms)}.md", page.encode())
    print(encoded.decode() if arguments.json else terminal.printable_lines(page), end="")
    return exit_code(checks)


def encode(now_ms: int, checks: list[Check]) -> bytes:
    """The file for programs."""
    report = {
        "schema": "orderbooks.probe/1",
        "at_utc": ms_text(now_ms),
        "version": VERSION,
        "checks": checks,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def exit_code(checks: list[Check]) -> int:
    """0 all as known, 1 something differs or is silent, 2 nothing answered."""
    verdicts = {each.verdict for each in checks}
    if verdicts == {UNREACHABLE}:
        terminal.complain(
            "the venue is unreachable: no endpoint answered",
            hint="is there a network? `orderbooks config check --show` prints the addresses",
        )
        return EXIT_CANNOT
    return EXIT_WRONG if verdicts & {DIFFERS, UNREACHABLE} else EXIT_FINE
