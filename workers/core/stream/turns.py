"""The states of a token on one connection, why it changes them, and which changes are legal.

Promises  MOVES is complete: what is not in it raises IllegalMove and changes nothing
Source    the drawing in the documents is made from this table (`table_page`)
"""

from enum import StrEnum

import msgspec


class State(StrEnum):
    """What a token's rebuilt book is worth."""

    EMPTY = "EMPTY"
    SYNCED = "SYNCED"
    SUSPECT = "SUSPECT"


STATES: dict[State, str] = {
    State.EMPTY: "no book yet on this connection",
    State.SYNCED: "the rebuilt book is the venue's, as far as every check made so far says",
    State.SUSPECT: "a change is missing or may be: changes wait for a book to stand on",
}

RESYNCS: dict[str, str] = {
    "first_delta": "a change came before any book",
    "gap": "a change tells other best prices than the rebuilt book has, or cannot be applied; or "
    "REST told other levels for the very state the stream stands at",
    "checksum": "the hash told is not that of the rebuilt book, and hashes of this token were "
    "proven before on this connection",
    "freeze": "the stream is silent about this market while REST shows a later book",
    "reconnect": "the connection was closed; a new one begins without a book",
    "tick_change": "the venue changed the tick: a new epoch that needs a new book",
    "missing_book": "subscribed for a while, and no book came",
    "overflow": "frames were thrown away because a buffer was full",
}

BOOKS: dict[str, str] = {
    "book": "a book of the stream",
    "rest": "a book that REST told, with the changes on top that came after it",
}

_STAY_SUSPECT = ("freeze", "tick_change", "missing_book", "overflow")
MOVES: dict[tuple[State, str], State] = {
    (State.EMPTY, "book"): State.SYNCED,
    (State.EMPTY, "rest"): State.SYNCED,
    (State.EMPTY, "first_delta"): State.SUSPECT,
    (State.EMPTY, "missing_book"): State.SUSPECT,
    (State.EMPTY, "freeze"): State.SUSPECT,
    (State.EMPTY, "overflow"): State.SUSPECT,
    (State.EMPTY, "tick_change"): State.EMPTY,
    (State.EMPTY, "reconnect"): State.EMPTY,
    (State.SYNCED, "book"): State.SYNCED,
    (State.SYNCED, "gap"): State.SUSPECT,
    (State.SYNCED, "checksum"): State.SUSPECT,
    (State.SYNCED, "freeze"): State.SUSPECT,
    (State.SYNCED, "tick_change"): State.SUSPECT,
    (State.SYNCED, "overflow"): State.SUSPECT,
    (State.SYNCED, "reconnect"): State.EMPTY,
    (State.SUSPECT, "book"): State.SYNCED,
    (State.SUSPECT, "rest"): State.SYNCED,
    (State.SUSPECT, "reconnect"): State.EMPTY,
    **{(State.SUSPECT, reason): State.SUSPECT for reason in _STAY_SUSPECT},
}


class IllegalMove(ValueError):
    """A reason that cannot be in this state: a bug of the caller, never of the venue."""

    def __init__(self, state: State, reason: str) -> None:
        super().__init__(f"{state} cannot take {reason!r}")
        self.state, self.reason = state, reason


class Turn(msgspec.Struct, frozen=True):
    """A token changed its state.

    `since_wall_ns`: of SYNCED, when its book was received; of SUSPECT and EMPTY, the last moment
    at which the rebuilt book was known to be right, or, where there was none, the change itself.
    That moment is the venue's where its time of the state is earlier than ours: what is missing was
    said later than it, and perhaps long before it could have been received.
    """

    market: str
    token_id: str
    state: State
    reason: str
    since_wall_ns: int
    at_wall_ns: int


Turns = tuple[Turn, ...]


class Ahead(msgspec.Struct, frozen=True):
    """A state that REST told and the stream has not; since when that is known.

    `events` of the token had come when it was last told.
    """

    timestamp_ms: int
    hash: str
    since_wall_ns: int
    events: int


class Checked(msgspec.Struct, frozen=True):
    """What a check said, and the turns it caused.

    Of `verify`: "verified"; "explained" (by a tail that was searched); "failed"; "unproven" (it
    failed, but no hash of this token was proven here before); "" (nothing new to check).
    Of `rest`: "agrees", "differs", "newer", "older" (than what stands, or perhaps than the
    subscription), "not_synced" (the token was not, and REST's book was taken), "unreadable".
    """

    verdict: str
    turns: Turns = ()


def moved(state: State, reason: str) -> State:
    """The state that follows; raises IllegalMove."""
    new = MOVES.get((state, reason))
    if new is None:
        raise IllegalMove(state, reason)
    return new


def table_page() -> str:
    """MOVES and the meaning of every word in it, as Markdown."""
    head = ["| reason | " + " | ".join(State) + " | meaning |", "|---" * (len(State) + 2) + "|"]
    words = RESYNCS | BOOKS
    rows = [
        f"| `{reason}` | "
        + " | ".join(MOVES.get((state, reason), "illegal") for state in State)
        + f" | {meaning} |"
        for reason, meaning in words.items()
    ]
    meanings = [f"* {state}: {meaning}" for state, meaning in STATES.items()]
    return "\n".join([*meanings, "", *head, *rows, ""])
