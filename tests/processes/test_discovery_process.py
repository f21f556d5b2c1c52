"""Promises of discovery as a process: whole files over SIGKILL, a beating heart, a clean end."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.rig import Rig, wait_for
from tests.venue import Venue
from workers.core.archive.ledger import Request, Started, Stopped
from workers.core.health.heartbeats import Heartbeat
from workers.core.universe.universe import Universe, read_universe
from workers.edge.spool import state

SERIES = {
    "name": "btc-5m",
    "series_id": "10684",
    "slug": "btc-updown-5m-{start_unix}",
    "period_s": 1,
}


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    with Venue(tmp_path / "venue", scale=300, lines=("btc-5m",)) as found:
        yield found


@pytest.fixture
def rig(tmp_path: Path, venue: Venue) -> Iterator[Rig]:
    with Rig(tmp_path, venue.url) as found:
        found.write_config(
            selection={"series": [SERIES]},
            schedule={"warm_lead_s": 4, "warm_tail_s": 2, "hot_tail_s": 1},
            discovery={
                "interval_s": 0.5,
                "horizon_s": 10,
                "lookback_s": 5,
                "request_timeout_s": 0.5,
                "requests_per_10s": 400,
            },
        )
        yield found


def universe_of(rig: Rig) -> Universe | None:
    """The universe as a collector would read it; a torn file raises."""
    if not rig.data.universe.exists():
        return None
    return read_universe(rig.data.universe.read_bytes())


def history(rig: Rig) -> list[int]:
    """The sequence numbers of the published history, in the order written."""
    rows = [msgspec.json.decode(line) for line in rig.published_rows("universe")]
    return [row["universe"]["seq"] for row in sorted(rows, key=lambda row: row["at_wall_ns"])]


def pid_of(rig: Rig) -> int:
    beat = heartbeat(rig)
    return beat.pid if beat else 0


def heartbeat(rig: Rig) -> Heartbeat | None:
    return state.read(rig.data.heartbeat("discovery"), Heartbeat)


def test_a_killed_discovery_leaves_a_whole_universe_and_a_history_that_has_it(rig: Rig) -> None:
    dice = random.Random(7)
    seen: list[int] = []
    kills = 0
    while kills < 5 or len(set(seen)) < 4:
        process = rig.start("discovery")
        started = len(seen)
        wait_for(lambda pid=process.pid: pid_of(rig) == pid, what="the first heartbeat")  # type: ignore[misc]
        until = time.monotonic() + 1.5 * dice.random()
        while time.monotonic() < until or len(seen) == started:
            universe = universe_of(rig)
            if universe is not None:
                seen.append(universe.seq)
        process.kill()
        process.wait()
        kills += 1
    last = rig.start("discovery")
    wait_for(lambda: (universe_of(rig) or Universe()).seq > seen[-1])
    assert 0 == rig.stop(last)

    assert sorted(seen) == seen
    assert set(seen) <= set(history(rig))
    assert [] == list(rig.data.quarantine.iterdir())


def test_a_stopped_discovery_has_published_everything_and_said_so(rig: Rig) -> None:
    process = rig.start("discovery")
    wait_for(lambda: (universe_of(rig) or Universe()).seq >= 2)

    assert 0 == rig.stop(process)

    kinds = {each.kind for kind in ("ledger", "pages", "universe") for each in rig.manifests(kind)}
    rows = rig.ledger()
    assert {"ledger", "pages", "universe"} == kinds
    assert [] == list(rig.data.open_folder("discovery").glob("*.open"))
    assert isinstance(rows[0], Started)
    assert isinstance(rows[-1], Stopped)
    requests = [row for row in rows if isinstance(row, Request)]
    assert list(range(1, len(requests) + 1)) == [int(row.id.split(".")[-1]) for row in requests]


def test_the_heartbeat_says_what_is_wrong_and_that_it_is_over(rig: Rig, venue: Venue) -> None:
    rig.start("discovery")
    wait_for(lambda: (universe_of(rig) or Universe()).seq >= 1)

    venue.faults.add("empty_page", "any")
    wait_for(lambda: "universe_stale" in conditions(rig), what="a stale universe")
    venue.faults.clear()
    wait_for(lambda: "universe_stale" not in conditions(rig), what="a mended universe")

    beat = heartbeat(rig)
    assert beat is not None
    assert beat.counters["markets"] > 0
    assert beat.last_success_wall_ns is not None


def conditions(rig: Rig) -> set[str]:
    beat = heartbeat(rig)
    return {each.alert for each in beat.conditions} if beat else set()
