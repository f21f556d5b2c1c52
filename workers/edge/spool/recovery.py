"""What a crash left, walked to a published end. Run by the owner, under its lock, at start.

Reads     spool/open/<worker>/
Writes    published segments with `ended: "cut_short"`, spool/quarantine/ with a .why each
Promises  every whole row that reached the disk is published once; one bad file never stops the
          others; a second run finds nothing to do. Files of another type or name are set aside
          unread.
Fails     OSError when the disk refuses a write: start again later
Never     unlinks anything but its own drafts and empty files, follows a link, or touches a
          published file
"""

import hashlib
import itertools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import msgspec

from workers.core.archive.manifests import (
    Head,
    Salvage,
    SegmentManifest,
    Writer,
    encode,
    read_manifest,
)
from workers.core.archive.segments import (
    DATA_SUFFIX,
    MANIFEST_DRAFT_SUFFIX,
    OPEN_SUFFIX,
    SegmentName,
    parse_name,
    scan_rows,
    segment_folder,
)
from workers.core.archive.story import ManifestMarket, Story, believed, retell
from workers.core.errors import is_disk_full
from workers.core.instants import utc_text
from workers.edge import durable
from workers.edge.deflate import Deflater, Inflated, stream_end
from workers.edge.spool import quarantine
from workers.edge.spool.directory import QUEUES, DataDir
from workers.edge.spool.publish import (
    Suspect,
    load_head,
    manifest_path,
    publish,
    settled_head,
    ticket_head,
)

_SALVAGE_SUFFIX = ".jsonl.gz.salvage"
_COMPLETED = Salvage(damage="the stream had no end; it was completed in place", quarantined=None)


class Finding(msgspec.Struct, frozen=True):
    """One thing recovery did: finished, salvaged, quarantined, left, ticketed, (un|re)linked."""

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
        findings: list[Finding | None] = [*self._mend_chain()]
        findings += [self._finish(path) for path in self._listed(MANIFEST_DRAFT_SUFFIX)]
        self._sweep()
        findings += [self.settle(path, markets, wall_ns) for path in self._listed(OPEN_SUFFIX)]
        findings += self._settle_chain()
        return [finding for finding in findings if finding is not None]

    def _listed(self, suffix: str) -> list[Path]:
        return sorted(self._folder.glob(f"*{suffix}"))

    def _sweep(self) -> None:
        """Unlink drafts of ours that a death left: salvaged copies and unfinished replacements."""
        drafts = [*self._listed(_SALVAGE_SUFFIX), *self._folder.glob(".*.tmp")]
        for folder in (self._data.quarantine, *map(self._data.queue, QUEUES)):
            drafts += folder.glob(f".*--{self._writer.worker}--*.tmp")
        for draft in filter(_is_regular, drafts):
            draft.unlink()

    def _finish(self, draft: Path) -> Finding | None:
        name = draft.name.removesuffix(MANIFEST_DRAFT_SUFFIX)
        if not _is_regular(draft):
            return self._quarantine(draft, "odd", "not a manifest draft of ours: file type")
        try:
            manifest = read_manifest(draft.read_bytes())
            publish(self._data, manifest, self._folder / f"{name}{OPEN_SUFFIX}")
        except (msgspec.MsgspecError, Suspect, FileNotFoundError):
            draft.unlink(missing_ok=True)
            return None
        except OSError as error:
            return _left(draft, error)
        draft.unlink(missing_ok=True)
        return Finding("finished", name)

    def settle(self, path: Path, markets: Mapping[str, ManifestMarket], wall_ns: int) -> Finding:
        """Salvage one file, or leave it to the next recovery when it cannot be read or moved.

        Raises:
            OSError: the disk is full; nothing is lost, run it again.
        """
        try:
            return self.salvage(path, markets, wall_ns)
        except (OSError, Suspect) as error:
            return _left(path, error)

    def salvage(self, path: Path, markets: Mapping[str, ManifestMarket], wall_ns: int) -> Finding:
        """Publish the whole rows of one unfinished file, and keep what could not be read."""
        name = path.name.removesuffix(OPEN_SUFFIX)
        parsed = parse_name(name)
        if parsed is None or not _is_regular(path):
            return self._quarantine(path, "odd", "not a segment of ours: name or file type")
        if path.stat().st_size == 0:
            # Its writer died between creating it and the first flush: nothing was ever in it.
            path.unlink()
            return Finding("swept", name, "an empty file")
        stream, damage = self._read(path)
        scan = scan_rows(stream)
        good_bytes, problem = believed(parsed.kind, stream[: scan.good_bytes])
        good, problem = stream[:good_bytes], problem or scan.damage
        unfinished = damage and good and not problem and self._complete(path, stream)
        damage = problem or ("" if unfinished else damage)
        if not good:
            return self._quarantine(path, "empty", f"no row of ours: {damage or 'an empty stream'}")
        story = retell(parsed.kind, good, markets)
        source = self._rewrite(path, good) if damage else path
        facts = self._facts(parsed, story, good, source=source, wall_ns=wall_ns)
        if damage:
            facts = msgspec.structs.replace(facts, salvage=self._loss(path, damage))
        elif unfinished:
            facts = msgspec.structs.replace(facts, salvage=_COMPLETED)
        published = manifest_path(self._data, facts)
        if published.exists():
            # An earlier recovery died between its commit and setting the original aside.
            self._sweep()
            return self._quarantine(path, "torn" if damage else "leftover", "already published")
        publish(self._data, facts, source)
        if damage:
            told = f"{damage}; {story.rows} whole rows were published"
            self._quarantine(path, "torn", told)
        return Finding("salvaged", name, f"{story.rows} rows; {damage or 'whole'}")

    def _read(self, path: Path) -> tuple[bytes, str]:
        inflated = Inflated()
        return b"".join(inflated.pieces(durable.read_back(path))), inflated.damage

    def _complete(self, path: Path, stream: bytes) -> bool:
        """Give a stream that stops at a flush point its end, in place; False if it was torn.

        Most killed writers leave such a file: nothing of it is lost, so nothing is set aside.
        """
        end, inflated = stream_end(stream), Inflated()
        pieces = itertools.chain(durable.read_back(path), [end])
        # Proven before it is written: behind a cut inside a block these bytes could be read as a
        # copy of an earlier row.
        if (b"".join(inflated.pieces(pieces)), inflated.damage) != (stream, ""):
            return False
        durable.append(path, end)
        return True

    def _rewrite(self, path: Path, good: bytes) -> Path:
        deflater = Deflater(self._level)
        source = path.with_name(path.name.removesuffix(OPEN_SUFFIX) + _SALVAGE_SUFFIX)
        durable.write_new(source, deflater.add(good) + deflater.finish())
        return source

    def _loss(self, path: Path, damage: str) -> Salvage:
        return Salvage(
            damage=damage,
            quarantined=self._data.relative(self._data.quarantine / f"{path.name}.torn"),
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
        return Finding("quarantined", quarantine.put(self._data, path, why, detail), detail)

    def _mend_chain(self) -> list[Finding]:
        """Find the newest link again among the manifests when chain.json is lost or unreadable."""
        path, worker = self._folder / "chain.json", self._writer.worker
        try:
            if load_head(self._data, worker).name is not None:
                return []
        except msgspec.MsgspecError as error:
            self._quarantine(path, "odd", f"not a chain head: {error}")
        newest = Head()
        for each in self._data.manifest_paths():
            if f"--{worker}--" in each.name and _is_regular(each):
                newest = _newer(newest, each.read_bytes(), worker)
        if newest.name is None:
            return []
        durable.replace(path, encode(newest))
        return [Finding("relinked", newest.name, f"chain.json was lost; link {newest.seq} found")]

    def _settle_chain(self) -> list[Finding]:
        """Step back from a link that was never published; give the newest one its tickets."""
        worker = self._writer.worker
        head = load_head(self._data, worker)
        if head.name is None:
            return []
        settled = settled_head(self._data, worker)
        if settled != head:
            durable.replace(self._folder / "chain.json", encode(settled))
            return [Finding("unlinked", head.name, "the newest link was never published")]
        return [Finding("ticketed", head.name)] if ticket_head(self._data, head) else []


def _is_regular(path: Path) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)


def _left(path: Path, error: OSError | Suspect) -> Finding:
    if isinstance(error, OSError) and is_disk_full(error):
        raise error
    return Finding("left", quarantine.shown(path.name), str(error))


def _newer(newest: Head, data: bytes, worker: str) -> Head:
    """The later of two links: the one known so far, and a published manifest's."""
    try:
        manifest = read_manifest(data)
    except msgspec.MsgspecError:
        return newest
    if manifest.chain.writer != worker or manifest.chain.seq <= newest.seq:
        return newest
    digest = hashlib.sha256(data).hexdigest()
    return Head(seq=manifest.chain.seq, name=manifest.name, path=manifest.path, sha256=digest)
