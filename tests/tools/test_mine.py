"""Holds `orderbooks mine`: real segments, normalised by the normaliser, against the definition."""

import json
import shutil
from collections import Counter
from fractions import Fraction

import polars as pl
import pytest

from tests.tools import days, played
from tests.tools.archives import HOUR_MS, Fleet, S, market
from tests.tools.days import DAY, MS
from workers.core.coverage.plans import DueTicks, Plan
from workers.core.report import stats
from workers.core.report.stats import Levels, Seen
from workers.edge.spool import locks

KEPT = "derived/token_stats/venue=polymarket"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Fleet:
    """The troubled day, normalised; for tests that change nothing."""
    fleet = days.troubled(tmp_path_factory.mktemp("day") / "var")
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet


@pytest.fixture
def own(made, tmp_path) -> Fleet:
    """A copy of it, to be changed; nothing is kept yet."""
    shutil.copytree(made.data.root, tmp_path / "var", ignore=shutil.ignore_patterns("token_stats"))
    return Fleet(tmp_path / "var")


def mine(fleet: Fleet, capsys, *words: str) -> tuple[int, dict]:
    """The exit code and the report for programs."""
    capsys.readouterr()
    code = fleet.orderbooks("mine", *words, "--json")
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def of_token(report: dict, slug: str, outcome: str) -> dict:
    (found,) = (
        each for each in report["tokens"] if (each["slug"], each["outcome"]) == (slug, outcome)
    )
    return found


def levels(side: list[dict[str, str]]) -> Levels:
    return tuple(
        (int(Fraction(each["price"]) * 10**6), int(Fraction(each["size"]) * 10**6)) for each in side
    )


def seen(token_id: str, at_s: int) -> Seen:
    """What the archive holds of one tick, by the code that made it."""
    due_ms = HOUR_MS + at_s * S
    sent = json.loads(days.book("0x", token_id, due_ms))
    took_ms = 900 if due_ms // S % 97 == 0 else 40 + due_ms // S * 7 % 51
    received_ms = due_ms + 2 + took_ms
    return Seen(
        due_ms=due_ms,
        recv_wall_ns=received_ms * MS,
        recv_mono_ns=(received_ms - days.BOOT_MS) * MS,
        tick_micros=10_000,
        bids=levels(sent["bids"]),
        asks=levels(sent["asks"]),
    )


def decimal(value: Fraction | None) -> str | None:
    return stats.rounded(value, 6)


@pytest.mark.parametrize(("outcome", "token_id"), [("Up", "101"), ("Down", "102")])
def test_the_figures_are_those_of_the_definition(made, capsys, outcome: str, token_id: str):
    captured = [*range(100), *range(105, 260), *range(261, 300), *range(331, 600)]
    ticks = DueTicks([Plan(1, 0, market(1, seconds=600).phases)], 0, HOUR_MS + 86_400 * S)
    sums, spreads = stats.summed(ticks, [seen(token_id, at) for at in captured])

    code, report = mine(made, capsys, DAY)
    found = of_token(report, "btc-updown-5m-1", outcome)

    assert 0 == code
    assert (600, 563, 563) == (found["due"], found["captured"], found["states"])
    assert sums["changes"] == found["changes"]
    assert Fraction(sums["held_ns"], 10**9) == Fraction(found["observed_s"])
    assert Fraction(sums["two_sided_ns"], 10**9) == Fraction(found["two_sided_s"])
    assert found["best_bid_shares"] == decimal(
        stats.mean(sums["best_bid_size_x_ns"], sums["held_ns"], 10**6)
    )
    assert found["all_ask_usdc"] == decimal(
        stats.mean(sums["ask_notional_x_ns"], sums["held_ns"], 10**12)
    )
    assert found["spread_usdc"] == decimal(
        stats.mean(sums["spread_x_ns"], sums["two_sided_ns"], 10**6)
    )
    assert found["imbalance"] == decimal(
        stats.mean(sums["imbalance_x_ns"], sums["two_sided_ns"], 10**6)
    )
    expected = {str(spread // 10_000): Fraction(ns, 10**9) for (spread, _), ns in spreads.items()}
    assert {name: Fraction(s) for name, s in found["seconds_at_ticks"].items()} == expected


def test_no_second_is_counted_that_a_gap_lies_in(made, capsys):
    """The worker was away for half a minute, five answers were 503, one never came."""
    found = of_token(mine(made, capsys, DAY)[1], "btc-updown-5m-1", "Up")

    pieces = [(0, 99), (105, 259), (261, 299), (331, 599)]
    expected = sum(
        seen("101", last).recv_mono_ns - seen("101", first).recv_mono_ns for first, last in pieces
    )
    assert Fraction(expected, 10**9) == Fraction(found["observed_s"])


def test_what_was_captured_is_what_coverage_says(made, capsys):
    report = mine(made, capsys, DAY)[1]
    capsys.readouterr()
    made.orderbooks("coverage", "--json", "--from", DAY, "--to", "2026-04-17")
    judged = {each["slug"]: each for each in json.loads(capsys.readouterr().out)["markets"]}

    for each in report["tokens"]:
        expected = judged[each["slug"]]
        assert (each["due"], each["captured"]) == (expected["due"], expected["totals"]["CAPTURED"])


def test_both_outcomes_of_a_mirrored_market_are_as_tight_and_lean_the_other_way(made, capsys):
    report = mine(made, capsys, DAY)[1]
    up, down = (of_token(report, "btc-updown-5m-2", name) for name in ("Up", "Down"))

    assert up["spread_usdc"] == down["spread_usdc"]
    assert Fraction(up["imbalance"]) == -Fraction(down["imbalance"])
    assert up["best_bid_shares"] == down["best_ask_shares"]


def test_a_person_sees_rankings_and_every_outcome(made, capsys):
    assert 0 == made.orderbooks("mine", DAY, "--top", "2")
    out = capsys.readouterr().out

    assert "from 2026-04-16 to 2026-04-17" in out
    heads = ("depth:", "tightness:", "activity:", "every outcome")
    assert [True] * 4 == [head in out for head in heads]
    assert 2 + 2 + 2 + 6 == out.count("btc-updown-5m-")
    assert "93.83%" in out


def test_a_stretch_inside_a_day_has_its_own_figures(made, capsys):
    words = ("--from", "2026-04-16T08:00:10Z", "--to", "2026-04-16T08:00:20Z")
    found = of_token(mine(made, capsys, *words)[1], "btc-updown-5m-1", "Up")

    assert (10, 10, 10) == (found["due"], found["captured"], found["states"])


def test_a_market_that_was_due_and_never_seen_stands_there_with_nothing(own, capsys):
    words = ("--from", "2026-04-16T08:05:05Z", "--to", "2026-04-16T08:05:20Z")
    report = mine(own, capsys, *words)[1]
    found = of_token(report, "btc-updown-5m-1", "Up")

    assert (15, 0, "0.000000") == (found["due"], found["captured"], found["coverage"])
    assert (None, None, {}) == (found["best_usdc"], found["spread_usdc"], found["seconds_at_ticks"])


def test_figures_are_kept_and_used_again_until_a_source_changes(own, capsys):
    first = mine(own, capsys, DAY)[1]
    path = own.data.root / first["kept"]
    before = path.stat().st_mtime_ns

    assert first == mine(own, capsys, DAY)[1]
    assert before == path.stat().st_mtime_ns
    label = ("--kind", "invalid", "--reason", "planted", "--by", "test")
    segment = own.segments("books")[0].name.removesuffix(".jsonl.gz")
    assert 0 == own.orderbooks("label", segment, *label)
    after = mine(own, capsys, DAY)[1]
    assert before != path.stat().st_mtime_ns
    assert sum(each["captured"] for each in after["tokens"]) < sum(
        each["captured"] for each in first["tokens"]
    )


def test_the_kept_file_names_its_sources_and_their_sha256(made, capsys):
    path = made.data.root / mine(made, capsys, DAY)[1]["kept"]
    told = pl.read_parquet_metadata(path)
    manifests = [
        json.loads(each.read_text())
        for each in made.data.root.glob("derived/books/venue=*/date=*/hour=*/*.manifest.json")
    ]

    assert Counter((each["name"], each["sha256"]) for each in manifests) == Counter(
        (each["name"], each["sha256"]) for each in json.loads(told["orderbooks.sources"])
    )
    assert "orderbooks.token_stats/1" == told["orderbooks.schema"]
    assert "micros × ns" == json.loads(told["orderbooks.columns"])["spread_x_ns"][0]


def test_the_same_day_gives_the_same_bytes(own, capsys):
    path = own.data.root / mine(own, capsys, DAY)[1]["kept"]
    first = path.read_bytes()
    path.unlink()
    mine(own, capsys, DAY)

    assert first == path.read_bytes()


@pytest.mark.parametrize("spoiled", [b"", b"PAR1", b"x" * 1000])
def test_a_spoiled_cache_is_made_anew(own, capsys, spoiled: bytes):
    first = mine(own, capsys, DAY)[1]
    (own.data.root / first["kept"]).write_bytes(spoiled)

    assert first == mine(own, capsys, DAY)[1]


def test_without_derived_tables_it_says_which_command_makes_them(whole, capsys):
    assert 2 == whole.orderbooks("mine", DAY)
    assert "`orderbooks normalize`" in capsys.readouterr().err


def test_a_day_without_books_is_said_to_be_one(made, capsys):
    assert 2 == made.orderbooks("mine", "2026-04-14")
    assert "holds no books of it" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("2026-04-31",), ("today",), (), ("--from", "2026-04-16", "--to", "2026-04-15")]
)
def test_a_time_that_is_none_is_refused(made, capsys, words: tuple[str, ...]):
    assert 2 == made.orderbooks("mine", *words)
    assert capsys.readouterr().err


def test_segments_that_are_not_derived_are_named(own, capsys):
    gone = next(iter(own.data.root.glob("derived/books/venue=*/date=*/hour=09/*.manifest.json")))
    gone.unlink()

    code, report = mine(own, capsys, DAY)

    assert (1, 1) == (code, len(report["not_derived"]))
    assert "btc-updown-5m-3" in report["not_derived"][0]
    assert 1 == own.orderbooks("mine", DAY)
    assert "`orderbooks normalize`" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
def test_a_damaged_table_is_never_mined(own, capsys, damage: str):
    path = next(iter(own.data.root.glob("derived/books/venue=*/date=*/hour=08/*.parquet")))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(content if damage == "flipped" else path.name.encode())

    assert 2 == own.orderbooks("mine", DAY)
    err = capsys.readouterr().err
    assert path.name in err
    assert "orderbooks rebuild" in err


def test_what_is_still_being_written_is_left_out(fleet, capsys):
    fleet.publish_universe(HOUR_MS - 10 * S, market(1, seconds=120))
    worker = fleet.collector(HOUR_MS - 5 * S)
    days.polls(worker, 0, 60)
    worker.publish(HOUR_MS + 60 * S)
    days.polls(worker, 60, 90)
    worker.flush(HOUR_MS + 90 * S)
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")

    code, report = mine(fleet, capsys, DAY)

    assert (0, "2026-04-16T08:01:00.000Z") == (code, report["until"])
    assert "1.000000" == of_token(report, "btc-updown-5m-1", "Up")["coverage"]


def test_figures_that_cannot_be_kept_are_told_all_the_same(own, capsys):
    folder = own.data.root / KEPT
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")

    code, report = mine(own, capsys, DAY)

    assert (0, "") == (code, report["kept"])
    assert 6 == len(report["tokens"])
    assert any("not kept" in each for each in report["notes"])


def test_of_real_books_both_outcomes_mirror_each_other(captures, tmp_path, capsys):
    fleet = played.real(captures, tmp_path / "var", 90)
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")

    code, report = mine(fleet, capsys, DAY)
    up, down = report["tokens"]
    capsys.readouterr()
    assert 0 == fleet.orderbooks("mine", DAY)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert 0 == fleet.orderbooks("quality", DAY, "--json")
    quality = json.loads(capsys.readouterr().out)

    assert (0, ["Up", "Down"]) == (code, [up["outcome"], down["outcome"]])
    for each in (up, down):
        assert (90, 90, 90, 0) == tuple(
            each[name] for name in ("due", "captured", "states", "suspect")
        )
        assert "89.000000000" == each["observed_s"] == each["two_sided_s"]
    assert 45 < up["changes"] == down["changes"]
    assert up["seconds_at_ticks"] == down["seconds_at_ticks"]
    assert up["spread_usdc"] == down["spread_usdc"] > "0.010000"
    assert up["imbalance"] == f"-{down['imbalance']}".replace("--", "")
    for side, other in (("bid", "ask"), ("ask", "bid")):
        assert up[f"best_{side}_shares"] == down[f"best_{other}_shares"]
        assert up[f"all_{side}_shares"] == down[f"all_{other}_shares"]
    ranked = [line[:2] for line in lines if line[:1] == [up["slug"]]]
    assert 3 * 2 + 2 == len(ranked)
    assert {"CAPTURED": 90} == quality["coverage"]["totals"]
    assert {"verified": 180} == quality["books"]["verdicts"]
