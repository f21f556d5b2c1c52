"""orderbooks: an always-on archive of live Polymarket order books, with proof of coverage.

     Gamma REST ─▶ discovery ──▶ spool/universe/universe.json
                                       │
     CLOB REST ──▶ collector NN ◀──────┘     one process for each shard of markets
                       │ seal, rename into raw/, manifest last, one ticket for each consumer
                       ▼
     raw/venue=polymarket/date=…/hour=…/     the source of truth, immutable
                       │
     watchdog reads everything ─▶ manifests/health, manifests/disk, manifests/alerts, Sentry

READING_ORDER lists the modules bottom-up. A module imports only modules that stand above it;
`core` thinks, `edge` touches the world, processes and tools never import each other. The order
is the import law, the reading order for a newcomer and the order of the tests.
"""

VERSION = "0.1.0"

READING_ORDER = (
    "core.errors",
    "core.instants",
    "core.causes",
    "core.events",
    "core.settings_table",
    "core.settings_scope",
    "core.settings",
    "core.settings_rules",
    "core.cadence",
    "core.shards",
    "core.slugs",
    "core.markets",
    "core.universe",
    "core.messages",
    "core.bookhash",
    "core.answers",
    "core.ledger",
    "core.skips",
    "core.courtesy",
    "core.grid",
    "core.runs",
    "core.story",
    "core.manifests",
    "core.segments",
    "core.heartbeats",
    "core.alerts",
    "core.health",
    "core.polling",
    "core.rows",
    "core.tracks",
    "core.coverage",
    "edge.world",
    "edge.durable",
    "edge.deflate",
    "edge.spool.directory",
    "edge.spool.locks",
    "edge.spool.tickets",
    "edge.spool.publish",
    "edge.spool.segment",
    "edge.spool.recovery",
    "edge.spool.recorder",
    "edge.spool.state",
    "edge.spool.follow",
    "edge.spool.diary",
    "edge.spool.catch",
    "edge.spool.reader",
    "edge.settings_file",
    "edge.eventlog",
    "edge.rest",
    "edge.machine",
    "edge.fleet",
    "edge.alerts",
    "edge.lifecycle",
    "discovery",
    "collector",
    "watchdog",
)
