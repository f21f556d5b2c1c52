"""What must hold of a data directory after any crash and recovery, checked from the bytes.

Promises  written apart from recovery: it decompresses, cuts and counts rows itself.
"""

import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.crash.workload import ACKS_BYTES, LEVEL, MARKET, WALL_NS, WORKER, WRITER
from workers.edge.spool.directory import DataDir
from workers.edge.spool.recovery import Finding, Salvager

QUEUES = ("normalize", "upload")


def read_acks(path: Path) -> tuple[set[str], int]:
    """Rows the disk was said to have, and how many segments were said to be published."""
    words = [line.split() for line in path.read_bytes().strip(b"\0").decode().splitlines()]
    rows = {word[1] for word in words if word[0] == "row"}
    return rows, max((int(word[1]) for word in words if word[0] == "published"), default=0)


def new_acks(path: Path) -> Path:
    """An empty file of acknowledgements."""
    path.write_bytes(bytes(ACKS_BYTES))
    return path


def inflate(data: bytes) -> bytes:
    """Everything that comes out of a gzip file in front of its first damage."""
    stream, out = zlib.decompressobj(31), bytearray()
    for at in range(len(data)):
        try:
            out += stream.decompress(data[at : at + 1])
        except zlib.error:
            break
    return bytes(out)


def row_ids(stream: bytes) -> list[str]:
    """The identities of the whole rows of a stream."""
    return [_row_id(line) for line in stream.split(b"\n")[:-1]]


def _row_id(line: bytes) -> str:
    try:
        row = json.loads(line)
    except ValueError:
        return f"not JSON: {line[:60]!r}"
    if not isinstance(row, dict) or not ("id" in row or "request" in row):
        return f"not a row: {line[:60]!r}"
    return row["id"] if "id" in row else f"{row['request']}/{row.get('token_id')}"


def readable_rows(root: Path) -> set[str]:
    """Every row that any data file holds in front of its damage: what recovery must publish."""
    files = [*root.glob("raw/**/*.jsonl.gz"), *root.glob("spool/open/*/*.jsonl.gz.open")]
    return {row for path in files for row in row_ids(inflate(path.read_bytes()))}


def published_bytes(root: Path) -> dict[Path, bytes]:
    """Every published file: those with a manifest, and the manifests."""
    manifests = list(root.glob("raw/**/*.manifest.json"))
    data = [Path(str(each).replace(".manifest.json", ".jsonl.gz")) for each in manifests]
    return {path: path.read_bytes() for path in [*manifests, *data] if path.exists()}


def recover(root: Path) -> list[Finding]:
    """One healthy recovery in this process."""
    data = DataDir(root)
    data.prepare()
    data.open_folder(WORKER).mkdir(exist_ok=True)
    return Salvager(data, WRITER, LEVEL).recover({MARKET.condition_id: MARKET}, WALL_NS)


def judge(root: Path, acks: Path | None, rows: Iterable[str] = ()) -> list[str]:
    """Recover twice and say everything that is wrong; [] is the only good answer.

    Args:
        root: the data directory after the fault.
        acks: None when files were damaged on purpose, so that a synced row may be gone.
        rows: that must come out besides those that can be read now.
    """
    before, expected = published_bytes(root), readable_rows(root) | set(rows)
    wrong = [f"first recovery left {each}" for each in recover(root) if each.action == "left"]
    listing = _listing(root)
    wrong += [f"second recovery found {each}" for each in recover(root)]
    wrong += ["second recovery changed files"] if listing != _listing(root) else []
    for path, data in before.items():
        if not path.exists() or path.read_bytes() != data:
            wrong.append(f"a published file changed: {path.name}")
    return wrong + judge_as_it_is(root, expected, acks)


def judge_as_it_is(root: Path, expected: set[str], acks: Path | None) -> list[str]:
    """What is wrong with a directory that was recovered already."""
    wrong: list[str] = []
    manifests = [json.loads(path.read_bytes()) for path in _manifest_paths(root)]
    rows = Counter(row for each in manifests for row in _rows_of(root, each, wrong))
    wrong += [f"row twice: {row}" for row, times in rows.items() if times > 1]
    wrong += [f"row lost in recovery: {row}" for row in expected - rows.keys()]
    if acks is not None:
        synced, published = read_acks(acks)
        wrong += [f"synced row lost: {row}" for row in sorted(synced - rows.keys())]
        if len(manifests) < published:
            wrong.append(f"{published} were published, {len(manifests)} are there")
    return wrong + _chain_faults(root) + _ticket_faults(root, manifests) + _litter(root)


def _listing(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_size for path in root.rglob("*") if path.is_file()}


def _manifest_paths(root: Path) -> list[Path]:
    return sorted(root.glob("raw/**/*.manifest.json"))


def _rows_of(root: Path, manifest: dict[str, Any], wrong: list[str]) -> list[str]:
    name, path = manifest["name"], root / manifest["path"]
    if not path.exists():
        wrong.append(f"a manifest without its data: {name}")
        return []
    data = path.read_bytes()
    stream = inflate(data)
    rows = row_ids(stream)
    said = [manifest[key] for key in ("bytes", "sha256", "md5", "raw_bytes", "raw_sha256")]
    said.append(manifest["told"]["rows"])
    found: list[object] = [len(data), hashlib.sha256(data).hexdigest()]
    found += [hashlib.md5(data).hexdigest(), len(stream), hashlib.sha256(stream).hexdigest()]
    found.append(len(rows))
    if said != found:
        wrong.append(f"a damaged segment: {name}: manifest {said}, file {found}")
    captured = sum(
        len(range(first, last + 1, interval))
        for _, interval, first, last in manifest["told"]["captured"]
    )
    if manifest["kind"] == "books" and captured != len(rows):
        wrong.append(f"{name}: {captured} ticks told, {len(rows)} rows")
    return rows


def _chain_faults(root: Path) -> list[str]:
    links = {}
    for path in _manifest_paths(root):
        raw = path.read_bytes()
        chain = json.loads(raw)["chain"]
        if chain["seq"] in links:
            return [f"two links {chain['seq']} in the chain"]
        links[chain["seq"]] = (path.name.partition(".")[0], hashlib.sha256(raw).hexdigest(), chain)
    if sorted(links) != list(range(1, len(links) + 1)):
        return [f"the chain has links {sorted(links)}"]
    wrong = []
    for seq, (name, _, chain) in links.items():
        previous = links[seq - 1][:2] if seq > 1 else (None, None)
        if (chain["previous_name"], chain["previous_sha256"]) != previous:
            wrong.append(f"link {seq} {name} does not name the one before it")
    path = root / f"spool/open/{WORKER}/chain.json"
    head = json.loads(path.read_bytes()) if path.exists() else {"seq": 0}
    if links and (head["seq"], head.get("sha256")) != (len(links), links[len(links)][1]):
        wrong.append(f"chain.json names link {head['seq']} of {len(links)}")
    return wrong


def _ticket_faults(root: Path, manifests: list[dict[str, Any]]) -> list[str]:
    wrong = []
    for queue in QUEUES:
        tickets = {path.stem: path for path in (root / "spool" / queue).glob("*.ready")}
        names = {each["name"] for each in manifests}
        wrong += [f"no ticket in {queue} for {name}" for name in sorted(names - tickets.keys())]
        wrong += [f"a ticket in {queue} for nothing: {name}" for name in tickets.keys() - names]
        for each in manifests:
            ticket = tickets.get(each["name"])
            if ticket and json.loads(ticket.read_bytes())["sha256"] != each["sha256"]:
                wrong.append(f"a wrong ticket in {queue}: {each['name']}")
    return wrong


def _litter(root: Path) -> list[str]:
    allowed = {".lock", "chain.json"}
    folder = root / f"spool/open/{WORKER}"
    wrong = [f"left in open: {each.name}" for each in folder.iterdir() if each.name not in allowed]
    data = {str(path).removesuffix(".jsonl.gz") for path in root.glob("raw/**/*.jsonl.gz")}
    told = {str(path).removesuffix(".manifest.json") for path in _manifest_paths(root)}
    wrong += [f"data without a manifest: {each}" for each in data - told]
    return wrong + [f"a draft is left: {each.name}" for each in root.rglob("*.tmp")]
