"""The metrics page, shown to those who read it in earnest: promtool, and a real node_exporter."""

import re
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig import wait_for
from workers.core.health.alerts import Active
from workers.core.health.disk import DiskSeen, Forecast
from workers.core.health.heartbeats import Heartbeat, MarketBeat
from workers.core.health.looks import ClockSeen, FleetSeen, Look, ProcessSeen, Queue, Spool
from workers.core.health.metrics import FAMILIES, page
from workers.core.health.reports import DiskManifest, Usage, health_manifest

NOW_NS = 1_790_000_000_000_000_000
OPS = Path(__file__).resolve().parents[2] / "ops/prometheus"
DOCS = Path(__file__).resolve().parents[2] / "docs"


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine (.ci/run installs it)")
    return found


def heartbeat(**changes: object) -> Heartbeat:
    known: dict[str, object] = {
        "worker": "collector-00",
        "shard": 0,
        "shards": 2,
        "pid": 12,
        "run": "1790000000000",
        "version": "0.1.0",
        "boot_id": "b",
        "started_wall_ns": NOW_NS - 60 * 10**9,
        "at_wall_ns": NOW_NS - 10**9,
        "at_mono_ns": 59 * 10**9,
        "last_success_wall_ns": NOW_NS - 2 * 10**9,
        "counters": {"books": 240, "requests": 12, "request_ms": 1500, "pending_bytes": 77},
        "markets": [
            market("0xa", captured=100, failed={"http_429": 3}),
            market("0xb", captured=20, verified=19, hash_failed=1),
            market("0xc", tier="warm"),
        ],
    }
    return Heartbeat(**(known | changes))  # type: ignore[arg-type]


def market(condition_id: str, **counts: object) -> MarketBeat:
    told: dict[str, object] = {"tier": "hot", "last_row_wall_ns": NOW_NS - 3 * 10**9} | counts
    return MarketBeat(slug=condition_id, condition_id=condition_id, **told)  # type: ignore[arg-type]


def page_of(*beats: Heartbeat, active: list[Active] | None = None) -> str:
    process = ProcessSeen(worker="collector-00", group="collector", state="RUNNING", pid=12)
    look = Look(
        wall_ns=NOW_NS,
        mono_ns=60 * 10**9,
        boot_id="b",
        fleet=FleetSeen(pid=1, processes=[process]),
        spool=Spool(
            heartbeats=list(beats),
            queues=[Queue(name="upload", ready=4, failed=1, oldest_s=9)],
        ),
        clock=ClockSeen(offset_ms=-17, tolerance_ms=40),
    )
    health = health_manifest(look, active or [], {12: Usage(24_000_000, 31)}, look_ms=12)
    disk = DiskManifest(
        at_utc="x",
        at_wall_ns=NOW_NS,
        guard="warn",
        disk=DiskSeen(
            free_bytes=5, total_bytes=10, free_inodes=3, total_inodes=4, directories={"raw": 2}
        ),
        forecast=Forecast(growth_bytes_per_hour=7, hours_left=1.5, span_s=700),
    )
    return page(health, disk, active or [], beats, {"0xa": "btc-5m", "0xb": "btc-5m"})


def alert(name: str, worker: str) -> Active:
    return Active(
        alert=name,
        level="error",
        worker=worker,
        shard=None,
        subject="",
        detail="",
        since_wall_ns=1,
        last_seen_wall_ns=2,
        raised_wall_ns=1,
    )


def sample(text: str, start: str) -> float:
    (line,) = (each for each in text.splitlines() if each.startswith(f"{start} "))
    return float(line.removeprefix(f"{start} "))


def test_a_page_says_what_heartbeats_disk_and_alerts_say():
    text = page_of(heartbeat(), active=[alert("disk_full", "collector-00")])
    mine = 'worker="collector-00",shard="0"'

    assert sample(text, f'orderbooks_worker_events_total{{{mine},event="books"}}') == 240
    assert sample(text, f"orderbooks_worker_request_seconds_total{{{mine}}}") == 1.5
    assert sample(text, f"orderbooks_worker_pending_bytes{{{mine}}}") == 77
    assert sample(text, f'orderbooks_market_ticks{{{mine},class="btc-5m",state="captured"}}') == 120
    assert sample(text, f'orderbooks_market_ticks{{{mine},class="btc-5m",state="http_429"}}') == 3
    assert sample(text, f'orderbooks_market_hashes{{{mine},class="btc-5m",verdict="failed"}}') == 1
    assert sample(text, f'orderbooks_market_row_age_seconds{{{mine},class="btc-5m"}}') == 3
    assert sample(text, f'orderbooks_markets{{{mine},class="other",tier="warm"}}') == 1
    assert sample(text, 'orderbooks_queue_tickets{queue="upload",state="failed"}') == 1
    assert sample(text, 'orderbooks_disk_guard{level="warn"}') == 1
    assert sample(text, 'orderbooks_disk_guard{level="ok"}') == 0
    assert sample(text, "orderbooks_clock_offset_seconds") == -0.017
    assert sample(text, 'orderbooks_process_memory_bytes{worker="collector-00"}') == 24_000_000
    disk_full = 'alert="disk_full",level="error",worker="collector-00"'
    assert sample(text, f"orderbooks_alert_active{{{disk_full}}}") == 1


def test_every_family_has_its_help_and_type_on_each_page_and_no_line_has_a_time():
    text = page_of()

    for name, family in FAMILIES.items():
        assert f"# HELP {name} {family.help}\n# TYPE {name} {family.type}\n" in text
    samples = [line for line in text.splitlines() if not line.startswith("#")]
    assert samples
    assert all(len(re.sub(r'"[^"]*"', "", line).split()) == 2 for line in samples)


def test_promtool_finds_nothing_to_say_also_of_a_heartbeat_with_hostile_names():
    odd = heartbeat(worker='x"\n\\{}', shard=None, version="\ud800", counters={'a"b\nc': 1})

    for text in (page_of(), page_of(heartbeat(), odd)):
        said = subprocess.run(
            [tool("promtool"), "check", "metrics"],
            input=text.encode(),
            capture_output=True,
            check=False,
        )
        assert (said.returncode, said.stdout, said.stderr) == (0, b"", b"")


@pytest.fixture
def exporter(tmp_path: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [
            tool("prometheus-node-exporter"),
            "--collector.disable-defaults",
            "--collector.textfile",
            f"--collector.textfile.directory={tmp_path}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        told = (re.search(r"Listening on.*127\.0\.0\.1:(\d+)", line) for line in process.stderr)
        yield f"http://127.0.0.1:{next(filter(None, told))[1]}/metrics"
    finally:
        process.terminate()
        process.wait(60)
        process.stderr.close()


def scraped(url: str, word: str) -> str:
    """The page as the exporter shows it, or "" while the word is not in it."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            text = str(answer.read().decode())
    except OSError:
        return ""
    return text if word in text else ""


def test_a_real_node_exporter_takes_the_page_and_refuses_a_damaged_one(
    exporter: str, tmp_path: Path
):
    path = tmp_path / "orderbooks.prom"
    path.write_text(page_of(heartbeat()))

    text = str(wait_for(lambda: scraped(exporter, "node_textfile_scrape_error 0")))
    assert (
        'orderbooks_worker_events_total{event="books",shard="0",worker="collector-00"} 240' in text
    )
    assert "node_textfile_mtime_seconds{" in text

    path.write_text("not a page")
    wait_for(lambda: scraped(exporter, "node_textfile_scrape_error 1"))


@pytest.mark.parametrize(
    "command", [("check", "rules", "rules.yml"), ("test", "rules", "rules_test.yml")]
)
def test_the_alert_rules_are_rules_and_do_what_their_tests_say(command: tuple[str, ...]):
    said = subprocess.run(
        [tool("promtool"), *command], cwd=OPS, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_rules_name_only_metrics_and_pages_that_exist():
    text = (OPS / "rules.yml").read_text()
    headings = re.findall(r"^#+ (.+)$", (DOCS / "OPERATIONS.md").read_text(), re.MULTILINE)

    assert set(re.findall(r"orderbooks_\w+", text)) <= FAMILIES.keys()
    pages = set(re.findall(r"OPERATIONS\.md#([a-z_-]+)", text))
    assert pages <= {each.lower() for each in headings}
