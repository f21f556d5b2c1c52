"""Holds the running of commands: what they said, how they ended, and what could not be run."""

import hashlib

from workers.edge.commands import KILLED, NOT_THERE, orderbooks, ran


def test_a_command_is_kept_with_its_words_output_and_code():
    told = ran(["sh", "-c", "printf out; echo one >&2; exit 3"])

    assert (3, b"out", "one") == (told.code, told.out, told.said)
    assert hashlib.sha256(b"out").hexdigest() == told.sha256
    assert ["sh", "-c", "printf out; echo one >&2; exit 3"] == told.command
    assert told.began_wall_ns <= told.ended_wall_ns


def test_one_that_is_not_there_and_one_that_takes_too_long_are_said_to_be_that():
    assert NOT_THERE == ran(["no-such-program"]).code
    assert KILLED == ran(["sleep", "60"], limit_s=0.05).code


def test_a_verb_runs_as_this_program_wherever_it_is_called(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    told = orderbooks(["--version"])

    assert (0, ["orderbooks", "--version"]) == (told.code, told.command)
    assert told.out.startswith(b"orderbooks ")
