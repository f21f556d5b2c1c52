"""The verdict on a file: proven only by one entry, our size, our hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.core.offload.offload import VERDICTS, Facts, Found, judged

OURS = Facts("raw/a.gz", 10, "5" * 64, "d" * 32)


def entry(size: int = 10, path: str = "raw/a.gz", **hashes: str) -> Found:
    return Found(path, size, hashes)


@pytest.mark.parametrize(
    ("verdict", "proof", "listing"),
    [
        ("proven", "sha256", [entry(sha256="5" * 64)]),
        ("proven", "md5", [entry(md5="d" * 32)]),
        ("proven", "sha256", [entry(sha256="5" * 64, md5="d" * 32, crc32="0")]),
        ("missing", "", []),
        ("missing", "", [entry(path="raw/b.gz", sha256="5" * 64)]),
        ("duplicate", "", [entry(sha256="5" * 64), entry(sha256="5" * 64)]),
        ("conflict", "", [entry(size=9, sha256="5" * 64)]),
        ("conflict", "", [entry(sha256="6" * 64)]),
        ("conflict", "", [entry(md5="e" * 32)]),
        ("conflict", "", [entry(sha256="5" * 64, md5="e" * 32)]),
        ("unproven", "", [entry()]),
        ("unproven", "", [entry(crc32="0", sha256="")]),
    ],
)
def test_a_file_is_proven_by_one_entry_of_our_size_and_hash_alone(verdict, proof, listing):
    found = judged([OURS], listing)

    assert [(verdict, proof)] == [(each.verdict, each.proof) for each in found]
    assert verdict in VERDICTS


def test_what_was_read_back_proves_a_file_on_a_remote_without_hashes():
    assert "download" == judged([OURS], [entry()], {"raw/a.gz": "5" * 64})[0].proof
    assert "conflict" == judged([OURS], [entry()], {"raw/a.gz": "6" * 64})[0].verdict


def test_what_was_read_back_never_heals_a_hash_that_differs():
    assert "conflict" == judged([OURS], [entry(md5="e" * 32)], {"raw/a.gz": "5" * 64})[0].verdict


NAMES = st.sampled_from(["raw/a.gz", "raw/b.gz", "raw/c.gz"])
HASHES = st.dictionaries(st.sampled_from(["sha256", "md5"]), st.sampled_from(["1" * 64, "2" * 64]))


@given(
    facts=st.lists(NAMES, unique=True),
    listing=st.lists(st.builds(Found, path=NAMES, bytes=st.integers(0, 2), hashes=HASHES)),
)
def test_every_file_gets_one_verdict_and_nothing_is_proven_without_an_equal_hash(facts, listing):
    asked = [Facts(path, 1, "1" * 64, "1" * 64) for path in facts]

    found = judged(asked, listing)

    assert asked == [each.facts for each in found]
    for each in found:
        entries = [one for one in listing if one.path == each.facts.path]
        is_ours = len(entries) == 1 and entries[0].bytes == 1 and entries[0].hashes
        is_equal = is_ours and set(entries[0].hashes.values()) == {"1" * 64}
        assert bool(is_equal) == each.is_proven
