"""One round of questions to Gamma: what to ask next, and what an answer was. Asks nothing itself.

    survey = Survey(settings, now_ms=…)
    while (question := survey.question()) is not None:
        answer = client.fetch(…question.target…)
        survey.take(answer.cause, answer.body, now_ms=…)
    outcome = next_universe(previous, survey.found(), …)

Promises  every series, tag and event selected gets one listing, failed or not; a listing's pages
          are followed to the end, at most `max_pages`, and a cursor that comes back is a failure;
          a passing failure is asked again, TRIES times in all.
Source    VENUE §2.1 (keyset pages, `closed=false` always, camelCase order) and §2.2.
"""

from collections import deque

import msgspec

from workers.core.causes import BLOCKED, OK
from workers.core.instants import ms_text
from workers.core.settings.settings import Settings
from workers.core.universe.crosscheck import Answer, Due, Found, disagreements, due_now, unlisted
from workers.core.universe.gamma import Page, read_page
from workers.core.universe.markets import KEYSET, SLUG, Asked, Reading, Rules, read_events
from workers.core.universe.slugs import DAY_S

TRIES = 3
_UNRESERVED = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
LISTING = "/events/keyset"
LOOKUP = "/events/slug"
# The statuses that may pass by themselves; any other 4xx is an answer (VENUE §3.3, §6).
_PASSING = frozenset({"http_408", "http_425", "http_429"})


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One GET request; `endpoint` and `params` are what the ledger calls it."""

    name: str
    asked: Asked
    route: str
    slug: str = ""
    params: str = ""

    @property
    def endpoint(self) -> str:
        """The route without its parameters."""
        return f"GET {self.route}"

    @property
    def target(self) -> str:
        """Path and query, to be put behind the address of Gamma."""
        path = f"{self.route}/{_quoted(self.slug)}" if self.slug else self.route
        return f"{path}?{self.params}" if self.params else path


class Survey:
    """A round under way; changed in place by its one owner."""

    def __init__(self, settings: Settings, *, now_ms: int) -> None:
        self._settings = settings
        self._rules = Rules(settings.selection.series, settings.schedule)
        self._waiting = deque(_listings(settings, now_ms))
        self._due: tuple[Due, ...] = ()
        if settings.discovery.slug_check_windows > 0:
            self._due = due_now(
                settings.selection.series,
                ahead=settings.discovery.slug_check_windows,
                horizon_s=settings.discovery.horizon_s,
                now_ms=now_ms,
            )
        self._listings: list[Answer] = []
        self._lookups: list[Answer] = []
        self._is_checked = False
        self._start_listing()

    def _start_listing(self) -> None:
        self._tries = 0
        self._readings: list[Reading] = []
        self._cursors: list[str] = []

    def question(self) -> Question | None:
        """What to ask now; None when the round is complete."""
        if not self._waiting and not self._is_checked:
            self._is_checked = True
            missing = unlisted(self._due, tuple(self._listings))
            self._waiting.extend(_lookup(each) for each in missing)
        if not self._waiting:
            return None
        question = self._waiting[0]
        if not self._cursors:
            return question
        cursor = _query([("after_cursor", self._cursors[-1])])
        return msgspec.structs.replace(question, params=f"{question.params}&{cursor}")

    def take(self, cause: str, body: bytes, *, now_ms: int) -> str:
        """Take the answer to `question()`; returns its cause once the body was read, too.

        Args:
            cause: of the exchange (core/causes.py).
            body: what came, believed only when the cause is "ok".
            now_ms: the wall clock, for markets that are over.
        """
        page = read_page(body) if cause == OK else Page(cause)
        self._tries += 1
        if page.cause != OK:
            if self._tries >= TRIES or not is_passing(page.cause):
                self._finish(page.cause)
            return page.cause
        self._readings.extend(
            read_events(page.events, asked=self._waiting[0].asked, rules=self._rules, now_ms=now_ms)
        )
        self._turn_page(page)
        return OK

    def abandon(self, cause: str) -> None:
        """Give up on everything that was not asked yet, the cross-check too."""
        self._is_checked = True
        while self._waiting:
            self._finish(cause)

    def found(self) -> Found:
        """The round's answers so far."""
        listings, lookups = tuple(self._listings), tuple(self._lookups)
        return Found(
            listings=listings,
            lookups=lookups,
            disagreements=disagreements(self._due, listings, lookups),
        )

    def _turn_page(self, page: Page) -> None:
        self._tries = 0
        cursor = page.next_cursor
        if cursor is None or self._waiting[0].route != LISTING:
            self._finish(OK)
        elif cursor in self._cursors:
            self._finish("cursor_loop")
        elif len(self._cursors) + 1 >= self._settings.discovery.max_pages:
            self._finish("max_pages")
        else:
            self._cursors.append(cursor)

    def _finish(self, cause: str) -> None:
        question = self._waiting.popleft()
        answer = Answer(
            name=question.name,
            asked=question.asked,
            cause=cause,
            readings=tuple(self._readings),
        )
        is_lookup = question.asked.expected is not None
        (self._lookups if is_lookup else self._listings).append(answer)
        self._start_listing()


def is_passing(cause: str) -> bool:
    """True for a failure that may be over when the same is asked again soon."""
    if cause in _PASSING:
        return True
    return not cause.startswith("http_4") and cause not in BLOCKED | {"redirect"}


def _listings(settings: Settings, now_ms: int) -> list[Question]:
    selection, discovery = settings.selection, settings.discovery
    earliest_ms = now_ms - discovery.lookback_s * 1000
    pages = [
        ("closed", "false"),
        ("order", "endDate"),
        ("ascending", "true"),
        ("limit", str(discovery.page_limit)),
        ("end_date_min", _second_text(earliest_ms)),
    ]
    questions = []
    for series in selection.series:
        # The horizon is counted to a window's start: a day's market ends a day later, or an hour
        # more when the clocks go back.
        length_s = series.period_s + (3600 if series.period_s == DAY_S else 0)
        latest_ms = now_ms + (discovery.horizon_s + length_s) * 1000
        params = [
            ("series_id", series.series_id),
            *pages,
            ("end_date_max", _second_text(latest_ms)),
        ]
        asked = Asked(source=KEYSET, series_id=series.series_id)
        questions.append(
            Question(name=series.name, asked=asked, route=LISTING, params=_query(params))
        )
    anything = Asked(source=KEYSET)
    for tag in selection.tags:
        params = [("tag_slug", tag), *pages]
        questions.append(
            Question(name=f"tag:{tag}", asked=anything, route=LISTING, params=_query(params))
        )
    by_name = Asked(source=SLUG)
    questions.extend(
        Question(name=f"slug:{slug}", asked=by_name, route=LOOKUP, slug=slug)
        for slug in selection.slugs
    )
    return questions


def _lookup(due: Due) -> Question:
    asked = Asked(source=SLUG, series_id=due.series.series_id, expected=due.expected)
    slug = due.expected.slug
    return Question(name=slug, asked=asked, route=LOOKUP, slug=slug)


def _second_text(ms: int) -> str:
    """RFC 3339 without a fraction, as `endDate` itself is written (VENUE §2.3)."""
    return f"{ms_text(ms)[:19]}Z"


def _query(params: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={_quoted(value)}" for name, value in params)


def _quoted(text: str) -> str:
    """Percent-encoded as RFC 3986 §2.3 has it; a cursor is the venue's, and may hold anything."""
    data = text.encode(errors="replace")
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in data)
