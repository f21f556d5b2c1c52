"""Why a listed market is not recorded: the catalogue, and the two answers that are no market.

The same words stand in universe.json, universe.md, the log and the documents.
"""

import msgspec

REASONS: dict[str, str] = {
    "closed": "the venue has closed it",
    "ended": "its recording would be over by now: a zombie, or a listing asked too late",
    "not_accepting": "its window is over and it has no book or takes no orders: a zombie",
    "not_an_object": "the market is not a JSON object",
    "bad_slug": "no slug, or one with characters no slug has",
    "bad_id": "no condition id, or not an identifier",
    "bad_type": "a field that decides something has another type",
    "bad_time": "a timestamp that cannot be read, or far outside any market's life",
    "bad_list": "outcomes or token ids are neither an array nor one inside a string",
    "bad_token": "a token id that is not an identifier",
    "token_number": "a token id came as a number; digits may be lost, so it is not believed",
    "duplicate_token": "both outcomes carry the same token id, or the same name",
    "not_two_outcomes": "not exactly two outcomes with two token ids",
    "no_end": "no end of its window",
    "no_start": "no start of its window, and nothing to compute it from",
    "window_length": "its window is not as long as its series' period",
    "wrong_window": "its window is another than its name, or the name asked for, says",
    "wrong_series": "its event belongs to no series that is recorded",
    "mapping_changed": "its condition id, tokens or outcome names changed; the old ones are kept",
    "outcomes_swapped": "its tokens changed outcomes; the old mapping is kept",
    "token_taken": "one of its tokens belongs to another recorded market",
    "condition_taken": "its condition id belongs to another recorded market",
}
QUIET = frozenset({"closed", "ended", "not_accepting"})
"""Reasons that are daily life; every other one is an alert, `mapping_refused`."""


class Pending(msgspec.Struct, frozen=True):
    """A market the venue has listed but not finished: looked at again every round.

    VENUE §2.4: `clobTokenIds` may stay empty for minutes after the listing.
    """

    slug: str
    detail: str


class Refusal(msgspec.Struct, frozen=True):
    """A market that is not recorded, by a reason of REASONS; its page keeps the bytes."""

    slug: str
    reason: str
    detail: str
    at_utc: str


class WrongField(Exception):
    """A field that cannot be believed; `reason` is one of REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
