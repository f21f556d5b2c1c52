"""Holds `orderbooks export` on a streamed archive: each change and each trade, in real readers."""

import csv
import gzip
import hashlib
import io
import json

import pytest

from tests.core.told import MARKET, TOKEN, event
from tests.edge.reading.test_stream import Truth, begun
from tests.tools.archives import HOUR_MS, Fleet, S
from tests.tools.test_export import export, interpreter, reading, side
from workers.edge.spool import locks

__all__ = ["interpreter"]
MS = 1_000_000
TRADES = [("BUY", "0.48", "5.5"), ("SELL", "0.475", "100"), ("BUY", "0.51", "0.25")]


def told(at_ms: int, kind: str, **members: str) -> bytes:
    """An event of the token that changes no book."""
    named = {"market": MARKET, "asset_id": TOKEN, **members, "timestamp": str(at_ms)}
    return event(named | {"event_type": kind}).raw


@pytest.fixture(scope="module")
def streamed(tmp_path_factory) -> tuple[Fleet, Truth]:
    """Four changes a second for ten seconds, three trades, a tick; two legs."""
    fleet = Fleet(tmp_path_factory.mktemp("s") / "var")
    streamer, truth, links = begun(fleet, legs=2)
    trades = iter(TRADES)
    for at_ms in range(HOUR_MS + 250, HOUR_MS + 10 * S, 250):
        truth.tell(streamer, links, at_ms)
        if at_ms % (3 * S) == 0:
            trade = dict(zip(("side", "price", "size"), next(trades), strict=True))
            for lag, link in enumerate(links):
                raw = told(at_ms + 90, "last_trade_price", **trade)
                streamer.hear(link, at_ms + 100 + lag, raw)
        if at_ms % S == 0:
            streamer.heard(at_ms + 110)
    tick = told(HOUR_MS + 10 * S, "tick_size_change", old_tick_size="0.01", new_tick_size="0.001")
    streamer.heard(HOUR_MS + 9_900)
    for lag, link in enumerate(links):
        streamer.hear(link, HOUR_MS + 10 * S + lag, tick)
    streamer.end(HOUR_MS + 20 * S)
    locks.release_all()
    assert 0 == fleet.orderbooks("normalize", "--jobs", "1")
    locks.release_all()
    return fleet, truth


def test_hftbacktest_sees_every_change_and_every_trade(streamed, tmp_path, capsys, interpreter):
    fleet, truth = streamed
    out = tmp_path / "up.npz"
    account = export(fleet, capsys, out, "hftbacktest", "--outcome", "Up")
    # What came behind the last look is not covered: the new tick makes the book doubtful.
    states = [each for each in truth.states if HOUR_MS < each[0] <= HOUR_MS + 9 * S]
    moments = [received * MS + 1 for received, _ in states]

    last = (HOUR_MS + 9_200) * MS
    found = reading(interpreter, "hftbacktest", out, "0.001", *moments, last)

    books = found["books"][:-1]
    for (received, raw), (at_ns, bids, asks) in zip(states, books, strict=True):
        book = json.loads(raw)
        assert received * MS + 1 == at_ns
        assert (side(book["bids"]), side(book["asks"])) == (bids, asks), received - HOUR_MS
    assert 3 == account["events"]["trades"]
    assert {"ticks or unreadable trades": 1} == account["left_out"]
    assert [(float(price), float(size)) for _, price, size in TRADES] == [
        (price, size) for _, _, price, size in found["trades"]
    ]
    for nth, (exch_ns, local_ns, _, _) in enumerate(found["trades"], 1):
        at_ms = HOUR_MS + nth * 3 * S
        assert ((at_ms + 90) * MS, (at_ms + 100) * MS) == (exch_ns, local_ns)


def test_csv_has_a_row_for_each_trade_as_it_was_told(streamed, tmp_path, capsys):
    fleet, _ = streamed
    export(fleet, capsys, tmp_path / "b.csv.gz", "csv", "--outcome", "Up")
    text = gzip.decompress((tmp_path / "b.csv.gz").read_bytes()).decode()

    rows = [row for row in csv.DictReader(io.StringIO(text)) if row["kind"] == "trade"]

    assert TRADES == [(row["side"], row["price"], row["size"]) for row in rows]
    assert [HOUR_MS + n * 3 * S + 90 for n in (1, 2, 3)] == [int(row["venue_ms"]) for row in rows]
    assert {"Up"} == {row["outcome"] for row in rows}
    assert all("--frames--" in row["path"] for row in rows)


def test_slices_hold_the_events_of_trades_and_ticks_in_the_venues_bytes(streamed, tmp_path, capsys):
    fleet, _ = streamed
    export(fleet, capsys, tmp_path / "slices", "tardis", "--outcome", "Up")
    lines = b"".join(
        gzip.decompress(path.read_bytes())
        for path in sorted((tmp_path / "slices").rglob("*.json.gz"))
    ).split(b"\n")

    found = [json.loads(line[29:]) for line in lines if b'"last_trade_price"' in line[29:]]
    trades = [each for each in found if each.get("event_type") == "last_trade_price"]
    assert TRADES == [(each["side"], each["price"], each["size"]) for each in trades]
    ticks = [line[29:] for line in lines if b"tick_size_change" in line]
    assert [
        told(HOUR_MS + 10 * S, "tick_size_change", old_tick_size="0.01", new_tick_size="0.001")
    ] == ticks


@pytest.mark.parametrize("form", ["hftbacktest", "csv"])
def test_tables_give_the_same_file(streamed, tmp_path, capsys, form):
    fleet, _ = streamed
    digests = set()
    for source in ("raw", "derived"):
        out = tmp_path / f"{source}.npz"
        export(fleet, capsys, out, form, "--outcome", "Up", "--source", source)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())

    assert 1 == len(digests)
