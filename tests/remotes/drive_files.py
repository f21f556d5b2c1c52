"""What a loopback Google Drive holds: a tree of entries by id, their bytes on disk.

As on the real one, a name is no key: a folder may hold two files of one name, and each is an
entry of its own. Hashes are made of the bytes and always follow them.

Writes:   one file per entry in its folder.
Promises: every method is whole to every thread.
"""

import hashlib
import re
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.remotes.remote import flipped

ROOT = "root"
FOLDER = "application/vnd.google-apps.folder"
READ_BYTES = 1 << 20
Meta = dict[str, Any]


@dataclass
class Entry:
    """One file or folder.

    Attributes:
        meta: what a client may set and a `files` resource shows (name, parents, mimeType, …).
        content: where its bytes lie; None for a folder.
        hashes: md5Checksum, sha1Checksum, sha256Checksum, in hex, and size as text.
    """

    meta: Meta
    content: Path | None = None
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Its key."""
        return str(self.meta["id"])

    @property
    def name(self) -> str:
        """Its name, which others may have too."""
        return str(self.meta["name"])

    @property
    def parent(self) -> str:
        """The id of the folder it is in."""
        return str(self.meta["parents"][0])

    def public(self) -> Meta:
        """Its `files` resource."""
        return {**self.meta, **self.hashes}

    def settle(self) -> None:
        """Make the hashes those of the bytes."""
        if self.content is None:
            return
        sums = {kind: hashlib.new(kind) for kind in ("md5", "sha1", "sha256")}
        with self.content.open("rb") as file:
            while chunk := file.read(READ_BYTES):
                for each in sums.values():
                    each.update(chunk)
        self.hashes = {f"{kind}Checksum": each.hexdigest() for kind, each in sums.items()}
        self.hashes["size"] = str(self.content.stat().st_size)


class Files:
    """The entries of one Drive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self._entries: dict[str, Entry] = {}

    def get(self, id_: str) -> Entry | None:
        """The entry of an id; "root" is a folder."""
        if id_ == ROOT:
            return Entry({"id": ROOT, "name": "My Drive", "mimeType": FOLDER, "parents": [""]})
        return self._entries.get(id_)

    def new_content(self) -> Path:
        """A place for the bytes of an entry to be."""
        return self.folder / uuid.uuid4().hex

    def create(self, meta: Meta, content: Path | None = None) -> Entry:
        """A new entry, whatever else has its name."""
        now = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        given = {
            "name": "Untitled",
            "mimeType": "application/octet-stream",
            "parents": [ROOT],
            "createdTime": now,
            "modifiedTime": now,
            "trashed": False,
            **meta,
        }
        entry = Entry({**given, "id": uuid.uuid4().hex, "kind": "drive#file"}, content)
        entry.settle()
        with self.lock:
            self._entries[entry.id] = entry
        return entry

    def update(self, entry: Entry, meta: Meta, content: Path | None = None) -> None:
        """Change what is known of an entry, and its bytes if `content` is given."""
        with self.lock:
            entry.meta |= {key: value for key, value in meta.items() if key != "id"}
            if content is not None:
                if entry.content is not None:
                    entry.content.unlink()
                entry.content = content
                entry.settle()

    def remove(self, entry: Entry) -> None:
        """Forget an entry and its bytes; what is in a folder is not reachable any more."""
        with self.lock:
            del self._entries[entry.id]
            if entry.content is not None:
                entry.content.unlink()

    def found(self, query: str) -> list[Entry]:
        """The entries a `q` asks for, as rclone writes them: trashed, parents, name, mimeType."""
        parents = set(re.findall(r"'([^']+)' in parents", query))
        names = {_plain(each) for each in re.findall(r"name='((?:[^'\\]|\\.)*)'", query)}
        wanted = set(re.findall(r"mimeType='([^']+)'", query))
        unwanted = set(re.findall(r"mimeType!='([^']+)'", query))
        with self.lock:
            return [
                each
                for each in self._entries.values()
                if each.meta["trashed"] is ("trashed=true" in query)
                and (not parents or each.parent in parents)
                and (not names or each.name in names)
                and (not wanted or each.meta["mimeType"] in wanted)
                and each.meta["mimeType"] not in unwanted
            ]

    def tree(self) -> Iterator[tuple[str, Entry]]:
        """Every file that is not in the trash: its path from the root, and its entry."""
        with self.lock:
            entries = list(self._entries.values())
        for entry in entries:
            path = self._path(entry)
            if path is not None and entry.content is not None:
                yield path, entry

    def folder_at(self, path: str) -> str:
        """The id of a folder by its path from the root; made when it is not there."""
        here = ROOT
        for name in filter(None, path.split("/")):
            query = f"'{here}' in parents and mimeType='{FOLDER}'"
            known = [each for each in self.found(query) if each.name == name]
            meta = {"name": name, "parents": [here], "mimeType": FOLDER}
            here = known[0].id if known else self.create(meta).id
        return here

    def spoil(self, entry: Entry) -> None:
        """Flip its middle byte."""
        with self.lock:
            assert entry.content is not None
            entry.content.write_bytes(flipped(entry.content.read_bytes()))
            entry.settle()

    def _path(self, entry: Entry) -> str | None:
        """None when it or a folder above it is in the trash or gone."""
        names: list[str] = []
        at: Entry | None = entry
        while at is not None and at.id != ROOT and not at.meta["trashed"]:
            names.append(at.name)
            at = self.get(at.parent)
        return "/".join(reversed(names)) if at is not None and at.id == ROOT else None


def _plain(quoted: str) -> str:
    return re.sub(r"\\(.)", r"\1", quoted)
