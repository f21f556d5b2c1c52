"""Figures by polars are those of core.report.stats, whatever the rows, and however the hours cut them."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workers.core.coverage.plans import DueTicks, Plan
from workers.core.errors import Refused
from workers.core.polling.cadence import Phase
from workers.core.report import stats
from workers.core.report.stats import Levels, Seen
from workers.core.report.token_stats import TokenStats, Wanted, with_sums
from workers.core.tables.columns import BOOKS
from workers.edge import frames, parquet

MS, S = 1_000_000, 1000
HOUR_MS = 1_776_326_400_000
TOKENS = {"0xa": ("11", "12"), "0xb": ("21",)}
PLAN = Plan(
    1,
    HOUR_MS,
    (
        Phase("warm", HOUR_MS, HOUR_MS + 60 * S, 10 * S),
        Phase("hot", HOUR_MS + 60 * S, HOUR_MS + 90 * S, S),
    ),
)
TICKS = DueTicks([PLAN], HOUR_MS, HOUR_MS + 90 * S)
EVERYTHING = Wanted(HOUR_MS, HOUR_MS + 90 * S)
#: A few books, so that two in a row are often equal; one whose notional exceeds 64 bits.
SIDES: tuple[Levels, ...] = (
    (),
    ((500_000, 7_000_000),),
    ((400_000, 1), (480_000, 123_456_789)),
    ((10_000, 9 * 10**18), (20_000, 9 * 10**18)),
    ((999_999, 0),),
)


def row(condition: str, token: str, seen: Seen, number: int, **given_: object) -> list[object]:
    bid, ask = (side[-1] if side else (None, None) for side in (seen.bids, seen.asks))
    two_sided = bid[0] is not None and ask[0] is not None
    values: dict[str, object] = {
        **dict.fromkeys((each.name for each in BOOKS.columns if each.kind == "text"), "x"),
        **dict.fromkeys((each.name for each in BOOKS.columns if each.kind == "int64"), 1),
        "condition_id": condition,
        "token_id": token,
        "due_ms": seen.due_ms,
        "recv_wall_ns": seen.recv_wall_ns,
        "recv_mono_ns": seen.recv_mono_ns,
        "tick_micros": seen.tick_micros,
        "best_bid_micros": bid[0],
        "best_bid_size_micros": bid[1],
        "best_ask_micros": ask[0],
        "best_ask_size_micros": ask[1],
        "mid_half_micros": bid[0] + ask[0] if two_sided else None,
        "spread_micros": ask[0] - bid[0] if two_sided else None,
        "neg_risk": False,
        "last_trade_price_micros": None,
        "hash_verdict": "verified",
        "flags": [],
        "row": number,
        **given_,
    }
    for side, levels in (("bid", seen.bids), ("ask", seen.asks)):
        values[f"{side}_price_micros"] = [price for price, _ in levels]
        values[f"{side}_size_micros"] = [size for _, size in levels]
    return [values[each.name] for each in BOOKS.columns]


def written(path: Path, rows: list[list[object]]) -> Path:
    sink = parquet.Sink(path, BOOKS, 5)
    for group in parquet.in_order(BOOKS, [parquet.from_rows(BOOKS, rows)]):
        sink.add(group)
    sink.close([])
    return path


@st.composite
def states(draw) -> list[Seen]:
    asked = [*range(0, 60, 10), *range(60, 90), 5, 65]
    seen = []
    for due_s in sorted(draw(st.sets(st.sampled_from(asked), max_size=25))):
        lates = [(50, 0), (50, 0), (900, 0), (3_100, 0), (40, 700), (45, -700)]
        late_ms, step_ms = draw(st.sampled_from(lates))
        due_ms = HOUR_MS + due_s * S
        seen.append(
            Seen(
                due_ms=due_ms,
                recv_wall_ns=(due_ms + late_ms + step_ms) * MS + 7,
                recv_mono_ns=(due_ms - HOUR_MS + late_ms) * MS,
                tick_micros=draw(st.sampled_from([None, 10_000])),
                bids=draw(st.sampled_from(SIDES)),
                asks=draw(st.sampled_from(SIDES)),
            )
        )
    return sorted(seen, key=lambda each: each.recv_wall_ns)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_mining_gives_the_sums_of_the_definition(tmp_path: Path, data: st.DataObject):
    cut_ms = HOUR_MS + data.draw(st.integers(0, 90)) * S
    rows: dict[tuple[str, str], list[Seen]] = {
        (condition, token): data.draw(states())
        for condition, tokens in TOKENS.items()
        for token in tokens
    }
    before, behind = [], []
    for (condition, token), listed in rows.items():
        for number, seen in enumerate(listed):
            part = before if seen.recv_wall_ns < cut_ms * MS else behind
            part.append(row(condition, token, seen, number))
    hours = [
        [written(tmp_path / f"{at}.parquet", part)]
        for at, part in enumerate([before, behind])
        if part
    ]

    found = frames.mined(hours, EVERYTHING, {"0xa": TICKS})

    assert found.keys() == {key for key, listed in rows.items() if listed}
    for key, token in found.items():
        due = TICKS if key[0] == "0xa" else DueTicks([], 0, 0)
        sums, spreads = stats.summed(due, rows[key])
        # A clock step may put two rows of one tick into two hours; in an archive an hour is of
        # ticks, and they stay together.
        token.sums["captured"] = sums["captured"]
        del token.sums["suspect"]
        assert token.sums == sums
        assert +token.spreads == +spreads


def plain(due_s: int) -> Seen:
    due_ms = HOUR_MS + due_s * S
    return Seen(
        due_ms=due_ms,
        recv_wall_ns=due_ms * MS,
        recv_mono_ns=due_ms * MS,
        tick_micros=10_000,
        bids=SIDES[2],
        asks=SIDES[1],
    )


def test_rows_outside_the_stretch_and_of_invalid_segments_are_left_out(tmp_path: Path):
    rows = [
        row("0xa", "11", plain(at), at, segment="bad" if at == 62 else "x")
        for at in (60, 61, 62, 63)
    ]
    path = written(tmp_path / "a.parquet", rows)
    wanted = Wanted(HOUR_MS, HOUR_MS + 63 * S, ("bad",))

    found = frames.mined([[path]], wanted, {"0xa": TICKS})["0xa", "11"]

    assert {"rows": 2, "captured": 2, "held_ns": S * MS}.items() <= found.sums.items()


def test_a_flag_or_a_failed_hash_makes_a_row_suspect(tmp_path: Path):
    doubts = [{}, {"flags": ["crossed"]}, {"hash_verdict": "failed"}]
    rows = [row("0xa", "11", plain(60 + at), at, **each) for at, each in enumerate(doubts)]

    found = frames.mined([[written(tmp_path / "a.parquet", rows)]], EVERYTHING, {})["0xa", "11"]

    assert 2 == found.sums["suspect"]


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no")

    with pytest.raises(Refused, match="read"):
        frames.mined([[path]], EVERYTHING, {})


def made(**fields: object) -> TokenStats:
    base = TokenStats(slug="a", series="s", condition_id="0x", token_id="1", outcome="Up", due=3)
    sums = stats.Sums(held_ns=5, two_sided_ns=5, bid_notional_x_ns=10**37, imbalance_x_ns=-4)
    return with_sums(base, sums, Counter({(10_000, None): 3, (-5, 10_000): 2}))


def test_a_cache_gives_back_what_was_put_in_whatever_its_size(tmp_path: Path):
    path = tmp_path / "a.parquet"
    told = {"orderbooks.sources": "[]"}
    large = msgspec.structs.replace(made(), best_bid_size_x_ns=24_508_500_953_163_770_000)
    rows = [msgspec.structs.replace(made(), bid_notional_x_ns=0), made(), large]
    path.write_bytes(frames.packed(rows, told))
    found = frames.unpacked(path)

    assert found is not None
    assert rows == found[0]
    assert told.items() <= found[1].items()
    assert frames.packed(rows, told) == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100])
def test_what_is_no_cache_is_none(tmp_path: Path, content: bytes):
    path = tmp_path / "a.parquet"
    path.write_bytes(content)

    assert frames.unpacked(path) is None
    assert frames.unpacked(tmp_path / "missing") is None
