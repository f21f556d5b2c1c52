"""The two fleets of `make soak`: settings, and what a reader of their reports must know."""

from typing import Any

#: A day of five-minute windows in 24 minutes.
SCALE = 60
MARKETS = "btc-5m,btc-15m,btc-1h,btc-4h,btc-1d"


def series(scale: int) -> list[dict[str, Any]]:
    """The five shipped series; windows with Unix slugs are `scale` times shorter."""
    return [
        {
            "name": "btc-5m",
            "series_id": "10684",
            "slug": "btc-updown-5m-{start_unix}",
            "period_s": 300 // scale,
        },
        {
            "name": "btc-15m",
            "series_id": "10192",
            "slug": "btc-updown-15m-{start_unix}",
            "period_s": 900 // scale,
        },
        {
            "name": "btc-1h",
            "series_id": "10114",
            "slug": "bitcoin-up-or-down-{month}-{day}-{year}-{hour12}{ampm}-et",
            "period_s": 3600,
        },
        {
            "name": "btc-4h",
            "series_id": "10331",
            "slug": "btc-updown-4h-{start_unix}",
            "period_s": 14_400 // scale,
        },
        {
            "name": "btc-daily",
            "series_id": "41",
            "slug": "bitcoin-up-or-down-on-{month}-{day}-{year}",
            "period_s": 86_400,
        },
    ]


_ROOM = {
    "disk_warn_free_bytes": 300_000_000,
    "disk_stop_opening_free_bytes": 200_000_000,
    "disk_pause_free_bytes": 100_000_000,
}
#: As shipped, but for the addresses, the disk limits of a test machine, and a drill in each hour.
REAL: dict[str, Any] = {
    "selection": {"series": series(1)},
    "discovery": {},
    "schedule": {},
    "watchdog": _ROOM,
    "offload": {"drill_interval_s": 1200},
}
ACCELERATED: dict[str, Any] = {
    "selection": {"series": series(SCALE)},
    "discovery": {
        "interval_s": 1,
        "horizon_s": 60,
        "lookback_s": 20,
        "request_timeout_s": 1,
        "requests_per_10s": 200,
    },
    "schedule": {
        "warm_lead_s": 10,
        "hot_lead_s": 1,
        "hot_tail_s": 1,
        "warm_tail_s": 2,
        "hot_interval_ms": 500,
        "warm_interval_ms": 1000,
    },
    "collector": {
        "request_timeout_s": 0.8,
        "late_tolerance_ms": 250,
        "backoff_base_s": 0.1,
        "backoff_cap_s": 1,
        "blocked_backoff_s": 1,
    },
    "segments": {"flush_interval_s": 0.5, "sync_interval_s": 1},
    "normalizer": {"interval_s": 1, "batch_age_s": 5, "hour_grace_s": 5},
    "watchdog": {**_ROOM, "interval_s": 2, "history_interval_s": 10},
    "offload": {"interval_s": 2, "drill_interval_s": 120},
}
NOTE_REAL = (
    "The venue is the loopback venue of this checkout at its real pace (scale 1), without faults: "
    "this shows the fleet, not Polymarket. Other jobs ran on the same machine meanwhile."
)
NOTE_ACCELERATED = (
    f"Accelerated: the loopback venue's 5-minute, 15-minute and 4-hour windows were {SCALE} times "
    "shorter (5 s, 15 s, 4 min), so that a day's number of windows, market rotations, files and "
    "uploads passed in 24 minutes of the real clock. The hourly and the daily market, UTC hours, "
    "and the workers' clocks are real: hourly rotations, slow leaks and a day's number of polls "
    "are not accelerated by this. Other jobs ran on the same machine meanwhile."
)
