"""The venue's REST API: the one owner of requests.

Promises  every exchange comes back as an Answer within timeout_s, whatever the peer does: status
          codes, hangs, drips, resets, HTML, bombs, lies about length. Bodies are bounded before
          and after decompression. Connections are kept alive.
Fails     never by exception for what a peer or the network can do
Never     follows a redirect, sends a credential (no netrc, no cookies), or asks anything but
          the public read endpoints it is given
"""

import contextlib
import http.client
import os
import time
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec
import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.cookies import RequestsCookieJar

from workers.core import causes
from workers.core.polling.answers import Answer
from workers.edge import deflate
from workers.edge.deadlines import AGAIN_S, Alarm, Deadline, DeadlinePassed

_HEADERS = (
    "age cf-cache-status cf-ray content-encoding content-length content-type date server "
    "retry-after ratelimit-limit ratelimit-remaining ratelimit-reset "
    "x-ratelimit-limit x-ratelimit-remaining x-ratelimit-reset"
)
KEPT_HEADERS = tuple(_HEADERS.split())
_PIECE_BYTES = 1 << 18
_CLOSE_TRIES = 3


class _Broken(Exception):
    """A body that cannot be taken: the cause, and what was read of it."""

    def __init__(self, cause: str, detail: str, body: bytes, wire_bytes: int) -> None:
        super().__init__(detail)
        self.cause, self.detail, self.body, self.wire_bytes = cause, detail, body, wire_bytes


class _NoCookies(RequestsCookieJar):
    """Cookies are an identity; a public reader keeps none."""

    def set_cookie(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Drop it."""


class _Session(requests.Session):
    """Leaves redirects alone.

    With a target, requests would read the whole body of a redirect, unbounded and decompressed,
    before we see the answer.
    """

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        """None."""
        return None


class _Asked(msgspec.Struct, frozen=True):
    """The part of an error body that asks us to wait."""

    retry_after_seconds: float | None = None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request: GET without a body, POST with a JSON body."""

    method: str
    url: str
    body: bytes | None = None
    request_id: str = ""


class RestClient:
    """A keep-alive client with one deadline for each exchange; used by one thread.

    Of another than the main one: `deadline` Unalarmed.
    """

    def __init__(
        self,
        *,
        timeout_s: float,
        max_body_bytes: int,
        user_agent: str,
        deadline: Deadline | None = None,
    ) -> None:
        # No alarm interrupts the C resolver; by itself it waits 10 s for a dead name server.
        os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")
        self._timeout_s = timeout_s
        self._deadline = deadline or Alarm()
        self._max_body_bytes = max_body_bytes
        self._headers = {
            "User-Agent": user_agent,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        self._session = self._new_session()
        self._last: tuple[tuple[object, ...], requests.PreparedRequest] | None = None

    def _new_session(self) -> requests.Session:
        session = _Session()
        session.trust_env = False
        # Authorities other than certifi's, by the name that every program knows, as in edge/feed.
        session.verify = os.environ.get("SSL_CERT_FILE") or True
        session.headers.clear()
        session.headers.update(self._headers)
        session.cookies = _NoCookies()
        session.mount("http://", HTTPAdapter(max_retries=0, pool_maxsize=2))
        session.mount("https://", HTTPAdapter(max_retries=0, pool_maxsize=2))
        return session

    def close(self) -> None:
        """Close the connections, bounded: an alarm that rang inside the pool left its lock taken.

        `close` would wait for it for ever (seen when deadlines met the last byte).
        """
        for _ in range(_CLOSE_TRIES):
            with contextlib.suppress(DeadlinePassed):
                self._deadline.during(AGAIN_S, self._session.close)
                return

    def fetch(self, call: Call) -> Answer:
        """Make one exchange.

        Returns:
            An Answer; its cause is "ok" only for a whole body with status 200.
        """
        send_wall_ns, send_mono_ns = time.time_ns(), time.monotonic_ns()
        try:
            found = self._deadline.during(self._timeout_s, lambda: self._exchange(call))
        except DeadlinePassed:
            found = {"cause": "timeout", "detail": f"no whole answer within {self._timeout_s} s"}
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            found = {"cause": _cause_of(error), "detail": _short(error)}
        recv_wall_ns, recv_mono_ns = time.time_ns(), time.monotonic_ns()
        if found["cause"] == "timeout" or found.get("status") is None:
            # An interrupted exchange leaves a connection in an unknown state.
            self.close()
            self._session = self._new_session()
        return Answer(
            **found,
            send_wall_ns=send_wall_ns,
            send_mono_ns=send_mono_ns,
            recv_wall_ns=recv_wall_ns,
            recv_mono_ns=recv_mono_ns,
        )

    def _prepared(self, call: Call) -> requests.PreparedRequest:
        """The request, prepared once for as long as the same one is asked again.

        A collector asks the same batch every second; preparing costs a fifth of the exchange.
        """
        asked = (call.method, call.url, call.body)
        if self._last is None or self._last[0] != asked:
            json_type = {} if call.body is None else {"Content-Type": "application/json"}
            request = requests.Request(call.method, call.url, data=call.body, headers=json_type)
            self._last = (asked, self._session.prepare_request(request))
        prepared = self._last[1]
        if call.request_id:
            prepared.headers["X-Request-Id"] = call.request_id
        return prepared

    def _exchange(self, call: Call) -> dict[str, Any]:
        response = self._session.send(
            self._prepared(call), timeout=self._timeout_s, stream=True, allow_redirects=False
        )
        kept = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
        found: dict[str, Any] = {"status": response.status_code, "headers": kept}
        try:
            body, wire_bytes = self._body(response)
        except _Broken as broken:
            response.close()
            # What the status says is more telling than how its body broke.
            refused = causes.of_status(response.status_code)
            cause = broken.cause if refused == causes.OK else refused
            found |= {"cause": cause, "detail": broken.detail}
            found |= {"body": broken.body, "wire_bytes": broken.wire_bytes}
        else:
            cause = _cause_of_good(response.status_code, kept, body)
            found |= {"cause": cause, "body": body, "wire_bytes": wire_bytes}
        found["retry_after_s"] = _retry_after_s(kept, found["body"], response.status_code)
        return found

    def _body(self, response: requests.Response) -> tuple[bytes, int]:
        wire = bytearray()
        limit = self._max_body_bytes
        try:
            while piece := response.raw.read(_PIECE_BYTES, decode_content=False):
                wire += piece
                if len(wire) > limit:
                    raise _Broken("too_large", f"over {limit} bytes", bytes(wire), len(wire))
        except DeadlinePassed:
            detail = f"the body did not end within {self._timeout_s} s"
            raise _Broken("timeout", detail, bytes(wire), len(wire)) from None
        except urllib3.exceptions.HTTPError as error:
            raise _Broken(_cause_of(error), _short(error), bytes(wire), len(wire)) from error
        if not wire or response.headers.get("content-encoding", "identity") == "identity":
            return bytes(wire), len(wire)
        try:
            return deflate.inflate_body(bytes(wire), limit), len(wire)
        except deflate.BadBody as bad:
            raise _Broken(bad.cause, bad.detail, bad.body, len(wire)) from bad


def _cause_of_good(status: int, headers: dict[str, str], body: bytes) -> str:
    cause = causes.of_status(status)
    if cause != causes.OK:
        return cause
    is_html = "html" in headers.get("content-type", "").lower() or body[:1] == b"<"
    return "html" if is_html else causes.OK


_asked = msgspec.json.Decoder(_Asked)
_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (requests.exceptions.SSLError, "tls"),
    (urllib3.exceptions.SSLError, "tls"),
    (urllib3.exceptions.NameResolutionError, "dns"),
    # A ConnectTimeoutError by inheritance in urllib3 2: it must be asked for before the timeouts.
    (urllib3.exceptions.NewConnectionError, "connect"),
    (requests.exceptions.Timeout, "timeout"),
    (urllib3.exceptions.TimeoutError, "timeout"),
    (TimeoutError, "timeout"),
    (urllib3.exceptions.IncompleteRead, "truncated"),
    (urllib3.exceptions.InvalidChunkLength, "truncated"),
    (http.client.IncompleteRead, "truncated"),
    (ConnectionRefusedError, "connect"),
)


def _cause_of(error: BaseException) -> str:
    """The name of a transport failure, from the most telling exception in its chain."""
    chain = list(_chain(error))
    for kind, cause in _CAUSES:
        if any(isinstance(each, kind) for each in chain):
            return cause
    return "reset"


def _chain(error: BaseException | None) -> Any:  # noqa: ANN401
    seen = 0
    while error is not None and seen < 12:
        yield error
        yield from (each for each in error.args if isinstance(each, BaseException))
        reason = getattr(error, "reason", None)
        if isinstance(reason, BaseException):
            yield reason
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        error = error.__cause__ or error.__context__ or inner
        seen += 1


def _short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:300]


def _retry_after_s(headers: dict[str, str], body: bytes, status: int) -> float | None:
    """Seconds the venue asks us to wait: header (seconds or date) or body, or None."""
    if status < 400:
        return None
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except (ValueError, TypeError, OverflowError):
            return None
    try:
        return _asked.decode(body).retry_after_seconds
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
