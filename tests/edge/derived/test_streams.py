"""The stream's tables: from segments the recorder wrote, exact, reproducible, each row once."""

import gzip
import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from tests.core.told import MARKET, OTHER, TOKEN, Book
from tests.derived_rows import rows_of
from tests.edge.derived.raw import batch, segments
from tests.edge.derived.streams import OWN, RUN, Tape, market_of, name_of, trade, two_legs
from tests.tools.archives import HOUR_MS
from workers.core.books.payloads import Hashed, hash_of
from workers.core.stream import rows as stream_rows
from workers.core.tables.manifests import TableManifest
from workers.core.tables.tables import TABLES, TABLES_OF_KIND
from workers.edge import durable
from workers.edge.derived import build, mending, shelf
from workers.edge.spool.directory import DataDir

HEAD = '{"recv_wall_ns":1,"recv_mono_ns":1,"connection":"c","leg":0,"seq":1,'
FINE = '{"asset_id":"111","price":"0.1234567","size":"1","side":"BUY"}'
TABLES_OF_FRAMES = TABLES_OF_KIND["frames"]


def built(data: DataDir, kind: str = "frames") -> dict[str, TableManifest]:
    made = build.build(batch(data), HOUR_MS, kind, segments(data, kind))
    return {each.table: each for each in made}


def rows(data: DataDir, table: str) -> list[dict[str, object]]:
    found = []
    for each in shelf.standing(data, table, HOUR_MS):
        found += rows_of(data.root / each.path, table)
    return found


def files(data: DataDir) -> dict[str, bytes]:
    return {
        each.name: (data.root / each.path).read_bytes()
        for table in TABLES
        for each in shelf.standing(data, table, HOUR_MS)
    }


def test_every_captured_price_change_is_verified(captures: Path, tmp_path: Path):
    lines = (captures / "stream/price-changes-2025-10-30.jsonl").read_text().splitlines()
    first, *changes = map(json.loads, lines)
    book = first["msg"]
    tape = Tape(tmp_path, market_of(book["market"], [book["asset_id"]]))
    tape.heard(1, json.dumps({**book, "event_type": "book"}).encode())
    for each in changes:
        told = {
            "market": book["market"],
            "price_changes": [each["change"]],
            "timestamp": each["timestamp"],
            "event_type": "price_change",
        }
        tape.heard(1, json.dumps(told).encode())
    data = tape.close()
    made = built(data)["changes"]

    assert {"hash_verified": 35, "beside": 0} == made.checks
    found = rows(data, "changes")
    assert [each["change"]["hash"] for each in changes] == [row["hash"] for row in found]
    assert [(1, each) for each in range(2, 37)] == [(row["line"], row["step"]) for row in found]


def test_every_captured_book_proves_itself_from_its_columns(captures: Path, tmp_path: Path):
    with gzip.open(captures / "stream/btc-5m-three-markets-2026-04-16.jsonl.gz") as lines:
        books = [json.loads(line)["raw"] for line in lines][:500]
    first = json.loads(books[0])
    tape = Tape(tmp_path, market_of(first["market"], [first["asset_id"]]))
    for each in books:
        tape.heard(1, each.encode())
    data = tape.close()
    built(data)
    found = rows(data, "snapshots")

    verdicts = Counter(row["hash_verdict"] for row in found)
    assert 500 == verdicts["verified"] + verdicts["explained"]
    assert verdicts["verified"] > 200
    assert ["dump", "book"] == [row["kind"] for row in found][:2]
    for row in found:
        assert row["hash"] == hash_of(msgspec.convert(row, Hashed, strict=False))


def test_what_one_leg_lost_is_on_the_line_and_the_loss_of_each_leg_is_counted(tmp_path: Path):
    data = two_legs(tmp_path)
    made = built(data)

    assert 60 == made["changes"].rows
    assert {"hash_verified", "hash_explained", "beside"} >= made["changes"].checks.keys()
    assert 0 == made["changes"].checks["beside"]
    legs = rows(data, "legs")
    lost = {}
    for row in legs:
        assert row["due"] == row["shown"] + row["missing"]
        lost[row["connection"]] = lost.get(row["connection"], 0) + row["missing"]
    assert {name_of(1): 3, name_of(2): 3} == lost
    assert 3 == made["trades"].rows
    told = {key: rows(data, "trades")[0][key] for key in ("price_micros", "size_micros")}
    assert {"price_micros": 480_000, "size_micros": 12_250_000} == told


def test_the_same_raw_gives_the_same_bytes_in_one_batch_or_several(tmp_path: Path):
    once, parted = two_legs(tmp_path / "a"), two_legs(tmp_path / "b")
    built(once)
    for segment in reversed(segments(parted, "frames")):
        build.build(batch(parted), HOUR_MS, "frames", [segment])
    for table in TABLES_OF_FRAMES:
        mending.compact(batch(parted), HOUR_MS, table)

    assert files(once) == files(parted)
    assert 4 == len(files(once))
    assert [] == mending.rebuild(batch(once), HOUR_MS, "frames", segments(once, "frames"))


def test_a_row_is_there_once_when_a_batch_died_before_its_last_table(tmp_path: Path):
    data = two_legs(tmp_path)
    built(data)
    whole = files(data)
    (last,) = shelf.standing(data, "changes", HOUR_MS)
    for suffix in (".parquet", ".manifest.json"):
        durable.remove((data.root / last.path).with_name(f"{last.name}{suffix}"))
    made = built(data)

    assert ["changes"] == list(made)
    assert whole == files(data)
    assert {} == built(data)


def test_without_a_seed_changes_are_unproven_until_a_book_comes(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for number in range(3):
        tape.heard(1, book.change("BUY", 30 + number, "7").raw)
    tape.rest(1, book.rest(), "not_synced")
    for number in range(3):
        tape.heard(1, book.change("BUY", 40 + number, "7").raw)
    data = tape.close()
    built(data)
    found = sorted(rows(data, "changes"), key=lambda row: row["row"])

    # The third one waited: the book of REST is of its own millisecond.
    assert [None, None, 1, 1, 1, 1] == [row["line"] for row in found]
    assert ["unproven"] * 3 == [row["hash_verdict"] for row in found[:3]]
    assert {"verified", "explained"} >= {row["hash_verdict"] for row in found[3:]}


def test_side_tables_that_were_committed_get_no_row_twice_in_a_larger_batch(tmp_path: Path):
    data = two_legs(tmp_path)
    build.build(batch(data), HOUR_MS, "frames", segments(data, "frames")[:1])
    (last,) = shelf.standing(data, "changes", HOUR_MS)
    for suffix in (".parquet", ".manifest.json"):
        durable.remove((data.root / last.path).with_name(f"{last.name}{suffix}"))
    built(data)

    assert {"legs": 4, "trades": 3, "changes": 60} == {
        table: len(rows(data, table)) for table in ("legs", "trades", "changes")
    }


def test_a_book_with_a_number_spelled_otherwise_keeps_its_hashed_bytes(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    book.bids[48] = "7.50"
    tape.heard(1, book.dump().raw)
    data = tape.close()
    built(data)
    (row,) = rows(data, "snapshots")

    assert ("verified", book.hash) == (row["hash_verdict"], hash_of(msgspec.convert(row, Hashed)))
    assert '"size":"7.50"' in row["texts"]


def test_a_seed_that_does_not_prove_itself_is_nothing_to_stand_on(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    tape.seed(1, book.rest().replace(b'"7.5"', b'"7.6"'))
    tape.heard(1, book.change("BUY", 30, "7").raw)
    data = tape.close()
    built(data)

    assert ["unproven"] == [row["hash_verdict"] for row in rows(data, "snapshots")]
    assert [None] == [row["line"] for row in rows(data, "changes")]


def test_a_change_that_several_showed_is_the_row_of_who_can_vouch_for_it(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for connection in (1, 2):
        tape.heard(connection, book.dump().raw)
    told = book.change("BUY", 30, "7").raw
    tape.heard(3, told)
    tape.heard(2, told)
    book.put("BUY", 31, "8")
    tape.heard(1, book.later().raw)
    data = tape.close()
    built(data)
    (row,) = rows(data, "changes")

    assert ("verified", name_of(2), 1) == (row["hash_verdict"], row["connection"], row["line"])


def test_a_change_that_was_lost_breaks_the_line_until_the_next_book(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    tape.heard(1, book.dump().raw)
    tape.heard(1, book.change("BUY", 30, "7").raw)
    book.change("BUY", 31, "8")
    tape.heard(1, book.change("BUY", 32, "9").raw)
    tape.heard(1, book.change("BUY", 33, "10").raw)
    tape.rest(1, book.rest(), "not_synced")
    tape.heard(1, book.change("BUY", 34, "11").raw)
    data = tape.close()
    built(data)
    found = [(row["hash_verdict"], row["line"]) for row in rows(data, "changes")]

    assert [("verified", 1), ("failed", None)] == [found[0], found[-1]]
    assert ["dump", "rest"] == [row["kind"] for row in rows(data, "snapshots")]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("no JSON at all", "not_json"),
        ('{"recv_wall_ns":1}', "not_a_row"),
        ('"type":"book","event":{"market":"0xother","asset_id":"111"}', "wrong_market"),
        ('"type":"book","event":{"market":"0xabc","asset_id":"9"}', "wrong_token"),
        ('"type":"book","event":{"market":"0xabc","asset_id":"111"}', "not_a_book"),
        (f'"type":"price_change","event":{{"market":"0xabc","price_changes":[{FINE}]}}', "inexact"),
        ('"type":"last_trade_price","event":{"market":"0xabc","asset_id":"111"}', "bad_number"),
    ],
)
def test_a_line_that_is_no_row_is_kept_with_its_reason_and_stops_nothing(
    tmp_path: Path, told: str, reason: str
):
    tape, book = Tape(tmp_path, OWN), Book()
    line = (HEAD + told + "}" if told.startswith('"') else told).encode()
    tape.heard(1, book.dump().raw)
    tape.put(line + b"\n")
    tape.heard(1, book.change("BUY", 30, "7").raw)
    data = tape.close()
    made = built(data)

    (bad,) = rows(data, "bad")
    assert (1, reason, line.decode()) == (bad["row"], bad["reason"], bad["text"])
    assert {reason: 1} == made["changes"].sources[0].bad
    assert ["verified"] == [row["hash_verdict"] for row in rows(data, "changes")]


def test_an_item_of_another_token_is_a_bad_row_and_the_others_are_rows(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    tape.heard(1, book.dump().raw)
    own = book.put("BUY", 30, "7")
    tape.heard(1, book.told(own, {**own, "asset_id": "9"}).raw)
    data = tape.close()
    built(data)

    assert ["wrong_token"] == [row["reason"] for row in rows(data, "bad")]
    assert [TOKEN] == [row["token_id"] for row in rows(data, "changes")]


def test_the_ledger_tells_which_connection_covers_a_token_when(tmp_path: Path):
    tape = Tape(tmp_path, OWN)
    connection, at = name_of(1), HOUR_MS * 1_000_000
    tape.wrote(
        stream_rows.Opened(connection=connection, leg=0, at_wall_ns=at, at_mono_ns=1, url="u")
    )
    tape.wrote(stream_rows.Subscription(connection=connection, at_wall_ns=at + 1,
                                        operation="subscribe", token_ids=[TOKEN, OTHER]))  # fmt: skip
    tape.wrote(stream_rows.Turned(connection=connection, leg=0, condition_id=MARKET, token_id=TOKEN,
                                  state="SYNCED", reason="book", since_wall_ns=at + 2,
                                  at_wall_ns=at + 2))  # fmt: skip
    tape.wrote(stream_rows.Heard(connection=connection, at_wall_ns=at + 3, frames=4, events=5,
                                 bytes=6, last_recv_wall_ns=at + 2))  # fmt: skip
    tape.wrote(stream_rows.Stalled(at_wall_ns=at + 4, for_ns=3))
    tape.wrote(stream_rows.Closed(connection=connection, leg=0, at_wall_ns=at + 5, cause="reset"))
    data = tape.close()
    made = build.build(batch(data), HOUR_MS - 3_600_000, "ledger", segments(data, "ledger"))

    assert ["turns", "requests"] == [each.table for each in made]
    found = rows_of(data.root / made[0].path, "turns")
    assert {"streamer-00"} == {row["worker"] for row in found}
    assert ["stalled", "opened", "subscription", "turn", "heard", "closed"] == [
        row["kind"] for row in found
    ]
    turn = found[3]
    assert (MARKET, TOKEN, "SYNCED", "book", at + 2) == (
        *(turn["condition_id"], turn["token_id"], turn["state"], turn["reason"]),
        turn["since_wall_ns"],
    )
    assert [TOKEN, OTHER] == found[2]["token_ids"]
    assert (4, 5, 6, at + 2) == tuple(
        found[4][key] for key in ("frames", "events", "bytes", "heard_wall_ns")
    )
    assert ("reset", None) == (found[5]["reason"], found[5]["heard_wall_ns"])
    assert RUN in found[1]["connection"]


def test_a_ledger_without_a_stream_has_no_file_of_turns(tmp_path: Path):
    tape = Tape(tmp_path, OWN)
    data = tape.close()
    made = build.build(batch(data), HOUR_MS - 3_600_000, "ledger", segments(data, "ledger"))

    assert ["requests"] == [each.table for each in made]
    assert [] == mending.rebuild(
        batch(data), HOUR_MS - 3_600_000, "ledger", segments(data, "ledger")
    )


def test_a_change_that_several_showed_is_the_row_of_who_showed_it_first(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for connection in (1, 2):
        tape.heard(connection, book.dump().raw)
    for price in (30, 31):
        told = book.change("BUY", price, "7").raw
        tape.heard(2, told)
        tape.heard(1, told)
    data = tape.close()
    built(data)

    assert [(name_of(2), 1), (name_of(2), 1)] == [
        (row["connection"], row["line"]) for row in rows(data, "changes")
    ]


def test_a_change_that_one_leg_shows_when_the_line_has_passed_it_stands_beside(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for connection in (1, 2):
        tape.heard(connection, book.dump().raw)
    # The next change is of the same level: no hash tells connection 1 that it lost this one.
    late, next_one = (book.change("BUY", 30, size).raw for size in ("7", "8"))
    tape.heard(1, next_one)
    tape.heard(2, late)
    tape.heard(2, next_one)
    tape.heard(1, last := book.change("BUY", 31, "9").raw)
    tape.heard(2, last)
    data = tape.close()
    built(data)

    found = sorted(rows(data, "changes"), key=lambda row: row["step"])
    assert [(8_000_000, 1), (9_000_000, 1)] == [
        (row["size_micros"], row["line"]) for row in found if row["line"] is not None
    ]
    assert [(7_000_000, "verified", name_of(2))] == [
        (row["size_micros"], row["hash_verdict"], row["connection"])
        for row in found
        if row["line"] is None
    ]
    assert {name_of(1): 1, name_of(2): 0} == {
        row["connection"]: row["missing"] for row in rows(data, "legs")
    }


def test_new_ticks_are_rows_once_however_many_connections_told_them(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for connection in (1, 2):
        tape.heard(connection, book.dump().raw)
    told = {"market": MARKET, "asset_id": TOKEN, "old_tick_size": "0.01", "new_tick_size": "0.001"}
    for connection in (1, 2):
        tape.heard(connection, as_told(told, book.ms, "tick_size_change"))
    tape.heard(1, as_told({**told, "new_tick_size": "x"}, book.ms, "tick_size_change"))
    tape.heard(1, as_told({**told, "asset_id": "9"}, book.ms, "tick_size_change"))
    data = tape.close()
    built(data)

    assert [(TOKEN, 10_000, 1_000, 2)] == [
        (row["token_id"], row["old_tick_micros"], row["new_tick_micros"], row["row"])
        for row in rows(data, "ticks")
    ]
    assert ["bad_number", "wrong_token"] == [row["reason"] for row in rows(data, "bad")]


def as_told(told: dict[str, str], ms: int, kind: str) -> bytes:
    return json.dumps({**told, "timestamp": str(ms), "event_type": kind}).encode()


def test_trades_of_a_leg_that_is_behind_are_not_lost_at_the_cut_of_a_segment(tmp_path: Path):
    tape, book = Tape(tmp_path, OWN), Book()
    for connection in (1, 2):
        tape.heard(connection, book.dump().raw)
    behind, told = book.rest(), book.change("BUY", 30, "7").raw
    first, only = trade(book), trade(book).replace(b"0xfeed", b"0xbeef")
    tape.heard(1, told)
    tape.heard(1, first)
    seed = book.rest()
    tape.cut()
    tape.seed(1, seed)
    tape.seed(2, behind)
    tape.heard(2, told)
    tape.heard(2, first)
    tape.heard(2, only)
    data = tape.close()
    built(data)

    found = Counter(row["transaction_hash"] for row in rows(data, "trades"))
    assert {"0xfeed", "0xbeef"} == found.keys()
    assert 1 == len(rows(data, "changes"))
