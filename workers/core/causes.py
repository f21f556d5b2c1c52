"""The names of everything that can go wrong with one request, and what follows from each.

The same words stand in the ledger, the manifests, `coverage`, `status` and the documents.
"""

OK = "ok"

REQUEST_CAUSES: dict[str, str] = {
    OK: "a good answer, every token accounted for",
    "html": "an HTML page instead of JSON: an edge block or error page (docs/VENUE.md §9 no. 21)",
    "timeout": "no whole answer within request_timeout_s, counted from the send",
    "dns": "the host name did not resolve",
    "connect": "no connection: refused, unreachable, or no network",
    "reset": "the peer closed or reset the connection",
    "tls": "the TLS handshake or certificate failed",
    "truncated": "fewer body bytes than Content-Length or the last chunk promised",
    "too_large": "the body passed max_body_bytes, before or after decompression",
    "bad_encoding": "the compressed body does not decompress",
    "bad_json": "the body is not JSON",
    "bad_utf8": "the body is not UTF-8",
    "schema": "JSON of another shape than this endpoint's",
    "redirect": "a redirect; redirects are not followed",
    "http_<status>": "any other status than 200, by its number",
}

SKIP_CAUSES: dict[str, str] = {
    "late": "the worker was busy with the previous tick; ticks are never made up",
    "backoff": "pausing after a failure, with full jitter or as Retry-After said",
    "breaker_open": "the circuit breaker is open after repeated failures",
    "rate_budget": "the worker's own token bucket is empty",
    "disk_full": "the disk refuses writes (ENOSPC, EDQUOT, EIO); retried every retry_pause_s",
    "disk_guard": "the watchdog's disk guard said stop",
    "clock_step": "the wall clock was stepped across these ticks",
}

PAUSE_CAUSES = frozenset({"disk_full", "disk_guard", "clock_step"})

ABSENT = "absent"  # the venue answered and left the token out; VENUE_ABSENT in coverage

REFUSAL_REASONS: dict[str, str] = {
    "foreign": "a book of a token that was not asked for",
    "duplicate": "a second book of the same token in one answer",
    "wrong_market": "the book names another market than the universe maps its token to",
    "no_token": "a book without a readable asset_id or market",
    "unwanted": "a book that a streamer asked for, of a market it let go meanwhile",
}

BLOCKED = frozenset({"html", "http_403", "http_451"})


def of_status(status: int) -> str:
    """The cause of an HTTP status: `ok`, `redirect` or `http_<status>`."""
    if status == 200:
        return OK
    return "redirect" if 300 <= status < 400 else f"http_{status}"


def is_known(cause: str) -> bool:
    """True for a request or skip cause that the catalogue explains."""
    number = cause.removeprefix("http_")
    catalogued = cause in REQUEST_CAUSES or cause in SKIP_CAUSES
    return catalogued or (number != cause and number.isascii() and number.isdigit())


CLOSE_CAUSES: dict[str, str] = {
    "dns": "the host name did not resolve",
    "connect": "no connection: refused, unreachable, or no network",
    "tls": "the TLS handshake or certificate failed",
    "timeout": "not open within streamer.connect_timeout_s",
    "handshake": "the answer to the upgrade was no websocket's",
    "http_<status>": "the upgrade was answered with this HTTP status",
    "closed": "the venue closed it; its code and words are the detail",
    "reset": "the connection broke without a close frame",
    "silent": "nothing at all was heard for streamer.pong_timeout_s, not even PONG",
    "too_large": "a message passed streamer.message_max_bytes",
    "overflow": "more was heard, or waited for a full disk, than streamer.inbox_bytes",
    "freeze": "a market on it was frozen; another connection took over",
    "rotated": "planned: another connection took over and was SYNCED before",
    "unwanted": "no market is left on it",
    "disk_guard": "the watchdog's disk guard said pause",
    "stop": "the streamer was asked to stop",
}
"""Why a connection of the market channel ended."""
