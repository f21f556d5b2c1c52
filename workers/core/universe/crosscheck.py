"""The cross-check of a round: what the clock says must be listed, against what was listed.

Promises  a name the listing lacks is looked up by itself; one that only the look-up finds, one
          that nobody finds, and a window listed under another name are each said, by name.
Never     decides what is recorded: that is `universe`.
Source    VENUE §2.2, "Recommended discovery", step 2.
"""

import msgspec

from workers.core.causes import OK
from workers.core.settings.settings import Series
from workers.core.universe.markets import SLUG, Asked, Market, Reading
from workers.core.universe.slugs import Expected, expected


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What one question of a round brought: a listing, all its pages together, or a look-up.

    `cause` is "ok", or the first failure's; what came before it is in `readings` all the same.
    """

    name: str
    asked: Asked
    cause: str
    readings: tuple[Reading, ...] = ()


class Due(msgspec.Struct, frozen=True):
    """A market that must exist by the clock, and the series that says so."""

    series: Series
    expected: Expected


class Disagreement(msgspec.Struct, frozen=True):
    """A name about which listing and clock tell two stories, in words."""

    slug: str
    detail: str


def due_now(
    series: tuple[Series, ...], *, ahead: int, horizon_s: int, now_ms: int
) -> tuple[Due, ...]:
    """Each series' current market and the `ahead` next ones that start within the horizon."""
    return tuple(
        Due(line, each)
        for line in series
        for each in expected(line.slug, line.period_s, now_ms=now_ms, ahead=ahead)
        if each.window.start_ms <= now_ms + horizon_s * 1000
    )


def unlisted(due: tuple[Due, ...], listings: tuple[Answer, ...]) -> tuple[Due, ...]:
    """The due markets that no listing names, nor lists under another name."""
    named = {reading.slug for answer in listings for reading in answer.readings}
    renamed = {each.slug for each in renames(due, listings)}
    return tuple(each for each in due if each.expected.slug not in named | renamed)


def renames(due: tuple[Due, ...], listings: tuple[Answer, ...]) -> tuple[Disagreement, ...]:
    """Due windows that are listed under another name than the computed one."""
    readings = [reading for answer in listings for reading in answer.readings]
    named = {reading.slug for reading in readings}
    by_window = {
        (each.series, each.window): each.slug for each in readings if isinstance(each, Market)
    }
    found = []
    for each in due:
        listed = by_window.get((each.series.name, each.expected.window))
        if listed is not None and each.expected.slug not in named:
            found.append(Disagreement(each.expected.slug, f"is listed as {listed}"))
    return tuple(found)


def disagreements(
    due: tuple[Due, ...], listings: tuple[Answer, ...], lookups: tuple[Answer, ...]
) -> tuple[Disagreement, ...]:
    """Where listing and clock tell two stories.

    A listing that failed says nothing, so it is not disagreed with; nor is a look-up that failed
    for another reason than that there is no such event.
    """
    failed = {each.asked.series_id for each in listings if each.cause != OK}
    causes = {each.name: each.cause for each in lookups}
    answered = {each.name: each.readings for each in lookups}
    found = [
        Disagreement(each.name, "is selected, but there is no such event")
        for each in listings
        if is_not_found(each)
    ]
    found.extend(renames(due, listings))
    for each in unlisted(due, listings):
        cause = causes.get(each.expected.slug, "")
        if each.series.series_id in failed:
            continue
        if cause == OK and answered[each.expected.slug]:
            found.append(Disagreement(each.expected.slug, "is not listed, but has its own page"))
        elif cause in (OK, "http_404"):
            found.append(Disagreement(each.expected.slug, "is neither listed nor found by name"))
    return tuple(found)


def is_not_found(answer: Answer) -> bool:
    """True when an event asked for by name does not exist; for a listing, 404 is a failure."""
    return answer.cause == "http_404" and answer.asked.source == SLUG


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A whole round: what was listed, what was looked up by name, and where the two differ."""

    listings: tuple[Answer, ...]
    lookups: tuple[Answer, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
