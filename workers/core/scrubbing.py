"""Secrets of the environment, kept out of everything that leaves or lies at rest."""

import re
from collections.abc import Iterable, Mapping

SCRUBBED = "[scrubbed]"
#: Shorter values would blot out ordinary words.
_SECRET_MIN = 8
_SECRET_NAME = re.compile(r"(?i)dsn|secret|token|passw|credential|api_?key")
_ADDRESS_KEY = re.compile(r"\w+://([^/@]+)@")


def secrets_of(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Values of variables named like secrets, and the keys inside addresses; longest first."""
    values = [text for name, text in environment.items() if _SECRET_NAME.search(name)]
    keys = [found[1] for text in values if (found := _ADDRESS_KEY.match(text))]
    parts = [part for key in keys for part in key.split(":")]
    kept = {each for each in values + keys + parts if len(each) >= _SECRET_MIN}
    return tuple(sorted(kept, key=len, reverse=True))


def scrubbed(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret replaced."""
    for secret in secrets:
        text = text.replace(secret, SCRUBBED)
    return text
