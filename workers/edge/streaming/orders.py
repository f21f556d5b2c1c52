"""What `orderbooks snapshot` asks of a running streamer, by files.

    <slug>.ready    asked for; made by the command
    <slug>.done     answered: where the rows are; read and removed by the command

Reads     spool/snapshot/*.ready
Writes    spool/snapshot/*.done; snapshot rows, and `rest` rows through the checks
Promises  what is answered is on the disk
Never     answers for a market that this streamer does not carry: another shard may
"""

from collections.abc import Iterable, Sequence

import msgspec

from workers.core.instants import utc_text
from workers.core.stream.orders import DONE, READY, Snapshot, order_name
from workers.core.universe.markets import Market
from workers.edge import durable
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recorder import Recorder
from workers.edge.streaming.checks import Checks
from workers.edge.streaming.link import Link
from workers.edge.streaming.tape import Tape
from workers.edge.world import World

NS_PER_S = 1_000_000_000
#: An order is answered without REST when that takes longer.
_PATIENCE_NS = 5 * NS_PER_S


class Orders:
    """Orders as one streamer sees them; changed in place by its one owner."""

    def __init__(self, data: DataDir, recorder: Recorder, tape: Tape, checks: Checks) -> None:
        self._folder, self._recorder = data.snapshots, recorder
        self._tape, self._checks = tape, checks
        self._taken: dict[str, tuple[int, Snapshot]] = {}

    def tend(self, links: Sequence[Link], markets: Iterable[Market], world: World) -> None:
        """Take new orders, answer those whose rows are all there."""
        waiting = {path.name for path in self._folder.glob(f"*{READY}")}
        self._taken = {name: each for name, each in self._taken.items() if name in waiting}
        if not waiting:
            return
        for market in markets:
            name = order_name(market.slug, READY)
            token_ids = [each.token_id for each in market.tokens]
            if name not in waiting:
                continue
            if name not in self._taken:
                until_ns = world.mono_ns() + _PATIENCE_NS
                self._taken[name] = (until_ns, self._snapshot(market, links, world))
                self._checks.order(market.condition_id, token_ids)
            elif not self._checks.is_awaited(token_ids) or self._taken[name][0] < world.mono_ns():
                self._answer(name, self._taken.pop(name)[1], world)

    def _snapshot(self, market: Market, links: Sequence[Link], world: World) -> Snapshot:
        wall_ns, mono_ns, books, segment = world.wall_ns(), world.mono_ns(), 0, ""
        for link in links:
            for line in link.snapshots(market.condition_id, wall_ns, mono_ns, "asked"):
                segment = self._tape.add(
                    market.condition_id,
                    line,
                    wall_ns=wall_ns,
                    kind="snapshot",
                    connection=link.name,
                ).name
                books += 1
        return Snapshot(slug=market.slug, at_utc=utc_text(wall_ns), books=books, segment=segment)

    def _answer(self, name: str, answer: Snapshot, world: World) -> None:
        self._tape.write_out()
        self._recorder.flush_now(wall_ns=world.wall_ns(), mono_ns=world.mono_ns())
        durable.replace(self._folder / order_name(answer.slug, DONE), msgspec.json.encode(answer))
        (self._folder / name).unlink(missing_ok=True)
