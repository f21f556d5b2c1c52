"""Holds the lines of slices and CSV files: times to 100 ns, bytes as they came, cells quoted."""

import csv

from tests.core.test_replay import RAW, answer, seen
from workers.core.reading.evidence import State
from workers.core.reading.export_text import COLUMNS, csv_head, csv_rows, slice_line, slice_name
from workers.core.reading.replay import Kind, Scene

AT_NS = 1_776_326_400_123_456_789


def test_a_slice_line_has_seven_decimals_and_the_bytes_as_they_came():
    assert b"2026-04-16T08:00:00.1234567Z " + RAW + b"\n" == slice_line(AT_NS, RAW)


def test_a_line_feed_inside_a_message_becomes_a_blank():
    line = slice_line(AT_NS, b'{"a":\n1}')

    assert line.endswith(b' {"a": 1}\n')
    assert 1 == line.count(b"\n")


def test_a_slice_lies_where_tardis_client_looks_for_it():
    assert slice_name(AT_NS).endswith("/2026/04/16/08/00.json.gz")


def test_a_cell_with_a_comma_a_quote_or_a_line_end_is_read_back():
    cause = 'damaged: "x", at\nline 2'
    scene = Scene(Kind.DAMAGE, answer(1, state=State.LABELLED, cause=cause))
    text = csv_head() + "".join(csv_rows(scene, None))

    (row,) = csv.DictReader(text.splitlines(keepends=True))
    assert cause == row["cause"]
    assert list(COLUMNS) == list(row)


def test_a_book_without_levels_is_a_row_without_a_level():
    (line,) = csv_rows(seen(1), None)

    assert ",,,," in line
