"""With nobody there the workers stay up, say so, and record the moment the venue answers."""

import subprocess
import sys
from pathlib import Path

from tests.rig import ROOT, Rig, wait_for
from tests.venue import Venue
from workers.core.health.heartbeats import Heartbeat
from workers.edge.spool import state

DISCOVERY = {
    "interval_s": 1,
    "horizon_s": 60,
    "lookback_s": 30,
    "request_timeout_s": 0.8,
    "requests_per_10s": 200,
}
SERIES = [
    {
        "name": "btc-5m",
        "series_id": "10684",
        "slug": "btc-updown-5m-{start_unix}",
        "period_s": 20,
    }
]


def alerts_of(rig: Rig, worker: str) -> set[str]:
    """The alert names in a worker's heartbeat."""
    found = state.read(rig.data.heartbeat(worker), Heartbeat)
    return {condition.alert for condition in found.conditions} if found else set()


def test_the_fleet_waits_for_the_network_and_then_records(tmp_path: Path) -> None:
    with Venue(tmp_path / "venue", scale=15, seed=2, lines=("btc-5m",)) as venue:
        venue.stop()
        with Rig(tmp_path, venue.url) as rig:
            rig.write_config(discovery=DISCOVERY, selection={"series": SERIES})
            discovery, collector = rig.start("discovery"), rig.collector()

            wait_for(lambda: "gamma_unreachable" in alerts_of(rig, "discovery"))
            said = status_of(rig)
            assert "gamma_unreachable" in said
            assert (None, None) == (discovery.poll(), collector.poll())

            venue.start()
            wait_for(lambda: list(rig.open_rows("books")), what="a book")
            wait_for(lambda: not alerts_of(rig, "discovery"), what="all clear")
            assert (0, 0) == (rig.stop(collector), rig.stop(discovery))


def status_of(rig: Rig) -> str:
    """What `orderbooks status` prints."""
    command = [sys.executable, "-m", "workers.tools", "status", "--config", str(rig.config)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout
