"""The answers of a loopback Google Drive v3: what rclone's Drive backend asks, and no more.

Requests and answers are values; `drive_server` puts them on the wire. Checked against the real
backend of rclone in test_remotes.py.

Promises: nothing is done for a request that is answered with a fault, except by `lost`, where all
          is done and only the answer is missing.
"""

import json
import re
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.remotes.drive_files import Entry, Files, Meta

UPLOADS = "/upload/drive/v3/files"
FILES = "/drive/v3/files"
QUOTA_BYTES = 100_000_000_000
HOLD_LIMIT_S = 60
LOST = 0


@dataclass(frozen=True)
class Request:
    """One request as it came, with its whole body.

    Attributes:
        target: path and query, as sent.
        headers: by lower-case name.
        body: empty in `Api.requests`.
        body_bytes: how long the body was.
    """

    method: str
    target: str
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    body_bytes: int

    @property
    def path(self) -> str:
        """Without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        """The query, decoded."""
        return dict(parse_qsl(urlsplit(self.target).query))


@dataclass(frozen=True)
class Answer:
    """One answer; None as body is none at all.

    Attributes:
        span: of the file `content` to send instead of `body`: [start, end).
    """

    status: int
    body: object = None
    headers: tuple[tuple[str, str], ...] = ()
    content: Path | None = None
    span: tuple[int, int] = (0, 0)


@dataclass
class Fault:
    """A rule for the next `count` requests of one method that `pattern` is found in."""

    method: str
    pattern: str
    answer: Answer
    count: int

    def matches(self, request: Request) -> bool:
        """Whether it is meant; the pattern is looked for in path and query."""
        return (
            self.count > 0
            and self.method == request.method
            and re.search(self.pattern, request.target) is not None
        )


@dataclass
class Session:
    """A resumable upload: what it is to become, and the bytes so far."""

    meta: Meta
    update: Entry | None
    content: Path


def refusal(status: int, reason: str, message: str = "") -> Answer:
    """A Drive API error, as googleapi.Error reads it."""
    text = message or reason
    one = {"domain": "global", "reason": reason, "message": text}
    return Answer(status, {"error": {"code": status, "message": text, "errors": [one]}})


class Api:
    """Everything behind www.googleapis.com and oauth2.googleapis.com.

    Attributes:
        tokens: the access tokens it takes.
        revoked: whether the refresh token is refused.
        requests: every request, in the order they came.
        held: how many uploads wait now.
    """

    def __init__(self, files: Files, first_token: str) -> None:
        self.files = files
        self.tokens = {first_token}
        self.revoked = False
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self.held = 0
        self.passing = threading.Event()
        self.passing.set()
        self._sessions: dict[str, Session] = {}
        self._lock = threading.Lock()

    def answer(self, request: Request, has_left: Callable[[], bool]) -> Answer | None:
        """The answer, or None to close the connection without one."""
        if request.path.startswith(UPLOADS) and self._wait() and has_left():
            return None
        with self._lock:
            self.requests.append(replace(request, body=b""))
            fault = next((each for each in self.faults if each.matches(request)), None)
            if fault is not None:
                fault.count -= 1
                if fault.answer.status != LOST:
                    return fault.answer
        answer = self._answer(request)
        return None if fault is not None else answer

    def _wait(self) -> bool:
        """Wait while uploads are held; True when it had to."""
        if self.passing.is_set():
            return False
        with self._lock:
            self.held += 1
        self.passing.wait(HOLD_LIMIT_S)
        with self._lock:
            self.held -= 1
        return True

    def _answer(self, request: Request) -> Answer:
        if request.path == "/token":
            return self._token(request)
        if request.headers.get("authorization", "").removeprefix("Bearer ") not in self.tokens:
            return refusal(401, "authError", "Invalid Credentials")
        routes: list[tuple[str, str, Callable[..., Answer]]] = [
            ("GET", "/drive/v3/about", self._about),
            ("GET", FILES, self._list),
            ("POST", FILES, self._create),
            ("GET", f"{FILES}/([^/]+)", self._get),
            ("PATCH", f"{FILES}/([^/]+)", self._patch),
            ("DELETE", f"{FILES}/([^/]+)", self._delete),
            ("POST|PATCH", f"{UPLOADS}(?:/([^/]+))?", self._upload),
            ("PUT|POST", f"{UPLOADS}(?:/[^/]+)?", self._chunk),
        ]
        for method, pattern, route in routes:
            is_chunk = "upload_id" in request.query
            if (route == self._upload and is_chunk) or (route == self._chunk and not is_chunk):
                continue
            found = re.fullmatch(pattern, request.path)
            if found and re.fullmatch(method, request.method):
                with self.files.lock:
                    return route(request, *found.groups())
        return refusal(404, "notFound", f"not made: {request.method} {request.path}")

    def _token(self, request: Request) -> Answer:
        asked = dict(parse_qsl(request.body.decode()))
        if self.revoked or asked.get("grant_type") != "refresh_token":
            said = "Token has been expired or revoked."
            return Answer(400, {"error": "invalid_grant", "error_description": said})
        token = f"access-{uuid.uuid4().hex}"
        self.tokens.add(token)
        return Answer(200, {"access_token": token, "token_type": "Bearer", "expires_in": 3599})

    def _about(self, _: Request) -> Answer:
        used = sum(int(entry.hashes.get("size", 0)) for _, entry in self.files.tree())
        quota = {"limit": str(QUOTA_BYTES), "usage": str(used), "usageInDrive": str(used)}
        return Answer(200, {"storageQuota": quota})

    def _list(self, request: Request) -> Answer:
        query = request.query
        found = self.files.found(query.get("q", ""))
        start, size = int(query.get("pageToken", 0)), int(query.get("pageSize", 100))
        page: dict[str, Any] = {"files": [each.public() for each in found[start : start + size]]}
        if start + size < len(found):
            page["nextPageToken"] = str(start + size)
        return Answer(200, page)

    def _create(self, request: Request) -> Answer:
        return Answer(200, self.files.create(json.loads(request.body)).public())

    def _get(self, request: Request, id_: str) -> Answer:
        entry = self.files.get(id_)
        if entry is None:
            return refusal(404, "notFound", f"File not found: {id_}.")
        if request.query.get("alt") != "media" or entry.content is None:
            return Answer(200, entry.public())
        size = entry.content.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if asked is None:
            return Answer(200, content=entry.content, span=(0, size))
        start, end = int(asked[1]), min(int(asked[2]) + 1, size) if asked[2] else size
        told = (("Content-Range", f"bytes {start}-{end - 1}/{size}"),)
        return Answer(206, headers=told, content=entry.content, span=(start, end))

    def _patch(self, request: Request, id_: str) -> Answer:
        entry = self.files.get(id_)
        if entry is None:
            return refusal(404, "notFound", f"File not found: {id_}.")
        self.files.update(entry, json.loads(request.body or b"{}"))
        if "addParents" in request.query:
            self.files.update(entry, {"parents": [request.query["addParents"]]})
        return Answer(200, entry.public())

    def _delete(self, _: Request, id_: str) -> Answer:
        entry = self.files.get(id_)
        if entry is None:
            return refusal(404, "notFound", f"File not found: {id_}.")
        self.files.remove(entry)
        return Answer(204)

    def _upload(self, request: Request, id_: str | None) -> Answer:
        update = self.files.get(id_) if id_ else None
        if id_ and update is None:
            return refusal(404, "notFound", f"File not found: {id_}.")
        content = self.files.new_content()
        if request.query.get("uploadType") == "resumable":
            key = uuid.uuid4().hex
            content.touch()
            self._sessions[key] = Session(json.loads(request.body), update, content)
            target = f"{request.path}?uploadType=resumable&upload_id={key}"
            return Answer(200, {}, (("Location", f"https://www.googleapis.com{target}"),))
        meta, data = _two_parts(request)
        content.write_bytes(data)
        return self._finished(Session(meta, update, content))

    def _chunk(self, request: Request) -> Answer:
        """One chunk, or the question how much is here (`bytes */N`, an empty body)."""
        session = self._sessions.get(request.query["upload_id"])
        if session is None:
            return refusal(404, "notFound", "no such upload")
        told = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", request.headers["content-range"])
        if told is None:
            return refusal(400, "badRequest", "Content-Range")
        with session.content.open("r+b") as file:
            if told[1] is not None:
                file.seek(int(told[1]))
                file.truncate()
                file.write(request.body)
            have = file.seek(0, 2)
        if told[2] != "*" and have >= int(told[2]):
            del self._sessions[request.query["upload_id"]]
            return self._finished(session)
        return Answer(308, headers=(("Range", f"bytes=0-{have - 1}"),) if have else ())

    def _finished(self, session: Session) -> Answer:
        if session.update is None:
            return Answer(200, self.files.create(session.meta, session.content).public())
        self.files.update(session.update, session.meta, session.content)
        return Answer(200, session.update.public())


def _two_parts(request: Request) -> tuple[Meta, bytes]:
    """The metadata and the bytes of a multipart/related upload."""
    boundary = re.search(r'boundary="?([^";]+)', request.headers["content-type"])
    assert boundary is not None
    mark = b"--" + boundary[1].encode()
    first, second = (b"\r\n" + request.body).split(b"\r\n" + mark)[1:3]
    return json.loads(first.partition(b"\r\n\r\n")[2]), second.partition(b"\r\n\r\n")[2]
