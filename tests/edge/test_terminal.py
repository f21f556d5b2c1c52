"""Holds edge.terminal: plain in a pipe, aligned, and deaf to what remote text wants to paint."""

import pytest

from workers.edge import terminal


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_right():
    text = terminal.table(["name", "due"], [["a", 5], ["longer", 1234]])

    assert ["name     due", "a          5", "longer  1234"] == text.split("\n")


def test_colour_is_left_out_where_nobody_sees_it(capsys):
    assert "x" == terminal.coloured("x", "red")


def test_remote_text_cannot_steer_the_screen():
    assert "a?[2Jb?c" == terminal.printable("a\x1b[2Jb\x00c")
    assert "one\ntwo?" == terminal.printable_lines("one\ntwo\x07")


def test_progress_is_silent_in_a_pipe(capsys):
    progress = terminal.Progress("verified", 2)
    progress.advance()
    progress.end()

    assert ("", "") == capsys.readouterr()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.44, "0.4 s"), (99, "99 s"), (600, "10 min"), (9000, "2.5 h"), (4e5, "4.6 d")],
)
def test_an_age_is_read_at_a_glance(seconds, text):
    assert text == terminal.age(seconds)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3e12, "3.0 TB")]
)
def test_a_size_is_read_at_a_glance(count, text):
    assert text == terminal.size(count)
