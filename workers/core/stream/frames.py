"""Frames of the market channel to values, and to the rows of a `frames` segment and back.

Promises  an event's bytes are never re-serialised: a frame that `is_whole` comes back byte for byte
          from its rows; any bytes at all are a frame, never an exception
Never     looks at the levels of a book: they are skipped here and read where they are needed
Source    VENUE §5: one object or an array of them, `event_type` is not the first key, keys and
          types are added without notice
"""

from collections.abc import Iterable, Sequence

import msgspec

from workers.core.archive.segments import spliced_row

PROBLEMS: dict[str, str] = {
    "bad_utf8": "the frame is not UTF-8",
    "bad_json": "the frame is not JSON",
    "shape": "JSON, but neither an object nor an array",
    "empty": "an array without an event: the venue knows none of the tokens asked for",
    "not_an_event": "an element that is no object, or whose members have other types than told",
}
_SPACE = b" \t\r\n"


class Change(msgspec.Struct, frozen=True, gc=False, rename={"token_id": "asset_id"}):
    """One item of a `price_change`, texts verbatim; None = the venue did not tell."""

    token_id: str
    price: str
    size: str
    side: str
    hash: str = ""
    best_bid: str | None = None
    best_ask: str | None = None


class Told(msgspec.Struct, frozen=True, gc=False):
    """The members of an event or a book that anybody here reads, texts verbatim; None = not told.

    `price`, `size` and `side` are of a trade; `old_tick_size` and `new_tick_size` of a tick change;
    the last four of books: all of them of REST, two of the dump's, none of later ones.
    """

    event_type: str = ""
    market: str = ""
    asset_id: str = ""
    timestamp: str | int = ""
    hash: str = ""
    price_changes: tuple[Change, ...] = ()
    price: str | None = None
    size: str | None = None
    side: str | None = None
    old_tick_size: str | None = None
    new_tick_size: str | None = None
    min_order_size: str | None = None
    tick_size: str | None = None
    neg_risk: bool | None = None
    last_trade_price: str | None = None


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event: where it stood in its array (None: it was the frame), its bytes, what it told.

    `timestamp` is the venue's text (it is hashed), `timestamp_ms` 0 if that is no number;
    `problem` is one of PROBLEMS or "".
    """

    raw: bytes
    position: int | None
    type: str
    market: str
    token_id: str
    timestamp: str
    timestamp_ms: int
    changes: tuple[Change, ...]
    told: Told
    problem: str = ""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One text message; without events `problem` says why.

    `is_whole`: the frame is the event, or `[` + the events joined by `,` + `]`, to the byte.
    """

    events: tuple[Event, ...] = ()
    problem: str = ""
    is_array: bool = False
    is_whole: bool = False


class FrameRow(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a `frames` segment.

    One of three: the venue's event, a `snapshot` of ours, or a `rest` book of the venue.
    """

    recv_wall_ns: int
    recv_mono_ns: int
    connection: str
    leg: int
    seq: int
    type: str
    position: int | None = None
    why: str = ""
    hash_verdict: str = ""
    request: str = ""
    verdict: str = ""
    event: msgspec.Raw = msgspec.Raw()
    event_text: str | None = None
    snapshot: msgspec.Raw = msgspec.Raw()
    snapshot_text: str | None = None
    book: msgspec.Raw = msgspec.Raw()
    book_text: str | None = None

    @property
    def origin(self) -> str:
        """`event`, `snapshot` or `rest`: by the member that is there, as `type` is remote text."""
        if bytes(self.snapshot) or self.snapshot_text is not None:
            return "snapshot"
        return "rest" if bytes(self.book) or self.book_text is not None else "event"

    @property
    def raw(self) -> bytes:
        """The verbatim bytes of the event or book."""
        raw = bytes(self.event) or bytes(self.snapshot) or bytes(self.book)
        return raw or (self.event_text or self.snapshot_text or self.book_text or "").encode()


_NOTHING = Told()
_told = msgspec.json.Decoder(Told)
_array = msgspec.json.Decoder(list[msgspec.Raw])
_row = msgspec.json.Decoder(FrameRow)


def read_frame(text: bytes) -> Frame:
    """Take one text message apart.

    Args:
        text: the bytes as received.
    """
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError:
            return Frame(problem="bad_utf8")
    # Nearly always one object, and nothing around it.
    if text[:1] == b"{" and text[-1:] == b"}":
        try:
            return Frame((_event(text, None, _told.decode(text)),), is_whole=True)
        except (msgspec.MsgspecError, RecursionError):
            pass
    return _read_any(text)


def read_told(raw: bytes) -> Told:
    """What a book or an event tells; raises msgspec.MsgspecError when it is no such object."""
    try:
        return _told.decode(raw)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def whole_ms(text: str) -> int:
    """A timestamp in ms, or 0 when the text is no such number."""
    return int(text) if text.isdigit() and text.isascii() and len(text) < 16 else 0


def _event(raw: bytes, position: int | None, told: Told) -> Event:
    stamp = told.timestamp
    text = stamp if type(stamp) is str else str(stamp)
    return Event(
        raw,
        position,
        told.event_type,
        told.market,
        told.asset_id,
        text,
        whole_ms(text),
        told.price_changes,
        told,
    )


def _read_any(text: bytes) -> Frame:
    bare = text.strip(_SPACE)
    try:
        if bare[:1] != b"[":
            msgspec.json.decode(bare, type=msgspec.Raw)
            if bare[:1] != b"{":
                return Frame(problem="shape")
            return Frame((_element(bare, None),), is_whole=bare == text)
        raws = [bytes(raw) for raw in _array.decode(bare)]
    except (msgspec.MsgspecError, RecursionError):
        return Frame(problem="bad_json")
    # JSON allows only white space beside the commas and brackets of an array: when the lengths
    # add up there is none, and the join is the frame.
    is_whole = len(text) == sum(map(len, raws)) + max(len(raws) + 1, 2)
    events = tuple(_element(raw, position) for position, raw in enumerate(raws))
    return Frame(events, "" if events else "empty", is_array=True, is_whole=is_whole)


def _element(raw: bytes, position: int | None) -> Event:
    try:
        return _event(raw, position, _told.decode(raw))
    except (msgspec.MsgspecError, RecursionError):
        return Event(raw, position, "", "", "", "", 0, (), _NOTHING, "not_an_event")


def connection_part(connection: str, leg: int) -> bytes:
    """What all rows of a connection share; built once."""
    return b',"connection":%b,"leg":%d,"seq":' % (msgspec.json.encode(connection), leg)


def row_head(recv_wall_ns: int, recv_mono_ns: int, part: bytes, seq: int) -> bytes:
    """What all rows of a frame share: an open JSON object without a comma at its end."""
    return b'{"recv_wall_ns":%d,"recv_mono_ns":%d%b%d' % (recv_wall_ns, recv_mono_ns, part, seq)


_TYPES = {
    each: each.encode()
    for each in ("book", "price_change", "last_trade_price", "tick_size_change", "best_bid_ask")
}


def event_row(head: bytes, event: Event) -> bytes:
    """One line of a `frames` segment; `event` is the last member, verbatim."""
    kind = _TYPES.get(event.type)
    if kind is None:
        kind = msgspec.json.encode(event.type)[1:-1]
    if event.position is not None:
        head = b'%b,"position":%d' % (head, event.position)
    if b"\n" in event.raw:
        return spliced_row(b'%b,"type":"%b"}' % (head, kind), "event", event.raw)
    return b'%b,"type":"%b","event":%b}\n' % (head, kind, event.raw)


def snapshot_row(head: bytes, why: str, hash_verdict: str, raw: bytes) -> bytes:
    """One line with a book of ours in the venue's spelling: not the venue's bytes."""
    members = b'%b,"type":"snapshot","why":"%b","hash_verdict":"%b"}'
    return spliced_row(members % (head, why.encode(), hash_verdict.encode()), "snapshot", raw)


def rest_row(head: bytes, request_id: str, position: int, verdict: str, raw: bytes) -> bytes:
    """One line with a book that REST told, verbatim; `verdict` compares it with the stream."""
    members = b'%b,"type":"rest","request":%b,"position":%d,"verdict":"%b"}'
    request = msgspec.json.encode(request_id)
    return spliced_row(members % (head, request, position, verdict.encode()), "book", raw)


def read_frame_row(line: bytes) -> FrameRow:
    """One line of a `frames` segment; raises msgspec.MsgspecError when it is none."""
    try:
        return _row.decode(line)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error


def frame_of(rows: Iterable[FrameRow]) -> bytes:
    """The frame whose events these rows are: all of one connection and `seq`, in any order.

    Only a frame that `is_whole` comes back so; the others lie in the ledger.
    """
    ordered: Sequence[FrameRow] = sorted(rows, key=lambda each: each.position or 0)
    if len(ordered) == 1 and ordered[0].position is None:
        return ordered[0].raw
    return b"[" + b",".join(each.raw for each in ordered) + b"]"
