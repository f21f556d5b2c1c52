"""Holds edge.settings_file: all mistakes at once, each with its place; nothing guessed."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from workers.core.errors import NeedsAPerson
from workers.core.settings.pages import SCHEMA_LINE, page, shipped_file
from workers.core.settings.settings import Alerts, Discovery, Selection, Series, Settings
from workers.edge.settings_file import (
    MAX_FILE_BYTES,
    MAX_SHOWN_FAULTS,
    Loaded,
    load,
    render,
    schema_text,
)

FIX = "run `make docs`"


@pytest.fixture
def read(tmp_path):
    """Text or bytes → what a file with them is read as."""

    def read_text(text: str | bytes) -> Loaded:
        path = tmp_path / "a.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load(path)

    return read_text


@pytest.fixture
def told(read, tmp_path):
    """Text or bytes → the lines of complaint, without the directory."""

    def told_of(text: str | bytes) -> list[str]:
        with pytest.raises(NeedsAPerson) as caught:
            read(text)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return told_of


def test_a_key_left_out_has_its_default(read):
    loaded = read("schedule:\n  hot_lead_s: 20\n")

    assert 20 == loaded.settings.schedule.hot_lead_s
    assert Settings().discovery == loaded.settings.discovery


def test_the_digest_is_of_the_bytes_of_the_file(read):
    text = "schedule: {hot_lead_s: 20}  # é\n"

    assert hashlib.sha256(text.encode()).hexdigest() == read(text).config_sha256


@pytest.mark.parametrize(
    ("folder", "written", "expected"),
    [
        ("config", "./var", "var"),
        ("elsewhere", "./var", "elsewhere/var"),
        ("config", "../x", "../x"),
        ("config", "/srv/books", "/srv/books"),
    ],
)
def test_a_relative_data_dir_starts_above_config_or_beside_the_file(
    tmp_path, folder, written, expected
):
    path = tmp_path / folder / "a.yaml"
    path.parent.mkdir()
    path.write_text(f"data_dir: {written}\n")

    assert tmp_path / expected == load(path).data_dir


def test_the_data_dir_is_absolute_however_the_file_was_named(tmp_path, monkeypatch):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "a.yaml").write_text("data_dir: ./var\n")
    monkeypatch.chdir(tmp_path / "config")

    assert tmp_path / "var" == load(Path("a.yaml")).data_dir


EVERYTHING_WRONG = """\
data_dir: ~/x
venue:
  gamma_url: http://user:hunter2@host/
  clob_url: http://example.com
selection:
  tags: [NO, 12:30:00, 2026-11-20, ok]
  series:
    - name: btc-5m
      series_id: 10684
      slug: "btc-{start}"
      period_s: 5:00
    - {name: btc-5m, slug: "x-{start_unix}"}
discovery:
  interval_s: "30"
  intervall_s: 3
  horizon_s: 1e3
  max_pages: 010
  request_timeout_s: .nan
collector: 5
hot_interval_ms: 3
schedule:
alerts:
  sentry_dsn: https://hunter2@o1.example/1
  environment: yes
segments:
  flush_interval_s: 9
  flush_interval_s: 9s
watchdog:
  disk_pause_free_bytes: 9000000000
  colour: red
"""
EVERY_COMPLAINT = """\
1:11: data_dir: ~ and $ are not expanded here; write the path out
3:14: venue.gamma_url: found an address (not shown), expected an address such as https://host/path: no user, query or closing slash
4:13: venue.clob_url: plain http is for this machine only (127.0.0.1, localhost); use https
6:10: selection.tags[0]: YAML reads NO as true or false, expected text; quote it: "NO"
6:14: selection.tags[1]: YAML reads 12:30:00 as a number, expected text; quote it: "12:30:00"
6:24: selection.tags[2]: YAML reads 2026-11-20 as a date, expected text; quote it: "2026-11-20"
9:18: selection.series[0].series_id: YAML reads 10684 as a number, expected text; quote it: "10684"
10:13: selection.series[0].slug: unknown placeholder {start}; known are {start_unix}, {month}, {day}, {year}, {hour12}, {ampm}
11:17: selection.series[0].period_s: YAML reads 5:00 as 300; write the number plainly
12:7: selection.series[1].period_s: is missing, expected a whole number, 1 to 604800
12:7: selection.series[1].series_id: is missing, expected digits in quotes, such as "10684"
12:14: selection.series[1].name: btc-5m stands in selection.series[0].name already
14:15: discovery.interval_s: found the text 30, expected a number, 0.2 to 3600; write 30
15:3: discovery.intervall_s: unknown setting, did you mean `interval_s`?
16:14: discovery.horizon_s: found the text 1e3, expected a whole number, 10 to 172800; write 1000
17:14: discovery.max_pages: YAML reads 010 as 8; write the number plainly
18:22: discovery.request_timeout_s: .nan is out of bounds, expected a number, 0.1 to 120
19:12: collector: found 5, expected settings, one `key: value` a line
20:1: hot_interval_ms: unknown setting here, it belongs under schedule
21:10: schedule: found nothing, expected settings, one `key: value` a line
23:3: alerts.sentry_dsn: looks like a secret; secrets come from the environment only (SENTRY_DSN)
24:16: alerts.environment: YAML reads yes as true or false, expected text; quote it: "yes"
27:3: segments.flush_interval_s: stands twice, first on line 26
29:26: watchdog.disk_pause_free_bytes: 9000000000 must be below watchdog.disk_stop_opening_free_bytes (2147483648): the levels are passed one after the other as the disk fills
30:3: watchdog.colour: unknown setting; known here are interval_s, history_interval_s, heartbeat_late_s, row_late_s, backlog_warn_s, quarantine_warn_files, clock_warn_ms, backoff_warn_s, disk_warn_free_bytes, disk_stop_opening_free_bytes, disk_pause_free_bytes, disk_history_hours, checkin_interval_s
"""


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_file(told):
    assert [f"a.yaml:{line}" for line in EVERY_COMPLAINT.splitlines()] == told(EVERYTHING_WRONG)


def test_what_may_be_a_secret_is_not_repeated(told):
    assert "hunter2" not in "".join(told(EVERYTHING_WRONG))


def test_a_mistake_hides_the_contradictions_it_may_be_the_cause_of(told):
    """hot_interval_ms is misspelt, so that its default says nothing about late_tolerance_ms."""
    text = "schedule: {hot_interval_m: 5000}\ncollector: {late_tolerance_ms: 2000}\n"

    assert 1 == len(told(text))


def test_a_contradiction_points_at_the_setting_that_was_written(told):
    text = "watchdog:\n  interval_s: 20\nschedule:\n  hot_interval_ms: 250\n"
    late = "a.yaml:4:20: collector.late_tolerance_ms: 500 must be below schedule.hot_interval_ms"

    assert told(text)[0].startswith(late)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "1:1: the file is empty, expected at least one setting"),
        ("\n  # only this\n", "1:1: the file is empty, expected at least one setting"),
        ("---\n...\n", "2:1: found nothing, expected settings, one `key: value` a line"),
        ("- a\n- b\n", "1:1: found a list, expected settings, one `key: value` a line"),
        ("only text\n", "1:1: found only text, expected settings, one `key: value` a line"),
        ("a: %b\n", "1:4: not YAML: while scanning for the next token, found character '%'"),
        ("a: [1\n", "2:1: not YAML: while parsing a flow sequence"),
        ("a: 1\n---\nb: 2\n", "2:1: not YAML: expected a single document in the stream"),
        ("a: *nowhere\n", "1:4: not YAML: found undefined alias 'nowhere'"),
        ("data_dir: a\x07b\n", "1:12: not YAML: the character U+0007 is not allowed"),
        (b"data_dir: x\nb: \xff\n", "2:4: byte 0xff is not UTF-8; save the file as UTF-8"),
        ("data_dir: !!python/name:os.system x\n", "1:11: the tag tag:yaml.org,2002:python/name:"),
        ("data_dir: !!binary aGk=\n", "1:11: the tag tag:yaml.org,2002:binary means nothing"),
        ("? [a, b]\n: c\n", "1:3: a key is one word, not a list or pairs"),
        ("data_dir: 2026-13-45\n", "1:11: not a value YAML can read"),
        ("a: &a [*a]\n", "1:4: an alias to what it stands in"),
        ("discovery: {<<: [3]}\n", "1:18: `<<` takes `key: value` pairs, or a list of them"),
        (f"data_dir: {'9' * 5000}\n", "1:11: not a value YAML can read"),
        ("[" * 20_000, "1:1: nested too deeply to be settings"),
        ("data_dir: " + "[" * 300 + "]" * 300, "1:11: data_dir: found a list, expected text"),
        ("# x\n" * MAX_FILE_BYTES, f"1:1: longer than {MAX_FILE_BYTES} bytes; not settings"),
    ],
)
def test_what_cannot_be_settings_is_refused_with_its_place(told, text, complaint):
    (line,) = told(text)

    assert line.startswith(f"a.yaml:{complaint}"), line


def test_a_tab_is_called_a_tab(told):
    (line,) = told("discovery:\n\tinterval_s: 3\n")

    assert line.endswith("2:1: not YAML: a tab; YAML indents with spaces")


def test_a_text_with_a_line_break_in_it_is_refused(told):
    """A regular expression's `$` would let it pass."""
    (line,) = told("alerts:\n  environment: |\n    production\n")

    assert line.startswith("a.yaml:2:16: alerts.environment: has a line break")


def test_a_byte_order_mark_is_no_mistake(read):
    assert 20 == read(b"\xef\xbb\xbfschedule: {hot_lead_s: 20}\n").settings.schedule.hot_lead_s


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "No such file or directory"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_opened_says_why(tmp_path, make, reason):
    path = tmp_path / "a.yaml"
    make(path)

    with pytest.raises(NeedsAPerson, match=reason) as caught:
        load(path)

    assert str(path) in str(caught.value)
    assert "config/orderbooks.yaml" in caught.value.hint


def test_anchors_aliases_and_merges_are_read(read):
    text = """\
selection:
  series:
    - &five {name: a, series_id: "1", slug: "a-{start_unix}", period_s: 300}
    - {<<: *five, name: b, series_id: "2", slug: "b-{start_unix}"}
  tags: &words [x, y]
  slugs: *words
"""
    selection = read(text).settings.selection

    assert (
        Series(name="b", series_id="2", slug="b-{start_unix}", period_s=300)
        == (selection.series[1])
    )
    assert ("x", "y") == selection.tags == selection.slugs


def test_of_merged_pairs_the_first_holds_and_the_own_key_wins(read):
    text = """\
discovery: &d {page_limit: 7, max_pages: 7}
schedule: &s {hot_lead_s: 7}
watchdog: {interval_s: 2}
collector: {batch_tokens: 8}
"""
    merged = "selection: {slugs: [a], <<: [{tags: [b], slugs: [c]}, {tags: [d]}]}\n"
    selection = read(text + merged).settings.selection

    assert (("b",), ("a",)) == (selection.tags, selection.slugs)


def bomb(opening: str, step: str) -> str:
    lines = [f"a0: &a0 {opening}"]
    lines += [f"a{n}: &a{n} {step.replace('@', f'*a{n - 1}')}" for n in range(1, 30)]
    return "\n".join(lines) + "\n"


def test_a_bomb_of_aliases_costs_no_more_than_its_lines(told):
    """Expanded it would be 9 to the 29th lists; every line is one unknown setting."""
    lines = told(bomb("[x, x]", "[@, @, @, @, @, @, @, @, @]"))

    assert 30 == len(lines)


def test_a_bomb_of_merges_is_refused(told):
    pairs = "{" + ", ".join(f"k{n}: 1" for n in range(50)) + "}"
    (line,) = told(bomb(pairs, "{<<: [@, @, @, @, @, @, @, @, @]}"))

    assert "`<<` brings in over" in line


def test_a_flood_of_mistakes_is_cut_and_counted(told):
    lines = told("".join(f"key{n}: 1\n" for n in range(5000)))

    assert MAX_SHOWN_FAULTS + 1 == len(lines)
    assert lines[-1].endswith(f"and {5000 - MAX_SHOWN_FAULTS} more")


@given(st.binary(max_size=200))
def test_any_bytes_are_settings_or_refused_deliberately(tmp_path_factory, raw):
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(raw)
    try:
        loaded = load(path)
    except NeedsAPerson as error:
        assert str(path) in str(error)
    else:
        assert loaded.settings == msgspec.convert(msgspec.to_builtins(loaded.settings), Settings)


@given(st.text("abdinrs_:{}[]&*<#\"'!|>-? \n\t0159.~,%@`" + "\u2028\x85é", min_size=1, max_size=60))
def test_any_yaml_like_text_is_settings_or_refused_deliberately(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "text.yaml"
    path.write_text(f"data_dir: {text}\nschedule:\n  {text}", encoding="utf-8")
    try:
        load(path)
    except NeedsAPerson as error:
        assert str(path) in str(error)


@given(
    st.text(
        st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="$\u2028\u2029\ufeff")
    )
    .filter(lambda text: text and not text.startswith("~"))
    .map(lambda text: text[:1024])
)
@example("NO")
@example("2026-11-20")
@example('a"b\\c # x: y')
@example(" \U0001f4d6 ")
def test_what_render_writes_is_read_back_the_same(tmp_path_factory, data_dir):
    path = tmp_path_factory.getbasetemp() / "rendered.yaml"
    changed = msgspec.structs.replace(Settings(), data_dir=data_dir)

    path.write_text(render(changed), encoding="utf-8")

    assert changed == load(path).settings


def test_every_kind_of_value_is_rendered_and_read_back(read):
    changed = Settings(
        selection=Selection(series=(), tags=("no", "b"), slugs=("c",)),
        discovery=Discovery(interval_s=0.25, request_timeout_s=0.125),
        alerts=Alerts(environment="yes"),
    )

    assert changed == read(render(changed)).settings


def test_the_shipped_file_is_read_without_a_complaint(root):
    loaded = load(root / "config" / "orderbooks.yaml")

    assert root / "var" == loaded.data_dir


def test_the_shipped_file_holds_every_key_with_its_reason_beneath(root):
    """Values may be edited in a checkout; keys and comments are those of core.settings.settings."""
    shipped = (root / "config" / "orderbooks.yaml").read_text(encoding="utf-8")
    loaded = load(root / "config" / "orderbooks.yaml")

    assert SCHEMA_LINE == shipped.splitlines()[0]
    assert shipped_file().replace(render(Settings()), render(loaded.settings)) == shipped


def test_the_page_of_settings_is_fresh(root):
    assert page() == (root / "docs" / "SETTINGS.md").read_text(encoding="utf-8"), FIX


def test_the_schema_for_editors_is_fresh(root):
    assert schema_text() == (root / "docs" / "orderbooks.schema.json").read_text("utf-8"), FIX


def test_the_schema_refuses_unknown_keys_at_every_level():
    definitions = json.loads(schema_text())["$defs"]

    assert all(each["additionalProperties"] is False for each in definitions.values())


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "workers.edge.settings_file", *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


def test_the_command_prints_what_the_files_hold(root):
    assert shipped_file() == run(root, "default").stdout
    assert page() == run(root, "page").stdout
    assert schema_text() == run(root, "schema").stdout


def test_the_command_checks_a_file_and_its_exit_code_tells(root, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("colour: red\n")
    refused = run(root, "check", str(bad))

    assert 0 == run(root, "check", "config/orderbooks.yaml").returncode
    assert 1 == refused.returncode
    assert refused.stderr.startswith(f"{bad}:1:1: colour: unknown setting")
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["check"]])
def test_the_command_called_wrongly_says_how_to_call_it(root, arguments):
    refused = run(root, *arguments)

    assert 2 == refused.returncode
    assert refused.stderr.startswith("usage:")
