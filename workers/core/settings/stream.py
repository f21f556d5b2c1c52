"""settings_stream: the settings of the market channel: connections, checks, courtesy.

A part of `core.settings.settings`, which is where others import them from.
"""

from typing import Annotated

from workers.core.settings.scope import Section, between


class Streamer(Section, frozen=True, kw_only=True):
    """How every change is recorded.  `orderbooks ctl start streamer` begins it."""

    legs: Annotated[
        int,
        between(
            1,
            2,
            "Connections that carry each market. With 2 the end of one costs nothing; it doubles "
            "what the venue sends.",
        ),
    ] = 1
    connection_tokens: Annotated[
        int,
        between(2, 700, "Tokens on one connection. Above about 750 their first books never come."),
    ] = 400
    chunk_tokens: Annotated[
        int,
        between(
            2, 500, "Tokens in one subscription. The venue closes on thousands in one message."
        ),
    ] = 100
    lead_s: Annotated[
        float,
        between(0, 86_400, "Seconds before its window from which a market is subscribed."),
    ] = 60.0
    tail_s: Annotated[
        float,
        between(
            0,
            86_400,
            "Seconds after its window until which it is, unless the venue says it is resolved: 19 "
            "s after the end in the median, 316 s at most.",
        ),
    ] = 360.0
    rotation_s: Annotated[
        float,
        between(
            0,
            604_800,
            "Seconds after which a connection is replaced by a fresh one that knows every book "
            "before the old one goes; legs take turns. 0 = never.",
        ),
    ] = 3600.0
    stable_after_s: Annotated[
        float,
        between(
            0.1,
            600,
            "Seconds a connection lives before it counts as good. A market whose connections die "
            "younger, again and again, is found by halving and isolated.",
        ),
    ] = 5.0
    connect_timeout_s: Annotated[
        float,
        between(0.1, 60, "Seconds until a connection is open, from the name to the upgrade."),
    ] = 10.0
    ping_interval_s: Annotated[
        float,
        between(0.1, 600, "Seconds between two PING. The venue asks for ten."),
    ] = 10.0
    pong_timeout_s: Annotated[
        float,
        between(
            0.2,
            3600,
            "Seconds without a message or a PONG after which a connection is dead. That a market "
            "says nothing is another matter: freeze_after_s.",
        ),
    ] = 30.0
    message_max_bytes: Annotated[
        int,
        between(
            65_536,
            268_435_456,
            "Bytes of one message; a longer one ends the connection. The first is one array of "
            "every book.",
        ),
    ] = 33_554_432
    inbox_bytes: Annotated[
        int,
        between(
            131_072,
            1 << 30,
            "Bytes heard or waiting for the disk, together; at more, connections are closed and "
            "the gap is recorded.",
        ),
    ] = 67_108_864
    backoff_base_s: Annotated[
        float,
        between(0.01, 60, "Seconds of the first pause before a reconnect; doubled, full jitter."),
    ] = 0.25
    backoff_cap_s: Annotated[
        float,
        between(0.01, 3600, "Seconds such a pause never exceeds."),
    ] = 30.0
    freeze_after_s: Annotated[
        float,
        between(
            0.2,
            3600,
            "Seconds without an event of a market in its window after which REST is asked. Found "
            "frozen, it gets another connection.",
        ),
    ] = 5.0
    confirm_s: Annotated[
        float,
        between(
            0.05,
            60,
            "Seconds an event may be later than the REST book that shows its effect; after them "
            "it is missing.",
        ),
    ] = 1.5
    missing_book_s: Annotated[
        float,
        between(0.2, 3600, "Seconds after its subscription within which a token must have a book."),
    ] = 10.0
    snapshot_interval_s: Annotated[
        float,
        between(0.5, 86_400, "Seconds between two REST books of every token: the ground truth."),
    ] = 30.0
    verify_interval_s: Annotated[
        float,
        between(
            0.05,
            600,
            "Seconds between two checks of a changed book against the venue's hash; its best bid "
            "and ask are checked at every change.",
        ),
    ] = 1.0
    request_timeout_s: Annotated[
        float,
        between(0.1, 60, "Seconds one POST /books may take, to the last byte."),
    ] = 2.5
    requests_per_10s: Annotated[
        int,
        between(1, 200, "POST /books in any 10 s, all streamers together, beside the collectors'."),
    ] = 60
