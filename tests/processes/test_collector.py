"""collector: what it promises over its life, against a real venue, with real kills and disks."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.rig import SCHEDULE, Rig, halt, market_of, wait_for
from tests.venue import Venue
from tests.venue.truth import AnswerRow
from workers.core.archive.ledger import Loaded, Request, Skipped, Started, Stopped
from workers.core.archive.story import AnyRow, read_row
from workers.core.health.heartbeats import Guard, Heartbeat
from workers.core.polling.cadence import Phase
from workers.core.universe.markets import Market
from workers.edge.spool import state

LINES = ("btc-1d", "btc-4h", "btc-1h")
STEP_MS = SCHEDULE.hot_interval_ms


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Venue]:
    """A loopback venue with three long markets."""
    with Venue(tmp_path / "venue", seed=5, lines=LINES) as running:
        yield running


@pytest.fixture
def rig(tmp_path: Path, venue: Venue) -> Iterator[Rig]:
    """A data directory whose processes end with the test."""
    with Rig(tmp_path, venue.url) as made:
        patient(made)
        yield made


def of_kind(rig: Rig, kind: type) -> list:  # type: ignore[type-arg]
    return [row for row in rig.ledger() if isinstance(row, kind)]


def books(rig: Rig) -> list[AnyRow]:
    return [read_row(line) for line in [*rig.published_rows("books"), *rig.open_rows("books")]]


def patient(rig: Rig, **collector: float) -> None:
    """Write a config with which an answer that comes late on a busy machine is no failure."""
    rig.write_config(
        collector={"request_timeout_s": 25, **collector},
        schedule={"warm_interval_ms": 29_000},  # The timeout must be below it.
        segments={"sync_interval_s": 60},  # Rows come to their file by the flush alone.
    )


def ends(rig: Rig, kind: str) -> list[str]:
    """Why published segments ended; an hour may end in any test."""
    return [each.ended for each in rig.manifests(kind) if each.ended != "hour"]


def skipped_ticks(rig: Rig, cause: str) -> set[int]:
    """The due times, in Unix ms, of the ticks that were skipped for this cause."""
    rows = [row for row in of_kind(rig, Skipped) if row.cause == cause]
    return {ms for row in rows for ms in range(row.from_due_ms, row.until_due_ms + 1, STEP_MS)}


def answered(venue: Venue) -> list[AnswerRow]:
    """What the venue sent to requests that ask for books."""
    return [row for row in venue.answers() if row.request_id and row.books]


def beat(rig: Rig, worker: str = "collector-00") -> Heartbeat:
    found = state.read(rig.data.heartbeat(worker), Heartbeat)
    assert found is not None
    return found


def test_what_the_venue_sent_is_what_the_archive_holds(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:3])
    process = rig.collector()
    wait_for(lambda: len(of_kind(rig, Request)) >= 8, what="eight requests")

    assert 0 == rig.stop(process)

    ours = {row.id: row.sha256 for row in of_kind(rig, Request)}
    theirs = {row.request_id: row.sha256 for row in venue.answers() if row.route == "books"}
    assert theirs == ours
    sent = [(row.request_id, book.token_id) for row in venue.answers() for book in row.books]
    assert sorted(sent) == sorted((row.request, row.token_id) for row in books(rig))
    assert {"verified"} == {row.hash for row in books(rig)}


def test_a_stop_publishes_everything(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:1])
    process = rig.collector()
    wait_for(lambda: books(rig), what="a row")

    assert 0 == rig.stop(process)

    assert [] == list(rig.data.open_folder("collector-00").glob("*.open"))
    assert {"stop"} == {*ends(rig, "books"), *ends(rig, "ledger")}
    assert isinstance(rig.ledger()[-1], Stopped)
    assert "stopped" == beat(rig).state


def test_a_kill_costs_at_most_the_flush_interval(rig: Rig, venue: Venue) -> None:
    flush_interval_s = 0.3
    rig.publish_universe(lasting(venue)[:1])
    process = rig.collector()
    wait_for(lambda: len(answered(venue)) > 10, what="ten answers")

    process.kill()
    process.wait()
    sent = answered(venue)
    again = rig.collector()
    asked = {row.request_id for row in sent}
    wait_for(lambda: {row.request for row in books(rig)} - asked, what="a row after the kill")
    rig.stop(again)

    kept = {row.request for row in books(rig)}
    lost = [row for row in sent if row.request_id not in kept]
    assert lost == sent[len(sent) - len(lost) :], "the newest alone are lost"
    # The last may not have been read; between two ticks it flushes what is older than an interval.
    asked_wall_ns = [row.at_wall_ns for row in lost[:-1]] or [0]
    assert max(asked_wall_ns) - min(asked_wall_ns) <= flush_interval_s * 1e9
    assert {"cut_short", "stop"} == set(ends(rig, "books"))


def test_a_new_universe_is_taken_over_within_one_tick(rig: Rig, venue: Venue) -> None:
    first, second = lasting(venue)[:2]
    rig.publish_universe([first])
    rig.collector()
    wait_for(lambda: of_kind(rig, Request), what="a request")

    rig.publish_universe([first, second], seq=2)
    published_wall_ns = time.time_ns()

    wait_for(lambda: [row for row in of_kind(rig, Request) if len(row.asked) == 4])
    (loaded,) = [row for row in of_kind(rig, Loaded) if row.seq == 2]
    sent = {row.send_wall_ns: len(row.asked) for row in of_kind(rig, Request)}
    assert 1 >= len([each for each in sent if published_wall_ns < each < loaded.at_wall_ns])
    assert {4} == {asked for each, asked in sent.items() if each > loaded.at_wall_ns}


def test_a_market_that_leaves_the_universe_is_sealed(rig: Rig, venue: Venue) -> None:
    first, second = lasting(venue)[:2]
    rig.publish_universe([first, second])
    rig.collector()
    wait_for(lambda: books(rig), what="a row")

    rig.publish_universe([first], seq=2)

    wait_for(lambda: ends(rig, "books"), what="a manifest")
    assert [(second.slug, "market_end")] == [
        (each.subject, each.ended) for each in rig.manifests("books") if each.ended != "hour"
    ]


def test_an_unreadable_universe_changes_nothing(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:1])
    rig.collector()
    wait_for(lambda: books(rig), what="a row")

    rig.data.universe.write_text('{"markets": [')

    wait_for(lambda: "universe_stale" in {each.alert for each in beat(rig).conditions})
    before = len(of_kind(rig, Request))
    wait_for(lambda: len(of_kind(rig, Request)) > before + 2, what="more requests")


def test_two_shards_record_every_market_once(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:24])
    rig.collector(0, 2)
    rig.collector(1, 2)
    wait_for(lambda: len({row.worker for row in of_kind(rig, Started)}) == 2)
    wait_for(lambda: len({token for row in of_kind(rig, Request) for token in row.asked}) == 48)

    owners: dict[str, set[str]] = {}
    for row in of_kind(rig, Request):
        for token in row.asked:
            owners.setdefault(token, set()).add(row.id.partition(".")[0])
    assert {1} == {len(each) for each in owners.values()}
    assert 2 == len(set.union(*owners.values()))


def test_another_shard_count_waits_until_the_old_one_is_gone(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:1])
    old = rig.collector(0, 1)
    wait_for(lambda: of_kind(rig, Request), what="a request")

    rig.collector(1, 3)
    wait_for(lambda: "live collectors count 1" in rig.log_text(), what="the refusal")
    assert 1 == len(of_kind(rig, Started))

    rig.stop(old)
    wait_for(lambda: len(of_kind(rig, Started)) == 2, what="the new one to start")


def test_what_a_shard_left_is_settled_when_the_shard_is_gone(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:24])
    gone = rig.collector(1, 2)
    wait_for(lambda: len(of_kind(rig, Request)) > 3, what="requests of the second shard")
    gone.kill()
    gone.wait()

    rig.collector(0, 1)

    def ledgers() -> list[str]:
        found = rig.manifests("ledger")
        return [each.ended for each in found if each.worker == "collector-01"]

    wait_for(ledgers, what="the ledger of the gone shard")
    wait_for(lambda: not list(rig.data.open_folder("collector-01").glob("*.open")))
    assert {"cut_short"} == set(ledgers()) - {"hour"}
    wait_for(lambda: "collector-01" in {each.worker for each in rig.manifests("books")})


def test_a_failing_venue_is_asked_less_and_less(rig: Rig, venue: Venue) -> None:
    patient(rig, breaker_failures=3, backoff_base_s=0.4, backoff_cap_s=5)
    rig.publish_universe(lasting(venue)[:1])
    venue.faults.add("status", route="books", code=503)
    rig.collector()

    wait_for(lambda: "venue_failing" in {each.alert for each in beats(rig)})
    skips = wait_for(lambda: [row for row in of_kind(rig, Skipped) if row.cause == "breaker_open"])
    assert isinstance(skips, list)
    assert "http_503" == skips[0].after

    venue.faults.clear()
    wait_for(lambda: [row for row in of_kind(rig, Request) if row.cause == "ok"])
    wait_for(lambda: not beats(rig), what="the condition to end")


def test_retry_after_is_obeyed_and_an_absurd_one_is_capped(rig: Rig, venue: Venue) -> None:
    patient(rig, retry_after_cap_s=1.5, backoff_base_s=0.01)
    rig.publish_universe(lasting(venue)[:1])
    venue.faults.add("status", route="books", count=1, code=429, retry_after="999999999")
    rig.collector()

    wait_for(lambda: len(of_kind(rig, Request)) >= 2, what="the request after the pause")
    limited, resumed = of_kind(rig, Request)[:2]
    assert "http_429" == limited.cause
    assert 1_500_000_000 <= resumed.send_mono_ns - limited.recv_mono_ns
    between = range(limited.due_ms + STEP_MS, resumed.due_ms, STEP_MS)
    assert {*between} <= skipped_ticks(rig, "backoff") | skipped_ticks(rig, "late")
    assert {*between} & skipped_ticks(rig, "backoff"), "only a busy machine is late"


def test_the_guard_stops_new_markets_first_and_everything_at_last(rig: Rig, venue: Venue) -> None:
    first, second = lasting(venue)[:2]
    rig.publish_universe([first])
    rig.collector()
    wait_for(lambda: books(rig), what="a row")

    set_guard(rig, "stop_opening")
    rig.publish_universe([first, second], seq=2)
    skipped = wait_for(lambda: [row for row in of_kind(rig, Skipped) if row.markets])
    assert isinstance(skipped, list)
    assert {(second.condition_id,)} == {tuple(row.markets) for row in skipped}
    before = len(books(rig))
    wait_for(lambda: len(books(rig)) > before, what="the first market goes on")

    set_guard(rig, "pause")
    wait_for(lambda: [each for each in rig.manifests("books") if each.ended == "guard"])
    set_guard(rig, "ok")
    wait_for(lambda: {second.tokens[0].token_id} <= {row.token_id for row in books(rig)})
    wait_for(lambda: paused(rig), what="the pause in the ledger")


def paused(rig: Rig) -> list[Skipped]:
    """The ticks that the guard took from the whole shard."""
    return [row for row in of_kind(rig, Skipped) if row.cause == "disk_guard" and not row.markets]


def test_big_books_get_a_stream_for_each_token(rig: Rig, venue: Venue) -> None:
    patient(rig, big_book_bytes=500)
    (market,) = lasting(venue)[:1]
    rig.publish_universe([market])
    process = rig.collector()
    wait_for(lambda: len(books(rig)) > 3, what="rows")
    rig.stop(process)

    subjects = {each.subject for each in rig.manifests("books")}
    assert {f"{market.slug}-t0", f"{market.slug}-t1"} == subjects
    assert {1} == {
        len({run.token_id for run in each.told.captured}) for each in rig.manifests("books")
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem needs root")
def test_a_full_disk_pauses_and_loses_nothing_that_was_in_memory(
    tmp_path: Path, venue: Venue
) -> None:
    disk = tmp_path / "var"  # The log stays outside: a full disk would take no line of it.
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        assert 0 == subprocess.run(["mountpoint", "-q", disk], check=False).returncode
        with Rig(tmp_path, venue.url) as rig:
            patient(rig)
            full_disk_story(rig, venue, disk / "ballast")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def full_disk_story(rig: Rig, venue: Venue, ballast: Path) -> None:
    rig.publish_universe(lasting(venue)[:1])
    process = rig.collector()
    wait_for(lambda: books(rig), what="a row")

    fill(ballast)
    wait_for(lambda: "disk_refused" in rig_log(process, rig), what="the pause")
    ballast.unlink()
    wait_for(lambda: [row for row in of_kind(rig, Skipped) if row.cause == "disk_full"])
    before = len(books(rig))
    wait_for(lambda: len(books(rig)) > before, what="rows after the pause")
    assert 0 == rig.stop(process)

    kept = {row.request for row in books(rig)}
    assert {row.request_id for row in answered(venue)} == kept


def fill(ballast: Path) -> None:
    """Write until the small filesystem is full (its size bounds this)."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.tell() < 8 << 20:
                file.write(b"x" * 4096)
        except OSError:
            return


def rig_log(process: subprocess.Popen[bytes], rig: Rig) -> str:
    assert process.poll() is None, "the collector must live on"
    return rig.log_text()


def test_a_stopped_process_records_the_ticks_it_slept_through(rig: Rig, venue: Venue) -> None:
    rig.publish_universe(lasting(venue)[:1])
    process = rig.collector()
    wait_for(lambda: books(rig), what="a row")

    halt(process)
    slept_from_ms = now_ms()
    wait_for(lambda: now_ms() - slept_from_ms > 1000, what="a second of sleep")
    slept_until_ms = now_ms()
    process.send_signal(signal.SIGCONT)

    # The newest tick may still start when it is less than one step old.
    due = {*range(-(-slept_from_ms // STEP_MS) * STEP_MS, slept_until_ms - STEP_MS, STEP_MS)}
    wait_for(lambda: due <= skipped_ticks(rig, "late"), what="the ticks it slept through")
    before = len(of_kind(rig, Request))
    wait_for(lambda: len(of_kind(rig, Request)) > before + 3, what="requests after the sleep")
    assert not due & {row.due_ms for row in of_kind(rig, Request)}


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def lasting(venue: Venue) -> list[Market]:
    """Markets with a book, due now and for longer than any test: no window ends meanwhile."""
    found = sorted(venue.open_markets(), key=lambda each: -each.end_ms)
    return [msgspec.structs.replace(market_of(each), phases=hot_now()) for each in found]


def hot_now() -> tuple[Phase, ...]:
    return (Phase("hot", now_ms() - 1000, now_ms() + 3_600_000, STEP_MS),)


def beats(rig: Rig) -> list[object]:
    found = state.read(rig.data.heartbeat("collector-00"), Heartbeat)
    return list(found.conditions) if found else []


def set_guard(rig: Rig, level: str) -> None:
    state.write(rig.data.guard, Guard(level=level, at_wall_ns=time.time_ns(), free_bytes=1))
