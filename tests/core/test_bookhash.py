"""Holds core.books.bookhash: the venue's hash, on real captures and on every changed byte."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.books import bookhash
from workers.core.books.bookhash import Verdict, verdict

_raws = msgspec.json.Decoder(list[msgspec.Raw])


def _compact(raw: bytes) -> bytes:
    return msgspec.json.format(raw, indent=-1)


@pytest.fixture(scope="module")
def batch(captures) -> list[bytes]:
    data = (captures / "rest/post-books-2026-05-17.json").read_bytes()
    return [bytes(each) for each in _raws.decode(data)]


@pytest.fixture(scope="module")
def polls(captures) -> list[bytes]:
    lines = (captures / "rest/post-books-six-polls-2026-03-11.jsonl").read_bytes().splitlines()
    return [bytes(raw) for line in lines for raw in _books_in(msgspec.json.decode(line))]


def _books_in(value: object) -> list[bytes]:
    if isinstance(value, dict) and "asset_id" in value and "bids" in value:
        return [msgspec.json.encode(value)]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [raw for each in inner for raw in _books_in(each)]


def _blank(data: bytes) -> bytes:
    """A book whose hash was found with another JSON writer than ours."""
    book = json.loads(data) | {"hash": ""}
    text = json.dumps(book, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def test_a_captured_batch_verifies(batch):
    assert [Verdict.VERIFIED] * 10 == [verdict(raw) for raw in batch]


def test_a_captured_single_book_verifies(captures):
    raw = (captures / "rest/get-book-2026-06-23.json").read_bytes().strip()

    assert Verdict.VERIFIED == verdict(raw)


def test_six_captured_polls_verify(polls):
    assert [Verdict.VERIFIED] * 60 == [verdict(raw) for raw in polls]


def test_fast_and_slow_path_agree_on_captured_books(batch, polls):
    raws = [_compact(raw) for raw in batch] + polls

    assert [verdict(raw) for raw in raws] == [bookhash._slow_verdict(raw) for raw in raws]


def test_the_fast_path_is_taken_for_the_bytes_the_venue_sends(captures, monkeypatch):
    raw = (captures / "rest/get-book-2026-06-23.json").read_bytes().strip()
    monkeypatch.setattr(bookhash, "_slow_verdict", lambda _: "slow")

    assert Verdict.VERIFIED == verdict(raw)


def test_the_order_and_spacing_of_keys_do_not_matter(batch):
    book = json.loads(batch[0])
    turned = json.dumps(dict(reversed(book.items())), indent=3).encode()

    assert Verdict.VERIFIED == verdict(turned)


def test_new_keys_of_the_venue_do_not_matter(batch):
    book = json.loads(batch[0]) | {"new": {"deep": [1, 2]}}

    assert Verdict.VERIFIED == verdict(json.dumps(book).encode())


def test_any_changed_digit_fails(batch):
    raw = _compact(batch[0])
    places = [at for at, byte in enumerate(raw) if chr(byte).isdigit()]
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in places[::37]]

    assert {Verdict.FAILED} == {verdict(each) for each in changed}


def test_swapped_levels_fail(batch):
    book = json.loads(batch[0])
    book["bids"][0], book["bids"][1] = book["bids"][1], book["bids"][0]

    assert Verdict.FAILED == verdict(json.dumps(book).encode())


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b'{"hash":"x"}', b"{" * 5000),
        b'{"a":' * 3000 + b"1" + b"}" * 3000,
    ],
)
def test_what_carries_no_whole_book_has_no_verdict(raw):
    assert Verdict.ABSENT == verdict(raw)


def test_a_made_book_verifies_by_either_path():
    book = {
        "market": "0xé",
        "asset_id": "1",
        "timestamp": "1778997825875",
        "hash": "",
        "bids": [{"price": "0.1", "size": "1"}],
        "asks": [],
        "min_order_size": "5",
        "tick_size": "0.01",
        "neg_risk": False,
        "last_trade_price": "",
    }
    text = _blank(json.dumps(book).encode())
    digest = bookhash.hashlib.sha1(text).hexdigest()
    raw = text.replace(b'"hash":""', f'"hash":"{digest}"'.encode())

    assert (Verdict.VERIFIED, Verdict.VERIFIED) == (verdict(raw), bookhash._slow_verdict(raw))


@given(st.binary(max_size=300))
def test_any_bytes_have_a_verdict(raw):
    assert verdict(raw) in set(Verdict)
