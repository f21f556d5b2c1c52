"""Holds edge.alerts: what Sentry is told, how it groups, and what it never gets."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.edge.sentry import KEY, LoopbackSentry
from tests.rig import wait_for
from workers import VERSION
from workers.core.errors import Refused
from workers.core.health.alerts import Active
from workers.core.health.conditions import ALERTS
from workers.core.scrubbing import SCRUBBED, secrets_of
from workers.edge import alerts
from workers.edge.alerts import MONITOR_SLUG, Sentry

S = 1_000_000_000
CONDITION = Active(
    alert="rows_late",
    level="error",
    worker="collector-01",
    shard=1,
    subject="clob",
    detail="no book for 31 s",
    since_wall_ns=1_795_228_320 * S,
    last_seen_wall_ns=1_795_228_330 * S,
    raised_wall_ns=1_795_228_320 * S,
    suppressed=3,
)


@pytest.fixture(autouse=True)
def _all_is_delivered(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is delivered however slow this machine is: how long `flush` may take is no test here."""
    monkeypatch.setattr(alerts, "FLUSH_LIMIT_S", 60.0)


@pytest.fixture
def receiver() -> Iterator[LoopbackSentry]:
    with LoopbackSentry() as receiver:
        yield receiver


@pytest.fixture
def told(receiver: LoopbackSentry) -> Callable[[Callable[[Sentry], None]], LoopbackSentry]:
    """What a Sentry client is made to do → the receiver, when it has got everything."""

    def tell(act: Callable[[Sentry], None]) -> LoopbackSentry:
        secrets = secrets_of({"SENTRY_DSN": receiver.dsn, "REMOTE_TOKEN": "tok-en-tok-en"})
        sentry = Sentry(receiver.dsn, environment="trial", secrets=secrets)
        act(sentry)
        sentry.close()
        return receiver

    return tell


def test_a_raised_condition_is_one_event_with_its_tags_and_group(told):
    (event,) = told(lambda sentry: sentry.tell_raised(CONDITION)).events()

    assert "rows_late: collector-01 clob: no book for 31 s" == event["message"]
    assert "error" == event["level"]
    assert ["rows_late", "collector-01", "1", "clob"] == event["fingerprint"]
    tags = {"alert": "rows_late", "worker": "collector-01", "shard": "1", "state": "raised"}
    assert tags == event["tags"]
    assert (f"orderbooks@{VERSION}", "trial") == (event["release"], event["environment"])
    assert ALERTS["rows_late"].action == event["contexts"]["condition"]["what to do"]


def test_a_warning_is_a_warning(told):
    warning = msgspec.structs.replace(CONDITION, alert="venue_failing", level="warning")

    (event,) = told(lambda sentry: sentry.tell_raised(warning)).events()

    assert "warning" == event["level"]


def test_a_recovery_is_an_info_event_on_the_same_issue(told):
    later = CONDITION.since_wall_ns + 40 * S
    sent = msgspec.structs.replace(CONDITION, sent=True)

    (event,) = told(lambda sentry: sentry.tell_recovered(sent, later)).events()

    assert "recovered: rows_late: collector-01 clob" == event["message"]
    assert "info" == event["level"]
    assert ["rows_late", "collector-01", "1", "clob"] == event["fingerprint"]
    assert "recovered" == event["tags"]["state"]
    assert (40, 3) == tuple(
        event["contexts"]["condition"][name] for name in ("lasted_s", "suppressed")
    )


def test_a_crash_brings_its_traceback(told):
    crash = msgspec.structs.replace(CONDITION, alert="worker_crashed", evidence="File x, line 1")

    (event,) = told(lambda sentry: sentry.tell_raised(crash)).events()

    assert "File x, line 1" == event["contexts"]["condition"]["evidence"]


def test_every_condition_is_its_own_event(told):
    """Deduplication is weigh's, once; the SDK's own would hide the second shard's alert."""
    other = msgspec.structs.replace(CONDITION, worker="collector-00", shard=0)

    def act(sentry: Sentry) -> None:
        sentry.tell_raised(CONDITION)
        sentry.tell_raised(other)

    assert 2 == len(told(act).events())


def test_a_check_in_makes_its_monitor(told):
    (check_in,) = told(lambda sentry: sentry.check_in(300)).check_ins()

    assert MONITOR_SLUG == check_in["monitor_slug"]
    assert "ok" == check_in["status"]
    assert {"type": "interval", "value": 5, "unit": "minute"} == check_in["monitor_config"][
        "schedule"
    ]


def test_no_secret_and_nothing_of_the_process_leaves(told):
    leaky = msgspec.structs.replace(
        CONDITION, subject=f"at {KEY}", detail="tok-en-tok-en", evidence=f"x {KEY} y"
    )

    def act(sentry: Sentry) -> None:
        sentry.tell_raised(leaky)
        sentry.tell_recovered(leaky, CONDITION.last_seen_wall_ns)

    receiver = told(act)
    text = str(receiver.events())

    assert 2 == len(receiver.events())
    assert SCRUBBED in text
    for secret in (KEY, "tok-en-tok-en", "sys.argv", "'modules'", "'user'", "vars"):
        assert secret not in text


@pytest.fixture
def sentry(receiver: LoopbackSentry) -> Iterator[Sentry]:
    made = Sentry(receiver.dsn, environment="trial", secrets=())
    yield made
    receiver.may_answer.set()
    made.close()


def ids(receiver: LoopbackSentry) -> list[str]:
    return [each["event_id"] for each in receiver.events()]


def test_a_condition_is_sent_once_the_server_took_it_and_not_before(sentry, receiver):
    receiver.may_answer.clear()
    assert not sentry.tell_raised(CONDITION)
    wait_for(receiver.events)
    assert not sentry.tell_raised(CONDITION), "and the call came back while the server held it"
    receiver.may_answer.set()

    wait_for(lambda: sentry.tell_raised(CONDITION))
    assert 1 == len(receiver.events())


@pytest.mark.parametrize("status", [500, 503, 403, 413])
def test_what_the_server_refused_is_queued_again_under_the_same_id(sentry, receiver, status):
    receiver.status = status
    for count in (1, 2, 3):
        wait_for(lambda: not sentry.tell_raised(CONDITION) and len(receiver.events()) >= count)  # noqa: B023
    receiver.status = 200

    wait_for(lambda: sentry.tell_raised(CONDITION))
    assert 1 == len(set(ids(receiver)))
    count = len(ids(receiver))
    sentry.flush()
    assert sentry.tell_raised(CONDITION)
    assert count == len(ids(receiver))


def test_a_server_that_is_away_or_limits_us_has_nothing(sentry, receiver):
    away = Sentry("http://key@127.0.0.1:9/1", environment="trial", secrets=())
    for _ in range(3):
        assert not away.tell_raised(CONDITION)
        away.flush()
    away.close()
    limited = Sentry(receiver.dsn, environment="trial", secrets=())
    receiver.status = 429
    for _ in range(3):
        assert not limited.tell_raised(CONDITION)
        limited.flush()
    assert 1 == len(receiver.events()), "the SDK keeps the limit, and says what it dropped"
    limited.close()


def test_a_condition_has_another_id_when_it_begins_again(sentry, receiver):
    again = msgspec.structs.replace(CONDITION, since_wall_ns=CONDITION.since_wall_ns + S)
    wait_for(lambda: sentry.tell_raised(CONDITION) and sentry.tell_raised(again))
    assert 2 == len(set(ids(receiver)))


def test_the_end_is_told_of_what_is_under_way_and_not_of_what_never_left(sentry, receiver):
    receiver.status = 500
    wait_for(lambda: not sentry.tell_raised(CONDITION) and receiver.events())
    sentry.flush()
    count = len(receiver.events())
    sentry.tell_recovered(CONDITION, CONDITION.last_seen_wall_ns)
    sentry.flush()
    assert count == len(receiver.events())
    receiver.status = 200
    receiver.may_answer.clear()
    sentry.tell_raised(CONDITION)
    sentry.tell_recovered(CONDITION, CONDITION.last_seen_wall_ns)
    receiver.may_answer.set()
    sentry.flush()
    states = [each["tags"]["state"] for each in receiver.events()]
    assert ["raised", "recovered"] == states[-2:]


@pytest.mark.parametrize(
    "dsn", ["nonsense", "http://host/1", "http://key-key-key@host", "ftp://a@b/1"]
)
def test_a_dsn_that_is_none_is_refused_and_not_repeated(dsn: str):
    with pytest.raises(Refused) as refused:
        Sentry(dsn, environment="trial", secrets=())

    assert dsn not in str(refused.value)


def test_an_unreachable_sentry_neither_fails_nor_holds_the_watchdog():
    sentry = Sentry("http://key@127.0.0.1:9/1", environment="trial", secrets=())

    sentry.tell_raised(CONDITION)
    sentry.check_in(60)
    sentry.close()


def test_a_sentry_that_limits_us_does_not_fail_us(told, receiver: LoopbackSentry):
    receiver.status = 429

    told(lambda sentry: [sentry.tell_raised(CONDITION) for _ in range(20)])

    assert 1 <= len(receiver.events()) <= 20


def test_only_who_has_somebody_to_tell_loads_sentry():
    code = "import sys, workers.watchdog; print('sentry_sdk' in sys.modules)"

    text = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert "False\n" == text.stdout
