"""POST /books beside the stream: one question at a time, in a thread of its own.

Promises  asking takes no time; an exchange that outlasts twice its limit is given up with its
          thread, and comes back as a timeout
"""

import queue
import threading
from collections.abc import Callable

from workers.core.polling.answers import Answer
from workers.edge.rest import Call, RestClient
from workers.edge.world import World

NS_PER_S = 1_000_000_000


class Asker:
    """One question under way at most; used by one thread."""

    def __init__(self, make: Callable[[], RestClient], *, timeout_s: float, world: World) -> None:
        self._make, self._world = make, world
        self._patience_ns = int(2 * timeout_s * NS_PER_S)
        self._answers: queue.SimpleQueue[Answer] | None = None
        self._calls: queue.SimpleQueue[Call | None] | None = None
        self._asked = (0, 0)

    @property
    def is_busy(self) -> bool:
        """True while an answer is awaited."""
        return self._answers is not None and self._asked != (0, 0)

    def ask(self, call: Call) -> None:
        """Ask; only when not busy."""
        if self._calls is None:
            self._calls, self._answers = queue.SimpleQueue(), queue.SimpleQueue()
            thread = threading.Thread(
                target=_serve, args=(self._make, self._calls, self._answers), daemon=True
            )
            thread.start()
        self._asked = (self._world.wall_ns(), self._world.mono_ns())
        self._calls.put(call)

    def answered(self) -> Answer | None:
        """The answer once it is there, else None."""
        if not self.is_busy or self._answers is None:
            return None
        try:
            answer = self._answers.get_nowait()
        except queue.Empty:
            return self._given_up()
        self._asked = (0, 0)
        return answer

    def _given_up(self) -> Answer | None:
        wall_ns, mono_ns = self._world.wall_ns(), self._world.mono_ns()
        if mono_ns - self._asked[1] < self._patience_ns:
            return None
        asked, self._asked = self._asked, (0, 0)
        self.close()
        return Answer(
            cause="timeout",
            detail="given up: the exchange did not end",
            send_wall_ns=asked[0],
            send_mono_ns=asked[1],
            recv_wall_ns=wall_ns,
            recv_mono_ns=mono_ns,
        )

    def close(self) -> None:
        """Let the thread end after what it does; nobody waits for it."""
        if self._calls is not None:
            self._calls.put(None)
        self._calls = self._answers = None


def _serve(
    make: Callable[[], RestClient],
    calls: "queue.SimpleQueue[Call | None]",
    answers: "queue.SimpleQueue[Answer]",
) -> None:
    client = make()
    while (call := calls.get()) is not None:
        answers.put(client.fetch(call))
    client.close()
