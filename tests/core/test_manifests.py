"""Holds core.archive.manifests: stable bytes, the chain, and what is refused as no manifest."""

import hashlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.archive import manifests
from workers.core.archive.manifests import (
    Head,
    SegmentManifest,
    encode,
    read_head,
    read_manifest,
    read_ticket,
    ticket_of,
)
from workers.core.archive.story import Told


def _manifest(name: str, **more: object) -> SegmentManifest:
    facts = {
        "name": name,
        "kind": "ledger",
        "path": f"raw/{name}.jsonl.gz",
        "subject": "s",
        "worker": "collector-00",
        "run": "1",
        "versions": {"b": "2", "a": "1"},
        "created_at_utc": "t",
        "bytes": 1,
        "sha256": "x",
        "md5": "y",
        "raw_bytes": 1,
        "raw_sha256": "z",
        "ended": "stop",
        "told": Told(),
    }
    return SegmentManifest(**facts | more)


def test_a_manifest_comes_back():
    manifest = _manifest("a")

    assert manifest == read_manifest(encode(manifest))


def test_the_same_facts_give_the_same_bytes():
    turned = _manifest("a", versions={"a": "1", "b": "2"})

    assert encode(_manifest("a")) == encode(turned)
    assert encode(turned).endswith(b"}\n")


def test_a_chain_names_each_link_and_the_bytes_before_it():
    head, links = Head(), []
    for name in "abc":
        manifest = _manifest(name, chain=head.link("collector-00"))
        links.append((manifest, encode(manifest)))
        head = read_head(encode(head.after(*links[-1])))

    assert [1, 2, 3] == [manifest.chain.seq for manifest, _ in links]
    assert [None, "a", "b"] == [manifest.chain.previous_name for manifest, _ in links]
    digests = [hashlib.sha256(data).hexdigest() for _, data in links]
    assert [None, *digests[:2]] == [manifest.chain.previous_sha256 for manifest, _ in links]
    assert (3, "c", digests[2]) == (head.seq, head.name, head.sha256)
    assert (2, "b", None) == (head.previous.seq, head.previous.name, head.previous.previous)


def test_a_newer_schema_is_not_believed():
    data = encode(_manifest("a")).replace(b"segment/1", b"segment/2")

    with pytest.raises(msgspec.ValidationError, match="segment/2"):
        read_manifest(data)


def test_new_keys_of_a_later_version_are_ignored():
    data = json.dumps(json.loads(encode(_manifest("a"))) | {"later": 1}).encode()

    assert _manifest("a") == read_manifest(data)


def test_a_ticket_names_the_data_its_digest_and_its_manifest():
    ticket = read_ticket(encode(ticket_of(_manifest("a"), "raw/a.manifest.json")))

    assert ("a", "raw/a.jsonl.gz", "raw/a.manifest.json", "x", 1, None) == (
        ticket.name,
        ticket.path,
        ticket.manifest,
        ticket.sha256,
        ticket.bytes,
        ticket.reason,
    )


@given(st.binary(max_size=80) | st.sampled_from([b'{"name":"\xff"}', b'{"x":' * 9999]))
def test_bytes_that_are_none_are_refused_in_one_way(data):
    for read in (read_manifest, read_ticket):
        with pytest.raises(msgspec.MsgspecError):
            read(data)


def test_a_torn_chain_head_is_refused():
    data = encode(Head(seq=4, name="a"))

    for end in range(len(data) - 2):
        with pytest.raises(msgspec.MsgspecError):
            read_head(data[:end])


def test_every_ending_is_explained():
    assert {"hour", "size", "market_end", "stop", "guard", "big_book", "cut_short"} == set(
        manifests.ENDINGS
    )
