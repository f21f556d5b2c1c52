"""What a client asks of the market channel."""

import json
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Wanted:
    """One subscription message. `dump`: the books are wanted at once; `custom` None: unsaid."""

    operation: Literal["subscribe", "unsubscribe"]
    tokens: tuple[str, ...]
    custom: bool | None
    dump: bool


def read(text: bytes) -> Wanted | None:
    """The message, or None for anything that is no subscription (VENUE 5.1)."""
    try:
        message = json.loads(text)
    except ValueError:
        return None
    if not isinstance(message, dict):
        return None
    tokens = message.get("assets_ids")
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        return None
    operation = message.get("operation", "subscribe")
    is_first = "operation" not in message
    if operation not in ("subscribe", "unsubscribe"):
        return None
    if is_first and str(message.get("type", "")).lower() != "market":
        return None
    return Wanted(
        operation,
        tuple(tokens),
        message.get("custom_feature_enabled"),
        bool(message.get("initial_dump", True)),
    )
