"""Who is replayed, and from when until when.

Reads     what the reading library reads of publications
Promises  a pattern takes every market whose recording meets the time asked for; a name that the
          archive does not know is refused, never left out
Fails     NeedsAPerson
"""

from fnmatch import fnmatchcase

import msgspec

from workers.core.errors import NeedsAPerson
from workers.core.instants import NS_PER_MS
from workers.core.reading.evidence import State
from workers.core.reading.moments import is_relative, moment_ns, settled
from workers.core.reading.replay import Scene, scene_of
from workers.edge.reading.archive import Reader
from workers.edge.reading.catalogue import Subject

_HINT = "such as --from 2026-04-16T08:00 --to 2026-04-16T09:00"


class Cast(msgspec.Struct, frozen=True):
    """The markets of a replay, and its time: from_ns ≤ t < until_ns."""

    subjects: tuple[Subject, ...]
    from_ns: int
    until_ns: int


def cast_of(
    reader: Reader, names: list[str], from_text: str, until_text: str, *, now_ns: int
) -> Cast:
    """The markets and the time that were asked for.

    Args:
        reader: the archive.
        names: slugs, condition ids, addresses, patterns with * and ?; none = every market.
        from_text: the first moment; "" = where the recording of the one market begins.
        until_text: the end, exclusive; "" = where it ends.
        now_ns: nothing is played beyond it.

    Raises:
        NeedsAPerson: no such market, no such time, or no time where there are many markets.
    """
    from_text, until_text = (str(settled(each, now_ns)) for each in (from_text, until_text))
    texts = (from_text, until_text)
    is_one = len(names) == 1 and not _is_pattern(names[0])
    if is_one:
        subject = reader.market(names[0], "open" if is_relative(from_text) else from_text or "open")
        texts = _times_of(subject, *texts)
        from_ns, until_ns = (moment_ns(each, subject.window) for each in texts)
        return _checked(Cast((subject,), from_ns, min(until_ns, now_ns)), texts)
    if not all(texts) or any(map(is_relative, texts)):
        raise NeedsAPerson("replay: many markets need a time from and a time until", hint=_HINT)
    from_ns, until_ns = map(moment_ns, texts)
    until_ns = min(until_ns, now_ns)
    subjects = _found(reader, names or ["*"], from_ns, until_ns)
    return _checked(Cast(subjects, from_ns, until_ns), texts)


def _is_pattern(name: str) -> bool:
    return "/" not in name and any(each in name for each in "*?")


def _times_of(subject: Subject, from_text: str, until_text: str) -> tuple[str, str]:
    phases = [each for plan in subject.known.plans for each in plan.phases] if subject.known else []
    if not phases and not (from_text and until_text):
        raise NeedsAPerson(
            f"replay {subject.slug}: the archive does not say when it was recorded", hint=_HINT
        )
    first = from_text or str(min(each.from_ms for each in phases))
    # The last answer comes a little after its tick, and is over two intervals later.
    last = until_text or str(max(each.until_ms + 3 * each.interval_ms for each in phases))
    return first, last


def _found(reader: Reader, names: list[str], from_ns: int, until_ns: int) -> tuple[Subject, ...]:
    every = [each for each in reader.markets(from_ns, until_ns) if _meets(each, from_ns, until_ns)]
    found: dict[str, Subject] = {}
    for name in names:
        if _is_pattern(name):
            matching = [each for each in every if fnmatchcase(each.slug, name)]
        else:
            matching = [reader.market(name, from_ns)]
        if not matching:
            raise NeedsAPerson(
                f"replay {name}: no such market was recorded then",
                hint="`orderbooks markets --from T --to T` lists them",
            )
        found |= {each.condition_id: each for each in matching}
    return tuple(found.values())


def _meets(subject: Subject, from_ns: int, until_ns: int) -> bool:
    phases = [each for plan in subject.known.plans for each in plan.phases] if subject.known else []
    from_ms, until_ms = from_ns // NS_PER_MS, -(-until_ns // NS_PER_MS)
    return not phases or any(each.from_ms < until_ms and each.until_ms > from_ms for each in phases)


def _checked(cast: Cast, texts: tuple[str, str]) -> Cast:
    if cast.from_ns >= cast.until_ns:
        raise NeedsAPerson(f"replay from {texts[0]} to {texts[1]}: that is no time", hint=_HINT)
    return cast


def opening(reader: Reader, cast: Cast) -> list[Scene]:
    """The books that stood when the replay begins: of each token the last one before it."""
    answers = [
        reader.book(subject.slug, token_id, cast.from_ns)
        for subject in cast.subjects
        for token_id, _ in subject.tokens
    ]
    scenes = (scene_of(each) for each in answers if each.book is not None)
    return [each for each in scenes if each.answer.state in (State.SYNCED, State.SUSPECT)]
