"""Where a Gamma exchange goes: its page to the `pages` segment, the request to the ledger.

Writes    one pages row for a body that is one line of JSON, one ledger row for every exchange
Promises  every body is kept once, whole in the pages row or bounded in the ledger row
"""

from workers import VERSION
from workers.core.archive.ledger import request_row
from workers.core.polling.answers import Answer
from workers.core.universe.pages import page_row
from workers.core.universe.survey import Question
from workers.edge.spool.diary import Diary
from workers.edge.spool.recorder import Recorder, Stream


class PageKeeper:
    """The pages of one discovery."""

    def __init__(self, recorder: Recorder, diary: Diary, worker: str, *, kept_bytes: int) -> None:
        self._recorder, self._diary, self._kept_bytes = recorder, diary, kept_bytes
        self._stream = Stream(subject=worker, kind="pages")

    def keep(
        self, question: Question, answer: Answer, cause: str, *, request_id: str, due_ms: int
    ) -> None:
        """Write what one question brought."""
        row = None
        if answer.is_ok:
            row = page_row(answer, question, request_id=request_id, due_ms=due_ms, version=VERSION)
        if row is not None:
            self._recorder.append(self._stream, row, due_ms=due_ms, wall_ns=answer.recv_wall_ns)
        ledger_row = request_row(
            request_id,
            due_ms,
            question.endpoint,
            answer,
            cause=cause,
            layout="kept" if row is None else "pages",
            kept_bytes_max=self._kept_bytes,
            params=question.target.partition("?")[2] or question.slug,
        )
        self._diary.write(ledger_row, answer.recv_wall_ns)
