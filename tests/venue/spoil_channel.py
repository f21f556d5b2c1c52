"""Faults on the market channel: rules with route "channel".

Which events: `connection`=number or [numbers] in order of opening (two legs: 1 and 2), `market`=
condition id(s), `token`=id(s); what is left out covers all. count, after_requests, from_ms,
until_ms and probability as in every rule; one event, connection or dump is one request.
Kinds and their parameters:
  freeze       the events are withheld; PONG and books on subscribing still come
  drop         the event is withheld
  duplicate    it comes twice, at once
  reorder      it comes after the `by`=1 next frames of the connection
  bad_json     its text is cut, in a whole frame;  bad_utf8: a byte of it is none
  foreign      it comes as another market's and token's
  half_frame   half of its frame, then the end of the TCP connection; at="fin" | "reset"
  slow         the connection gets bytes_per_s=1000
  deaf         PING is not answered
  storm        the connection is cut by a reset after_ms=0 after its opening
  close        the same, with a close frame: code=1001
  kill_on      the connection is cut after_ms=50 after a subscription of what is named; code=
  stale_book   the book on subscribing is one of age_ms=5000 ago
  missing_book the book on subscribing does not come
  refuse       the handshake is answered with status=503
Promises: every event a rule withheld or changed is written as `withheld`, with the rule's kind;
          one that `reorder` held back is `sent` later.
"""

from collections.abc import Iterable, Sequence

from tests.venue.channel_truth import ChannelLedger
from tests.venue.faults import Faults, Rule
from tests.venue.subscriber import Connection, Numbered

HIDING = ("freeze", "drop", "reorder", "bad_json", "bad_utf8", "foreign", "half_frame")
ON_EVENTS = (*HIDING, "duplicate")
ENDING = ("storm", "close")


class Spoiler:
    """The channel's rules at work; `look` before each round."""

    def __init__(self, menu: Faults, ledger: ChannelLedger) -> None:
        self.rules: tuple[tuple[int, Rule], ...] = ()
        self._menu = menu
        self._ledger = ledger
        self._now_ns = 0

    def look(self, now_ns: int) -> None:
        """Read the menu for the moment."""
        self._now_ns = now_ns
        self.rules = self._menu.on_channel(now_ns // 1_000_000)

    def deliver(
        self, connection: Connection, events: Sequence[Numbered], *, together: bool
    ) -> None:
        """Put events to a connection, as the rules have it."""
        if not any(r.kind in ON_EVENTS and covers(r, connection.number) for _, r in self.rules):
            connection.put(events, together=together)
            self._release(connection)
            return
        for each in events:
            if not connection.ended and not self._hidden(connection, each):
                times = 2 if self._applies(("duplicate",), connection, each) else 1
                connection.put([each] * times)
                self._release(connection)

    def ending(self, connections: Iterable[Connection]) -> None:
        """End the connections whose time has come."""
        for number, rule in self.rules:
            if rule.kind not in ENDING:
                continue
            for connection in [*connections]:
                age_ms = (self._now_ns - connection.opened_ns) / 1e6
                due = age_ms >= rule.number("after_ms", 0) and covers(rule, connection.number)
                if due and not connection.ended and self._use(number):
                    connection.end(rule.kind, code=_code(rule))

    def flush(self, connection: Connection, since_s: float) -> None:
        """Hand over what waits for a connection, slowly if a rule says so."""
        for _, rule in self.rules:
            if rule.kind == "slow" and covers(rule, connection.number):
                connection.flush(int(rule.number("bytes_per_s", 1000) * since_s))
                return
        connection.flush()

    def is_deaf(self, connection: Connection) -> bool:
        """Whether a PING stays without an answer."""
        return any(
            rule.kind == "deaf" and covers(rule, connection.number) and self._use(number)
            for number, rule in self.rules
        )

    def book(self, connection: Connection, condition_id: str, token_id: str) -> Rule | None:
        """The rule that spoils the book a token should now get, if any."""
        for number, rule in self.rules:
            if rule.kind in ("stale_book", "missing_book"):
                names = concerns(rule, connection.number, condition_id, (token_id,))
                if names and self._use(number):
                    return rule
        return None

    def killing(self, connection: Connection, condition_id: str, token_id: str) -> Rule | None:
        """The rule that ends a connection for having subscribed a token, if any."""
        for number, rule in self.rules:
            if rule.kind == "kill_on":
                names = concerns(rule, connection.number, condition_id, (token_id,))
                if names and self._use(number):
                    return rule
        return None

    def refusal(self) -> int | None:
        """Status to answer a handshake with, or None to accept it."""
        for number, rule in self.rules:
            if rule.kind == "refuse" and self._use(number):
                return int(rule.number("status", 503))
        return None

    def _hidden(self, connection: Connection, each: Numbered) -> bool:
        """Whether a rule keeps this event from going out as it is."""
        rule = self._applies(HIDING, connection, each)
        if rule is None:
            return False
        self._ledger.numbers(rule.kind, connection.number, self._now_ns, (each[0],))
        raw = each[1].raw
        if rule.kind == "reorder":
            due = connection.frames + int(rule.number("by", 1))
            connection.held.append((due, each))
        elif rule.kind == "bad_json":
            connection.put_text(raw[: len(raw) // 2])
        elif rule.kind == "bad_utf8":
            connection.put_text(raw.replace(b'"market"', b'"mark\xff\xfet"', 1))
        elif rule.kind == "foreign":
            connection.put_text(_foreign(each))
        elif rule.kind == "half_frame":
            connection.half(raw, reset=rule.text("at", "fin") == "reset")
            connection.end("half_frame")
        return True

    def _release(self, connection: Connection) -> None:
        """Put the held-back events whose turn it is."""
        if not connection.held:
            return
        due = [each for at, each in connection.held if connection.frames >= at]
        connection.held = [(at, each) for at, each in connection.held if connection.frames < at]
        connection.put(due)

    def _applies(self, kinds: Sequence[str], connection: Connection, each: Numbered) -> Rule | None:
        event = each[1]
        tokens = tuple(told.token_id for told in event.told)
        for number, rule in self.rules:
            if rule.kind in kinds:
                names = concerns(rule, connection.number, event.condition_id, tokens)
                if names and self._use(number):
                    return rule
        return None

    def _use(self, number: int) -> bool:
        return self._menu.use(number, self._now_ns // 1_000_000)


def covers(rule: Rule, connection: int) -> bool:
    """Whether a rule is about this connection."""
    return _names(rule, "connection", [str(connection)])


def concerns(rule: Rule, connection: int, condition_id: str, tokens: Sequence[str]) -> bool:
    """Whether a rule is about this connection, this market and one of these tokens."""
    return (
        covers(rule, connection)
        and _names(rule, "market", [condition_id])
        and _names(rule, "token", tokens)
    )


def _names(rule: Rule, name: str, found: Sequence[str]) -> bool:
    wanted = rule.params.get(name)
    if wanted is None:
        return True
    chosen = {str(each) for each in wanted} if isinstance(wanted, list | tuple) else {str(wanted)}
    return not chosen.isdisjoint(found)


def _code(rule: Rule) -> int | None:
    """A reset for `storm`, the code of `close`."""
    default = 0 if rule.kind != "close" else 1001
    return int(rule.number("code", default)) or None


def _foreign(each: Numbered) -> bytes:
    """The event with every id in it another's."""
    _, event = each
    raw = event.raw.replace(event.condition_id.encode(), b"0x" + b"0f" * 32)
    for number, told in enumerate(event.told):
        raw = raw.replace(told.token_id.encode(), str(10**70 + number).encode())
    return raw
