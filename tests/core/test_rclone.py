"""Holds core.offload.rclone, rclone_failures and rclone_secrets: commands, texts, causes, secrets."""

import json

import pytest

from workers.core.errors import Refused
from workers.core.health.conditions import ALERTS
from workers.core.offload import rclone
from workers.core.offload.offload import Found
from workers.core.offload.pauses import LIMIT, PAUSES
from workers.core.offload.rclone import Ended, LogLine, Tuning
from workers.core.offload.rclone_failures import _WORDS, REMOTE_CAUSES, Failure, failure_of
from workers.core.offload.rclone_secrets import secrets_of_config, secrets_of_environment

TUNING = Tuning(transfers=2, bandwidth_bytes_per_s=0, limit_s=60)
SHA = "ab" * 32


def ended(*texts: str, code: int = 1, stopped: str = "", level: str = "error") -> Ended:
    log = [LogLine(level, text) for text in texts]
    return Ended(["rclone", "copy"], code, 1.5, log, stopped)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("rclone v1.75.2\n- os/version: debian 12.11", (1, 75, 2)),
        ("rclone v1.66\n", (1, 66, 0)),
        ("2026/11/21 NOTICE: x\nrclone v1.76.0-beta.8800.abc\n", (1, 76, 0)),
        ("rclone v1.60.1-DEV\n", (1, 60, 1)),
    ],
)
def test_the_version_is_read_from_what_rclone_prints(text: str, version: tuple[int, int, int]):
    assert version == rclone.version_of(text)


def test_no_version_is_refused():
    with pytest.raises(Refused, match="version"):
        rclone.version_of("bash: rclone: command not found")


def test_a_copy_never_overwrites_and_goes_by_content():
    command = rclone.copy_command("/var/data", "GD:archive", "/tmp/list", TUNING)

    assert ["copy", "/var/data", "GD:archive/"] == command[:3]
    assert {"--immutable", "--checksum", "--drive-stop-on-upload-limit"} <= set(command)
    assert "60s" == command[command.index("--max-duration") + 1]
    assert "--bwlimit" not in command


def test_a_bandwidth_limit_is_in_bytes():
    paced = Tuning(transfers=1, bandwidth_bytes_per_s=125_000, limit_s=0.2)
    command = rclone.fetch_command("GD:", "/tmp/x", "/tmp/list", paced)

    assert "GD:" == command[1]
    assert "125000B" == command[command.index("--bwlimit") + 1]
    assert "1s" == command[command.index("--max-duration") + 1]


def test_a_listing_asks_for_one_type_of_hash_or_none():
    with_hash = rclone.list_command("S3:b/a", "md5", "/tmp/patterns")
    without = rclone.list_command("S3:b/a", None, None)

    assert "md5" == with_hash[with_hash.index("--hash-type") + 1]
    assert "/tmp/patterns" == with_hash[with_hash.index("--include-from") + 1]
    assert not {"--hash", "--include-from"} & set(without)


def test_a_pattern_escapes_what_globs():
    assert r"/raw/a\[1\]\{b\}\*\?\\c" == rclone.include_pattern(r"raw/a[1]{b}*?\c")


@pytest.mark.parametrize("path", ["a\nb", " a", "a ", "a\0b"])
def test_a_path_that_no_pattern_can_say_is_refused(path: str):
    with pytest.raises(Refused):
        rclone.include_pattern(path)


@pytest.mark.parametrize(
    ("hashes", "best"),
    [
        (["md5", "sha1", "sha256"], "sha256"),
        (["md5", "sha1"], "md5"),
        (["sha1"], None),
        ([], None),
        (None, None),
    ],
)
def test_the_best_hash_is_one_that_both_have(hashes: list[str] | None, best: str | None):
    assert best == rclone.hash_type_of(json.dumps({"Name": "X", "Hashes": hashes}).encode())


@pytest.mark.parametrize("text", [b"", b"\xff", b"[]", b'{"Hashes": 1}'])
def test_features_of_another_shape_are_refused(text: bytes):
    with pytest.raises(Refused):
        rclone.hash_type_of(text)


def test_an_entry_is_a_line_of_the_listing():
    line = (
        b'{"Path":"raw/f1","Name":"f1","Size":9,"ModTime":"","IsDir":false,"Hashes":{"md5":"AB"}},'
    )

    assert Found("raw/f1", 9, {"md5": "ab"}) == rclone.found_of(line)
    assert Found("f", 1, {}) == rclone.found_of(b'{"Path":"f","Size":1}\r\n')


@pytest.mark.parametrize("line", [b"[", b"]", b"", b"\n", b"[]"])
def test_brackets_are_no_entries(line: bytes):
    assert rclone.found_of(line) is None


@pytest.mark.parametrize("line", [b'{"Path":"raw/f', b'{"Path":"a"}', b"x", b'{"Path":"\xff"}'])
def test_half_an_entry_is_refused(line: bytes):
    with pytest.raises(Refused):
        rclone.found_of(line)


def test_only_whole_hashes_count_as_read_back():
    text = f"{SHA}  raw/a b.gz\n{'':64}  raw/none\nERROR  raw/bad\n{SHA[:10]}  raw/short\n"

    assert {"raw/a b.gz": SHA} == rclone.downloaded_of(text)


@pytest.mark.parametrize(
    ("line", "logged"),
    [
        (
            b'{"time":"t","level":"error","msg":"Failed to copy: x","object":"raw/f1","source":"s"}',
            LogLine("error", "Failed to copy: x", "raw/f1"),
        ),
        (
            b"2026/11/21 05:53:40 CRITICAL: Failed to initialise",
            LogLine("critical", "Failed to initialise"),
        ),
        (b"2026/11/21 05:53:40 ERROR : f: x", LogLine("error", "f: x")),
        (b"Error: unknown flag: --nope", LogLine("text", "Error: unknown flag: --nope")),
        (b"panic: \xff", LogLine("text", "panic: �")),
    ],
)
def test_any_line_is_a_log_line(line: bytes, logged: LogLine):
    assert logged == rclone.log_line(line)


def test_a_log_is_kept_from_both_ends_scrubbed_and_cut():
    said = [{"level": "error", "msg": f"hunter2hunter2 {'x' * 900}"}] * 200
    lines = [json.dumps(each).encode() for each in said]
    noise = [b'{"level":"info","msg":"Copied (new)"}', b"", b'{"level":"notice","msg":" "}']

    kept = rclone.kept_log([*noise, b"first", *lines, b"last"], ["hunter2hunter2"])

    assert 50 == len(kept)
    assert ("first", "last") == (kept[0].text, kept[-1].text)
    assert all(len(each.text) <= 500 and "hunter2" not in each.text for each in kept)


def test_a_secret_across_the_cut_is_hidden_too():
    for place in range(120, 180):
        text = "x" * place + "hunter2hunter2" + "x" * 1000
        line = json.dumps({"level": "error", "msg": text}).encode()
        kept = rclone.kept_log([line], ["hunter2hunter2"])[0].text

        assert not [each for each in ("hunt", "er2", "ter2") if each in kept]


def test_a_long_text_keeps_its_cause():
    text = f'Get "https://x.example/{"q" * 900}": connect: connection refused'
    line = json.dumps({"level": "error", "msg": text}).encode()
    kept = rclone.kept_log([line], [])[0].text

    assert 500 == len(kept)
    assert kept.startswith('Get "https://x.example')
    assert kept.endswith("connection refused")


RECORDED = [
    ("no_remote", 'Failed to create file system for "x:": didn\'t find section in config file'),
    ("auth", "NewFs: couldn't connect SSH: ssh: handshake failed: ssh: unable to authenticate"),
    ("auth", "read metadata failed: 401 Unauthorized: 401 Unauthorized"),
    ("auth", "https response error StatusCode: 403, api error SignatureDoesNotMatch: The request"),
    (
        "auth",
        'couldn\'t fetch token: invalid_grant: maybe token expired? - try refreshing with "x"',
    ),
    ("remote_full", "Failed to copy: preallocate: file too big for remaining disk space"),
    ("remote_full", "write /mnt/x: no space left on device"),
    ("remote_full", "googleapi: Error 403: The user's Drive storage quota, storageQuotaExceeded"),
    ("remote_full", "Received upload limit error: googleapi: Error 403: x, storageQuotaExceeded"),
    ("daily_limit", "Received upload limit error: googleapi: Error 403: User rate limit exceeded."),
    ("rate_limit", "googleapi: Error 403: Rate Limit Exceeded, rateLimitExceeded"),
    ("not_allowed", "Failed to copy: mkdir ro/raw: read-only file system"),
    ("not_allowed", "StatusCode: 403, RequestID: , api error AccessDenied: Access Denied"),
    ("network", "exceeded maximum number of attempts, 3, dial tcp 127.0.0.1:9: connection refused"),
    ("network", "dial tcp: lookup nosuchhost.invalid on 10.1.1.1:53: no such host"),
    ("network", "googleapi: got HTTP response code 502 Bad Gateway"),
    ("corrupted", "corrupted on transfer: md5 hashes differ src(x) vs dst(y)"),
    ("source_changed", "can't copy - source file is being updated (size changed from 1 to 2)"),
    ("conflict", "Source and destination exist but do not match: immutable file modified"),
    ("unknown", "is a file not a directory"),
]


@pytest.mark.parametrize(("cause", "text"), RECORDED)
def test_the_words_of_rclone_have_a_cause(cause: str, text: str):
    failure = failure_of(ended(text))

    assert failure is not None
    assert cause == failure.cause
    assert text in failure.detail


def test_what_stops_the_remote_goes_before_what_concerns_one_file():
    conflict, network = "immutable file modified", "connection refused"

    assert Failure("network", network) == failure_of(ended(conflict, network, code=6))


@pytest.mark.parametrize(
    ("found", "cause"),
    [
        (ended(code=-9), "killed"),
        (ended(code=143), "killed"),
        (ended("connection refused", code=143, stopped="limit"), "timeout"),
        (ended(code=-9, stopped="asked"), "stopped"),
        (ended("context deadline exceeded", code=10), "timeout"),
        (ended("max transfer duration reached as set by --max-duration"), "timeout"),
        (ended("directory not found", code=3), "absent"),
        (ended(code=2), "unknown"),
        (ended("connection refused", level="info"), "unknown"),
    ],
)
def test_the_way_it_ended_has_a_cause(found: Ended, cause: str):
    failure = failure_of(found)

    assert failure is not None
    assert cause == failure.cause
    assert failure.detail


def test_an_end_with_zero_is_no_failure():
    assert failure_of(ended("connection refused", code=0)) is None


def test_every_cause_has_an_alert_a_pause_and_every_rule_a_cause():
    assert {each.alert for each in REMOTE_CAUSES.values()} <= ALERTS.keys()
    assert {each.pause for each in REMOTE_CAUSES.values()} <= PAUSES.keys() | {LIMIT}
    assert [cause for cause, _ in _WORDS] == [
        each for each in REMOTE_CAUSES if each in dict(_WORDS)
    ]


TOKEN = '{"access_token":"ya29.abcdef","refresh_token":"1//0refresh","token_type":"Bearer"}'
CONF = f"""[GD]
type = drive
client_id = 123.apps.example
client_secret = GOCSPX-secret
token = {TOKEN}
[S3]
access_key_id = AKIALOOPBACK
secret_access_key=a+b/c=d0123
url = https://me:longpassword@dav.example/x
"""


def test_secrets_of_a_config_are_found_with_what_is_inside():
    secrets = secrets_of_config(CONF)

    wanted = {"GOCSPX-secret", "ya29.abcdef", "1//0refresh", "AKIALOOPBACK", "a+b/c=d0123"}
    assert {*wanted, "longpassword", TOKEN, "a%2Bb%2Fc%3Dd0123"} <= set(secrets)
    assert not {"drive", "Bearer", "123.apps.example"} & set(secrets)
    assert sorted(secrets, key=len, reverse=True) == list(secrets)


def test_secrets_of_the_environment_are_those_rclone_reads():
    secrets = secrets_of_environment(
        {
            "RCLONE_CONFIG_SF_PASS": "obscured-pass",
            "RCLONE_CONFIG_SF_HOST": "storage.example",
            "HTTPS_PROXY": "http://user:proxypass@proxy.example:1",
            "OTHER_TOKEN": "not-of-rclone",
        }
    )

    assert {"obscured-pass", "proxypass"} <= set(secrets)
    assert not {"storage.example", "not-of-rclone"} & set(secrets)


def test_the_lines_of_a_key_are_secrets_each():
    key = json.dumps({"private_key": "-----BEGIN-----\nMIIEvQIBADAN\n-----END-----", "n": 1})

    assert "MIIEvQIBADAN" in secrets_of_config(f"service_account_credentials = {key}")
