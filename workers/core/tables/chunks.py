"""Chunks: rows of books as flat arrays, one for each column.

Promises  a chunk is what its rows were, in their order; a time that no column holds is refused
"""

from array import array

import msgspec

from workers.core.books.levels import Levels
from workers.core.books.states import Bad, State, Tail


class Chunk(msgspec.Struct):
    """Rows of one segment as flat arrays; a code points into the list of its name."""

    levels: Levels
    due_ms: "array[int]"
    recv_wall_ns: "array[int]"
    recv_mono_ns: "array[int]"
    send_wall_ns: "array[int]"
    venue_ms: "array[int]"
    row: "array[int]"
    #: Codes of `tokens`, `tails`, `verdicts`, `versions` and `flag_sets`.
    token: "array[int]"
    tail: "array[int]"
    verdict: "array[int]"
    version: "array[int]"
    flags: "array[int]"
    #: Ids of levels, and where each row's end; the first end is 0.
    bid_ids: "array[int]"
    ask_ids: "array[int]"
    bid_ends: "array[int]"
    ask_ends: "array[int]"
    hashes: list[str]
    texts: dict[int, str]
    tokens: list[str]
    tails: list[Tail]
    verdicts: list[str]
    versions: list[str]
    flag_sets: list[tuple[str, ...]]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.row)


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """The members around a book that its columns need."""

    due_ms: int
    recv_wall_ns: int
    recv_mono_ns: int
    send_wall_ns: int
    token_id: str
    hash: str
    collector_version: str = ""
    flags: tuple[str, ...] = ()
    book: msgspec.Raw = msgspec.Raw()
    book_text: str | None = None


class Codes(dict[object, int]):
    """A number for each distinct value, in the order of their first sight."""

    def __missing__(self, value: object) -> int:
        self[value] = code = len(self)
        return code


#: The numbers of a row as they follow one another while a chunk is under way.
_NUMBERS = (
    *("due_ms", "recv_wall_ns", "recv_mono_ns", "send_wall_ns", "venue_ms", "row"),
    *("token", "tail", "verdict", "version", "flags"),
)
_WIDTH, _FLAGS = len(_NUMBERS), _NUMBERS.index("flags")


class Writer:
    """Arrays under way."""

    def __init__(self, levels: Levels) -> None:
        self.rows = 0
        self._levels = levels
        self._numbers = array("q")
        self._bid_ids, self._ask_ids = array("i"), array("i")
        self._bid_ends, self._ask_ends = array("i", (0,)), array("i", (0,))
        self._hashes: list[str] = []
        self._texts: dict[int, str] = {}
        self._names = tuple(Codes() for _ in range(5))

    def add(self, envelope: Envelope, state: State, flags: tuple[str, ...], row: int) -> None:
        """One row more; Bad when a time does not fit its column."""
        tokens, tails, verdicts, versions, flag_sets = self._names
        try:
            # One array for all numbers: eleven of their own take twice the time.
            self._numbers.extend(
                (
                    envelope.due_ms,
                    envelope.recv_wall_ns,
                    envelope.recv_mono_ns,
                    envelope.send_wall_ns,
                    state.venue_ms,
                    row,
                    tokens[envelope.token_id],
                    tails[state.tail],
                    verdicts[state.verdict],
                    versions[envelope.collector_version],
                    flag_sets[flags],
                )
            )
        except OverflowError as error:
            del self._numbers[self.rows * _WIDTH :]
            raise Bad("inexact", "a time is beyond 64 bits") from error
        self._bid_ids.extend(state.bids.ids)
        self._ask_ids.extend(state.asks.ids)
        self._bid_ends.append(len(self._bid_ids))
        self._ask_ends.append(len(self._ask_ids))
        self._hashes.append(state.hash)
        if state.texts is not None:
            self._texts[self.rows] = state.texts
        self.rows += 1

    def add_flag(self, at: int, flag: str) -> None:
        """One flag more on a row that is written already."""
        place, names = at * _WIDTH + _FLAGS, self._names[4]
        flags = list(names)[self._numbers[place]]
        self._numbers[place] = names[(*flags, flag)]  # type: ignore[misc]

    def chunk(self) -> Chunk:
        """Everything added."""
        columns = {name: self._numbers[at::_WIDTH] for at, name in enumerate(_NUMBERS)}
        tokens, tails, verdicts, versions, flag_sets = (list(each) for each in self._names)
        return Chunk(
            **columns,
            levels=self._levels,
            bid_ids=self._bid_ids,
            ask_ids=self._ask_ids,
            bid_ends=self._bid_ends,
            ask_ends=self._ask_ends,
            hashes=self._hashes,
            texts=self._texts,
            tokens=tokens,  # type: ignore[arg-type]
            tails=tails,  # type: ignore[arg-type]
            verdicts=verdicts,  # type: ignore[arg-type]
            versions=versions,  # type: ignore[arg-type]
            flag_sets=flag_sets,  # type: ignore[arg-type]
        )
