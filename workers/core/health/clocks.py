"""Our clock against the venue's, from one answer.

Source  GET /time is a bare integer of Unix seconds (VENUE §3.2); every answer has an HTTP Date.
        Both are cut to whole seconds, so the server's clock stood half a second later, ± half a
        second, ± half the time the exchange took.
"""

from datetime import UTC, datetime

import msgspec

from workers.core.health.looks import ClockSeen
from workers.core.polling.answers import Answer

NS_PER_MS = 1_000_000
_HALF_S_MS = 500
#: RFC 9110 §5.6.7; the other two forms are forbidden to senders.
_HTTP_DATE = "%a, %d %b %Y %H:%M:%S GMT"


def compared(answer: Answer) -> ClockSeen:
    """The offset of our clock: of the two sources, the one that differs less.

    A right clock agrees with both; a venue that states one of them wrongly must not call a
    person, and a cached answer (Age above 0) is not a clock.
    """
    candidates = {"/time": _time_s(answer), "Date": _date_s(answer)}
    middle_ms = (answer.send_wall_ns + answer.recv_wall_ns) // 2 // NS_PER_MS
    offsets = {
        source: seconds * 1000 + _HALF_S_MS - middle_ms
        for source, seconds in candidates.items()
        if seconds is not None
    }
    if not offsets:
        return ClockSeen(problem=f"GET /time: {answer.cause} {answer.detail}".strip()[:200])
    source = min(offsets, key=lambda each: abs(offsets[each]))
    return ClockSeen(
        offset_ms=offsets[source],
        tolerance_ms=_HALF_S_MS + answer.took_ms // 2,
        source=source,
        measured_wall_ns=answer.recv_wall_ns,
    )


def _time_s(answer: Answer) -> int | None:
    if not answer.is_ok:
        return None
    try:
        seconds = msgspec.json.decode(answer.body, type=int)
    except msgspec.MsgspecError:
        return None
    return seconds if 0 < seconds < 1 << 40 else None


def _date_s(answer: Answer) -> int | None:
    if answer.headers.get("age", "0") != "0":
        return None
    try:
        moment = datetime.strptime(answer.headers.get("date", ""), _HTTP_DATE).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())
