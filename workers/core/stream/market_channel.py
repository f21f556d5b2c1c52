"""The venue's routes for books and its market channel, as values: what was asked, what is sent.

Source    VENUE §3.1, §3.3 (`GET /book`, `POST /books`, texts of errors), §5 (the channel: one array
          with all books first, PING only after a subscription, unknown tokens give `[]`)
Promises  a book goes out in the bytes it came in; on the channel `event_type` is put behind its
          last member, and nothing else is touched
Never     makes up an event that was not recorded: a `price_change` goes out where the archive has
          its bytes, and nowhere else
"""

from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

NO_BOOK = "No orderbook exists for the requested token id"
BAD_SUBSCRIPTION = "invalid subscription payload"
#: Of `POST /books` (VENUE §3.1), and of one message of a client.
ITEMS_MAX = 500
BODY_BYTES_MAX = 50_000
Books = Mapping[str, bytes]


class Asked(msgspec.Struct, frozen=True):
    """One HTTP request; `query` is the raw query string."""

    method: str
    path: str
    query: str = ""
    body: bytes = b""


class Answered(msgspec.Struct, frozen=True):
    """One HTTP answer; `tokens` is how many books it was asked for."""

    status: int
    body: bytes
    tokens: int = 0


class Reply(msgspec.Struct, frozen=True):
    """What a message of a client brings about: texts to send, or the reason of a close 1008."""

    texts: tuple[bytes, ...] = ()
    refusal: str = ""


class _Item(msgspec.Struct, frozen=True):
    token_id: str


class _Message(msgspec.Struct, frozen=True):
    assets_ids: list[str]
    type: str = ""
    operation: str = ""
    initial_dump: bool = True


_items = msgspec.json.Decoder(list[_Item])
_message = msgspec.json.Decoder(_Message)


def event_of(raw: bytes) -> bytes:
    """A book as an event of the channel."""
    return raw[:-1] + b',"event_type":"book"}'


def refused(status: int, error: str) -> Answered:
    """The venue's form of an error."""
    return Answered(status, msgspec.json.encode({"error": error}))


def answered(asked: Asked, books: Books, now_ms: int) -> Answered:
    """The answer to one request at one moment.

    Args:
        asked: the request.
        books: the book of each token that has one at this moment, in the venue's bytes.
        now_ms: the moment, Unix ms.
    """
    match asked.method, asked.path:
        case "GET", "/book":
            return _book(asked, books)
        case "POST", "/books":
            return _books(asked, books)
        case "GET", "/time":
            return Answered(200, str(now_ms // 1000).encode())
        case "GET", "/" | "/ok":
            return Answered(200, b'"OK"')
        case _, "/book" | "/books":
            # GET of the plural form, in every encoding (VENUE §3.1).
            return refused(400, "Invalid payload")
    return refused(404, "not found")


def _book(asked: Asked, books: Books) -> Answered:
    token_id = parse_qs(asked.query).get("token_id", [""])[0]
    if not (token_id.isascii() and token_id.isalnum() and len(token_id) <= 80):
        return refused(400, "Invalid token id")
    raw = books.get(token_id)
    found = refused(404, NO_BOOK) if raw is None else Answered(200, raw)
    return msgspec.structs.replace(found, tokens=1)


def _books(asked: Asked, books: Books) -> Answered:
    if len(asked.body) > BODY_BYTES_MAX:
        return refused(400, "Payload exceeds the limit")
    try:
        items = _items.decode(asked.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return refused(400, "Invalid payload")
    if len(items) > ITEMS_MAX:
        return refused(400, "Payload exceeds the limit")
    tokens = dict.fromkeys(each.token_id for each in items)
    # Never in the order asked: the venue's is another one too, and clients must not rely on it.
    found = [books[token] for token in reversed(tokens) if token in books]
    return Answered(200, b"[" + b",".join(found) + b"]", len(tokens))


class Session:
    """What one connection of the channel has subscribed to."""

    def __init__(self) -> None:
        self.token_ids: set[str] = set()
        self.is_subscribed = False

    def heard(self, text: bytes, books: Books) -> Reply:
        """Take one message of the client.

        Args:
            text: the message.
            books: the book of each token that has one now.
        """
        if text == b"PING":
            return Reply((b"PONG",)) if self.is_subscribed else Reply(refusal=BAD_SUBSCRIPTION)
        try:
            message = _message.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Reply() if self.is_subscribed else Reply(refusal=BAD_SUBSCRIPTION)
        if message.operation == "unsubscribe":
            self.token_ids -= set(message.assets_ids)
            return Reply()
        if message.operation != "subscribe" and message.type.lower() != "market":
            return Reply() if self.is_subscribed else Reply(refusal=BAD_SUBSCRIPTION)
        return self._subscribed(message, books)

    def _subscribed(self, message: _Message, books: Books) -> Reply:
        self.is_subscribed = True
        new = [each for each in dict.fromkeys(message.assets_ids) if each not in self.token_ids]
        self.token_ids |= set(new)
        # Naming tokens again only sets options (VENUE §5.1): no second dump.
        if not message.initial_dump or (message.assets_ids and not new):
            return Reply()
        dump = b",".join(event_of(books[token]) for token in new if token in books)
        return Reply((b"[" + dump + b"]",))
