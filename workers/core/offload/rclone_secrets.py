"""The secrets in rclone's configuration, so that they can be kept out of what it says.

Promises  a value of a setting named like a secret is found, and what is inside it: the tokens of
          a JSON value, the lines of a key, user and password of an address; as it is and as an
          address quotes it
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote

#: Shorter values would blot out ordinary words (as core.scrubbing).
_SECRET_MIN = 8
_SECRET_NAME = re.compile(r"(?i)pass|secret|token|key|credential|sas_url|cookie|headers")
_OURS = re.compile(r"(?i)^rclone_|_proxy$")
_ADDRESS_LOGIN = re.compile(r"\w+://([^/@\s]+)@")


def secrets_of_environment(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Secrets in the variables that rclone reads; longest first."""
    return _sorted(_found((key, value) for key, value in environment.items() if _OURS.search(key)))


def secrets_of_config(text: str) -> tuple[str, ...]:
    """Secrets in the text of an rclone.conf; longest first."""
    pairs = (line.partition("=") for line in text.splitlines())
    return _sorted(_found((key.strip(), value.strip()) for key, _, value in pairs))


def _found(pairs: Iterable[tuple[str, object]]) -> Iterator[str]:
    for name, value in pairs:
        if not isinstance(value, str):
            continue
        for login in _ADDRESS_LOGIN.findall(value):
            yield from (login, *login.split(":"))
        if _SECRET_NAME.search(name):
            yield from (value, *value.splitlines())
            yield from _found(_inside(value))


def _inside(value: str) -> Iterator[tuple[str, object]]:
    """The members of a JSON object that is a value; nothing for any other value."""
    try:
        members = json.loads(value)
    except (ValueError, RecursionError):
        return iter(())
    return iter(members.items()) if isinstance(members, dict) else iter(())


def _sorted(values: Iterable[str]) -> tuple[str, ...]:
    long_enough = {each for each in values if len(each) >= _SECRET_MIN}
    kept = long_enough | {quote(each, safe="") for each in long_enough}
    return tuple(sorted(kept, key=len, reverse=True))
