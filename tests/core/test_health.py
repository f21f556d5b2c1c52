"""Holds core.health.health: what each thing that can be seen means, and that nothing else is told."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.health.alerts import Active
from workers.core.health.conditions import ALERTS
from workers.core.health.disk import Forecast
from workers.core.health.health import CRASH_NEWS_S, findings
from workers.core.health.heartbeats import Condition, Crash, Heartbeat, MarketBeat, StreamBeat
from workers.core.health.looks import ClockSeen, FleetSeen, Look, ProcessSeen, Queue, Spool, Unread
from workers.core.health.reports import Usage, health_manifest, verdict
from workers.core.instants import ms_text
from workers.core.settings.settings import Schedule, Watchdog
from workers.core.universe.markets import Market, Token
from workers.core.universe.phases import phases_of
from workers.core.universe.shards import shard_of
from workers.core.universe.slugs import Window
from workers.core.universe.universe import Universe

S = 1_000_000_000
NOW_MS = 1_795_228_320_000
WALL = NOW_MS * 1_000_000
MONO = 5_000 * S
BOOT = "this-boot"
RULES = Watchdog()
CALM = Forecast()
CONDITION_ID = "0x" + "ab" * 32


def beat(worker: str = "discovery", **said: object) -> Heartbeat:
    """A fresh heartbeat of a worker that has run for an hour."""
    shard = int(worker[-2:]) if "-" in worker else None
    given = {
        "worker": worker,
        "shard": shard,
        "shards": 1 if shard is not None else None,
        "pid": 100,
        "run": "1",
        "version": "0",
        "boot_id": BOOT,
        "started_wall_ns": WALL - 3600 * S,
        "at_wall_ns": WALL - S,
        "at_mono_ns": MONO - S,
    }
    return Heartbeat(**given | said)


def process(worker: str = "discovery", state: str = "RUNNING", **said: object) -> ProcessSeen:
    now_s = WALL // S
    given = {"group": worker, "pid": 100, "since_s": now_s - 3600, "now_s": now_s, "reason": "why"}
    return ProcessSeen(worker=worker, state=state, **given | said)


def look(*beats: Heartbeat, processes: tuple[ProcessSeen, ...] = (), **said: object) -> Look:
    spool = {name: said.pop(name) for name in list(said) if name in Spool.__struct_fields__}
    given = {
        "wall_ns": WALL,
        "mono_ns": MONO,
        "boot_id": BOOT,
        "fleet": FleetSeen(pid=1, processes=list(processes)),
        "spool": Spool(heartbeats=list(beats), **spool),
    }
    return Look(**given | said)


def market(**schedule: int) -> Market:
    """A market whose window began three minutes ago and lasts two more."""
    window = Window(NOW_MS - 180_000, NOW_MS + 120_000)
    phases = phases_of(window, Schedule(**schedule))
    return Market(
        slug="btc-updown-5m-1",
        question="?",
        condition_id=CONDITION_ID,
        tokens=(Token(token_id="1", outcome="Up"), Token(token_id="2", outcome="Down")),
        series="btc-5m",
        event_slug="btc-updown-5m-1",
        listed_at_utc=None,
        window_start_utc=ms_text(window.start_ms),
        window_end_utc=ms_text(window.end_ms),
        tick_size="0.01",
        status="open",
        source="keyset",
        fetched_at_utc=ms_text(NOW_MS),
        record_from_utc=ms_text(phases[0].from_ms),
        record_until_utc=ms_text(phases[-1].until_ms),
        tier="hot",
        phases=phases,
    )


def universe(*markets: Market, published_s_ago: int = 3600) -> Universe:
    return Universe(seq=1, published_ms=NOW_MS - published_s_ago * 1000, markets=markets)


def told(seen: Look, forecast: Forecast = CALM) -> list[tuple[str, str]]:
    """(alert, worker) of every finding."""
    return [(each.alert, each.worker) for each in findings(seen, RULES, forecast)]


def test_a_healthy_fleet_is_silent():
    collector = beat("collector-00", last_success_wall_ns=WALL - S)
    seen = look(
        beat(),
        collector,
        processes=(process(), process("collector-00")),
        universe=universe(market()),
        queues=[Queue(name="upload", ready=9999, oldest_s=10**9)],
        clock=ClockSeen(offset_ms=300, tolerance_ms=510),
    )

    assert [] == told(seen)


@pytest.mark.parametrize("state", ["FATAL", "EXITED", "UNKNOWN"])
def test_a_process_that_stays_down_is_fatal(state: str):
    assert [("worker_fatal", "discovery")] == told(look(processes=(process(state=state),)))


@pytest.mark.parametrize("state", ["STOPPED", "STOPPING", "STARTING"])
def test_what_a_person_stops_and_starts_is_no_alert(state: str):
    seen = look(beat(at_mono_ns=MONO - 99 * S), processes=(process(state=state),))

    assert [] == told(seen)


def test_backoff_is_told_after_backoff_warn_s():
    (found,) = findings(look(processes=(process(state="BACKOFF"),)), RULES, CALM)

    assert ("worker_backoff", RULES.backoff_warn_s) == (found.alert, found.grace_s)


def test_no_supervisord_is_one_alert_and_the_heartbeats_are_judged_alone():
    late = beat(at_mono_ns=MONO - 31 * S)
    stopped = beat("watchdog", state="stopped", at_mono_ns=MONO - 999 * S)
    seen = look(late, stopped, fleet=FleetSeen(problem="no socket"))

    assert [("supervisord_unreachable", "watchdog"), ("worker_silent", "discovery")] == told(seen)


@pytest.mark.parametrize(("age_s", "alerts"), [(30, []), (31, ["worker_silent"])])
def test_a_running_process_is_silent_after_heartbeat_late_s(age_s: int, alerts: list[str]):
    seen = look(beat(at_mono_ns=MONO - age_s * S), processes=(process(),))

    assert alerts == [alert for alert, _ in told(seen)]


def test_age_does_not_run_on_a_clock_that_jumps():
    seen = look(beat(at_wall_ns=WALL - 9999 * S), processes=(process(),))

    assert [] == told(seen)


def test_a_heartbeat_of_another_boot_is_judged_by_the_wall_clock():
    old = beat(boot_id="before", at_mono_ns=MONO + 10**15, at_wall_ns=WALL - 31 * S)

    assert [("worker_silent", "discovery")] == told(look(old, processes=(process(),)))


def test_a_process_that_never_beat_is_silent_when_it_is_no_longer_young():
    young = process(since_s=WALL // S - 60)

    assert [] == told(look(processes=(young,)))
    assert [("worker_silent", "discovery")] == told(look(processes=(process(),)))


def test_a_young_process_is_not_judged_by_its_predecessors_heartbeat():
    old = beat(pid=99, at_mono_ns=MONO - 500 * S)

    assert [] == told(look(old, processes=(process(since_s=WALL // S - 20),)))


def test_a_heartbeat_without_a_process_in_the_table_is_history():
    """After numprocs 3 → 2 the third heartbeat stays where it is."""
    seen = look(beat("collector-02", at_mono_ns=MONO - 500 * S), processes=(process("x"),))

    assert ("worker_silent", "collector-02") not in told(seen)


@pytest.mark.parametrize(
    ("age_s", "count"), [(0, 1), (CRASH_NEWS_S - 1, 1), (CRASH_NEWS_S, 0), (-9, 0)]
)
def test_a_crash_is_news_for_an_hour_and_brings_its_traceback(age_s: int, count: int):
    crash = Crash(
        worker="discovery",
        pid=1,
        at_wall_ns=WALL - age_s * S,
        kind="KeyError",
        message="x",
        traceback="File …",
    )

    found = findings(look(crashes=[crash]), RULES, CALM)

    assert [("worker_crashed", "KeyError", "File …")] * count == [
        (each.alert, each.subject, each.evidence) for each in found
    ]


def test_what_a_worker_says_is_passed_on_with_its_shard():
    said = [Condition(alert="venue_failing", detail="http_503", subject="clob")]

    (found,) = findings(look(beat("collector-01", conditions=said, shard=1)), RULES, CALM)

    assert ("venue_failing", "collector-01", 1, "clob", "http_503") == (
        found.alert,
        found.worker,
        found.shard,
        found.subject,
        found.detail,
    )


def test_a_condition_nobody_knows_is_said_to_be_unknown():
    said = [Condition(alert="rm -rf", detail="x")]

    assert [("condition_unknown", "discovery")] == told(look(beat(conditions=said)))


def test_a_worker_that_stopped_has_no_conditions():
    said = [Condition(alert="venue_failing", detail="x")]

    assert [] == told(look(beat(conditions=said, state="stopped")))


def blind(**said: object) -> Look:
    """A collector without a row for a minute, though its market is hot."""
    given = {"last_success_wall_ns": WALL - 60 * S} | said
    return look(beat("collector-00", **given), universe=universe(market()))


def test_a_collector_without_rows_though_some_were_due_is_late():
    assert [("rows_late", "collector-00")] == told(blind())


@pytest.mark.parametrize(
    "seen",
    [
        blind(last_success_wall_ns=WALL - 29 * S),
        blind(state="stopped"),
        blind(last_success_wall_ns=None, started_wall_ns=WALL - 20 * S),
        msgspec.structs.replace(blind(), guard="pause"),
        msgspec.structs.replace(blind(), guard="stop_opening"),
        msgspec.structs.replace(blind(), spool=Spool(heartbeats=blind().spool.heartbeats)),
        look(
            beat("collector-00", last_success_wall_ns=WALL - 60 * S),
            universe=universe(market(), published_s_ago=20),
        ),
        look(
            beat("collector-00", last_success_wall_ns=WALL - 60 * S),
            universe=universe(market(warm_interval_ms=100_000, hot_interval_ms=100_000)),
        ),
    ],
    ids=[
        "row",
        "stopped",
        "new",
        "pause",
        "stop_opening",
        "no-universe",
        "unknown-yet",
        "slow-grid",
    ],
)
def test_a_collector_that_owes_no_row_is_not_late(seen: Look):
    assert "rows_late" not in dict(told(seen))


def test_a_market_that_is_over_is_owed_no_more():
    """Its lost tick stands in the coverage; a shard without markets is not blind."""
    beats = [beat("collector-00", last_success_wall_ns=WALL - 60 * S)]
    over = look(*beats, universe=universe(market()), wall_ns=WALL + 3600 * S)

    assert [] == told(over)


def test_a_silent_collector_is_told_once_as_that():
    seen = msgspec.structs.replace(
        blind(at_mono_ns=MONO - 99 * S), fleet=FleetSeen(processes=[process("collector-00")])
    )

    assert [("worker_silent", "collector-00")] == told(seen)


def test_a_market_is_owed_by_its_own_shard_only():
    mine = shard_of(CONDITION_ID, 2)
    beats = [beat(f"collector-0{each}", shard=each, shards=2) for each in (0, 1)]

    assert [("rows_late", f"collector-0{mine}")] == told(look(*beats, universe=universe(market())))


@pytest.mark.parametrize(
    ("failed", "verified", "is_told"), [(3, 100, True), (2, 0, False), (3, 400, False)]
)
def test_failed_hashes_are_told_above_one_percent(failed: int, verified: int, is_told: bool):
    row = MarketBeat(slug="a", condition_id="b", tier="hot", verified=verified, hash_failed=failed)

    assert is_told == (
        ("hash_failed", "collector-00") in told(look(beat("collector-00", markets=[row])))
    )


@pytest.mark.parametrize(
    ("said", "alert"),
    [
        ({"guard": "warn"}, "disk_low_warn"),
        ({"guard": "stop_opening"}, "disk_low_stop"),
        ({"guard": "pause"}, "disk_low_pause"),
        ({"write_problem": "No space left"}, "disk_full"),
        ({"quarantined": 1}, "quarantine_grew"),
        ({"unread": [Unread("a", "b")]}, "state_unreadable"),
        ({"queues": [Queue(name="q", oldest_s=3601, has_consumer=True)]}, "backlog_old"),
        ({"queues": [Queue(name="q", failed=1, failed_example="a: why")]}, "tickets_failed"),
        ({"clock": ClockSeen(offset_ms=-1600, tolerance_ms=510)}, "clock_offset"),
        ({"clock": ClockSeen(step_ms=-1001)}, "clock_stepped"),
    ],
)
def test_each_sight_has_its_alert(said: dict[str, object], alert: str):
    assert [(alert, "watchdog")] == told(look(**said))


@pytest.mark.parametrize(
    "said",
    [
        {"queues": [Queue(name="q", oldest_s=3601, has_consumer=False)]},
        {"queues": [Queue(name="q", oldest_s=3600, has_consumer=True)]},
        {"clock": ClockSeen(offset_ms=1500, tolerance_ms=510)},
        {"clock": ClockSeen(step_ms=1000)},
    ],
)
def test_what_is_within_bounds_or_by_design_has_none(said: dict[str, object]):
    assert [] == told(look(**said))


def test_a_disk_that_fills_is_told_from_its_forecast():
    near = Forecast(growth_bytes_per_hour=1, hours_left=3.0, span_s=7200)

    assert [("disk_fills", "watchdog")] == told(look(), near)


NUMBERS = st.integers(-(2**63), 2**63 - 1)


@given(
    st.tuples(*[NUMBERS] * 6),
    st.text(max_size=20),
    st.sampled_from([-(2**63), 0, 1, 2, 100, 2**63]),
)
def test_absurd_heartbeats_are_judged_like_any_other(
    numbers: tuple[int, ...], text: str, shards: int
):
    absurd = beat(
        "collector-00",
        shards=shards,
        at_mono_ns=numbers[0],
        at_wall_ns=numbers[1],
        started_wall_ns=numbers[2],
        last_success_wall_ns=numbers[3],
        boot_id=text,
        state=text,
        conditions=[Condition(alert=text, detail=text)],
        markets=[
            MarketBeat(
                slug=text, condition_id="", tier="", verified=numbers[4], hash_failed=numbers[5]
            )
        ],
    )

    found = findings(look(absurd, universe=universe(market())), RULES, CALM)

    assert all(each.alert in ALERTS for each in found)


def test_a_book_of_a_streamer_that_is_not_known_to_be_right_is_told_an_isolated_one_is_not():
    def streamer(**said: object) -> Heartbeat:
        stream = StreamBeat(slug="m", condition_id="c", **said)
        return beat("streamer-00", streams=[stream])

    told = {
        alert.alert: alert.detail
        for alert in findings(look(streamer(state="SUSPECT", reason="gap")), RULES, CALM)
    }
    assert {"stream_stale": "1 of 1 markets, such as m: SUSPECT gap"} == told
    for fine in (streamer(state="SYNCED"), streamer(state="EMPTY", is_isolated=True)):
        assert [] == findings(look(fine), RULES, CALM)


def test_a_streamer_owes_no_ticks():
    quiet = beat("streamer-00", last_success_wall_ns=None)

    assert [] == findings(look(quiet, universe=universe(market())), RULES, CALM)


def _active(level: str) -> Active:
    return Active(
        alert="rows_late",
        level=level,
        worker="w",
        shard=None,
        subject="",
        detail="",
        since_wall_ns=0,
        last_seen_wall_ns=0,
        raised_wall_ns=0,
    )


def test_the_verdict_is_the_worst_told_level():
    active = [_active("warning")]

    assert ("ok", []) == verdict([])
    assert "degraded" == verdict(active)[0]
    assert "failing" == verdict([*active, _active("error")])[0]
    assert "ok" == verdict([msgspec.structs.replace(_active("error"), raised_wall_ns=None)])[0]


def test_the_manifest_says_what_was_seen_and_what_it_costs():
    row = MarketBeat(slug="a", condition_id="b", tier="hot", last_row_wall_ns=7)
    seen = look(beat("collector-00", markets=[row]), processes=(process("collector-00", pid=9),))

    manifest = health_manifest(seen, [], {9: Usage(40_000_000, 12)}, look_ms=3)

    assert (40_000_000, 12, 3600) == (
        manifest.processes[0].pss_bytes,
        manifest.processes[0].fds,
        manifest.processes[0].up_s,
    )
    assert 1 == manifest.workers[0].silent_s
    assert ("a", "collector-00", 7) == (
        manifest.markets[0].slug,
        manifest.markets[0].worker,
        manifest.markets[0].last_row_wall_ns,
    )
