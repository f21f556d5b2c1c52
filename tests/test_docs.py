"""Holds the documents to the code: what they name exists, and what exists is named.

A change of the code that fails here is told by `make docs` (made tables) or by a person (the rest).
"""

import configparser
import json
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from supervisor.supervisorctl import DefaultControllerPlugin

import workers
from tests import made_tables
from tests.made_tables import PAGES, ROOT
from workers.core.archive import ledger
from workers.core.archive.labels import KINDS, Label
from workers.core.archive.manifests import Chain, Head, Salvage, SegmentManifest, Ticket
from workers.core.archive.segments import ROOTS
from workers.core.archive.story import Hashes, ManifestMarket, Ticks, Told
from workers.core.coverage import coverage
from workers.core.health.alerts import Active
from workers.core.health.conditions import ALERTS
from workers.core.health.disk import DiskSeen, Forecast
from workers.core.health.heartbeats import (
    Condition,
    Crash,
    Guard,
    Heartbeat,
    MarketBeat,
    StreamBeat,
)
from workers.core.health.looks import ClockSeen, Queue, Unread
from workers.core.health.reports import (
    AlertsManifest,
    DiskManifest,
    HealthManifest,
    MarketHealth,
    ProcessHealth,
    SupervisorHealth,
    WorkerHealth,
)
from workers.core.offload.offload import (
    VERDICTS,
    CommandRow,
    DrillManifest,
    FileRow,
    GoneRow,
    RetentionManifest,
    UploadManifest,
)
from workers.core.offload.restores import RestoredMarker
from workers.core.polling.answers import Answer
from workers.core.polling.cadence import Phase
from workers.core.polling.messages import Book
from workers.core.polling.probing import Check
from workers.core.polling.rows import answer_head, books_row
from workers.core.settings.table import groups
from workers.core.soak.samples import Begun, Done, Sample, WorkerSample
from workers.core.stream import rows as stream_rows
from workers.core.stream.frames import FrameRow
from workers.core.tables.manifests import Source, TableManifest
from workers.core.universe.markets import Asked, Market, Token
from workers.core.universe.pages import page_row
from workers.core.universe.refusals import Refusal
from workers.core.universe.survey import Question
from workers.core.universe.universe import Universe
from workers.edge import lifecycle
from workers.edge.offload.rehearsal import Plan, PlannedBatch
from workers.edge.spool.bell import AlertRow
from workers.tools import __main__ as command

DOCS = ROOT / "docs"
#: Sections of DATA_CONTRACT, and the shapes whose every field each must name.
SHAPES: dict[str, tuple[type[msgspec.Struct], ...]] = {
    "`started`": (ledger.Started,),
    "`universe`": (ledger.Loaded,),
    "`request`": (ledger.Request, ledger.RefusedRaw),
    "`skipped`": (ledger.Skipped,),
    "`clock`": (ledger.ClockStepped,),
    "`stopped`": (ledger.Stopped,),
    "`opened`": (stream_rows.Opened,),
    "`subscription`": (stream_rows.Subscription,),
    "`heard`": (stream_rows.Heard,),
    "`turn`": (stream_rows.Turned,),
    "`closed`": (stream_rows.Closed,),
    "`frame`": (stream_rows.Frame,),
    "`repeated`": (stream_rows.Repeated,),
    "`stalled`": (stream_rows.Stalled,),
    "Frames rows": (FrameRow,),
    "Universe": (Universe, Market, Token, Phase, Refusal),
    "Segment manifests": (*(SegmentManifest, Salvage, Told, ManifestMarket, Ticks, Hashes, Chain),),
    "chain.json": (Head,),
    "Tickets": (Ticket,),
    "Heartbeats": (Heartbeat, MarketBeat, StreamBeat, Condition, Crash),
    "The disk guard": (Guard,),
    "Health manifests": (
        *(HealthManifest, SupervisorHealth, ProcessHealth, WorkerHealth, MarketHealth),
        *(Queue, ClockSeen, Unread),
    ),
    "Disk manifests": (DiskManifest, DiskSeen, Forecast),
    "Alerts manifests": (AlertsManifest, Active, AlertRow),
    "Upload rows": (UploadManifest, CommandRow, FileRow),
    "dry_run.json": (Plan, PlannedBatch),
    "Retention rows": (RetentionManifest, GoneRow),
    "Drill rows": (DrillManifest,),
    "Soak rows": (Begun, Sample, WorkerSample, Done),
    "restored.json": (RestoredMarker,),
    "Derived files": (TableManifest, Source),
    "Labels": (Label,),
    "Reports": (Check,),
}
ANSWER = Answer(
    cause="ok",
    status=200,
    body=b"{}",
    send_wall_ns=1,
    recv_wall_ns=2,
    send_mono_ns=1,
    recv_mono_ns=2,
)
#: Words that claim instead of showing.
CLAIMS = re.compile(
    r"production[- ]ready|(?-i:[Rr]eliab)(?:le|ly|ility)|robust|battle|blazing|seamless|enterprise|"
    r"state[- ]of[- ]the[- ]art|best[- ]in[- ]class|world[- ]class|bullet-?proof|powerful|"
    r"cutting[- ]edge|lightning|effortless|zero data loss|never loses|simply|trivial|unmatched",
    re.IGNORECASE,
)
SAMPLE = "docs/samples/upload-manifest.json"
GATES = {"DONE HERE", "OPEN", "BLOCKED_NEEDS_VPS_ACCESS"}
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FILE = re.compile(r"^(workers|tests|docs|config|ops)/[\w./-]+$")
_MODULE = re.compile(r"^(core|edge|tools)\.[a-z_.]+$")
_SETTING = re.compile(r"`([a-z]+)\.([a-z_0-9]+)`(?: \((\d[\d.]*)\))?")

page_of = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def text(name: str) -> str:
    """One document."""
    return (ROOT / name).read_text()


def section(page: str, heading: str) -> str:
    """A section with everything below it; fails when there is none of this heading."""
    found = [each for each in _HEADING.finditer(page) if each[2] == heading]
    assert len(found) == 1, f"{len(found)} sections {heading!r}"
    level = len(found[0][1])
    rest = page[found[0].end() :]
    end = re.search(rf"^#{{1,{level}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


def words_of(page: str) -> set[str]:
    """Everything in back-ticks."""
    return set(_CODE.findall(page))


def anchors(page: str) -> set[str]:
    """The anchors that headings give, as GitHub makes them."""
    kept = (re.sub(r"[^\w\- ]", "", each[2].lower()) for each in _HEADING.finditer(page))
    return {each.replace(" ", "-") for each in kept}


def commands(page: str) -> Iterator[list[str]]:
    """Each `make` and `orderbooks` command of a page, as words; those with … are no commands."""
    inline = _CODE.findall(_BLOCK.sub("", page))
    blocks = [
        line for kind, body in _BLOCK.findall(page) if kind == "sh" for line in body.split("\n")
    ]
    for line in [*inline, *blocks]:
        for part in line.partition(" #")[0].split("&&"):
            words = shlex.split(part) if "…" not in part else []
            words = words[: words.index("|")] if "|" in words else words
            if words and words[0] in ("make", "orderbooks", ".venv/bin/orderbooks"):
                yield words


def is_command(words: list[str]) -> bool:
    """True when the Makefile has the target, or the verb takes these words."""
    name, rest = words[0].rpartition("/")[2], words[1:]
    if name == "make":
        targets = re.findall(r"^([a-z0-9-]+):", text("Makefile"), re.MULTILINE)
        return all(each in targets for each in rest if "=" not in each)
    if not rest or rest == ["VERB", "--help"]:
        return True
    if rest[0] == "ctl":
        return not rest[1:] or hasattr(DefaultControllerPlugin, f"do_{rest[1]}")
    return rest[0] in command.VERBS and is_taken(*rest)


def is_taken(verb: str, *words: str) -> bool:
    """True when a verb takes these words; alone it is a mention."""
    try:
        command._parser(verb, command.VERBS[verb].load()).parse_args(words)
    except SystemExit:
        return not words
    return True


def setting_defaults() -> dict[str, object]:
    """Every setting by its path, with its default."""
    return {each.path: each.default for group in groups() for each in group.entries}


@page_of
def test_the_made_tables_are_what_the_code_says_now(path: Path):
    page = path.read_text()

    assert made_tables.filled(page) == page, "`make docs` makes them anew"


def test_every_made_table_stands_on_a_page_once():
    assert sorted(made_tables.TABLES) == sorted(
        name for path in PAGES for name in made_tables.places(path.read_text())
    )


@pytest.mark.parametrize("heading", SHAPES)
def test_every_field_at_rest_is_in_the_data_contract(heading: str):
    said = words_of(section(text("docs/DATA_CONTRACT.md"), heading))

    for shape in SHAPES[heading]:
        assert set(shape.__struct_fields__) <= said, shape


@pytest.mark.parametrize("heading", SHAPES)
def test_the_data_contract_names_no_field_that_is_not_there(heading: str):
    body = section(text("docs/DATA_CONTRACT.md"), heading)
    tables = re.findall(r"^\| field \|.*?(?:\n\n|\Z)", body, re.MULTILINE | re.DOTALL)
    named = {each for table in tables for each in re.findall(r"^\| `(\w+)`", table, re.MULTILINE)}

    assert named <= {field for shape in SHAPES[heading] for field in shape.__struct_fields__}


def test_every_member_of_a_books_row_is_in_the_data_contract():
    book = Book(position=0, token_id="1", market="0x1", timestamp_ms=1, raw=b"{}")
    row = books_row(answer_head(ANSWER, "c.1.1", 1, "0"), book, "absent", ["x"])

    assert set(msgspec.json.decode(row)) | {"book_text"} == fields_of("Books rows")


def test_every_member_of_a_pages_row_is_in_the_data_contract():
    question = Question(name="x", asked=Asked(source="keyset"), route="/events/keyset")
    row = page_row(ANSWER, question, request_id="d.1.1", due_ms=1, version="0")

    assert set(msgspec.json.decode(row or b"")) | {"body_text"} == fields_of("Pages rows")


def fields_of(heading: str) -> set[str]:
    """The first cells of a section's table."""
    body = section(text("docs/DATA_CONTRACT.md"), heading)
    return set(re.findall(r"^\| `(\w+)`", body, re.MULTILINE))


def test_every_schema_is_named_right_wherever_it_is_named():
    sources = [path.read_text() for path in (ROOT / "workers").rglob("*.py")]
    schemas = {
        each for source in sources for each in re.findall(r'"(orderbooks\.\w+/\d+)"', source)
    }
    pages = "\n".join(path.read_text() for path in PAGES)

    assert len(schemas) >= 6
    assert schemas == set(re.findall(r"`(orderbooks\.\w+/\d+)`", pages))


def test_every_kind_of_segment_and_label_is_in_the_data_contract():
    assert set(ROOTS) | set(KINDS) <= words_of(text("docs/DATA_CONTRACT.md"))


def test_every_setting_is_in_its_page_and_in_the_shipped_file():
    page, shipped = text("docs/SETTINGS.md"), text("config/orderbooks.yaml")

    for group in groups():
        body = section(page, group.name or "At the top")
        for entry in group.entries:
            assert entry.key in words_of(body), entry.path
            assert re.search(rf"^ *{entry.key}:", shipped, re.MULTILINE), entry.path


@page_of
def test_a_setting_that_a_page_names_exists_and_has_the_default_it_says(path: Path):
    defaults = setting_defaults()
    sections = {group.name for group in groups() if group.name}
    bodies = _BLOCK.sub("", path.read_text())

    for name, key, said in _SETTING.findall(bodies):
        if name in sections:
            assert f"{name}.{key}" in defaults
            assert not said or float(said) == defaults[f"{name}.{key}"], f"{name}.{key}"


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_section_of_what_is_seen_where_to_look_and_what_to_do(alert: str):
    alerts = section(text("docs/OPERATIONS.md"), "Alerts")

    body = section(alerts, alert)

    bullets = re.findall(r"^\* ([\w ]+):", body, re.MULTILINE)
    assert ["You see", "Look at", "Do", "Drill"] == bullets


def test_operations_has_no_section_of_an_alert_that_is_none():
    alerts = section(text("docs/OPERATIONS.md"), "Alerts")

    assert list(ALERTS) == re.findall(r"^### (.+)$", alerts, re.MULTILINE)


def test_every_coverage_state_and_its_inner_causes_are_in_the_methodology():
    body = section(text("docs/METHODOLOGY.md"), "Coverage")
    states = re.findall(r"^\| ([A-Z_]+)", body, re.MULTILINE)
    source = (ROOT / "workers/core/coverage/coverage.py").read_text()
    inner = set(re.findall(r'"(?:DOWN|FAILED)\((\w+)\)"', source)) | {"stopped", "crashed"}

    assert sorted(states) == sorted(coverage.STATES)
    assert len(inner) >= 6
    assert inner <= words_of(body)


def test_every_exit_code_of_a_worker_is_in_operations():
    body = section(text("docs/OPERATIONS.md"), "Exit codes")
    codes = {value for name, value in vars(lifecycle).items() if name.startswith("EXIT_")}

    assert {str(each) for each in codes} == set(re.findall(r"^\| (\d+) \|", body, re.MULTILINE))


def test_every_verb_says_its_exit_codes():
    assert "MISSING" not in made_tables.exit_codes()


@page_of
def test_every_link_leads_somewhere(path: Path):
    for link in _LINK.findall(path.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        found = (path.parent / target).resolve() if target else path
        assert found.exists(), link
        assert not anchor or anchor in anchors(found.read_text()), link


@page_of
def test_every_file_and_module_that_a_page_names_exists(path: Path):
    for word in words_of(path.read_text()):
        if _FILE.match(word):
            assert (ROOT / word).exists(), word
        if _MODULE.match(word):
            rooms = {each.rpartition(".")[0] for each in workers.READING_ORDER}
            assert word in rooms | {*workers.READING_ORDER}, word


@page_of
def test_every_command_on_a_page_can_be_given(path: Path):
    wrong = [words for words in commands(path.read_text()) if not is_command(words)]

    assert [] == wrong


def test_the_readme_gives_the_commands_that_ci_runs():
    blocks = [body for kind, body in _BLOCK.findall(text("README.md")) if kind == "sh"]
    ci = re.findall(r"^make \w+", text(".ci/run"), re.MULTILINE)

    assert "make test" in ci
    assert "make test" in "\n".join(blocks).split("\n")
    assert {each for each in ci if f"`{each}`" in text("README.md")} == set(ci)


@page_of
def test_no_page_claims_what_it_does_not_show(path: Path):
    assert [] == [each[0] for each in CLAIMS.finditer(path.read_text())]


def test_every_process_has_its_row_and_its_manual():
    conf = configparser.RawConfigParser(inline_comment_prefixes=None)
    conf.read(ROOT / "supervisord.conf")
    processes = [each.partition(":")[2] for each in conf.sections() if each.startswith("program:")]
    page = section(text("docs/ARCHITECTURE.md"), "Processes")

    assert processes
    for process in processes:
        assert f"\n| {process} |" in page
        assert section(page, process).strip()


def test_every_checkpoint_says_artifacts_evidence_and_gate():
    page = text("ROADMAP.md")
    checkpoints = [each[2] for each in _HEADING.finditer(page) if re.match(r"\d+\. ", each[2])]

    assert 9 == len(checkpoints)
    for each in checkpoints:
        body = section(page, each)
        assert ["Artifacts", "Evidence", "Gate here"] == re.findall(
            r"^\* ([\w ]+):", body, re.MULTILINE
        )
        here = re.search(r"Gate here: ([A-Z_ ]+)\. Gate live: (none|[A-Z_]+)\.", body)
        assert here is not None, each
        assert {here[1], here[2]} <= GATES | {"none"}
        assert (here[1] == "DONE HERE") == ("Evidence: none" not in body), each


def test_decisions_are_numbered_without_a_hole_and_name_what_was_refused():
    paths = sorted((DOCS / "decisions").glob("*.md"))

    assert [f"{n:04d}" for n in range(1, len(paths) + 1)] == [each.name[:4] for each in paths]
    for path in paths:
        page = path.read_text()
        assert page.startswith(f"# {path.name[:4]}: ")
        assert ["Context", "Choice", "Refused"] == re.findall(r"^## (.+)$", page, re.MULTILINE)
        assert path.name in text("docs/ARCHITECTURE.md")


def test_the_sample_is_a_row_of_the_offload_ledger_and_true_in_itself():
    raw = (ROOT / SAMPLE).read_bytes()
    row = msgspec.json.decode(raw, type=UploadManifest)
    proven = [each for each in row.files if each.verdict == "proven"]

    # Struct by struct: a member that no version writes would be passed over by the decoder.
    assert json.loads(raw) == msgspec.to_builtins(row)
    assert row.verdicts == dict(Counter(each.verdict for each in row.files))
    assert set(row.verdicts) <= set(VERDICTS)
    assert row.bytes == sum(each.bytes for each in proven)
    ran = [each.command[1] for each in row.commands]
    assert {"backend", "copy", "lsjson"} == set(ran)
    assert ["copy", "lsjson"] == ran[-2:], "what was copied is listed afterwards"
    assert "orderbooks.upload/1" == row.schema


def test_the_changelog_has_the_version_that_runs():
    headings = re.findall(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)

    assert ["Unreleased", workers.VERSION] == headings[:2]
