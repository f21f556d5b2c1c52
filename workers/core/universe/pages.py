"""Rows of the `pages` and `universe` segments: what Gamma said, byte for byte, and what came of it.

Promises  a pages row holds the whole body, verbatim; a body that is no JSON object or array has
          no pages row (its ledger row keeps it, bounded).
"""

import msgspec

from workers.core.archive.segments import row_problem, spliced_row
from workers.core.polling.answers import Answer
from workers.core.universe.survey import Question
from workers.core.universe.universe import Universe


def page_row(
    answer: Answer, question: Question, *, request_id: str, due_ms: int, version: str
) -> bytes | None:
    """One line of a pages segment, `body` last; None when the body cannot stand in a JSON row.

    Args:
        answer: the exchange, whole.
        question: what was asked.
        request_id: the ledger row with the same id has status, headers and digest.
        due_ms: when the round began.
        version: of this program.
    """
    if answer.body[:1] not in (b"{", b"["):
        return None
    envelope = answer.envelope(request_id=request_id, due_ms=due_ms, version=version) | {
        "endpoint": question.endpoint,
        "params": question.target.partition("?")[2] or question.slug,
        "status": answer.status,
        "cause": answer.cause,
    }
    try:
        row = spliced_row(msgspec.json.encode(envelope), "body", answer.body)
    except UnicodeDecodeError:
        return None
    return None if row_problem(row[:-1]) else row


def universe_row(universe: Universe, wall_ns: int) -> bytes:
    """One line of the universe's history: the publication `seq` names, whole.

    A crash between this row and universe.json repeats the `seq` in the next row; the later one
    is the one that was published.
    """
    envelope = msgspec.json.encode({"kind": "universe", "at_wall_ns": wall_ns})
    return spliced_row(envelope, "universe", msgspec.json.encode(universe))
