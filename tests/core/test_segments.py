"""Holds core.archive.segments: names that are safe and come back, rows that are one line, scans."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.core.archive.segments import (
    ROOTS,
    SUBJECT_MAX,
    parse_name,
    row_problem,
    safe_subject,
    scan_rows,
    segment_folder,
    segment_name,
    spliced_row,
)

WORKERS = st.sampled_from(["discovery", "watchdog", "collector-00", "collector-99"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(), VALUE, max_size=4)
LINE = OBJECT.map(lambda each: json.dumps(each, ensure_ascii=False).encode() + b"\n")


@given(
    st.text(),
    st.sampled_from(sorted(ROOTS)),
    WORKERS,
    st.integers(0, 253_402_300_799_999),
    st.integers(0, 999_999),
)
@example("a--b", "books", "collector-00", 0, 1)
@example("x" * 300 + "-", "books", "collector-00", 0, 1)
@example("../../etc/passwd\0$(rm)", "books", "collector-00", 0, 1)
@example("ledger--books--x", "ledger", "discovery", 0, 1)
def test_a_name_comes_back_as_its_parts(text, kind, worker, started_ms, number):
    name = segment_name(text, kind, worker, started_ms=started_ms, number=number)
    parsed = parse_name(name)

    assert parsed is not None
    assert (safe_subject(text), kind, worker, number) == (
        parsed.subject,
        parsed.kind,
        parsed.worker,
        parsed.number,
    )
    assert len(name) <= 160


@given(st.text())
def test_a_subject_is_safe_on_every_filesystem(text):
    subject = safe_subject(text)

    assert set(subject) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 1 <= len(subject) <= SUBJECT_MAX
    assert "-" not in (subject[0], subject[-1])
    assert "--" not in subject


@pytest.mark.parametrize(
    "name",
    [
        *("", "x", ".", "..", "a--books--b", "a--books--collector-00--20261121T023001123Z-1"),
        "a--books--collector-00--20261121T023001123Z-0001\n",
        "A--books--collector-00--20261121T023001123Z-0001",
        "a/b--books--collector-00--20261121T023001123Z-0001",
        "-a--books--collector-00--20261121T023001123Z-0001",
        "a--other--collector-00--20261121T023001123Z-0001",
        "a--books--collector-0--20261121T023001123Z-0001",
        "a--books--collector-00--٢٠٢٦١١٢١T023001123Z-0001",
        "a--books--collector-٠٠--20261121T023001123Z-0001",
        f"{'a' * 91}--books--collector-00--20261121T023001123Z-0001",
    ],
)
def test_a_name_of_another_form_is_not_ours(name):
    assert None is parse_name(name)


@given(st.text())
def test_any_text_is_a_name_or_not(text):
    parse_name(text)


def test_each_kind_has_its_root():
    assert "raw/venue=polymarket/date=1970-01-01/hour=01" == segment_folder("books", 3_600_000)
    assert "manifests/health/date=1970-01-01/hour=00" == segment_folder("health", 0)


@given(OBJECT.filter(bool), VALUE, st.sampled_from([None, 1]))
def test_a_spliced_row_is_one_line_and_keeps_the_bytes(envelope, value, indent):
    raw = json.dumps(value, indent=indent, ensure_ascii=False).encode()
    row = spliced_row(json.dumps(envelope).encode(), "the_body", raw)
    read = json.loads(row)

    assert (1, b"\n") == (row.count(b"\n"), row[-1:])
    kept = read["the_body_text"].encode() if b"\n" in raw else row[-len(raw) - 2 : -2]
    assert raw == kept
    assert envelope.items() <= read.items() or "the_body" in envelope


@given(st.lists(LINE, max_size=6), st.binary(max_size=40))
def test_a_scan_takes_every_whole_line_in_front_of_the_damage(lines, junk):
    stream = b"".join(lines)
    scan = scan_rows(stream + junk)

    assert scan.rows >= len(lines)
    assert scan.good_bytes >= len(stream)
    assert bool(scan.damage) == (scan.good_bytes < len(stream + junk))


@given(st.lists(LINE, min_size=1, max_size=4), st.data())
def test_a_scan_of_any_cut_takes_the_lines_before_it(lines, data):
    stream = b"".join(lines)
    cut = data.draw(st.integers(0, len(stream)))
    scan = scan_rows(stream[:cut])

    assert scan.good_bytes == stream.rfind(b"\n", 0, cut) + 1
    assert scan.rows == stream[:cut].count(b"\n")


@given(st.binary(max_size=200))
@example(b"{}\n" + b'{"a":' * 9999 + b"\n")
@example(b'{"a":"\xff"}\n')
@example(b"\n\n")
def test_any_bytes_can_be_scanned(stream):
    scan = scan_rows(stream)

    assert "" == scan_rows(stream[: scan.good_bytes]).damage
    assert scan.rows == stream[: scan.good_bytes].count(b"\n")


@pytest.mark.parametrize("line", [b"", b"[]", b"1", b'{"a":1', b'{"a":NaN}', b'{"\xff":1}'])
def test_a_line_that_is_no_object_has_a_problem(line):
    assert "" != row_problem(line)
