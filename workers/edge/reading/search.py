"""A market by the name a person has of it.

Reads     publications near the moment asked about; else names of segments, and the publications
          of an hour that has one; else the manifest of one of its segments
Promises  a market that the archive holds is found whichever form its name has
Fails     NeedsAPerson when there is none, naming some that there are
Never     writes
"""

from workers.core.errors import NeedsAPerson
from workers.core.instants import MS_PER_HOUR
from workers.core.reading.moments import Designation, Moment, designation_of, is_relative, moment_ns
from workers.core.universe.slugs import start_of
from workers.edge.reading.catalogue import Catalogue, Epoch, Subject
from workers.edge.reading.findings import Findings
from workers.edge.reading.folders import hour_of
from workers.edge.reading.shelf import Shelf

NS_PER_MS = 1_000_000
#: Hours of publications that are searched for a name that no segment has.
_LOOKED_BACK = 48


class Search:
    """Markets by name, remembered: who a market is does not change."""

    def __init__(self, catalogue: Catalogue, shelf: Shelf) -> None:
        self._catalogue, self._shelf = catalogue, shelf
        self._homes: dict[str, int] = {}
        self._found: dict[str, Subject] = {}

    def find(self, market: str, at: Moment, findings: Findings) -> Subject:
        """The market; its plan is the one in force about the moment asked for."""
        kept = self._found.get(market)
        if kept is not None:
            return kept
        wanted = designation_of(market)
        near_ms = None if is_relative(at) else moment_ns(at) // NS_PER_MS
        subject = self._published(wanted, near_ms, findings) or self._stored(wanted, findings)
        if subject is None:
            raise NeedsAPerson(
                f"find the market {market!r}: the archive does not know it",
                hint=f"`orderbooks markets` lists what it holds{self._some()}",
            )
        if subject.known is not None and subject.window is not None:
            self._found[market] = subject
        return subject

    def _published(
        self, wanted: Designation, near_ms: int | None, findings: Findings
    ) -> Subject | None:
        """The market in the publications of the hours where it is likely, then of every hour."""
        hours = self._catalogue.hours()
        likely = [] if near_ms is None else [hour_of(near_ms), hour_of(near_ms) - MS_PER_HOUR]
        likely += [hour for name in wanted.names for hour in self._hours_of(name)]
        # The newest first: it is what people ask about most. A condition id is in no file's name.
        rest = [*reversed(hours)][: None if wanted.condition_id else _LOOKED_BACK]
        for hour_ms in dict.fromkeys([*likely, *rest]):
            found = _in(self._catalogue.epoch(hour_ms, hour_ms + MS_PER_HOUR, findings), wanted)
            if found is not None:
                return found
        return None

    def _hours_of(self, slug: str) -> list[int]:
        """Hours in which a market of this name was recorded, the first as far as names tell."""
        start_ms = start_of("{start_unix}", slug.rpartition("-")[2])
        if start_ms is not None:
            return [hour_of(start_ms), hour_of(start_ms) - MS_PER_HOUR]
        return [hour for hour in reversed(self._shelf.hours()) if self._shelf.has(slug, hour)][-1:]

    def _stored(self, wanted: Designation, findings: Findings) -> Subject | None:
        """The market as a manifest names it: all there is in a part without publications."""
        pieces = (
            piece
            for slug in wanted.names
            for hour_ms in self._shelf.hours()
            for piece in self._shelf.pieces(slug, "", hour_ms, findings)
        )
        for piece in pieces:
            market = piece.manifest.told.market if piece.manifest else None
            if market is not None and market.slug in wanted.names:
                tokens = tuple(market.tokens.items())
                # A name alone does not say how long its window is.
                return Subject(market.slug, market.condition_id, market.series, tokens, None, None)
        return None

    def _some(self) -> str:
        hours = self._catalogue.hours()
        if not hours:
            return ""
        epoch = self._catalogue.epoch(hours[-1], hours[-1] + MS_PER_HOUR, Findings("label"))
        names = ", ".join(sorted(epoch.slugs)[:3])
        return f", such as {names}" if names else ""


def _in(epoch: Epoch, wanted: Designation) -> Subject | None:
    if wanted.condition_id:
        return epoch.subject(wanted.condition_id)
    for name in wanted.names:
        if name in epoch.slugs:
            return epoch.subject(epoch.slugs[name])
    # The page of an event with one market has the event's name alone.
    events = [each for each in epoch.markets.values() if each.event_slug in wanted.names]
    return epoch.subject(events[0].condition_id) if len(events) == 1 else None
