"""Holds the order of a replay: silences between the phases, and steps for clients."""

from tests.tools.archives import HOUR_MS, S
from workers.core.books.book import read_book
from workers.core.books.bookhash import Verdict
from workers.core.coverage.canvas import Gap
from workers.core.coverage.plans import Known, Plan
from workers.core.polling.cadence import Phase
from workers.core.reading.evidence import Answer, State
from workers.core.reading.playback import Present, Step, step_of
from workers.core.reading.replay import Kind, Scene, line_of, merged, scene_of, with_silences

MS = 1_000_000
RAW = (
    b'{"market":"0xa","asset_id":"101","timestamp":"1","hash":"%b","bids":[],"asks":[],'
    b'"min_order_size":"5","tick_size":"0.01","neg_risk":false,"last_trade_price":""}'
) % (b"0" * 40)


def answer(at_ms: int, token_id: str = "101", **fields: object) -> Answer:
    given: dict[str, object] = {
        "slug": "m",
        "condition_id": "0xa",
        "token_id": token_id,
        "outcome": "Up",
        "at_ns": at_ms * MS,
        "state": State.SYNCED,
        **fields,
    }
    return Answer(**given)  # type: ignore[arg-type]


def seen(at_ms: int, token_id: str = "101", **fields: object) -> Scene:
    return scene_of(
        answer(
            at_ms,
            token_id,
            book=read_book(RAW),
            recv_wall_ns=at_ms * MS,
            due_ms=at_ms - 52,
            interval_ms=S,
            hash_verdict=Verdict.FAILED,
            **fields,
        )
    )


def missed(at_ms: int) -> Scene:
    gap = Gap("m", at_ms, at_ms, S, {"DOWN(crashed)": 1})
    return scene_of(answer(at_ms, state=State.GAP, cause="DOWN(crashed)", gap=gap))


def known(*spans: tuple[int, int]) -> dict[str, Known]:
    phases = tuple(Phase("hot", HOUR_MS + first * S, HOUR_MS + end * S, S) for first, end in spans)
    plan = Plan(1, HOUR_MS - 10 * S, phases)
    return {"0xa": Known("m", "0xa", "x", ("101", "102"), [plan])}


def played(scenes: list[Scene], plans: dict[str, Known]) -> list[tuple[str, int]]:
    until_ns = (HOUR_MS + 100 * S) * MS
    found = with_silences(scenes, plans, until_ns)
    return [(each.kind.value, each.at_ns // MS - HOUR_MS) for each in found]


def test_between_two_phases_a_silence_stands_two_intervals_after_the_last_book():
    scenes = [seen(HOUR_MS + at) for at in (8_052, 9_052, 30_052)]

    assert [("book", 8_052), ("book", 9_052), ("silence", 11_052), ("book", 30_052)] == played(
        scenes, known((0, 10), (30, 60))
    )


def test_while_ticks_are_due_a_late_book_is_no_silence():
    scenes = [seen(HOUR_MS + at) for at in (8_052, 20_052)]

    assert [("book", 8_052), ("book", 20_052)] == played(scenes, known((0, 60)))


def test_a_gap_takes_the_place_of_the_silence():
    scenes = [seen(HOUR_MS + 8_052), missed(HOUR_MS + 9_000)]

    assert [("book", 8_052), ("gap", 9_000)] == played(scenes, known((0, 10)))


def test_of_a_market_without_a_plan_nothing_is_said():
    assert [("book", 8_052)] == played([seen(HOUR_MS + 8_052)], {})


def test_streams_are_merged_by_time():
    one = [seen(HOUR_MS + at) for at in (1, 4)]
    two = [seen(HOUR_MS + at, "102") for at in (2, 3)]

    assert ["101", "102", "102", "101"] == [each.answer.token_id for each in merged([one, two])]


def test_a_step_serves_a_suspect_book_and_never_a_labelled_one():
    suspect = seen(1, state=State.SUSPECT, cause="hash failed")
    labelled = seen(1, state=State.LABELLED, cause="invalid: x")

    assert Step(MS, "101", book=RAW) == step_of(suspect)
    assert Step(MS, "101", gap="invalid: x") == step_of(labelled)
    assert Step(MS, "101", gap="DOWN(crashed)") == step_of(missed(1))
    assert Step(MS, "101") == step_of(Scene(Kind.SILENCE, answer(1, state=State.GAP)))


def test_the_present_tells_a_change_once_and_forgets_at_a_gap():
    present = Present({})
    event = RAW[:-1] + b',"event_type":"book"}'

    assert [event, b"", b"", event] == [
        present.take(each)
        for each in (
            Step(1, "101", book=RAW),
            Step(2, "101", book=RAW),
            Step(3, "101", gap="x"),
            Step(4, "101", book=RAW),
        )
    ]


def test_a_book_with_a_line_feed_is_one_line_all_the_same():
    scene = Scene(Kind.BOOK, answer(1), RAW.replace(b",", b",\n", 1))

    assert 1 == line_of(scene).count(b"\n")
    assert b'"book_text":"{' in line_of(scene)
