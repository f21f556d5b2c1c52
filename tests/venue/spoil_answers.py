"""Faults on a whole answer: status, headers, body. Each kind is one function.

Kinds and their parameters:
  status     code=503, retry_after=text|null (sent as it is: "5", a date, nonsense) or
             retry_after_in_s=5 (sent as an HTTP date that far ahead), body=text|null
  html       code=403: Cloudflare's block page, as text/html
  garbage    a body that is not JSON
  empty_200  no body at all;  empty_array: "[]"
  wrong_type a JSON body of another shape: {"data":…};  content_type=text to change only that
  bad_utf8   a broken byte inside the body;  nan: NaN where a value should be
  gzip_bomb  mib=64 of spaces, gzip-encoded;  bad_gzip: says gzip, is not
  huge_body  mib=64 of spaces inside an array;  redirect: location=url, code=301
"""

import functools
import zlib
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

from tests.venue.answers import Answer, dumps
from tests.venue.faults import Rule

BLOCK_PAGE = b"""<!DOCTYPE html>
<html lang="en-US"><head><title>Attention Required! | Cloudflare</title></head>
<body><h1>Sorry, you have been blocked</h1><p>You are unable to access polymarket.com</p>
<p>Cloudflare Ray ID: <strong>8f2b1c7d5e9a0b3c</strong></p></body></html>
"""
MIB = 1 << 20


def apply(answer: Answer, rule: Rule, *, now_ms: int) -> Answer:
    """The answer with this fault in it; what it carries is no longer counted as books."""
    spoiled = SPOILERS[rule.kind](answer, rule)
    if "retry_after_in_s" in rule.params:
        at_s = now_ms / 1000 + rule.number("retry_after_in_s", 0)
        spoiled = replace(spoiled, headers=(("Retry-After", formatdate(at_s, usegmt=True)),))
    return spoiled.marked(rule.kind, books=(), states=())


def _status(answer: Answer, rule: Rule) -> Answer:
    code = int(rule.number("code", 503))
    text = rule.params.get("body")
    body = dumps({"error": _error_text(code)}) if text is None else str(text).encode()
    after = rule.params.get("retry_after")
    headers = () if after is None else (("Retry-After", str(after)),)
    return replace(answer, status=code, body=body, headers=headers)


def _error_text(code: int) -> str:
    return {425: "service not ready", 429: "Too Many Requests", 404: "not found"}.get(
        code, "internal error" if code < 502 else "upstream unavailable"
    )


def _html(answer: Answer, rule: Rule) -> Answer:
    code = int(rule.number("code", 403))
    return replace(answer, status=code, body=BLOCK_PAGE, content_type="text/html; charset=UTF-8")


def _garbage(answer: Answer, rule: Rule) -> Answer:
    return replace(answer, body=rule.text("body", '[{"market":"0x1f' + "\x00\x01oops").encode())


def _empty(answer: Answer, _rule: Rule) -> Answer:
    return replace(answer, status=200, body=b"")


def _empty_array(answer: Answer, _rule: Rule) -> Answer:
    return replace(answer, status=200, body=b"[]")


def _wrong_type(answer: Answer, rule: Rule) -> Answer:
    content_type = rule.params.get("content_type")
    if content_type is not None:
        return replace(answer, content_type=str(content_type))
    return replace(answer, body=b'{"data":' + answer.body + b',"count":1}')


def _bad_utf8(answer: Answer, _rule: Rule) -> Answer:
    middle = answer.body.find(b'":"') + 3
    return replace(answer, body=answer.body[:middle] + b"\xff\xfe\xc3" + answer.body[middle:])


def _nan(answer: Answer, _rule: Rule) -> Answer:
    for old, new in (
        (b'"neg_risk":false', b'"neg_risk":NaN'),
        (b'"volumeNum":', b'"vol":NaN,"v":'),
    ):
        if old in answer.body:
            return replace(answer, body=answer.body.replace(old, new))
    return replace(answer, body=b'{"value":NaN}')


def _gzip_bomb(answer: Answer, rule: Rule) -> Answer:
    body = bomb(int(rule.number("mib", 64)))
    return replace(answer, body=body, headers=(("Content-Encoding", "gzip"),))


def _bad_gzip(answer: Answer, _rule: Rule) -> Answer:
    return replace(answer, headers=(("Content-Encoding", "gzip"),))


def _huge_body(answer: Answer, rule: Rule) -> Answer:
    return replace(answer, body=b"[" + b" " * (int(rule.number("mib", 64)) * MIB) + b"]")


def _redirect(answer: Answer, rule: Rule) -> Answer:
    where = rule.text("location", "http://elsewhere.invalid/books")
    code = int(rule.number("code", 301))
    return replace(answer, status=code, body=b"", headers=(("Location", where),))


@functools.cache
def bomb(mib: int) -> bytes:
    """A gzip stream of a JSON array that holds `mib` MiB of spaces, about 1 kB a MiB."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [squeeze.compress(b"[")]
    parts += [squeeze.compress(b" " * MIB) for _ in range(mib)]
    return b"".join([*parts, squeeze.compress(b"]"), squeeze.flush()])


SPOILERS: dict[str, Callable[[Answer, Rule], Answer]] = {
    "status": _status,
    "html": _html,
    "garbage": _garbage,
    "empty_200": _empty,
    "empty_array": _empty_array,
    "wrong_type": _wrong_type,
    "bad_utf8": _bad_utf8,
    "nan": _nan,
    "gzip_bomb": _gzip_bomb,
    "bad_gzip": _bad_gzip,
    "huge_body": _huge_body,
    "redirect": _redirect,
}
