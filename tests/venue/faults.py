"""The fault menu: rules that say which request goes wrong, when, how often and how.

Promises: rules are matched in the order added; chance comes from the seed; every application is
          counted and named in the ledger of the truth.
Fails:    ValueError for an unknown kind or route, TypeError for a wrong field.
"""

import random
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

CHANNEL = "channel"  # the market channel: only rules that name it touch it
ROUTES = ("books", "book", "events", "markets", "slug", "time", "clob", "any", CHANNEL)
# Where in the making of an answer a kind works; all rules that match one request apply together.
OBJECT_KINDS = frozenset({  # on parsed Gamma objects
    "swapped", "ids_changed", "three_outcomes", "drift", "cursor_loop", "empty_page", "stale_page",
    "arrays", "position_ids", "hydration", "odd_times", "number_tokens", "no_series",
})  # fmt: skip
BOOK_KINDS = frozenset({  # on the books of a /book or /books answer
    "omit", "reorder", "duplicate", "foreign", "ghost", "wrong_market", "bad_hash", "drift",
    "odd_times", "number_tokens", "empty_sides",
})  # fmt: skip
ANSWER_KINDS = frozenset({  # on the whole answer
    "status", "html", "garbage", "empty_200", "wrong_type", "bad_utf8", "nan", "gzip_bomb",
    "bad_gzip", "huge_body", "redirect", "empty_array",
})  # fmt: skip
WIRE_KINDS = frozenset({  # on the sending
    "delay", "hang", "slow_body", "slow_headers", "reset", "truncate", "close_after",
})  # fmt: skip
CHANNEL_KINDS = frozenset({  # on the market channel (spoil_channel)
    "freeze", "drop", "duplicate", "reorder", "bad_json", "bad_utf8", "foreign", "half_frame",
    "slow", "deaf", "storm", "close", "kill_on", "stale_book", "missing_book", "refuse",
})  # fmt: skip
REST_KINDS = OBJECT_KINDS | BOOK_KINDS | ANSWER_KINDS | WIRE_KINDS


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault.

    Attributes:
        count: how many requests it spoils, None for all.
        after_requests: matching requests let through first.
        from_ms, until_ms: Unix ms of the venue's clock, [from, until); None is open.
        probability: of each matching request, 0 to 1.
        params: numbers and texts of the kind (see the module that applies it).
    """

    kind: str
    route: str = "any"
    count: int | None = None
    after_requests: int = 0
    from_ms: int | None = None
    until_ms: int | None = None
    probability: float = 1.0
    params: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what is not on the menu."""
        if self.route not in ROUTES:
            raise ValueError(f"adding a fault: route {self.route!r}, need one of {ROUTES}")
        kinds = CHANNEL_KINDS if self.route == CHANNEL else REST_KINDS
        if self.kind not in kinds:
            raise ValueError(f"adding a fault: kind {self.kind!r}, need one of {sorted(kinds)}")

    def number(self, name: str, default: float) -> float:
        """A numeric parameter."""
        value = self.params.get(name, default)
        if not isinstance(value, int | float):
            raise TypeError(f"fault {self.kind}: {name} is {value!r}, need a number")
        return float(value)

    def text(self, name: str, default: str) -> str:
        """A text parameter."""
        return str(self.params.get(name, default))

    def texts(self, name: str) -> tuple[str, ...]:
        """A list parameter; () when absent."""
        value = self.params.get(name, ())
        if not isinstance(value, list | tuple):
            raise TypeError(f"fault {self.kind}: {name} is {value!r}, need a list")
        return tuple(str(item) for item in value)


@dataclass(slots=True)
class _Placed:
    """A rule with its counters; changed in place under the menu's lock."""

    number: int
    rule: Rule
    seen: int = 0
    applied: int = 0


class Faults:
    """The rules in force. Thread-safe."""

    def __init__(self, seed: int) -> None:
        self._lock = threading.Lock()
        self._placed: list[_Placed] = []
        self._dice = random.Random(f"{seed}:faults")
        self._next = 1

    def add(self, kind: str, route: str = "any", **fields: object) -> int:
        """Add a rule; fields as of `Rule`, and any other name is a parameter of the kind.

        Returns:
            Its number, for `remove`.

        Raises:
            ValueError: not on the menu.
        """
        known = {"count", "after_requests", "from_ms", "until_ms", "probability"}
        own = {name: value for name, value in fields.items() if name in known}
        params = {name: value for name, value in fields.items() if name not in known}
        inner = params.pop("params", {})
        if not isinstance(inner, Mapping):
            raise TypeError(f"adding a fault: params is {inner!r}, need an object")
        return self.place(Rule(kind, route, **own, params={**inner, **params}))  # type: ignore[arg-type]

    def place(self, rule: Rule) -> int:
        """Add a rule made elsewhere; returns its number."""
        with self._lock:
            placed = _Placed(self._next, rule)
            self._placed.append(placed)
            self._next += 1
            return placed.number

    def remove(self, number: int) -> None:
        """Take one rule away; nothing when it is gone."""
        with self._lock:
            self._placed = [placed for placed in self._placed if placed.number != number]

    def clear(self) -> None:
        """Take every rule away."""
        with self._lock:
            self._placed.clear()

    def applied(self, number: int) -> int:
        """How often a rule has been applied."""
        with self._lock:
            return sum(placed.applied for placed in self._placed if placed.number == number)

    def listing(self) -> list[dict[str, object]]:
        """The rules with their counters, for `GET /_faults`."""
        with self._lock:
            return [
                {
                    "id": placed.number,
                    "kind": placed.rule.kind,
                    "route": placed.rule.route,
                    "count": placed.rule.count,
                    "seen": placed.seen,
                    "applied": placed.applied,
                    "params": dict(placed.rule.params),
                }
                for placed in self._placed
            ]

    def on_channel(self, now_ms: int) -> tuple[tuple[int, Rule], ...]:
        """The channel's rules whose time it is, with their numbers; nothing is counted."""
        with self._lock:
            return tuple(
                (placed.number, placed.rule)
                for placed in self._placed
                if placed.rule.route == CHANNEL and _is_time(placed.rule, now_ms)
            )

    def use(self, number: int, now_ms: int) -> bool:
        """Whether a rule applies to what it covers now; counted as applied."""
        with self._lock:
            return any(
                self._applies(placed, placed.rule.route, now_ms)
                for placed in self._placed
                if placed.number == number
            )

    def match(self, route: str, now_ms: int) -> tuple[Rule, ...]:
        """Rules to apply to one request now, counted as applied."""
        with self._lock:
            return tuple(p.rule for p in self._placed if self._applies(p, route, now_ms))

    def _applies(self, placed: _Placed, route: str, now_ms: int) -> bool:
        rule = placed.rule
        if not _covers(rule.route, route) or not _is_time(rule, now_ms):
            return False
        placed.seen += 1
        spent = rule.count is not None and placed.applied >= rule.count
        if placed.seen <= rule.after_requests or spent:
            return False
        if rule.probability < 1 and self._dice.random() >= rule.probability:
            return False
        placed.applied += 1
        return True


def _is_time(rule: Rule, now_ms: int) -> bool:
    begun = rule.from_ms is None or now_ms >= rule.from_ms
    return begun and (rule.until_ms is None or now_ms < rule.until_ms)


def _covers(rule_route: str, route: str) -> bool:
    if rule_route == "any":
        return route != CHANNEL
    if rule_route == "clob":
        return route in ("books", "book", "time", "clob")
    return rule_route == route
