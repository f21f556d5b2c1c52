"""What a crash left, walked to a published end. Run by the owner, under its lock, at start.

Reads     spool/open/<worker>/
Writes    published segments with `ended: "cut_short"`, spool/quarantine/ with a .why each
Promises  every whole row that reached the disk is published once; one bad file never stops the
          others; a second run finds nothing to do.
Fails     OSError when the disk refuses a write: start again later
Never     unlinks anything but its own drafts, follows a link, or touches a published file
"""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from workers.core.errors import is_disk_full
from workers.core.instants import utc_text
from workers.core.manifests import Salvage, SegmentManifest, Writer, encode, read_manifest
from workers.core.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    OPEN_SUFFIX,
    SegmentName,
    parse_name,
    scan_rows,
    segment_folder,
)
from workers.core.story import ManifestMarket, Story, retell
from workers.edge import durable
from workers.edge.deflate import Deflater, Inflated, stream_end
from workers.edge.spool import tickets
from workers.edge.spool.directory import DataDir
from workers.edge.spool.publish import (
    Suspect,
    commit,
    load_head,
    manifest_path,
    publish,
    settled_head,
)

_SALVAGE_SUFFIX = ".jsonl.gz.salvage"
_COMPLETED = Salvage(damage="the stream had no end; it was completed in place", quarantined=None)


class Finding(msgspec.Struct, frozen=True):
    """One thing recovery did: finished, salvaged, quarantined, left or ticketed."""

    action: str
    name: str
    detail: str = ""


class Salvager:
    """Recovery of one worker's open folder."""

    def __init__(self, data: DataDir, writer: Writer, level: int) -> None:
        self._data, self._writer, self._level = data, writer, level
        self._folder = data.open_folder(writer.worker)

    def recover(self, markets: Mapping[str, ManifestMarket], wall_ns: int) -> list[Finding]:
        """Finish, salvage or set aside everything an earlier process left.

        Args:
            markets: by condition id, to name the market of a salvaged books segment.
            wall_ns: now, for `created_at_utc`.

        Raises:
            OSError: the disk is full; nothing is lost, run it again.
        """
        findings = [self._finish(path) for path in self._listed(MANIFEST_DRAFT_SUFFIX)]
        for path in self._listed(_SALVAGE_SUFFIX):
            path.unlink()
        findings += [self._one(path, markets, wall_ns) for path in self._listed(OPEN_SUFFIX)]
        findings += self._settle_chain()
        return [finding for finding in findings if finding is not None]

    def _listed(self, suffix: str) -> list[Path]:
        return sorted(self._folder.glob(f"*{suffix}"))

    def _finish(self, draft: Path) -> Finding | None:
        name = draft.name.removesuffix(MANIFEST_DRAFT_SUFFIX)
        try:
            manifest = read_manifest(draft.read_bytes())
            commit(self._data, manifest, self._folder / f"{name}{OPEN_SUFFIX}")
            draft.unlink(missing_ok=True)
        except (msgspec.MsgspecError, Suspect, FileNotFoundError):
            draft.unlink(missing_ok=True)
            return None
        return Finding("finished", name)

    def _one(
        self, path: Path, markets: Mapping[str, ManifestMarket], wall_ns: int
    ) -> Finding | None:
        try:
            return self.salvage(path, markets, wall_ns)
        except OSError as error:
            if is_disk_full(error):
                raise
            return Finding("left", path.name, str(error))

    def salvage(self, path: Path, markets: Mapping[str, ManifestMarket], wall_ns: int) -> Finding:
        """Publish the whole rows of one unfinished file, and keep what could not be read."""
        name = path.name.removesuffix(OPEN_SUFFIX)
        parsed = parse_name(name)
        if parsed is None or not stat.S_ISREG(os.lstat(path).st_mode):
            return self._quarantine(path, "odd", "not a segment of ours: name or file type")
        stream, damage = self._read(path)
        scan = scan_rows(stream)
        unfinished = damage and not scan.damage and self._complete(path, stream)
        damage = scan.damage or ("" if unfinished else damage)
        if not scan.rows:
            return self._quarantine(path, "empty", f"no whole row: {damage or 'an empty stream'}")
        good = stream[: scan.good_bytes]
        try:
            story = retell(parsed.kind, good, markets)
        except (msgspec.MsgspecError, ValueError) as error:
            return self._quarantine(path, "odd", f"rows of another schema: {error}")
        source = self._rewrite(path, good) if damage else path
        facts = self._facts(parsed, story, good, source=source, wall_ns=wall_ns)
        if damage:
            facts = msgspec.structs.replace(facts, salvage=self._loss(path, damage))
        elif unfinished:
            facts = msgspec.structs.replace(facts, salvage=_COMPLETED)
        if manifest_path(self._data, facts).exists():
            return self._quarantine(path, "leftover", f"{name} is already published")
        publish(self._data, facts, source)
        if damage:
            self._quarantine(path, "torn", f"{damage}; {scan.rows} whole rows were published")
        return Finding("salvaged", name, f"{scan.rows} rows; {damage or 'whole'}")

    def _read(self, path: Path) -> tuple[bytes, str]:
        inflated = Inflated()
        return b"".join(inflated.pieces(durable.read_back(path))), inflated.damage

    def _complete(self, path: Path, stream: bytes) -> bool:
        """Give a stream that stops at a flush point its end, in place; False if it was torn.

        Most killed writers leave such a file: nothing of it is lost, so nothing is set aside.
        """
        durable.append(path, stream_end(stream))
        return self._read(path) == (stream, "")

    def _rewrite(self, path: Path, good: bytes) -> Path:
        deflater = Deflater(self._level)
        source = path.with_name(path.name.removesuffix(OPEN_SUFFIX) + _SALVAGE_SUFFIX)
        durable.write_new(source, deflater.add(good) + deflater.finish())
        return source

    def _loss(self, path: Path, damage: str) -> Salvage:
        return Salvage(
            damage=damage,
            quarantined=f"spool/quarantine/{path.name}.torn",
        )

    def _facts(
        self, name: SegmentName, story: Story, good: bytes, *, source: Path, wall_ns: int
    ) -> SegmentManifest:
        told = story.told()
        text = source.name.partition(".")[0]
        data = b"".join(durable.read_back(source))
        writer = msgspec.structs.asdict(self._writer) | {"run": told.run or ""}
        folder = segment_folder(name.kind, told.first_due_ms or 0)
        return SegmentManifest(
            name=text,
            kind=name.kind,
            path=f"{folder}/{text}{DATA_SUFFIX}",
            subject=name.subject,
            **writer,
            created_at_utc=utc_text(wall_ns),
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            md5=hashlib.md5(data, usedforsecurity=False).hexdigest(),
            raw_bytes=len(good),
            raw_sha256=hashlib.sha256(good).hexdigest(),
            ended="cut_short",
            told=told,
        )

    def _quarantine(self, path: Path, why: str, detail: str) -> Finding:
        target = self._data.quarantine / f"{path.name}.{why}"
        number = 1
        while os.path.lexists(target):
            target = self._data.quarantine / f"{path.name}.{why}.{number}"
            number += 1
        durable.replace(target.with_name(f"{target.name}.why"), f"{detail}\n".encode())
        durable.move(path, target)
        return Finding("quarantined", path.name, detail)

    def _settle_chain(self) -> list[Finding]:
        """Step back from a link that was never published; give the newest one its tickets."""
        worker = self._writer.worker
        head = load_head(self._data, worker)
        if head.name is None:
            return []
        path = manifest_path(self._data, head)
        if not path.exists():
            settled = settled_head(self._data, worker, head.name)
            durable.replace(self._folder / "chain.json", encode(settled))
            return [Finding("unlinked", head.name, "the newest link was never published")]
        manifest = read_manifest(path.read_bytes())
        if tickets.issue(self._data, manifest, self._data.relative(path)):
            return [Finding("ticketed", head.name)]
        return []
