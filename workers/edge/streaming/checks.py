"""The stream held against REST: on a schedule, when a market is silent, when a book is needed.

Writes    a ledger row for each request; a `rest` row in the market's segment for each book and
          each connection it was compared with
Promises  one request at a time, within a budget of its own; never more tokens than a batch has
"""

from collections.abc import Iterable, Sequence

import msgspec

from workers import VERSION
from workers.core.archive.ledger import request_row
from workers.core.causes import OK
from workers.core.polling.answers import Answer
from workers.core.polling.courtesy import courtesy_of
from workers.core.polling.messages import Book, BooksAnswer, RefusedBook, read_books
from workers.core.polling.rows import ENDPOINT
from workers.core.settings.settings import Settings
from workers.core.stream.frames import connection_part, rest_row, row_head
from workers.edge.deadlines import Unalarmed
from workers.edge.rest import Call, RestClient
from workers.edge.spool.diary import Diary
from workers.edge.streaming.asker import Asker
from workers.edge.streaming.link import Link
from workers.edge.streaming.tape import Tape
from workers.edge.world import World

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
_NOTHING = BooksAnswer(OK, "kept", (), (), ())


class _Question(msgspec.Struct, frozen=True):
    """A request under way: condition id by token, and those tokens that were ordered."""

    id: str
    asked: dict[str, str]
    ordered: frozenset[str]


class Checks:
    """Changed in place by its one owner."""

    def __init__(
        self, settings: Settings, diary: Diary, tape: Tape, *, shards: int, world: World
    ) -> None:
        streamer, collector = settings.streamer, settings.collector
        self.verdicts: dict[str, int] = {}
        self._url = f"{settings.venue.clob_url}/books"
        self._diary, self._tape, self._world = diary, tape, world
        self._kept_bytes, self._batch = collector.kept_body_bytes, collector.batch_tokens
        self._interval_ns = int(streamer.snapshot_interval_s * NS_PER_S)
        self._snapshot_due_mono_ns = world.mono_ns() + self._interval_ns
        self._wanted: dict[str, str] = {}
        self._ordered: frozenset[str] = frozenset()
        self._question: _Question | None = None
        self.courtesy = courtesy_of(
            collector, per_10s=streamer.requests_per_10s / shards, mono_ns=world.mono_ns()
        )
        self._asker = Asker(
            lambda: RestClient(
                timeout_s=streamer.request_timeout_s,
                max_body_bytes=collector.max_body_bytes,
                user_agent=f"orderbooks/{VERSION}",
                deadline=Unalarmed(),
            ),
            timeout_s=streamer.request_timeout_s,
            world=world,
        )

    def want(self, market: str, token_ids: Iterable[str]) -> None:
        """Ask for these soon."""
        self._wanted |= dict.fromkeys(token_ids, market)

    def order(self, market: str, token_ids: Iterable[str]) -> None:
        """Ask for these soon, and tell by `is_awaited` when that is done."""
        ordered = frozenset(token_ids)
        self.want(market, ordered)
        self._ordered |= ordered

    def is_awaited(self, token_ids: Iterable[str]) -> bool:
        """True while one of these was ordered and is to be asked for, or its answer to come."""
        asked = self._question.ordered if self._question is not None else frozenset[str]()
        return not (self._ordered | asked).isdisjoint(token_ids)

    def tend(self, links: Sequence[Link], open_now: frozenset[str]) -> None:
        """Take the answer that came, find what is due, ask the next question."""
        answer = self._asker.answered()
        if answer is not None:
            self._take(answer, links)
        self._find_due(links, open_now)
        if self._wanted and not self._asker.is_busy:
            mono_ns = self._world.mono_ns()
            if not self.courtesy.spend(mono_ns):
                self._ask()

    def _find_due(self, links: Sequence[Link], open_now: frozenset[str]) -> None:
        wall_ns, mono_ns = self._world.wall_ns(), self._world.mono_ns()
        for link in links:
            for market in link.watch.silent(mono_ns, open_now):
                self.want(market, link.token_ids_of(market))
            for token_id in link.watch.lacking(mono_ns):
                link.note_lacking(token_id, wall_ns, mono_ns)
                self.want(link.tokens[token_id].market, [token_id])
        if mono_ns >= self._snapshot_due_mono_ns:
            self._snapshot_due_mono_ns = mono_ns + self._interval_ns
            for link in links:
                self._wanted |= {each.token_id: each.market for each in link.tokens.values()}

    def _ask(self) -> None:
        chosen = [*self._wanted][: self._batch]
        asked = {each: self._wanted.pop(each) for each in chosen}
        ordered = self._ordered & asked.keys()
        self._ordered -= ordered
        self._question = _Question(self._diary.next_request_id(), asked, ordered)
        body = msgspec.json.encode([{"token_id": each} for each in asked])
        self._asker.ask(Call(method="POST", url=self._url, body=body, request_id=self._question.id))

    def _take(self, answer: Answer, links: Sequence[Link]) -> None:
        question, self._question = self._question, None
        if question is None:
            return
        read = read_books(answer.body, question.asked) if answer.is_ok else _NOTHING
        cause = answer.cause if answer.cause != OK else read.cause
        unwanted = [each for each in read.books if not self._compare(each, question, answer, links)]
        refused = [RefusedBook(e.token_id, "unwanted", e.position, e.raw) for e in unwanted]
        row = request_row(
            question.id,
            answer.send_wall_ns // NS_PER_MS,
            ENDPOINT,
            answer,
            cause=cause,
            layout=read.layout,
            kept_bytes_max=self._kept_bytes if cause != OK else len(answer.body),
            asked=tuple(question.asked),
            missing=read.missing,
            refused=(*read.refused, *refused),
        )
        self._diary.write(row, answer.recv_wall_ns)
        if cause == OK:
            self.courtesy.succeeded()
        else:
            self._failed(cause, answer.retry_after_s)

    def _failed(self, cause: str, retry_after_s: float | None) -> None:
        self.courtesy.failed(
            cause,
            mono_ns=self._world.mono_ns(),
            roll=self._world.roll(),
            retry_after_s=retry_after_s,
        )

    def _compare(
        self, book: Book, question: _Question, answer: Answer, links: Sequence[Link]
    ) -> bool:
        """Hold a book against every connection that carries its token; False when none does."""
        found = False
        mono_ns = self._world.mono_ns()
        for link in links:
            if book.token_id not in link.tokens or not self._tape.carries(book.market):
                continue
            found = True
            verdict = link.compare(
                book.token_id,
                book.raw,
                sent_wall_ns=answer.send_wall_ns,
                recv_wall_ns=answer.recv_wall_ns,
                mono_ns=mono_ns,
            ).verdict
            self.verdicts[verdict] = self.verdicts.get(verdict, 0) + 1
            wall_ns = self._tape.not_before(answer.recv_wall_ns)
            part = connection_part(link.name, link.leg)
            head = row_head(wall_ns, answer.recv_mono_ns, part, link.frames)
            self._tape.add(
                book.market,
                rest_row(head, question.id, book.position, verdict, book.raw),
                wall_ns=wall_ns,
                kind="rest",
                connection=link.name,
                request=question.id,
            )
        return found

    def close(self) -> None:
        """Wait for nothing any more."""
        self._asker.close()
