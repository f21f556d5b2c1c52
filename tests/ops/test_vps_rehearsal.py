"""What `make vps-rehearsal` rests on, as far as no machine boots: the document and the verdict."""

import re
import socket
import time
from pathlib import Path

import pytest

from tests.vps import address
from tests.vps.acts import PLAN
from tests.vps.address import Names
from tests.vps.document import blocks
from tests.vps.image import packages_of
from tests.vps.machine import Ran
from tests.vps.record import FAIL, PASS, UNFINISHED, Record, page

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs/VPS_DEPLOYMENT.md").read_text()


def test_commands_come_in_order_below_their_headings_with_their_waits():
    text = "## A\n```sh\none\ntwo\n```\n```text\nnever\n```\nAfter 3 more minutes:\n\n```sh\nthree\n```\n## B\n```sh\nfour\n```\n"

    found = [(each.heading, each.wait_s, each.commands) for each in blocks(text)]

    assert [("A", 0, ("one", "two")), ("A", 180, ("three",)), ("B", 0, ("four",))] == found


def test_every_section_with_commands_is_a_step_of_the_rehearsal_and_no_other():
    sections = {each.heading for each in blocks(DOCUMENT)}
    steps = {name.removeprefix("doc: ") for name, *_ in PLAN if name.startswith("doc: ")}

    assert sections == steps


def test_the_document_installs_everything_that_its_scripts_call():
    commands = [line for block in blocks(DOCUMENT) for line in block.commands]

    assert {"git", "python3", "python3-venv", "ca-certificates"} <= set(packages_of(commands))


def test_every_script_that_the_document_runs_is_in_the_checkout():
    named = re.findall(r"/usr/local/src/orderbooks/(\S+\.sh)", DOCUMENT)

    assert len(set(named)) >= 4
    for each in named:
        assert (ROOT / each).exists(), each


def a_record() -> Record:
    return Record({"one": "this", "two": "that"}, {"commit": "abc"})


def ran(code: int) -> Ran:
    return Ran(command="orderbooks verify", began_s=time.time(), took_s=1, code=code, out="said")


def take(record: Record, name: str, *, code: int = 0, holds: bool = True) -> None:
    with record.step(name) as step:
        step.ran(ran(code), 0)
        step.check("something", "found", holds=holds)


def test_it_passes_when_every_step_was_taken_and_held():
    record = a_record()
    take(record, "one")
    take(record, "two")

    assert PASS == record.result()
    assert "# Rehearsal of docs/VPS_DEPLOYMENT.md: PASS" in page(record.told(), "* a test")


@pytest.mark.parametrize("spoiled", [{"code": 1}, {"holds": False}], ids=str)
def test_a_command_or_a_check_that_does_not_hold_fails_the_whole(spoiled: dict[str, int]):
    record = a_record()
    take(record, "one", **spoiled)
    take(record, "two")

    assert FAIL == record.result()
    assert [FAIL, PASS] == [each.result for each in record.steps]


def test_a_step_that_was_not_taken_shows_nothing_or_raises_is_no_pass():
    skipped, empty, broken = a_record(), a_record(), a_record()
    take(skipped, "one")
    take(empty, "one")
    with empty.step("two"):
        pass
    take(broken, "one")
    with broken.step("two") as step:
        step.ran(ran(0), 0)
        raise RuntimeError("the machine ended")

    assert [UNFINISHED, FAIL, FAIL] == [each.result() for each in (skipped, empty, broken)]
    assert "the machine ended" in page(broken.told(), "* a test")


def test_the_name_server_knows_a_name_denies_it_and_is_gone():
    names = Names("127.0.0.1", "10.77.0.1", port=0)
    label = b"".join(bytes([len(each)]) + each.encode() for each in address.NAME.split("."))
    question = b"\7\7\1\0\0\1" + bytes(6) + label + b"\0" + b"\0\1" + b"\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(10)
        asking.connect(("127.0.0.1", names.port))

        def answered() -> bytes:
            asking.send(question)
            return asking.recv(512)

        known = answered()
        names.say(address.UNKNOWN)
        unknown = answered()
        names.say(address.GONE)
        with pytest.raises(ConnectionRefusedError):
            answered()
        names.say(address.KNOWN)
        again = answered()
        names.say(address.GONE)

    assert (0, socket.inet_aton("10.77.0.1")) == (known[3] & 15, known[-4:])
    assert (3, question[12:]) == (unknown[3] & 15, unknown[12:])
    assert known == again
