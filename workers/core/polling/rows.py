"""Books rows: an envelope of facts around the venue's verbatim bytes, built without parsing them.

Source  splicing bytes is 31 times faster than json.loads and dumps (books of 3.5 kB), and the only
        way in which `"0.480"` stays `"0.480"`.
"""

import re
from collections.abc import Sequence

import msgspec

from workers.core.archive.segments import spliced_row
from workers.core.polling.answers import Answer
from workers.core.polling.messages import Book

ENDPOINT = "POST /books"
_ENVELOPE = b'%b"position":%d,"token_id":"%b","hash":"%b","flags":%b}'
_ROW = _ENVELOPE[:-1] + b',"book":%b}\n'
_PLAIN_ID = re.compile(r"[0-9A-Za-z]+")


def answer_head(answer: Answer, request_id: str, due_ms: int, version: str) -> bytes:
    """The members that all rows of one answer share; an open JSON object ending in a comma."""
    members = answer.envelope(request_id=request_id, due_ms=due_ms, version=version)
    head = msgspec.json.encode(members | {"endpoint": ENDPOINT, "status": answer.status})
    return head[:-1] + b","


def books_row(head: bytes, book: Book, verdict: str, flags: Sequence[str]) -> bytes:
    """One line of a books segment; `book` is the last member."""
    members = (head, book.position, book.token_id.encode(), verdict.encode(), _flags(flags))
    if b"\n" in book.raw or not _PLAIN_ID.fullmatch(book.token_id):
        token_id = msgspec.json.encode(book.token_id)[1:-1]
        return spliced_row(_ENVELOPE % (*members[:2], token_id, *members[3:]), "book", book.raw)
    return _ROW % (*members, book.raw)


def _flags(flags: Sequence[str]) -> bytes:
    return msgspec.json.encode(flags) if flags else b"[]"
