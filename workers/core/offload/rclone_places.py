"""Where a remote lies, by what `rclone config string` says of it. Nothing here runs anything.

| backend                | lies                                                               |
|------------------------|--------------------------------------------------------------------|
| alias, crypt, union …  | on other remotes, which are asked next                             |
| local, memory          | on this machine                                                    |
| sftp, webdav, s3 …     | on the host that its settings name                                 |
| drive, s3 without host | with its provider                                                  |
| any other              | nobody can tell                                                    |

Promises  what is not known to lie elsewhere is never said to; of the settings only backend, host
          and the remotes below are kept, for the others may be secrets
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import urlsplit

import msgspec

from workers.core.errors import Refused

_WRAPPERS = {
    **dict.fromkeys(
        ("alias", "archive", "cache", "chunker", "compress", "crypt", "hasher"), "remote"
    ),
    **dict.fromkeys(("combine", "union"), "upstreams"),
}
_HERE = frozenset({"local", "memory"})
#: The setting that names the host, plain or in an address.
_HOSTS = {
    **dict.fromkeys(("ftp", "sftp", "smb"), "host"),
    **dict.fromkeys(("azureblob", "b2", "gcs", "google cloud storage", "s3"), "endpoint"),
    "swift": "auth",
    "webdav": "url",
}
_SERVICES = frozenset(
    {
        *("azureblob", "b2", "box", "drive", "dropbox", "gcs", "google cloud storage"),
        *("onedrive", "pcloud", "s3"),
    }
)
_VALUE = r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^,:'"]*"""
_OPTION = re.compile(rf",([^,:=]+)(?:=({_VALUE}))?")
_TEXT = re.compile(rf":([^,:=]+)((?:,[^,:=]+(?:=(?:{_VALUE}))?)*):")
_WORD = re.compile(r'"(?:[^"]|"")*"|[^\s"]+')
_UNION_MODE = re.compile(r":(ro|nc|writeback)$")


class Place(msgspec.Struct, frozen=True):
    """One remote: `wraps` are those it stands on; `host` is "" with the provider, or unknown."""

    backend: str
    host: str = ""
    wraps: tuple[str, ...] = ()

    @property
    def is_here(self) -> bool:
        """True on a disk, or in the memory, of this machine."""
        return self.backend in _HERE

    @property
    def is_elsewhere(self) -> bool:
        """True when it lies with a provider, or when all it stands on is asked by itself."""
        return bool(self.wraps) or (self.backend in _SERVICES and not self.host)


def string_command(remote: str) -> list[str]:
    """Ask for the backend and all settings of a remote, from wherever they come."""
    return ["config", "string", remote, "--ask-password=false", "--use-json-log"]


def place_of(text: str) -> Place:
    """What `rclone config string` printed; raises Refused when it is no connection string."""
    found = _TEXT.match(text)
    if found is None:
        raise Refused("read where the remote lies: rclone named no backend")
    backend = found[1]
    options = {name: _unquoted(value or "") for name, value in _OPTION.findall(found[2])}
    wraps = tuple(_wrapped(backend, options.get(_WRAPPERS.get(backend, ""), "")))
    return Place(backend, _host(backend, options), wraps)


def _wrapped(backend: str, text: str) -> Iterator[str]:
    if _WRAPPERS.get(backend) == "remote" and text:
        yield text
    elif _WRAPPERS.get(backend) == "upstreams":
        for each in map(_unquoted, _WORD.findall(text)):
            yield each.partition("=")[2] if backend == "combine" else _UNION_MODE.sub("", each)


def _host(backend: str, options: Mapping[str, str]) -> str:
    """The host alone, in lower case; an sftp of another program than ours goes anywhere."""
    text = options.get(_HOSTS.get(backend, ""), "")
    if _HOSTS.get(backend) == "host":
        return "" if options.get("ssh") else text.lower()
    try:
        return urlsplit(text if "://" in text else f"//{text}").hostname or ""
    except ValueError:
        return ""


def _unquoted(text: str) -> str:
    mark = text[:1]
    return text[1:-1].replace(mark * 2, mark) if mark and mark in "'\"" else text


def no_second_copy(places: Sequence[Place], here: Mapping[str, bool | None]) -> list[str]:
    """Why what lies there may be lost with this machine; [] when it is known not to be.

    Args:
        places: the remote and everything below it.
        here: whether a host is this machine; None when nobody knows such a host.
    """
    if places and all(each.wraps for each in places):
        return ["a remote that lies somewhere: it wraps itself"]
    return [why for each in places if (why := _why(each, here))]


def _why(place: Place, here: Mapping[str, bool | None]) -> str:
    told = place_text(place)
    if place.is_here:
        return f"a remote elsewhere: it is {told} of this machine"
    if place.is_elsewhere:
        return ""
    is_here = here.get(place.host) if place.host else None
    if is_here is None:
        return f"a remote of which it can be told where it lies, not {told}"
    return f"a remote elsewhere: {told} is this machine" if is_here else ""


def place_text(place: Place) -> str:
    """The place in a few words."""
    return f"{place.backend} on {place.host}" if place.host else place.backend
