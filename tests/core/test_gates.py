"""Holds the written rules of a soak: a good day passes, and each rule can fail by itself."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from tests.core import soaks
from tests.core.soaks import NS, begun, changed, facts, process, rows, sample
from workers.core.archive.manifests import encode
from workers.core.health.looks import Queue
from workers.core.soak.gates import FAIL, NEEDS_REVIEW, PASS, RULES, is_live, verdict
from workers.core.soak.report import Facts
from workers.core.soak.samples import Done


def edited(told: Any, path: str, value: object) -> Any:
    """A frozen value with one member of its members replaced."""
    name, _, rest = path.partition(".")
    inner = edited(getattr(told, name), rest, value) if rest else value
    return msgspec.structs.replace(told, **{name: inner})


def archive(path: str, value: object) -> Callable[[], Facts]:
    return lambda: edited(facts(), f"archived.{path}", value)


def samples(which: range, **fields: object) -> Callable[[], Facts]:
    return lambda: facts(changed(rows(), which, **fields))


def grown(**fields: object) -> Callable[[], Facts]:
    """The last half of the day with a collector that took more."""
    later = [process("collector-00", **fields), process("watchdog")]
    return samples(range(720, 1441), processes=later)


BROKEN: dict[str, Callable[[], Facts]] = {
    "live_venue": lambda: edited(facts(), "begun.clob_url", "http://127.0.0.1:9"),
    "settings": archive("account.asked.settings", {"collector-00.1": "other"}),
    "real_time": lambda: facts(rows(86_400 - 60)),
    "is_over": lambda: facts([row for row in rows() if not isinstance(row, Done)]),
    "accounted": archive(
        "account.coverage.totals",
        {"CAPTURED": 99_999, "UNEXPLAINED": 1},
    ),
    "whole": lambda: edited(facts(), "verified.problems", ["raw/x: its file has another hash"]),
    "uploaded": archive("upload.unproven_gone", ["raw/x"]),
    "memory_flat": grown(pss_bytes=34_500_000),
    "descriptors_flat": grown(fds=29),
    "long_lives": lambda: edited(
        facts(), "seen.workers", [edited(facts().seen.workers[0], "memory", None)]
    ),
    "hashes": lambda: edited(facts(), "verified.hashes", {"verified": 9, "failed": 1}),
    "captured": archive("account.coverage.totals", {"CAPTURED": 98_000, "FAILED(http_503)": 2000}),
    "watched": lambda: facts([*rows(3600)[:-1], *rows(90_000)[67:]]),
    "one_boot": samples(range(700, 1441), boot_id="b2"),
    "running": samples(
        range(20), processes=[process("collector-00"), process("watchdog", state="BACKOFF")]
    ),
    "restarts": samples(range(100), processes=[process("collector-00", 6), process("watchdog")]),
    "guard": samples(range(5), guard="warn"),
    "alerts": samples(range(5), alerts=["collector_blind collector-00"]),
    "quarantine": samples(range(5), quarantined=1),
    "shipped": samples(range(5), queues=[Queue(name="upload", failed=1)]),
    "first_capture": archive("account.first_capture.never", ["btc-updown-5m-1"]),
}
#: A machine that was started anew has other processes, and its sampler was away.
WITH_OTHERS = {"one_boot": {"watched", "restarts", "real_time"}}


def test_a_whole_day_against_the_live_venue_passes():
    assert (PASS, []) == verdict(facts())


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_fail_by_itself_and_names_what_was_found(rule):
    said, broken = verdict(BROKEN[rule]())

    assert RULES[rule].otherwise == said
    assert {rule} == {each.rule for each in broken} - WITH_OTHERS.get(rule, set())
    assert all(each.found for each in broken)


@pytest.mark.parametrize("rule", RULES)
def test_a_report_that_is_read_again_has_the_same_verdict(rule):
    both = {"remote_unreachable uploader": 3, "alert_of collector-00": 9}
    told = edited(edited(BROKEN[rule](), "seen.alerts", both), "seen.disk.guards", {"w": 1, "b": 2})

    assert verdict(told) == verdict(msgspec.json.decode(encode(told), type=Facts))


def test_one_broken_promise_is_a_failure_whatever_else_is_to_be_reviewed():
    both = edited(BROKEN["whole"](), "begun.clob_url", "http://127.0.0.1:9")

    assert FAIL == verdict(both)[0]


@pytest.mark.parametrize(
    "url",
    [
        "http://clob.polymarket.com",
        "https://127.0.0.1:8000",
        "https://polymarket.com.example.org",
        "https://notpolymarket.com",
        "https://example.org/polymarket.com",
    ],
)
def test_what_is_not_https_to_polymarket_is_never_the_live_venue(url):
    assert not is_live(url)
    assert (NEEDS_REVIEW, "live_venue") == (
        (found := verdict(edited(facts(), "begun.gamma_url", url)))[0],
        found[1][0].rule,
    )


def test_a_reboot_is_a_reboot_and_the_time_without_samples_does_not_count():
    before = [sample(at) for at in range(0, 3601, 60)]
    after = [sample(at, boot_id="b2") for at in range(7200, 90_001, 60)]
    told = [begun(), *before, begun(7200, boot_id="b2"), *after]
    seen = facts(told).seen

    assert ["b1", "b2"] == [each.boot_id for each in seen.boots]
    ((hole),) = seen.holes
    assert (True, 3600 * NS) == (hole.is_reboot, hole.length_ns)
    assert 2 == seen.sampler_starts
    assert (3600 + 82_800) * NS == seen.observed_ns


def test_a_wall_clock_that_runs_ahead_makes_no_day_of_an_hour():
    told = [begun(), *(sample(at, at_mono_ns=at * NS // 24) for at in range(0, 86_401, 60))]

    assert 3600 * NS == facts(told).seen.observed_ns
    assert "real_time" in {each.rule for each in verdict(facts(told))[1]}


def test_a_pid_used_again_after_a_reboot_is_another_process():
    told = changed(rows(), range(700, 1441), boot_id="b2")

    assert [2, 2] == [each.lives for each in facts(told).seen.workers]


def test_a_process_that_nobody_wants_is_not_missed_and_one_that_fails_is():
    off, dead = process("streamer", 0, state="STOPPED"), process("streamer", 0, state="FATAL")
    fine = [process("collector-00"), process("watchdog")]

    assert (PASS, []) == verdict(facts(changed(rows(), range(1441), processes=[*fine, off])))
    said = verdict(facts(changed(rows(), range(1441), processes=[*fine, dead])))[1]
    assert {"running", "long_lives"} == {each.rule for each in said}


def test_one_outlier_is_no_leak_and_a_slow_rise_is_one():
    spike = changed(rows(), range(1200, 1201), processes=[process("watchdog", pss_bytes=10**9)])
    assert "memory_flat" not in {each.rule for each in verdict(facts(spike))[1]}

    rise = rows()
    for at in range(1441):
        leaky = [process("watchdog", pss_bytes=30_000_000 + 10_000 * at)]
        rise = changed(rise, range(at, at + 1), processes=leaky)
    seen = facts(rise).seen.workers[0].memory

    assert seen is not None
    assert 550_000 < seen.per_hour < 650_000
    assert "memory_flat" in {each.rule for each in verdict(facts(rise))[1]}


def test_without_two_samples_there_is_nothing_to_judge():
    assert soaks.seen_of([begun(), sample(0)]) is None
