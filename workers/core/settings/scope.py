"""settings_scope: the settings that say what is recorded, from where, and when.

The first half of `core.settings.settings`, which is where others import them from.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

NAME_PATTERN: Final = "^[a-z0-9][a-z0-9-]{0,31}$"
SLUG_PATTERN: Final = "^[a-z0-9][a-z0-9-]{0,199}$"
ID_PATTERN: Final = "^[0-9]{1,20}$"
URL_PATTERN: Final = r"^https?://[A-Za-z0-9.\-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~\-]+)*$"
WS_PATTERN: Final = URL_PATTERN.replace("https?", "wss?")
SHAPES: Final = {
    NAME_PATTERN: "a name of a to z, 0 to 9 and -, at most 32 long",
    SLUG_PATTERN: "a slug of a to z, 0 to 9 and -, at most 200 long",
    ID_PATTERN: 'digits in quotes, such as "10684"',
    URL_PATTERN: "an address such as https://host/path: no user, query or closing slash",
    WS_PATTERN: "an address such as wss://host/path: no user, query or closing slash",
}
"""What each pattern asks for, in words for the person who wrote something else."""


def between(low: float, high: float, reason: str) -> Meta:
    """Bounds of a number, both allowed, and why it has the value it has."""
    return Meta(ge=low, le=high, description=reason)


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What every group of settings is: frozen, named, closed to unknown keys."""


class Venue(Section, frozen=True, kw_only=True):
    """Where Polymarket answers.  All of it is public and needs no key."""

    gamma_url: Annotated[
        str,
        Meta(pattern=URL_PATTERN, description="The Gamma REST root: which markets exist and when."),
    ] = "https://gamma-api.polymarket.com"
    clob_url: Annotated[
        str,
        Meta(pattern=URL_PATTERN, description="The CLOB REST root: the order books."),
    ] = "https://clob.polymarket.com"
    ws_url: Annotated[
        str,
        Meta(pattern=WS_PATTERN, description="The market channel: every change of the books."),
    ] = "wss://ws-subscriptions-clob.polymarket.com/ws/market"


class Series(Section, frozen=True, kw_only=True):
    """One recurring market: the venue's series, and the slug its windows can be computed by."""

    name: Annotated[
        str,
        Meta(
            pattern=NAME_PATTERN,
            description="Our own short name; rows, manifests and reports use it.",
        ),
    ]
    series_id: Annotated[
        str,
        Meta(
            pattern=ID_PATTERN,
            description="Gamma's series id, quoted: an id is text, never a number.",
        ),
    ]
    slug: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=200,
            description="The event slug of one window, computed from the clock to cross-check the "
            "listing. Placeholders: {start_unix}, or {month} {day} {year} {hour12} {ampm} in "
            "New York time: of the start, for windows of a day of the end.",
        ),
    ]
    period_s: Annotated[
        int,
        between(1, 604_800, "Seconds from one window's start to the next one's."),
    ]


DEFAULT_SERIES: Final = (
    Series(name="btc-5m", series_id="10684", slug="btc-updown-5m-{start_unix}", period_s=300),
    Series(name="btc-15m", series_id="10192", slug="btc-updown-15m-{start_unix}", period_s=900),
    Series(
        name="btc-1h",
        series_id="10114",
        slug="bitcoin-up-or-down-{month}-{day}-{year}-{hour12}{ampm}-et",
        period_s=3600,
    ),
    Series(name="btc-4h", series_id="10331", slug="btc-updown-4h-{start_unix}", period_s=14_400),
    Series(
        name="btc-daily",
        series_id="41",
        slug="bitcoin-up-or-down-on-{month}-{day}-{year}",
        period_s=86_400,
    ),
)


class Selection(Section, frozen=True, kw_only=True):
    """Which markets are recorded: the union of the three lists."""

    series: Annotated[
        tuple[Series, ...],
        Meta(max_length=100, description="Recurring markets, each by its series."),
    ] = DEFAULT_SERIES
    tags: Annotated[
        tuple[Annotated[str, Meta(pattern=SLUG_PATTERN)], ...],
        Meta(max_length=100, description="Tag slugs; every open event with one is recorded."),
    ] = ()
    slugs: Annotated[
        tuple[Annotated[str, Meta(pattern=SLUG_PATTERN)], ...],
        Meta(max_length=1000, description="Single events by slug, whatever their series."),
    ] = ()


class Discovery(Section, frozen=True, kw_only=True):
    """How the list of markets is kept current."""

    interval_s: Annotated[
        float,
        between(
            0.2,
            3600,
            "Seconds between two looks at Gamma. Windows are listed about 24 h ahead, so this "
            "only decides how soon an unplanned market or a changed one is seen.",
        ),
    ] = 30.0
    horizon_s: Annotated[
        int,
        between(
            10,
            172_800,
            "Seconds ahead of now within which a window that begins is asked for. Must reach "
            "past schedule.warm_lead_s; more only makes the pages longer.",
        ),
    ] = 3600
    lookback_s: Annotated[
        int,
        between(
            0,
            86_400,
            "Seconds behind now for which an ended window is still asked for, so that its "
            "tail is recorded and its closing is seen (settled 15 to 316 s after the end).",
        ),
    ] = 600
    page_limit: Annotated[
        int,
        between(1, 100, "Events a page. The venue clamps above 100 without saying so."),
    ] = 100
    max_pages: Annotated[
        int,
        between(
            1, 1000, "Pages a look. A cursor that never ends is an error of the venue, not ours."
        ),
    ] = 20
    request_timeout_s: Annotated[
        float,
        between(0.1, 120, "Seconds one Gamma request may take, from connecting to the last byte."),
    ] = 10.0
    max_body_bytes: Annotated[
        int,
        between(
            65_536,
            268_435_456,
            "Bytes of one decoded answer; a longer one is refused. An event has 6 to 32 KB "
            "(captures of 2026), so a page of 100 has 3 MB at most.",
        ),
    ] = 8_388_608
    requests_per_10s: Annotated[
        int,
        between(1, 400, "Gamma requests in any 10 s. The venue allows 500 on /events."),
    ] = 20
    slug_check_windows: Annotated[
        int,
        between(
            0,
            100,
            "Coming windows per series that are also looked up by their computed slug, so that "
            "a listing with holes is noticed. 0 switches the check off.",
        ),
    ] = 2


class Schedule(Section, frozen=True, kw_only=True):
    """When a market is polled: warm, then hot through its window, then warm again."""

    warm_lead_s: Annotated[
        int,
        between(0, 86_400, "Seconds before its window from which a market is recorded at all."),
    ] = 300
    hot_lead_s: Annotated[
        int,
        between(0, 86_400, "Seconds before its window from which it is polled at hot intervals."),
    ] = 10
    hot_tail_s: Annotated[
        int,
        between(0, 86_400, "Seconds after its window until which it stays hot."),
    ] = 5
    warm_tail_s: Annotated[
        int,
        between(
            0,
            86_400,
            "Seconds after its window until which it is recorded at all. The book is taken down "
            "at settlement, 19 s after the end in the median.",
        ),
    ] = 60
    hot_interval_ms: Annotated[
        int,
        between(
            100,
            600_000,
            "Milliseconds between two books of a hot market, on the UTC grid. 1000 costs ten of "
            "the venue's 500 batch requests per 10 s for each 250 tokens.",
        ),
    ] = 1000
    warm_interval_ms: Annotated[
        int,
        between(
            100,
            3_600_000,
            "Milliseconds between two books of a warm market. A multiple of the hot interval, so "
            "that a warm tick rides along in a hot request.",
        ),
    ] = 10_000
